/**
 * Kept packs: what the commits since the last checkpoint wrote, one small pack a group, each
 * beside a `.keep` file from before it is there until it is folded. This is git's own cure for
 * the race of writing objects and moving refs (receive-pack and fetch-pack do the same).
 *
 * K1. `git prune` never deletes packs. `git repack -ad` lists the packs first and the refs
 *     after: a pack with a `.keep` at that moment is never deleted; one listed without it was
 *     folded, and then the refs that reach it had moved already. No name comes twice: a pack
 *     that is written anew must not be one that a running repack has listed.
 * K2. A fold writes the new pack under a `.keep` of its own before the old ones go, and gives
 *     its `.keep` up only after they are gone: a repack that left an object out because a kept
 *     pack held it never deletes the other pack that holds it.
 * K3. A fold leaves nothing out, what a refused transaction wrote included: native git may
 *     have dropped its own loose copy of the same object because ours was there.
 * K4. Nothing is taken away beside a native `git gc`, one that begins during a fold included
 *     (K1 needs no such care, but it gives up where a pack vanishes beneath it).
 * K5. A pack that an open transaction holds is not given up: place() counts its holders.
 * K6. makeDurable() and surrender() are called one at a time, and no foldSmall() beside them.
 * K7. Nothing here is durable before makeDurable(); until then the log has the bytes.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import type { PackedObject } from "../core/log_record.ts";
import type { KeptPackFiles } from "./kept_pack_files.ts";
import type { MadeDurable } from "./made_durable.ts";
import {
  chunksOf,
  type EncodedPack,
  encodePack,
  PACK_BYTES_MAX,
  type PackPosition,
} from "./pack_format.ts";

const logger = getLogger(["layerd", "git"]);

/** Packs of one generation that are folded into one of the next. */
const PACKS_PER_FOLD = 16;
/** Past all folds but a checkpoint's. */
const FOLDED = { generation: PACKS_PER_FOLD };

interface KeptPack {
  readonly name: string;
  readonly bytes: number;
  /** Folds that its content went through. */
  readonly generation: number;
  readonly positions: ReadonlyMap<ObjectId, PackPosition>;
  readonly holders: Set<string>;
  /**
   * `suspect`: an fsync of it failed, so that its file is never trusted, only written anew.
   * `recorded`: the log has its bytes. `adopted`: a dead process wrote it, perhaps no further
   * than the page cache, and the log may have let go of it. Of these and of durable ones
   * nothing may go before a durable fold has it.
   */
  state: "recorded" | "adopted" | "durable" | "suspect";
}

/** Objects that a transaction wants to stand in the repository. */
export interface Placement {
  /** The transaction's id; release() with it gives the objects to the next checkpoint. */
  readonly holder: string;
  readonly objects: readonly PackedObject[];
}

export class KeptPacks {
  readonly #files: KeptPackFiles;
  readonly #packs = new Map<string, KeptPack>();
  readonly #home = new Map<ObjectId, KeptPack>();
  /** What the last makeDurable() gave to git: records after its cut may name it still. */
  #given = new Set<ObjectId>();
  #leaving = false;
  /** Objects were lost with their pack since the last makeDurable() that succeeded. */
  #isAnyMissing = false;

  constructor(files: KeptPackFiles) {
    this.#files = files;
  }

