/** What a scenario is, and the prologues and contents that several of them share. */
import { put } from "./model.ts";
import type { MachineOptions } from "./simulated_machine.ts";
import { writeNativeCommit, writeNativeRef } from "./simulated_repository.ts";
import type { Stage } from "./stage.ts";

export interface Scenario {
  readonly name: string;
  readonly repositories: readonly string[];
  readonly options?: Pick<MachineOptions, "checkpointBytes">;
  /** What happens before; not crashed. */
  readonly prologue?: (stage: Stage) => Promise<void>;
  readonly play: (stage: Stage) => Promise<void>;
}

export const registered = async (stage: Stage) => {
  for (const name of ["app", "web"]) await stage.register(name);
};

export async function oneLayer(stage: Stage): Promise<void> {
  await stage.register("app");
  await stage.commit(put("app", "base", "a", "one"), put("app", "base", "dir/b", "two"));
}

/** Incompressible, so that it is large wherever it stands. */
export function largeText(seed: number): string {
  let text = "";
  for (let state = seed, n = 0; n < 240_000; n++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    text += state.toString(36).padStart(7, "0").slice(0, 5);
  }
  return text;
}

/** A native branch with one commit, durable. */
export async function nativeBranch(
  stage: Stage,
  ref: string,
  text: string,
  repository = "app",
): Promise<string> {
  const { fileSystem } = stage.machine;
  const file = "readme";
  const commit = writeNativeCommit(fileSystem, `/${repository}`, { file, text, parent: null });
  writeNativeRef(fileSystem, `/${repository}`, ref, commit);
  await stage.wait(fileSystem.syncFileSystem(`/${repository}`));
  stage.assume((model) => ({ ...model, [`${repository} ${ref}`]: { readme: text } }));
  return commit;
}
