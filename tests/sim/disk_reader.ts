/**
 * Reads a repository on a simulated disk without a line of layerd's own code: what is checked
 * must not be read by what is under test. Throws {@link Damage} for whatever git would call
 * damage.
 *
 * R1. `packed-refs` parses, its entries are sorted as bytes, each once.
 * R2. Every object that a ref reaches is there, loose or in a pack, and hashes to its id.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { inflateSync } from "node:zlib";
import { type FileSystem, FileSystemError } from "../../src/system/file_system.ts";

export class Damage extends Error {
  override readonly name = "Damage";
}

interface StoredObject {
  readonly type: string;
  readonly body: Buffer;
}

const PACK_TYPES = ["", "commit", "tree", "blob", "tag"];
const decoder = new TextDecoder();

/** Contents of a layer's files by path. */
export type Files = Readonly<Record<string, string>>;

export class DiskReader {
  readonly #fs: FileSystem;
  readonly #commonDir: string;
  readonly #objects = new Map<string, StoredObject>();
  readonly #whole = new Set<string>();
  /** Packs that cannot be read; known once an object was looked for in packs. */
  readonly tornPacks: string[] = [];
  #packs: Map<string, { readonly pack: Buffer; readonly offset: number }> | null = null;

  constructor(fs: FileSystem, commonDir: string) {
    this.#fs = fs;
    this.#commonDir = commonDir;
  }

  /** Every ref that git would list. */
  refs(): Map<string, string> {
    const refs = this.#packedRefs();
    for (const path of this.#filesBelow("refs")) {
      if (path.endsWith(".lock")) continue;
      const text = decoder.decode(this.#fs.readFile(`${this.#commonDir}/${path}`));
      if (!/^[0-9a-f]{40}\n$/.test(text)) throw new Damage(`${path} holds ${JSON.stringify(text)}`);
      refs.set(path, text.trim());
    }
    return refs;
  }

  #packedRefs(): Map<string, string> {
    const refs = new Map<string, string>();
    const bytes = this.#file("packed-refs");
    if (bytes === null) return refs;
    const text = bytes.toString("latin1");
    if (!text.endsWith("\n")) throw new Damage(`packed-refs has ${text.length} bytes and no end`);
    let last = "";
    for (const [index, line] of text.slice(0, -1).split("\n").entries()) {
      if (index === 0 && line.startsWith("# pack-refs with:")) continue;
      if (/^\^[0-9a-f]{40}$/.test(line)) continue;
      const match = /^([0-9a-f]{40}) (refs\/\S+)$/.exec(line);
      if (match === null) throw new Damage(`packed-refs has the line ${JSON.stringify(line)}`);
      const [, oid = "", name = ""] = match;
      if (name <= last) throw new Damage(`packed-refs has ${name} after ${last}`);
      last = name;
      refs.set(name, oid);
    }
    return refs;
  }

  /** The files of a commit; every object below it, its history included, is looked at. */
  files(commit: string): Files {
    this.#requireWhole(commit);
    const files: Record<string, string> = {};
    const visit = (tree: string, prefix: string) => {
      for (const { name, isTree, oid } of this.#entries(tree)) {
        if (isTree) visit(oid, `${prefix}${name}/`);
        else files[prefix + name] = decoder.decode(this.object(oid).body);
      }
    };
    visit(this.#treeOf(commit), "");
    return files;
  }

  message(commit: string): string {
    const text = this.object(commit).body.toString();
    return text.slice(text.indexOf("\n\n") + 2);
  }

  parents(commit: string): string[] {
    const header = this.object(commit).body.toString().split("\n\n")[0] ?? "";
    return [...header.matchAll(/^parent ([0-9a-f]{40})$/gm)].map((match) => match[1] ?? "");
  }

  #treeOf(commit: string): string {
    const match = /^tree ([0-9a-f]{40})\n/.exec(this.object(commit).body.toString());
    if (match === null) throw new Damage(`Commit ${commit} has no tree`);
    return match[1] ?? "";
  }

