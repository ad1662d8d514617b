/** A bare repository on a simulated disk, as `git init` and one native commit leave it. */
import { encodeCommit, objectId } from "../../src/git/object_codec.ts";
import type { ObjectId } from "../../src/core/ids.ts";
import type { ObjectType } from "../../src/core/log_record.ts";
import { encodeLoose } from "../harness/loose_objects.ts";
import type { FileSystem } from "../../src/system/file_system.ts";

const encoder = new TextEncoder();
const CONFIG = "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n";
const NATIVE = { name: "Native", email: "native@example.org", atSeconds: 1_700_000_000 };

/** Makes it, everything durable. */
export async function makeSimulatedRepository(fs: FileSystem, path: string): Promise<void> {
  for (const name of ["", "/objects", "/objects/info", "/objects/pack", "/refs"]) {
    fs.makeDirectory(path + name);
  }
  for (const name of ["/refs/heads", "/refs/tags"]) fs.makeDirectory(path + name);
  fs.writeNewFile(`${path}/HEAD`, encoder.encode("ref: refs/heads/main\n"));
  fs.writeNewFile(`${path}/config`, encoder.encode(CONFIG));
  await fs.syncFileSystem(path);
}

/** Writes a commit with one file as native git does: loose, and synced by nobody. */
export function writeNativeCommit(
  fs: FileSystem,
  repository: string,
  { file, text, parent }: {
    readonly file: string;
    readonly text: string;
    readonly parent: string | null;
  },
): ObjectId {
  const blob = writeLoose(fs, repository, "blob", encoder.encode(text));
  const entry = encoder.encode(`100644 ${file}\0`);
  const body = new Uint8Array([...entry, ...Uint8Array.fromHex(blob)]);
  const commit = encodeCommit({
    tree: writeLoose(fs, repository, "tree", body),
    parents: parent === null ? [] : [parent as ObjectId],
    author: NATIVE,
    committer: NATIVE,
    message: "native\n",
  });
  return writeLoose(fs, repository, "commit", commit);
}

function writeLoose(
  fs: FileSystem,
  repository: string,
  type: ObjectType,
  body: Uint8Array,
): ObjectId {
  const oid = objectId(type, body);
  const directory = `${repository}/objects/${oid.slice(0, 2)}`;
  const path = `${directory}/${oid.slice(2)}`;
  if (fs.lstatIfAny(path) !== null) return oid;
  if (fs.lstatIfAny(directory) === null) fs.makeDirectory(directory);
  const temporary = `${directory}/tmp_obj_native`;
  fs.writeNewFile(temporary, encodeLoose(type, body), 0o444);
  fs.rename(temporary, path);
  return oid;
}

/** A loose ref as `git update-ref` writes one: under its lock, by a rename, unsynced. */
export function writeNativeRef(
  fs: FileSystem,
  repository: string,
  ref: string,
  oid: string,
): void {
  const path = `${repository}/${ref}`;
  const parts = ref.split("/");
  for (let count = 2; count < parts.length; count++) {
    const directory = `${repository}/${parts.slice(0, count).join("/")}`;
    if (fs.lstatIfAny(directory) === null) fs.makeDirectory(directory);
  }
  fs.writeNewFile(`${path}.lock`, encoder.encode(`${oid}\n`));
  fs.rename(`${path}.lock`, path);
}
