/**
 * Kept packs as files: `objects/pack/pack-*.{keep,pack,idx}`. What stands for how long is
 * kept_packs.ts's business.
 *
 * F1. A `.keep` stands before its pack does and goes after it.
 * F2. A file gets its name complete. It is durable only after sync().
 * F3. A pack that a power loss may tear has a name by which recovery knows it for ours; it
 *     gets a name like any other once it is durable.
 * F4. Our `.keep` files are links to one durable file; a `.keep` of git's or of a user's is
 *     never taken for ours.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { invariant } from "../core/errors.ts";
import type { Clock } from "../system/clock.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";
import type { RepositoryLayout } from "./gate.ts";
import {
  linkUnlessThere,
  makePackDirectory,
  removeFromMultiPackIndex,
  unlinkIfAny,
} from "./pack_directory.ts";
import { decodePack, type EncodedPack, encodePack } from "./pack_format.ts";
import { sharedMode } from "./shared_permissions.ts";

/** What our `.keep` files hold: a recovery, the doctor and a user know them by it. */
const KEEP_TEXT = new TextEncoder().encode("layerd keeps this pack until its next checkpoint\n");
/** "layerd" and two zeros in hexadecimal: for git a name like any other. */
const KEPT_NAME_START = "pack-6c61796572640000";
const NAME_LENGTH = "pack-".length + 40;
/** How long a `gc.pid` is believed; git itself believes it for twelve hours. */
const GC_MS_MAX = 600_000;
/** `git prune --expire=now` deletes temporary files of others. */
const WRITE_TRIES_MAX = 8;

/** The name of a kept pack once it is git's. */
function ordinaryName(keptName: string): string {
  return `pack-${createHash("sha1").update(keptName).digest("hex")}`;
}

export class KeptPackFiles {
  readonly #fs: FileSystem;
  readonly #layout: RepositoryLayout;
  /** Makes temporary names of this process unlike all others'. */
  readonly #unique: string;
  readonly #clock: Clock;
  #written = 0;
  #named = 0;

  constructor(fs: FileSystem, clock: Clock, layout: RepositoryLayout, unique: string) {
    this.#fs = fs;
    this.#clock = clock;
    this.#layout = layout;
    this.#unique = unique;
  }

  get directory(): string {
    return `${this.#layout.objectsDir}/pack`;
  }

  path(name: string, suffix: "pack" | "idx" | "keep"): string {
    return `${this.directory}/${name}.${suffix}`;
  }

