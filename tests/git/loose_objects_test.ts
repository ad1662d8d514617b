import { assertEquals, assertThrows } from "@std/assert";
import { dirname } from "@std/path";
import { LooseWriter, readLoose, readLooseHeader } from "../../src/git/loose_objects.ts";
import { encodeLoose, objectId } from "../../src/git/object_codec.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { git } from "../harness/git.ts";
import { fileSystem, inScene } from "./repository_scene.ts";

const body = new TextEncoder().encode("a blob\n");
const oid = objectId("blob", body);
const file = encodeLoose("blob", body);
const umask = { kind: "umask" } as const;

Deno.test("LooseWriter.write() makes a file that git reads, with the mode that git gives it", async () => {
  await inScene(async (directory) => {
    await git(directory, ["init", "-q", "--bare", "native"]);
    await git(`${directory}/native`, ["hash-object", "-w", "--stdin"], { input: body });
    await Deno.mkdir(`${directory}/objects`);
    const writer = new LooseWriter(fileSystem, `${directory}/objects`, umask, "t");
    const second = new TextEncoder().encode("second");
    writer.write(oid, file);
    writer.write(objectId("blob", second), encodeLoose("blob", second));
    await writer.sync(oid);
    const name = `${oid.slice(0, 2)}/${oid.slice(2)}`;
    // zlib streams of one content differ between implementations; the content must not.
    const read = await git(`${directory}/native`, ["cat-file", "blob", oid], {
      environment: { GIT_OBJECT_DIRECTORY: `${directory}/objects` },
    });
    assertEquals(read, "a blob");
    const modes = [`${directory}/objects/${name}`, `${directory}/native/objects/${name}`]
      .map((path) => fileSystem.lstat(path).mode);
    assertEquals(modes[0], modes[1]);
    assertEquals(readLoose(fileSystem, `${directory}/objects`, oid), { type: "blob", body });
    assertEquals(readLooseHeader(fileSystem, `${directory}/objects`, oid), {
      type: "blob",
      size: body.length,
    });
  });
});

Deno.test("LooseWriter.write() gives objects the mode of core.sharedRepository", async () => {
  await inScene(async (directory) => {
    await git(directory, ["init", "-q", "--bare", "--shared=0660", "native"]);
    await git(`${directory}/native`, ["hash-object", "-w", "--stdin"], { input: body });
    const shared = { kind: "exact", bits: 0o660 } as const;
    await Deno.mkdir(`${directory}/objects`);
    new LooseWriter(fileSystem, `${directory}/objects`, shared, "t").write(oid, file);
    for (const name of [`${oid.slice(0, 2)}`, `${oid.slice(0, 2)}/${oid.slice(2)}`]) {
      assertEquals(
        fileSystem.lstat(`${directory}/objects/${name}`).mode & 0o777,
        fileSystem.lstat(`${directory}/native/objects/${name}`).mode & 0o777,
      );
    }
  });
});

/** Removes the object's directory right before a rename into it, as git gc removes empty ones. */
class GarbageCollected extends DenoFileSystem {
  removals = 0;
  constructor(readonly times: number) {
    super();
  }
  override rename(from: string, to: string): void {
    if (this.removals < this.times) {
      this.removals += 1;
      if (this.lstatIfAny(dirname(to)) !== null) this.removeDirectory(dirname(to));
    }
    super.rename(from, to);
  }
}

Deno.test("LooseWriter.write() makes the directory again when git gc removed it", async () => {
  await inScene((directory) => {
    // One gc on a busy machine came three times between our mkdir and our rename.
    new LooseWriter(new GarbageCollected(6), directory, umask, "t").write(oid, file);
    assertEquals(readLoose(fileSystem, directory, oid), { type: "blob", body });
  });
  await inScene((directory) => {
    assertThrows(
      () => new LooseWriter(new GarbageCollected(1_000), directory, umask, "u").write(oid, file),
      FileSystemError,
      "ENOENT",
    );
    const left = [...Deno.readDirSync(directory)].filter(({ isFile }) => isFile);
    assertEquals(left, []);
  });
});

Deno.test("LooseWriter.write() replaces a damaged object and leaves no temporary file", async () => {
  await inScene(async (directory) => {
    const writer = new LooseWriter(fileSystem, directory, umask, "t");
    const place = `${directory}/${oid.slice(0, 2)}`;
    await Deno.mkdir(place);
    await Deno.writeFile(`${place}/${oid.slice(2)}`, new Uint8Array(0), { mode: 0o444 });
    assertEquals(readLoose(fileSystem, directory, oid), "damaged");
    assertEquals(readLooseHeader(fileSystem, directory, oid), "damaged");
    writer.write(oid, file);
    assertEquals(readLoose(fileSystem, directory, oid), { type: "blob", body });
    assertEquals([...Deno.readDirSync(place)].length, 1);
  });
});