  #requireWhole(commit: string): void {
    const open = [commit];
    for (let oid = open.pop(); oid !== undefined; oid = open.pop()) {
      if (this.#whole.has(oid)) continue;
      this.#whole.add(oid);
      const { type } = this.object(oid);
      if (type === "commit") open.push(this.#treeOf(oid), ...this.parents(oid));
      else if (type === "tree") open.push(...this.#entries(oid).map((entry) => entry.oid));
    }
  }

  #entries(tree: string) {
    const { body } = this.object(tree);
    const entries = [];
    for (let at = 0; at < body.length;) {
      const nul = body.indexOf(0, at);
      const [mode = "", name = ""] = body.toString("utf8", at, nul).split(/ (.*)/s);
      const oid = body.toString("hex", nul + 1, nul + 21);
      entries.push({ name, isTree: mode === "40000", oid });
      at = nul + 21;
    }
    return entries;
  }

  /** An object, once its hash is what its id says. */
  object(oid: string): StoredObject {
    const known = this.#objects.get(oid);
    if (known !== undefined) return known;
    const found = this.#loose(oid) ?? this.#packed(oid) ?? emptyTree(oid);
    if (found === null) throw new Damage(`Object ${oid} is missing`);
    const header = `${found.type} ${found.body.length}\0`;
    const hash = createHash("sha1").update(header).update(found.body).digest("hex");
    if (hash !== oid) throw new Damage(`Object ${oid} hashes to ${hash}`);
    this.#objects.set(oid, found);
    return found;
  }

  #loose(oid: string): StoredObject | null {
    const file = this.#file(`objects/${oid.slice(0, 2)}/${oid.slice(2)}`);
    if (file === null) return null;
    let whole: Buffer;
    try {
      whole = inflateSync(file);
    } catch {
      throw new Damage(`Loose object ${oid} is torn (${file.length} bytes)`);
    }
    const nul = whole.indexOf(0);
    const [type = ""] = whole.toString("latin1", 0, nul).split(" ");
    return { type, body: whole.subarray(nul + 1) };
  }

  #packed(oid: string): StoredObject | null {
    this.#packs ??= this.#readIndexes();
    const place = this.#packs.get(oid);
    if (place === undefined) return null;
    const { pack, offset } = place;
    let at = offset;
    const type = PACK_TYPES[((pack[at] ?? 0) >> 4) & 7];
    while (((pack[at] ?? 0) & 0x80) !== 0) at += 1;
    if (type === undefined || type === "") throw new Damage(`Object ${oid} is a delta: not ours`);
    try {
      return { type, body: inflateSync(pack.subarray(at + 1)) };
    } catch {
      throw new Damage(`Object ${oid} is torn in its pack`);
    }
  }

  #readIndexes() {
    const places = new Map<string, { readonly pack: Buffer; readonly offset: number }>();
    for (const path of this.#filesBelow("objects/pack")) {
      if (!path.endsWith(".idx")) continue;
      const index = this.#file(path);
      const pack = this.#file(path.replace(/idx$/, "pack"));
      if (index === null || pack === null) continue;
      this.#readIndex(path, index, pack, places);
    }
    return places;
  }

  #readIndex(
    path: string,
    index: Buffer,
    pack: Buffer,
    places: Map<string, { readonly pack: Buffer; readonly offset: number }>,
  ): void {
    const sum = (bytes: Buffer) => createHash("sha1").update(bytes.subarray(0, -20)).digest();
    const sound = index.length > 1_071 && index.readUInt32BE(0) === 0xff744f63 &&
      sum(index).equals(index.subarray(-20)) && pack.length > 31 &&
      pack.toString("latin1", 0, 4) === "PACK" && sum(pack).equals(pack.subarray(-20));
    if (!sound) {
      this.tornPacks.push(path);
      return;
    }
    const count = index.readUInt32BE(8 + 255 * 4);
    const [ids, offsets] = [8 + 1024, 8 + 1024 + count * 24];
    for (let n = 0; n < count; n++) {
      const oid = index.toString("hex", ids + n * 20, ids + n * 20 + 20);
      places.set(oid, { pack, offset: index.readUInt32BE(offsets + n * 4) });
    }
  }

  /** Files that are neither git's nor to be kept: lock files, temporary ones, torn packs. */
  strays(): string[] {
    this.#packs ??= this.#readIndexes();
    return [...this.tornPacks, ...this.#strayNames()];
  }

  #strayNames(): string[] {
    return this.#filesBelow("").filter((path) =>
      path.endsWith(".lock") || path.startsWith("layerd/tmp/") ||
      /^objects\/.*tmp_.*[0-9a-f]{12}/.test(path) ||
      path === "packed-refs.new"
    );
  }

  /** Every file with the hash of its bytes, but for what each start changes. */
  listing(): Record<string, string> {
    const listing: Record<string, string> = {};
    for (const path of this.#filesBelow("")) {
      if (path === "layerd/position") continue;
      const bytes = this.#file(path) ?? Buffer.alloc(0);
      listing[path] = createHash("sha1").update(bytes).digest("hex");
    }
    return listing;
  }

  #filesBelow(directory: string): string[] {
    let entries;
    try {
      entries = this.#fs.readDirectory(`${this.#commonDir}/${directory}`);
    } catch (error) {
      if (error instanceof FileSystemError && error.code === "ENOENT") return [];
      throw error;
    }
    return entries.flatMap(({ name, kind }) => {
      const path = directory === "" ? name : `${directory}/${name}`;
      return kind === "directory" ? this.#filesBelow(path) : [path];
    });
  }

  #file(path: string): Buffer | null {
    try {
      return Buffer.from(this.#fs.readFile(`${this.#commonDir}/${path}`));
    } catch (error) {
      if (error instanceof FileSystemError && error.code === "ENOENT") return null;
      throw error;
    }
  }
}

function emptyTree(oid: string): StoredObject | null {
  return oid === "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    ? { type: "tree", body: Buffer.alloc(0) }
    : null;
}