  /** Makes the file that every `.keep` is a link to. Requires the repository's `layerd/`. */
  async prepare(): Promise<void> {
    if (this.#fs.lstatIfAny(this.#keepSource) !== null) return;
    this.#writeAside(KEEP_TEXT, this.#keepSource);
    await this.#fs.syncFile(this.#keepSource);
  }

  /**
   * Whether a native `git gc` is at work: it gives up where a pack that it listed is gone
   * when it opens it. One that was killed leaves the file behind.
   */
  isNativeGcRunning(): boolean {
    const info = this.#fs.lstatIfAny(`${this.#layout.commonDir}/gc.pid`);
    return info !== null && this.#clock.now() - info.modifiedMs < GC_MS_MAX;
  }

  /** A name that no pack has had: git itself never compares it with the content. */
  newName(contentName: string): string {
    this.#named += 1;
    const text = `${contentName} ${this.#unique} ${this.#named}`;
    const hash = createHash("sha1").update(text).digest("hex");
    return (KEPT_NAME_START + hash).slice(0, NAME_LENGTH);
  }

  isThere(name: string): boolean {
    return this.#fs.lstatIfAny(this.path(name, "pack")) !== null &&
      this.#fs.lstatIfAny(this.path(name, "idx")) !== null;
  }

  /** False where somebody removed the `.keep`: a repack that saw the pack then may take it. */
  isKept(name: string): boolean {
    return this.#fs.lstatIfAny(this.path(name, "keep")) !== null;
  }

  readPack(name: string): Uint8Array {
    return this.#fs.readFile(this.path(name, "pack"));
  }

  /** The index comes last: it is what makes git see the pack. */
  write({ name, pack, index }: EncodedPack): void {
    this.keep(name);
    this.#writeAside(pack, this.path(name, "pack"));
    this.#writeAside(index, this.path(name, "idx"));
  }

  /** Durable when resolved; a failure is final, the files must be written anew. */
  async sync(name: string): Promise<void> {
    await this.#fs.syncFile(this.path(name, "pack"));
    await this.#fs.syncFile(this.path(name, "idx"));
    await this.syncDirectories();
  }

  /** Makes names durable, and that others are gone; the first pack's directory may be new. */
  async syncDirectories(): Promise<void> {
    if (this.#fs.lstatIfAny(this.directory) !== null) await this.#fs.syncDirectory(this.directory);
    await this.#fs.syncDirectory(this.#layout.objectsDir);
  }

  /**
   * Gives a durable pack a second name, durable when resolved. Both are kept while both stand
   * (kept_packs.ts, K2); after remove() `repack` and `gc` may do with it what they do with any.
   */
  async nameForGit(name: string): Promise<void> {
    const ordinary = ordinaryName(name);
    this.keep(ordinary);
    for (const suffix of ["pack", "idx"] as const) {
      linkUnlessThere(this.#fs, this.path(name, suffix), this.path(ordinary, suffix));
    }
    await this.#fs.syncDirectory(this.directory);
  }

  /**
   * The index first: without it no reader that starts now looks for the pack. A second name
   * that it got stays, and is git's from then on.
   */
  remove(name: string): void {
    removeFromMultiPackIndex(this.#fs, this.directory, name);
    for (const suffix of ["idx", "pack", "keep"] as const) {
      unlinkIfAny(this.#fs, this.path(name, suffix));
    }
    unlinkIfAny(this.#fs, this.path(ordinaryName(name), "keep"));
  }

  /** Names of the kept packs of which something stands. */
  left(): ReadonlySet<string> {
    return new Set(
      this.#names().filter((name) => name.startsWith(KEPT_NAME_START))
        .map((name) => name.slice(0, NAME_LENGTH)),
    );
  }

  /** A pack that a dead process left, or null where it is not whole. */
  load(name: string): EncodedPack | null {
    if (!this.isThere(name)) return null;
    const pack = this.readPack(name);
    const objects = decodePack(pack, this.#fs.readFile(this.path(name, "idx")));
    if (objects === null) return null;
    const encoded = encodePack(objects);
    invariant(Buffer.compare(encoded.pack, pack) === 0, `${name} is whole and not as we write it`);
    this.#undoGiveUp(name);
    return { ...encoded, name };
  }

  /** Removes our `.keep` beside packs with git's names, but for those in `wanted`. */
  sweepKeeps(wanted: ReadonlySet<string>): void {
    for (const file of this.#names()) {
      const name = file.replace(/\.keep$/, "");
      if (name === file || wanted.has(name) || name.startsWith(KEPT_NAME_START)) continue;
      const path = this.path(name, "keep");
      if (Buffer.compare(this.#fs.readFile(path), KEEP_TEXT) === 0) unlinkIfAny(this.#fs, path);
    }
  }

  /** A power loss may have left one of the two links that nameForGit() makes. */
  #undoGiveUp(name: string): void {
    const ordinary = ordinaryName(name);
    if (this.isThere(ordinary)) return;
    for (const suffix of ["idx", "pack"] as const) {
      unlinkIfAny(this.#fs, this.path(ordinary, suffix));
    }
  }

  #names(): string[] {
    if (this.#fs.lstatIfAny(this.directory) === null) return [];
    return this.#fs.readDirectory(this.directory).filter(({ kind }) => kind === "file")
      .map(({ name }) => name);
  }

  get #keepSource(): string {
    return `${this.#layout.commonDir}/layerd/keep`;
  }

  /** Puts a `.keep` beside the pack of this name. */
  keep(name: string): void {
    const path = this.path(name, "keep");
    try {
      this.#fs.link(this.#keepSource, path);
    } catch (error) {
      if (errorCode(error) === "EEXIST") return;
      // No directory of packs yet, or the objects are on another file system.
      this.#writeAside(KEEP_TEXT, path);
    }
  }

  #writeAside(bytes: Uint8Array, path: string): void {
    const mode = sharedMode(this.#layout.shared, "file", 0o444);
    for (let tries = 1;; tries += 1) {
      this.#written += 1;
      const temporary = `${this.directory}/tmp_pack_${this.#unique}_${this.#written}`;
      try {
        this.#fs.writeNewFile(temporary, bytes, mode);
        this.#fs.rename(temporary, path);
        return;
      } catch (error) {
        unlinkIfAny(this.#fs, temporary);
        if (errorCode(error) !== "ENOENT" || tries === WRITE_TRIES_MAX) throw error;
        makePackDirectory(this.#fs, this.directory, this.#layout.shared);
      }
    }
  }
}
