/** Many commits: kept packs that are folded, by groups and by checkpoints, and a log that moves on. */
import { create, createFrom, drop, put, remove } from "./model.ts";
import { largeText, oneLayer, registered, type Scenario } from "./scenario.ts";
import type { Stage } from "./stage.ts";

/** As many packs of one generation as make a fold, less `less`. */
const PACKS_PER_FOLD = 16;

async function commits(stage: Stage, count: number, prefix: string): Promise<void> {
  for (let n = 1; n <= count; n++) await stage.commit(put("app", "base", `${prefix}${n}`, `${n}`));
}

/** Up to one pack before a fold; the registration's checkpoint is long over. */
async function almostFolded(stage: Stage): Promise<void> {
  await stage.register("app");
  await commits(stage, PACKS_PER_FOLD - 2, "before");
}

export const FOLD_SCENARIOS: readonly Scenario[] = [
  {
    name: "kept packs folded by a group",
    repositories: ["app"],
    prologue: almostFolded,
    play: (stage) => commits(stage, 4, "after"),
  },
  {
    name: "kept packs folded by a group, then by a checkpoint",
    repositories: ["app"],
    prologue: almostFolded,
    play: async (stage) => {
      await commits(stage, 3, "after");
      await stage.wait(stage.machine.engine.checkpoint());
      await stage.commit(put("app", "base", "last", "1"));
    },
  },
  {
    name: "kept packs folded beside a checkpoint that works on them",
    repositories: ["app"],
    prologue: almostFolded,
    play: async (stage) => {
      const checkpoint = stage.machine.engine.checkpoint();
      await commits(stage, 3, "beside");
      await stage.wait(checkpoint);
      await commits(stage, 2, "after");
    },
  },
  {
    name: "a checkpoint that folds around a promise's pack",
    repositories: ["app"],
    prologue: oneLayer,
    play: async (stage) => {
      await stage.commit(put("app", "team", "a", "1"));
      const id = await stage.prepare(put("app", "base", "a", "promised"));
      await stage.commit(put("app", "team", "a", "2"));
      await stage.wait(stage.machine.engine.checkpoint());
      await stage.commit(put("app", "team", "a", "3"));
      await stage.rollbackPrepared(id);
      await stage.wait(stage.machine.engine.checkpoint());
    },
  },
  {
    name: "change of segments under the load of several clients",
    repositories: ["app", "web"],
    options: { checkpointBytes: 50_000 },
    prologue: registered,
    play: async (stage) => {
      for (let n = 1; n <= 4; n++) {
        await stage.commitTogether([
          [put("app", "one", "a", largeText(n).slice(0, 12_000))],
          [put("app", "two", "a", `${n}`), put("web", "two", "a", `${n}`)],
          [put("web", "three", "a", largeText(n + 10).slice(0, 9_000))],
        ]);
      }
    },
  },
  {
    name: "layers created, deleted and renamed at once",
    repositories: ["app", "web"],
    prologue: async (stage) => {
      await registered(stage);
      await stage.commit(
        put("app", "base", "a", "1"),
        put("app", "old", "a", "2"),
        put("web", "base", "a", "3"),
        put("web", "old/deep", "a", "4"),
      );
    },
    play: async (stage) => {
      await stage.commit(
        createFrom("app", "renamed", "old"),
        drop("app", "old"),
        create("app", "empty"),
        createFrom("web", "renamed", "old/deep"),
        drop("web", "old/deep"),
        drop("web", "base"),
      );
      await stage.commit(
        put("app", "base", "b", "5"),
        remove("app", "renamed", "a"),
        put("web", "old/deep", "b", "6"),
      );
      await stage.wait(stage.machine.engine.checkpoint());
    },
  },
];
