/** What the daemon is doing when the power fails: one short story each. */
import { FOLD_SCENARIOS } from "./fold_scenarios.ts";
import { create, createFrom, drop, put, remove, updateRef } from "./model.ts";
import { PROMISE_SCENARIOS } from "./promise_scenarios.ts";
import { largeText, nativeBranch, oneLayer, registered, type Scenario } from "./scenario.ts";
import { writeNativeCommit } from "./simulated_repository.ts";

const SINGLE_SCENARIOS: readonly Scenario[] = [
  {
    name: "first start, first repository, first commit",
    repositories: ["app"],
    play: oneLayer,
  },
  {
    name: "one layer",
    repositories: ["app"],
    prologue: oneLayer,
    play: async (stage) => {
      await stage.commit(put("app", "base", "a", "changed"));
      await stage.commit(remove("app", "base", "dir/b"), put("app", "base", "c", "three"));
    },
  },
  {
    name: "three layers",
    repositories: ["app"],
    prologue: oneLayer,
    play: async (stage) => {
      await stage.commit(
        put("app", "base", "a", "1"),
        put("app", "team", "a", "2"),
        put("app", "user/ann", "a", "3"),
      );
      await stage.commit(put("app", "team", "b", "4"), put("app", "user/ann", "b", "5"));
    },
  },
  {
    name: "two repositories",
    repositories: ["app", "web"],
    prologue: registered,
    play: async (stage) => {
      await stage.commit(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
      await stage.commit(put("app", "base", "a", "2"), put("web", "other", "a", "2"));
    },
  },
  {
    name: "create and delete",
    repositories: ["app"],
    prologue: oneLayer,
    play: async (stage) => {
      await stage.commit(create("app", "empty"), put("app", "full", "x", "y"));
      await stage.commit(drop("app", "base"), drop("app", "empty"));
      await stage.commit(put("app", "base", "again", "new"));
    },
  },
  {
    name: "rename of layers",
    repositories: ["app"],
    prologue: async (stage) => {
      await oneLayer(stage);
      await stage.commit(put("app", "other", "o", "other"));
    },
    play: async (stage) => {
      await stage.commit(createFrom("app", "renamed", "base"), drop("app", "base"));
      await stage.commit(createFrom("app", "deep/renamed", "other"), drop("app", "other"));
    },
  },
  {
    name: "large object",
    repositories: ["app"],
    prologue: oneLayer,
    play: async (stage) => {
      await stage.commit(put("app", "base", "large", largeText(1)), put("app", "base", "a", "2"));
      await stage.commit(put("app", "base", "a", "3"));
      await stage.wait(stage.machine.engine.checkpoint());
    },
  },
  {
    name: "checkpoint",
    repositories: ["app", "web"],
    prologue: registered,
    play: async (stage) => {
      await stage.commit(put("app", "base", "a", "1"), put("web", "base", "b", "1"));
      await stage.wait(stage.machine.engine.checkpoint());
      await stage.commit(put("app", "base", "a", "2"));
      await stage.wait(stage.machine.engine.checkpoint());
      await stage.commit(put("web", "base", "b", "2"));
    },
  },
  {
    name: "change of segments",
    repositories: ["app"],
    options: { checkpointBytes: 60_000 },
    prologue: oneLayer,
    play: async (stage) => {
      for (let n = 1; n <= 6; n++) {
        await stage.commit(put("app", "base", "a", largeText(n).slice(0, 24_000)));
      }
    },
  },
  {
    name: "loose refs folded into packed-refs",
    repositories: ["app"],
    prologue: async (stage) => {
      await oneLayer(stage);
      await nativeBranch(stage, "refs/heads/main", "native");
      await nativeBranch(stage, "refs/layers/native", "by git");
      await nativeBranch(stage, "refs/layers/base", "by git too");
    },
    play: async (stage) => {
      await stage.commit(put("app", "native", "a", "1"), put("app", "base", "a", "2"));
      await stage.commit(updateRef("app", "refs/heads/main", null), drop("app", "native"));
    },
  },
  {
    name: "refs onto commits of native git",
    repositories: ["app"],
    prologue: oneLayer,
    play: async (stage) => {
      const files = { readme: "unsynced" };
      const commit = writeNativeCommit(stage.machine.fileSystem, "/app", {
        file: "readme",
        text: files.readme,
        parent: null,
      });
      await stage.commit(updateRef("app", "refs/heads/topic", { commit, files }));
      await stage.commit(createFrom("app", "topic", "refs/heads/topic"));
    },
  },
  {
    name: "several clients in one group",
    repositories: ["app", "web"],
    prologue: registered,
    play: async (stage) => {
      await stage.commitTogether([
        [put("app", "one", "a", "1")],
        [put("app", "two", "a", "2"), put("web", "two", "a", "2")],
        [put("web", "three", "a", "3")],
      ]);
      await stage.commitTogether([
        [put("app", "one", "b", "1")],
        [put("app", "four", "a", "4")],
        [drop("web", "three")],
      ]);
    },
  },
  {
    name: "a disk that is full while objects are written, and while the log is",
    repositories: ["app"],
    prologue: oneLayer,
    play: async (stage) => {
      stage.machine.disk.capacityBytes = stage.machine.disk.usedBytes() + 100;
      await stage.refused("no_space", put("app", "base", "a", largeText(3).slice(0, 40_000)));
      stage.machine.disk.capacityBytes = null;
      await stage.commit(put("app", "base", "a", "small again"));
    },
  },
  {
    name: "reflogs, tags and branches",
    repositories: ["app"],
    prologue: async (stage) => {
      const { fileSystem } = stage.machine;
      fileSystem.unlink("/app/config");
      fileSystem.writeNewFile(
        "/app/config",
        new TextEncoder().encode("[core]\n\tbare = true\n\tlogAllRefUpdates = always\n"),
      );
      await stage.wait(fileSystem.syncFileSystem("/app"));
      await oneLayer(stage);
      await nativeBranch(stage, "refs/heads/topic", "native");
    },
    play: async (stage) => {
      const files = { readme: "moved" };
      const commit = await stage.nativeCommit("moved");
      await stage.commit(
        updateRef("app", "refs/heads/topic", { commit, files }),
        updateRef("app", "refs/tags/v1", { commit, files }),
        put("app", "base", "a", "logged"),
      );
      await stage.commit(updateRef("app", "refs/tags/v1", null), drop("app", "base"));
    },
  },
  {
    name: "a repository removed and registered again",
    repositories: ["app", "web"],
    prologue: registered,
    play: async (stage) => {
      await stage.commit(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
      await stage.unregister("web");
      await stage.commit(put("app", "base", "a", "2"));
      await stage.register("web");
      await stage.commit(put("web", "base", "a", "3"));
    },
  },
];

export const SCENARIOS: readonly Scenario[] = [
  ...SINGLE_SCENARIOS,
  ...FOLD_SCENARIOS,
  ...PROMISE_SCENARIOS,
];