  /** Names of the packs, without suffix. */
  names(): ReadonlySet<string> {
    return new Set(this.#packs.keys());
  }

  /** Where the object stands, or null. */
  find(oid: ObjectId): (PackPosition & { readonly path: string }) | null {
    const pack = this.#home.get(oid);
    const position = pack?.positions.get(oid);
    if (pack === undefined || position === undefined) return null;
    return { ...position, path: this.#files.path(pack.name, "pack") };
  }

  /** Puts the objects where git finds them, those that are not there yet in new packs. */
  place(placements: readonly Placement[]): void {
    const fresh = new Map<ObjectId, PackedObject>();
    const holders = new Set<string>();
    for (const { holder, objects } of placements) {
      for (const object of objects) {
        const home = this.#home.get(object.oid);
        if (home !== undefined) {
          home.holders.add(holder);
          continue;
        }
        fresh.set(object.oid, object);
        holders.add(holder);
      }
    }
    this.#placeNew([...fresh.values()], holders);
  }

  /** The transaction is over: a checkpoint may take what it placed. */
  release(holder: string): void {
    for (const pack of this.#packs.values()) pack.holders.delete(holder);
  }

  /** Whether a power loss would take nothing of it, the log not asked. */
  isDurable(): boolean {
    return [...this.#packs.values()].every(({ state }) => state === "durable");
  }

  /** Nobody serves the repository any more: gives everything to git, a running gc or not. */
  async surrender(): Promise<void> {
    for (const pack of this.#packs.values()) pack.holders.clear();
    this.#leaving = true;
    try {
      await this.makeDurable();
    } finally {
      this.#leaving = false;
    }
  }

  /** Folds a generation that has grown large, so that native git meets few packs. */
  foldSmall(): void {
    if (this.#packs.size < PACKS_PER_FOLD || this.#files.isNativeGcRunning()) return;
    const young = [...this.#packs.values()].filter((pack) =>
      pack.holders.size === 0 && pack.state === "recorded"
    );
    for (const [generation, packs] of Map.groupBy(young, (pack) => pack.generation)) {
      const bytes = packs.reduce((sum, pack) => sum + pack.bytes, 0);
      if (packs.length < PACKS_PER_FOLD || bytes > PACK_BYTES_MAX) continue;
      const encoded = this.#write(this.#read(packs));
      this.#add(encoded, { generation: generation + 1, state: "recorded", holders: new Set() });
      this.#dropAll(packs);
    }
  }

  /** Writes those of these objects again whose pack somebody removed. */
  restoreMissing(objects: readonly PackedObject[]): void {
    const lost: PackedObject[] = [];
    const holders = new Set<string>();
    const looked = new Map<KeptPack, boolean>();
    for (const object of objects) {
      const home = this.#home.get(object.oid);
      if (home === undefined) continue;
      const isThere = looked.get(home) ?? this.#files.isThere(home.name);
      looked.set(home, isThere);
      if (isThere) continue;
      lost.push(object);
      for (const holder of home.holders) holders.add(holder);
    }
    if (lost.length === 0) return;
    const { directory } = this.#files;
    logger.warn("Somebody removed packs of ours in {directory}; writing them again", { directory });
    this.#placeNew(lost, holders);
  }

  /**
   * Makes everything durable: what nobody holds in packs that are git's from now on, the rest
   * as it stands (all of it beside a native gc). What is missing in the answer was removed by
   * somebody. Rejects when it could not.
   */
  async makeDurable(): Promise<MadeDurable> {
    for (const pack of [...this.#packs.values()]) {
      if (!this.#files.isThere(pack.name)) this.#lose(pack);
      else if (pack.state === "suspect" || !this.#files.isKept(pack.name)) this.#writeAnew(pack);
    }
    const packs = [...this.#packs.values()];
    const asTheyStand = this.#sparesPacks() ? packs : packs.filter(isHeld);
    for (const pack of asTheyStand) await this.#makeOneDurable(pack);
    const free = packs.filter((pack) => !asTheyStand.includes(pack));
    for (const some of chunksOf(free)) await this.#foldDurably(some);
    const durable = new Set(packs.flatMap((pack) => [...pack.positions.keys()]));
    const known = durable.union(this.#given);
    // Only now: what a failed run was about to give is not durable.
    this.#given = durable;
    const isAnyMissing = this.#isAnyMissing;
    this.#isAnyMissing = false;
    return { objects: known, isAnyMissing };
  }

  /**
   * Recovery: takes over what a dead process of ours left. Whole packs are kept on; torn ones
   * go, their objects come back from the log.
   */
  adopt(): void {
    for (const name of this.#files.left()) {
      if (this.#packs.has(name)) continue;
      try {
        const left = this.#files.load(name);
        if (left === null) this.#files.remove(name);
        else this.#add(left, { ...FOLDED, state: "adopted", holders: new Set() });
      } catch (error) {
        // The log's objects are placed all the same; the next start tries this one again.
        logger.warn("Pack {name} of a killed daemon cannot be taken over: {error}", {
          name,
          error: messageOf(error),
        });
      }
    }
  }

  #sparesPacks(): boolean {
    return !this.#leaving && this.#files.isNativeGcRunning();
  }

  #placeNew(objects: readonly PackedObject[], holders: ReadonlySet<string>): void {
    for (const some of chunksOf(objects.map((object) => ({ object, bytes: object.size })))) {
      const encoded = this.#write(some.map(({ object }) => object));
      this.#add(encoded, { generation: 0, state: "recorded", holders: new Set(holders) });
    }
  }

  #add(
    { name, positions, pack }: EncodedPack,
    rest: Pick<KeptPack, "generation" | "state" | "holders">,
  ): KeptPack {
    const kept = { name, positions, bytes: pack.length, ...rest };
    this.#packs.set(name, kept);
    for (const oid of positions.keys()) this.#home.set(oid, kept);
    return kept;
  }

  #write(objects: readonly PackedObject[]): EncodedPack {
    const content = encodePack(objects);
    let name = this.#files.newName(content.name);
    while (this.#packs.has(name)) name = this.#files.newName(content.name);
    const encoded = { ...content, name };
    try {
      this.#files.write(encoded);
    } catch (error) {
      this.#files.remove(encoded.name);
      throw error;
    }
    return encoded;
  }

  /** The objects of the packs, each once. */
  #read(packs: readonly KeptPack[]): PackedObject[] {
    const objects = new Map<ObjectId, PackedObject>();
    for (const pack of packs) {
      const file = this.#files.readPack(pack.name);
      for (const [oid, { type, size, start, length }] of pack.positions) {
        objects.set(oid, { oid, type, size, bytes: file.subarray(start, start + length) });
      }
    }
    return [...objects.values()];
  }

  /** It is held: it stays kept, and what it holds of finished transactions is safe. */
  async #makeOneDurable(pack: KeptPack): Promise<void> {
    if (pack.state === "durable") return;
    try {
      await this.#files.sync(pack.name);
      pack.state = "durable";
    } catch (error) {
      pack.state = "suspect";
      throw error;
    }
  }

  /** From what is in memory of its file, where that is still what its hash says. */
  #writeAnew(pack: KeptPack): void {
    if (this.#files.load(pack.name) === null) return this.#lose(pack);
    const { holders } = pack;
    this.#add(this.#write(this.#read([pack])), { ...FOLDED, state: "adopted", holders });
    this.#drop(pack);
  }

  #lose(pack: KeptPack): void {
    this.#isAnyMissing = true;
    this.#drop(pack);
  }

  /** One durable pack in the place of these; git's own from then on, where nothing prevents it. */
  async #foldDurably(packs: readonly KeptPack[]): Promise<void> {
    const encoded = this.#write(this.#read(packs));
    try {
      await this.#files.sync(encoded.name);
    } catch (error) {
      this.#files.remove(encoded.name);
      throw error;
    }
    const folded = this.#add(encoded, { ...FOLDED, state: "durable", holders: new Set() });
    // During a wait, somebody may place the same objects: a pack of theirs that is not durable
    // stays, and so must this one. A native gc may begin.
    const mustStand = () => [...packs, folded].some(isHeld) || this.#sparesPacks();
    if (mustStand()) return;
    await this.#files.nameForGit(encoded.name);
    if (!mustStand()) this.#dropAll([...packs, folded]);
  }

  /** What is left when a native gc begins may be on its list, and waits for the next fold. */
  #dropAll(packs: readonly KeptPack[]): void {
    for (const pack of packs) {
      if (this.#sparesPacks()) return;
      this.#drop(pack);
    }
  }

  #drop(pack: KeptPack): void {
    this.#packs.delete(pack.name);
    for (const oid of pack.positions.keys()) {
      if (this.#home.get(oid) === pack) this.#home.delete(oid);
    }
    this.#files.remove(pack.name);
  }
}

function isHeld({ holders }: KeptPack): boolean {
  return holders.size > 0;
}
