/**
 * Native git on the simulated disk: it takes git's own lock files, looks at refs as git does
 * (loose first), and syncs nothing. Each step takes time, so that others come in between.
 */
import type { ObjectId } from "../../src/core/ids.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { DiskReader } from "./disk_reader.ts";
import { type ListPlace, LISTS, type RandomWorld } from "./random_world.ts";
import { CALM, SimulatedFileSystem } from "./simulated_file_system.ts";
import type { SimulatedMachine } from "./simulated_machine.ts";
import { writeNativeCommit } from "./simulated_repository.ts";

const encoder = new TextEncoder();
const HEADER = "# pack-refs with: peeled fully-peeled sorted \n";

export class NativeGit {
  readonly #world: RandomWorld;
  readonly #machine: SimulatedMachine;
  readonly #fs: SimulatedFileSystem;

  constructor(world: RandomWorld, machine: SimulatedMachine) {
    this.#world = world;
    this.#machine = machine;
    const now = () => machine.clock.fileTime();
    this.#fs = new SimulatedFileSystem(machine.disk, { ...CALM, now });
  }

  async work(actions: number): Promise<void> {
    const { random } = this.#world;
    for (let n = 0; n < actions; n++) {
      await this.#pause(30);
      if (random.chance(0.3)) await this.#packRefs(random.pick(["app", "web"]));
      else await this.#append(random.pick(LISTS));
    }
  }

  #pause(msMax: number): Promise<void> {
    const { clock } = this.#machine;
    const pause = clock.sleep(this.#world.random.uniform() * msMax);
    return new Promise((resolve) => pause.then(() => clock.isHalted || resolve()));
  }

  /** `git commit` on a layer: a value more in its list, under the ref's lock. */
  async #append({ key, repository, layer }: ListPlace): Promise<void> {
    const ref = `refs/layers/${layer}`;
    const lock = `/${repository}/${ref}.lock`;
    if (!this.#lock(lock)) return;
    await this.#pause(2);
    const reader = new DiskReader(this.#fs, `/${repository}`);
    const parent = reader.refs().get(ref);
    if (parent === undefined) throw new Error(`${ref} is gone`);
    const list = (reader.files(parent)["list"] ?? "").split("\n").filter((line) => line !== "");
    const running = this.#world.begin("git");
    const value = `${running.id}.0`;
    running.operations.push({ kind: "read", key, list }, { kind: "append", key, value });
    const text = [...list, value].join("\n");
    const commit: ObjectId = writeNativeCommit(this.#fs, `/${repository}`, {
      file: "list",
      text,
      parent,
    });
    await this.#pause(2);
    const handle = this.#fs.open(lock, { write: true });
    handle.writeAt(encoder.encode(`${commit}\n`), 0);
    handle.close();
    this.#fs.rename(lock, `/${repository}/${ref}`);
    this.#world.end(running, "committed");
  }

  /** `git pack-refs --all --prune`. */
  async #packRefs(repository: string): Promise<void> {
    const lock = `/${repository}/packed-refs.lock`;
    if (!this.#lock(lock)) return;
    const all = new DiskReader(this.#fs, `/${repository}`).refs();
    await this.#pause(1);
    const lines = [...all].sort().map(([ref, oid]) => `${oid} ${ref}\n`);
    const fresh = `/${repository}/packed-refs.new`;
    this.#fs.writeNewFile(fresh, encoder.encode(HEADER + lines.join("")));
    this.#fs.rename(fresh, `/${repository}/packed-refs`);
    this.#fs.unlink(lock);
    for (const [ref, oid] of all) {
      await this.#pause(0.5);
      this.#prune(repository, ref, oid);
    }
  }

  /** Removes a loose ref that still holds what was packed, under its lock. */
  #prune(repository: string, ref: string, oid: string): void {
    const path = `/${repository}/${ref}`;
    if (this.#fs.lstatIfAny(path) === null || !this.#lock(`${path}.lock`)) return;
    const now = new TextDecoder().decode(this.#fs.readFile(path)).trim();
    if (now === oid) this.#fs.unlink(path);
    this.#fs.unlink(`${path}.lock`);
  }

  #lock(path: string): boolean {
    const parent = path.slice(0, path.lastIndexOf("/"));
    try {
      for (const name of ["refs/layers", "refs/layers/deep"]) {
        const directory = parent.slice(0, parent.indexOf("/", 1)) + `/${name}`;
        const wanted = parent === directory || parent.startsWith(`${directory}/`);
        if (wanted && this.#fs.lstatIfAny(directory) === null) this.#fs.makeDirectory(directory);
      }
      this.#fs.writeNewFile(path, new Uint8Array(0));
      return true;
    } catch (error) {
      if (error instanceof FileSystemError && ["EEXIST", "ENOENT"].includes(error.code)) {
        return false;
      }
      throw error;
    }
  }
}

/** The machine went down under git: somebody removes the lock files that are not layerd's. */
export function removeStaleLocks(machine: SimulatedMachine, repositories: readonly string[]): void {
  const fs = new SimulatedFileSystem(machine.disk, CALM);
  for (const repository of repositories) {
    const owner = fs.lstatIfAny(`/${repository}/layerd/owner`);
    for (const path of new DiskReader(fs, `/${repository}`).strays()) {
      if (!path.endsWith(".lock") && path !== "packed-refs.new") continue;
      const info = fs.lstat(`/${repository}/${path}`);
      if (info.inode !== owner?.inode) fs.unlink(`/${repository}/${path}`);
    }
  }
}
