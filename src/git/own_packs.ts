/**
 * Packs of single large transactions. Durable from the start; a `.keep` keeps native
 * `repack -ad` away from them until their refs have moved (see kept_packs.ts, K1), and links
 * in `layerd/pending/` keep their bytes where somebody removes them all the same.
 */
import type { FileSystem } from "../system/file_system.ts";
import type { RepositoryLayout } from "./gate.ts";
import type { KeptPackFiles } from "./kept_pack_files.ts";
import { linkUnlessThere, unlinkIfAny } from "./pack_directory.ts";
import { writePack } from "./pack_writer.ts";
import type { NewObject } from "./repository.ts";

const PACK_SUFFIXES = ["pack", "idx"] as const;

export class OwnPacks {
  readonly #fs: FileSystem;
  readonly #layout: RepositoryLayout;
  readonly #files: KeptPackFiles;
  /** Packs that no checkpoint has given to git yet, with the transactions that need them. */
  readonly #holders = new Map<string, Set<string>>();

  constructor(fs: FileSystem, layout: RepositoryLayout, files: KeptPackFiles) {
    this.#fs = fs;
    this.#layout = layout;
    this.#files = files;
  }

  /** Writes one; answers its name. Durable when resolved. */
  write(objects: readonly NewObject[], unique: string): Promise<string> {
    const place = {
      fileSystem: this.#fs,
      objectsDir: this.#layout.objectsDir,
      pendingDir: this.#pendingDir,
      shared: this.#layout.shared,
      keep: (name: string) => this.#files.keep(name),
    };
    return writePack(place, objects, unique);
  }

  hold(holder: string, name: string): void {
    const holders = this.#holders.get(name) ?? new Set();
    holders.add(holder);
    this.#holders.set(name, holders);
    this.relink(name);
  }

  release(holder: string): void {
    for (const holders of this.#holders.values()) holders.delete(holder);
  }

  releaseAll(): void {
    for (const holders of this.#holders.values()) holders.clear();
  }

  /** Puts the pack back where somebody removed it. Without its pending link it is git's. */
  relink(name: string): void {
    const files = this.#paths(name);
    if (files.some(({ pending }) => this.#fs.lstatIfAny(pending) === null)) return;
    for (const { pending, place } of files) linkUnlessThere(this.#fs, pending, place);
  }

  /** Gives to git what nobody holds. Rejects when a directory cannot be made durable. */
  async makeDurable(): Promise<void> {
    const free = [...this.#holders].filter(([, holders]) => holders.size === 0);
    if (free.length === 0) return;
    for (const [name] of free) this.relink(name);
    await this.#fs.syncDirectory(this.#packDir);
    for (const [name, holders] of free) if (holders.size === 0) this.drop(name);
  }

  /** Gives up what kept the pack; the pack itself stays, for native gc. */
  drop(name: string): void {
    this.#holders.delete(name);
    for (const { pending } of this.#paths(name)) unlinkIfAny(this.#fs, pending);
    unlinkIfAny(this.#fs, `${this.#packDir}/${name}.keep`);
  }

  /** Recovery: gives up those that no record of the log names. */
  sweep(pending: ReadonlySet<string>): void {
    for (const { name } of this.#fs.readDirectory(this.#pendingDir)) {
      const pack = name.replace(/\.(pack|idx)$/, "");
      if (!pending.has(pack)) this.drop(pack);
    }
  }

  get #packDir(): string {
    return `${this.#layout.objectsDir}/pack`;
  }

  get #pendingDir(): string {
    return `${this.#layout.commonDir}/layerd/pending`;
  }

  #paths(name: string) {
    return PACK_SUFFIXES.map((suffix) => ({
      pending: `${this.#pendingDir}/${name}.${suffix}`,
      place: `${this.#packDir}/${name}.${suffix}`,
    }));
  }
}
