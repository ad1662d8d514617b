/** What is decided or promised and not over yet when the power fails. */
import { create, createFrom, drop, put } from "./model.ts";
import { nativeBranch, oneLayer, registered, type Scenario } from "./scenario.ts";
import type { Stage } from "./stage.ts";

/** From here on `/web` cannot be published; the first `folds` renames of its refs succeed. */
function stallWeb(stage: Stage, folds = 0): void {
  let renames = 0;
  stage.machine.fail((call) => {
    if (call.name !== "rename" || call.path !== "/web/packed-refs") return null;
    renames += 1;
    return renames > folds ? "EIO" : null;
  });
}

/** The disk is well again, and what waited for it goes through. */
async function mend(stage: Stage): Promise<void> {
  stage.machine.fail(() => null);
  await stage.machine.clock.run(15_000);
}

export const PROMISE_SCENARIOS: readonly Scenario[] = [
  {
    name: "a stalled repository beside a healthy one",
    repositories: ["app", "web"],
    prologue: registered,
    play: async (stage) => {
      stallWeb(stage);
      await stage.commit(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
      await stage.commit(put("app", "other", "a", "2"));
      await stage.wait(stage.machine.engine.checkpoint());
      await stage.commit(put("app", "other", "a", "3"));
      stage.machine.fail(() => null);
      await stage.machine.clock.run(5_000);
      await stage.commit(put("web", "base", "a", "4"));
    },
  },
  {
    name: "a promise across checkpoint and restart",
    repositories: ["app"],
    prologue: oneLayer,
    play: async (stage) => {
      const id = await stage.prepare(put("app", "base", "a", "promised"), create("app", "new"));
      const other = await stage.prepare(put("app", "third", "x", "never"));
      await stage.commit(put("app", "team", "a", "beside"));
      await stage.wait(stage.machine.engine.checkpoint());
      await stage.restart();
      await stage.rollbackPrepared(other);
      await stage.commitPrepared(id);
      await stage.commit(put("app", "base", "b", "after"));
    },
  },
  {
    name: "a stalled repository across a restart",
    repositories: ["app", "web"],
    prologue: registered,
    play: async (stage) => {
      stallWeb(stage);
      await stage.commit(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
      await stage.restart();
      await stage.commit(put("app", "base", "a", "2"));
      await stage.wait(stage.machine.engine.checkpoint());
      await mend(stage);
      await stage.commit(put("app", "base", "a", "3"), put("web", "base", "a", "3"));
    },
  },
  {
    name: "loose refs folded in a stalled repository beside a healthy one",
    repositories: ["app", "web"],
    prologue: async (stage) => {
      await registered(stage);
      await stage.commit(put("app", "base", "a", "0"), put("web", "base", "a", "0"));
      for (const name of ["app", "web"]) {
        await nativeBranch(stage, "refs/layers/native", "by git", name);
        await nativeBranch(stage, "refs/layers/base", "by git too", name);
      }
    },
    play: async (stage) => {
      stallWeb(stage, 1);
      await stage.commit(
        put("app", "native", "a", "1"),
        put("web", "native", "a", "1"),
        drop("web", "base"),
      );
      await stage.commit(put("app", "base", "a", "2"));
      await mend(stage);
      await stage.commit(put("web", "native", "a", "3"), put("web", "base", "a", "3"));
    },
  },
  {
    name: "several groups around promises in two repositories",
    repositories: ["app", "web"],
    prologue: async (stage) => {
      await registered(stage);
      await stage.commit(put("app", "base", "a", "0"), put("web", "base", "a", "0"));
    },
    play: async (stage) => {
      const kept = await stage.prepare(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
      const other = await stage.prepare(create("app", "new"), create("web", "new"));
      await stage.commitTogether([
        [put("app", "one", "a", "1")],
        [put("web", "two", "a", "2")],
        [put("app", "three", "a", "3"), put("web", "three", "a", "3")],
      ]);
      await stage.commitPrepared(kept);
      await stage.commitTogether([
        [put("app", "base", "b", "4")],
        [put("web", "base", "b", "5")],
      ]);
      await stage.rollbackPrepared(other);
      await stage.commit(put("app", "new", "a", "6"), put("web", "new", "a", "6"));
    },
  },
  {
    name: "a promise over loose refs of native git",
    repositories: ["app"],
    prologue: async (stage) => {
      await oneLayer(stage);
      await nativeBranch(stage, "refs/layers/native", "by git");
    },
    play: async (stage) => {
      const id = await stage.prepare(
        put("app", "native", "a", "1"),
        createFrom("app", "moved", "base"),
        drop("app", "base"),
      );
      await stage.restart();
      await stage.commit(put("app", "team", "a", "beside"));
      await stage.commitPrepared(id);
    },
  },
  {
    name: "a promise that is kept while a repository stalls",
    repositories: ["app", "web"],
    prologue: registered,
    play: async (stage) => {
      const id = await stage.prepare(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
      stallWeb(stage);
      await stage.commitPrepared(id);
      await stage.wait(stage.machine.engine.checkpoint());
      await mend(stage);
      await stage.commit(put("web", "base", "a", "2"));
    },
  },
];
