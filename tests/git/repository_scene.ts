/** A temporary directory with the real file system, and what opening a repository needs. */
import { parseLogId, parseRepositoryName } from "../../src/core/ids.ts";
import { makeLayerdDirectories, type RepositoryLayout, resolveLayout } from "../../src/git/gate.ts";
import { RepositoryObjects } from "../../src/git/object_store.ts";
import type { OpenRepositoryOptions } from "../../src/git/open_repository.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import type { FileSystem } from "../../src/system/file_system.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import { makeRepository } from "../harness/repositories.ts";

export const fileSystem = new DenoFileSystem();
export const random = new DenoRandom();
export const clock = new DenoClock();

/** Runs a test in a fresh directory (canonical path) and removes it. */
export async function inScene(
  test: (directory: string) => Promise<void> | void,
): Promise<void> {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "layerd-git-" }));
  try {
    await test(directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** A repository with one commit, its layout and its objects; closed afterwards. */
export async function inRepository(
  test: (
    scene: { path: string; layout: RepositoryLayout; objects: RepositoryObjects },
  ) => Promise<void>,
): Promise<void> {
  await inScene(async (directory) => {
    const path = await makeRepository(`${directory}/app`);
    await withObjects(path, (layout, objects) => test({ path, layout, objects }));
  });
}

export async function withObjects(
  path: string,
  use: (layout: RepositoryLayout, objects: RepositoryObjects) => Promise<void>,
  fs: FileSystem = fileSystem,
): Promise<void> {
  const layout = resolveLayout(fileSystem, path);
  makeLayerdDirectories(fileSystem, layout);
  const objects = new RepositoryObjects(fs, clock, layout, random);
  await objects.prepare();
  try {
    await use(layout, objects);
  } finally {
    await objects.close();
  }
}

/** Options of a daemon with a log of its own. */
export function openOptions(path: string): OpenRepositoryOptions {
  return {
    fileSystem,
    clock,
    random,
    name: parseRepositoryName("app"),
    path,
    logId: parseLogId(random.ulid(clock.now())),
    stateDirectory: "/var/lib/layerd",
    pid: Deno.pid,
    incarnation: 1,
    lastLsn: 10,
    adopt: false,
    expected: null,
  };
}
