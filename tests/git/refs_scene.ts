/** A repository of native git with the refs of this room opened on it. */
import { assertEquals } from "@std/assert";
import { type ObjectId, parseObjectId, parseRefName, type RefName } from "../../src/core/ids.ts";
import type { RefEdit } from "../../src/core/ref_edit.ts";
import { type OpenRefs, openRefs } from "../../src/git/open_refs.ts";
import type { ObjectType } from "../../src/core/log_record.ts";
import type { LockOutcome, ObjectStore } from "../../src/git/repository.ts";
import type { SharedRepository } from "../../src/git/shared_permissions.ts";
import type { Clock } from "../../src/system/clock.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import { WriteWatch } from "../../src/git/write_watch.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import type { FileSystem } from "../../src/system/file_system.ts";
import { git } from "../harness/git.ts";

export const NOTE = {
  committer: { name: "layerd", email: "layerd@localhost" },
  atMs: 1_700_000_000_000,
  message: "layerd: commit",
};

export interface SceneOptions {
  readonly bare?: boolean;
  readonly commits?: number;
}

export class RefsScene {
  readonly directory: string;
  readonly commonDir: string;
  readonly bare: boolean;
  /** A line of native commits on `main`, oldest first. */
  readonly commits: readonly ObjectId[];
  logAllRefUpdates: string | null = null;
  shared: SharedRepository = { kind: "umask" };
  readonly #objects: NativeObjects;

  private constructor(directory: string, bare: boolean, commits: readonly ObjectId[]) {
    this.directory = directory;
    this.commonDir = bare ? directory : `${directory}/.git`;
    this.bare = bare;
    this.commits = commits;
    this.#objects = new NativeObjects(directory);
  }

  static async run(
    test: (scene: RefsScene) => void | Promise<void>,
    { bare = true, commits = 4 }: SceneOptions = {},
  ): Promise<void> {
    const directory = await Deno.makeTempDir({ prefix: "layerd-refs-" });
    try {
      await git(directory, ["init", "-q", "-b", "main", ...(bare ? ["--bare"] : [])]);
      await git(directory, ["fast-import", "--quiet"], { input: lineOfCommits(commits) });
      const list = await git(directory, ["rev-list", "--reverse", "main"]);
      const scene = new RefsScene(directory, bare, list.split("\n").map(parseObjectId));
      await Deno.mkdir(`${scene.commonDir}/layerd`);
      await Deno.writeTextFile(`${scene.commonDir}/layerd/owner`, "layerd owner 1\n");
      await test(scene);
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  }

  /** The commit of that number; they are in a line. */
  commit(index: number): ObjectId {
    return parseObjectId(this.commits[index] ?? "");
  }

  open(fileSystem: FileSystem = new DenoFileSystem(), clock: Clock = new DenoClock()): OpenRefs {
    const path = `${this.commonDir}/layerd/owner`;
    const { dev, ino } = Deno.statSync(path);
    return openRefs({
      fileSystem,
      clock,
      layout: { commonDir: this.commonDir, bare: this.bare, shared: this.shared },
      owner: { path, device: dev, inode: ino ?? 0 },
      objects: this.#objects,
      writes: new WriteWatch(fileSystem, new DenoRandom(), { commonDir: this.commonDir }),
      logAllRefUpdates: () => this.logAllRefUpdates,
    });
  }

  git(...args: string[]): Promise<string> {
    return git(this.directory, args);
  }

  gitWithInput(input: string, ...args: string[]): Promise<string> {
    return git(this.directory, args, { input });
  }

  path(name: string): string {
    return `${this.commonDir}/${name}`;
  }

  /** What native git says all refs are, by `for-each-ref`. */
  async nativeRefs(pattern = "refs/"): Promise<Record<string, string>> {
    const output = await this.git("for-each-ref", "--format=%(refname) %(objectname)", pattern);
    return Object.fromEntries(
      output.split("\n").filter((line) => line !== "").map((line) => line.split(" ", 2)),
    );
  }

  /** Makes packed-refs look old, so that a first publication has no second to wait out. */
  async agePackedRefs(): Promise<void> {
    const past = Date.now() / 1000 - 60;
    await Deno.utime(this.path("packed-refs"), past, past);
  }

  /** Every path below the common directory that is a lock or a temporary file. */
  async leftovers(): Promise<string[]> {
    const found: string[] = [];
    const visit = async (directory: string) => {
      for await (const entry of Deno.readDir(directory)) {
        const path = `${directory}/${entry.name}`;
        if (entry.isDirectory) await visit(path);
        else if (entry.name.endsWith(".lock") || path.includes("/layerd/tmp/")) found.push(path);
      }
    };
    await visit(this.commonDir);
    return found.sort();
  }
}

/** Object lookups by native git, remembered. */
class NativeObjects implements Pick<ObjectStore, "read" | "header"> {
  readonly #directory: string;
  readonly #types = new Map<string, ObjectType>();

  constructor(directory: string) {
    this.#directory = directory;
  }

  async header(oid: ObjectId) {
    if (!this.#types.has(oid)) {
      const format = "--batch-check=%(objectname) %(objecttype)";
      const output = await git(this.#directory, ["cat-file", "--batch-all-objects", format]);
      for (const line of output.split("\n")) {
        const [name = "", type = ""] = line.split(" ");
        if (type === "blob" || type === "tree" || type === "commit" || type === "tag") {
          this.#types.set(name, type);
        }
      }
    }
    const type = this.#types.get(oid);
    return type === undefined ? null : { type, size: 0 };
  }

  async read(oid: ObjectId) {
    const header = await this.header(oid);
    if (header === null) return null;
    const body = await git(this.#directory, ["cat-file", header.type, oid]);
    return { type: header.type, body: new TextEncoder().encode(`${body}\n`) };
  }
}

export function ref(name: string): RefName {
  return parseRefName(name);
}

export function layer(name: string): RefName {
  return parseRefName(`refs/layers/${name}`);
}

export function edit(name: RefName, old: ObjectId | null, next: ObjectId | null): RefEdit {
  return { ref: name, old, new: next };
}

/** The whole calling sequence of RefPublisher for some edits, as the pipeline does it. */
export async function publishEdits(open: OpenRefs, edits: readonly RefEdit[]): Promise<void> {
  const outcome = await tryPublishEdits(open, edits);
  assertEquals(outcome, { kind: "locked" });
}

/** The same, giving everything back where a lock is somebody else's. */
export async function tryPublishEdits(
  { publisher }: OpenRefs,
  edits: readonly RefEdit[],
): Promise<LockOutcome> {
  const refs = edits.map((each) => each.ref);
  const outcome = publisher.lockRefs(refs, "T");
  if (outcome.kind !== "locked") return outcome;
  try {
    const packed = publisher.lockPackedRefs();
    if (packed.kind !== "locked") return packed;
    const locked = publisher.readLocked();
    for (const { ref, old } of edits) assertEquals(locked.value(ref), old);
    const staged = await publisher.stage(edits, NOTE);
    assertEquals(publisher.stillHeld(refs), true);
    staged.publish();
    await staged.settle();
    return packed;
  } finally {
    publisher.unlockRefs(refs);
    publisher.unlockPackedRefs();
  }
}

function lineOfCommits(count: number): string {
  let stream = "";
  for (let i = 1; i <= count; i++) {
    stream += `commit refs/heads/main\ncommitter N <n@example.org> ${1_700_000_000 + i} +0000\n` +
      `data 2\nc\n${i === 1 ? "M 644 inline f\ndata 1\nx\n" : ""}\n`;
  }
  return stream;
}
