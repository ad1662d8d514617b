/** Layers that move alone and are published as loose files, as in a repository of very many refs. */
import { create, drop, put } from "./model.ts";
import { nativeBranch, oneLayer, registered, type Scenario } from "./scenario.ts";

/** Whatever the size of packed-refs; every third layer folds those before it. */
const options = { loosePublication: { fromBytes: 0, refsMax: 2 } };

export const LOOSE_SCENARIOS: readonly Scenario[] = [
  {
    name: "a layer that moves alone, then beside another, then goes",
    repositories: ["app"],
    options,
    prologue: oneLayer,
    play: async (stage) => {
      await stage.commit(put("app", "base", "a", "1"));
      await stage.commit(put("app", "base", "a", "2"));
      await stage.commit(put("app", "base", "a", "3"), put("app", "other", "o", "1"));
      await stage.commit(put("app", "base", "a", "4"));
      await stage.commit(drop("app", "base"));
    },
  },
  {
    name: "loose layers folded when they are too many",
    repositories: ["app"],
    options,
    prologue: async (stage) => {
      await oneLayer(stage);
      await stage.commit(create("app", "deep/two"), create("app", "three"), create("app", "four"));
    },
    play: async (stage) => {
      await stage.commit(put("app", "base", "a", "1"));
      await stage.commit(put("app", "deep/two", "a", "2"));
      await stage.commit(put("app", "three", "a", "3"));
      await stage.commit(put("app", "four", "a", "4"));
    },
  },
  {
    name: "one loose layer in each of two repositories",
    repositories: ["app", "web"],
    options,
    prologue: async (stage) => {
      await registered(stage);
      await stage.commit(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
    },
    play: async (stage) => {
      await stage.commit(put("app", "base", "a", "2"), put("web", "base", "a", "2"));
      await stage.commit(put("app", "base", "a", "3"), put("web", "base", "a", "3"));
      await stage.wait(stage.machine.engine.checkpoint());
      await stage.commit(put("web", "base", "a", "4"));
    },
  },
  {
    name: "a loose layer that stalls beside one that moves",
    repositories: ["app", "web"],
    options,
    prologue: async (stage) => {
      await registered(stage);
      await stage.commit(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
      await stage.commit(create("app", "other"));
    },
    play: async (stage) => {
      const { machine } = stage;
      machine.fail(({ name, path }) =>
        name === "rename" && path === "/web/refs/layers/base" ? "EIO" : null
      );
      await stage.commit(put("app", "base", "a", "2"), put("web", "base", "a", "2"));
      await stage.commit(put("app", "other", "a", "3"));
      machine.fail(() => null);
      await machine.clock.run(5_000);
      await stage.commit(put("web", "base", "a", "4"));
    },
  },
  {
    name: "promises over loose layers, one of them native git's",
    repositories: ["app"],
    options,
    prologue: async (stage) => {
      await oneLayer(stage);
      await stage.commit(put("app", "other", "a", "0"));
      await nativeBranch(stage, "refs/layers/other", "by git");
    },
    play: async (stage) => {
      await stage.commit(put("app", "base", "a", "1"));
      const kept = await stage.prepare(put("app", "base", "a", "promised"));
      const dropped = await stage.prepare(put("app", "other", "a", "never"));
      await stage.wait(stage.machine.engine.checkpoint());
      await stage.commitPrepared(kept);
      await stage.rollbackPrepared(dropped);
      await stage.commit(put("app", "other", "a", "2"));
    },
  },
];
