import { assertEquals } from "@std/assert";
import { parseObjectId } from "../../src/core/ids.ts";
import { resolveLayout } from "../../src/git/gate.ts";
import { PackReader } from "../../src/git/pack_reader.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import type { FileInfo } from "../../src/system/file_system.ts";
import { git } from "../harness/git.ts";
import { makeRepository } from "../harness/repositories.ts";
import { fileSystem, inScene } from "./repository_scene.ts";

/** The real files, with the calls that tell how packs are read. */
class WatchedFileSystem extends DenoFileSystem {
  readonly packsRead: string[] = [];
  /** Directories' times as a coarse clock shows them: always the same. */
  coarse = false;

  override readFile(path: string): Uint8Array {
    if (path.endsWith(".pack")) this.packsRead.push(path);
    return super.readFile(path);
  }

  override lstatIfAny(path: string): FileInfo | null {
    const info = super.lstatIfAny(path);
    return this.coarse && info?.kind === "directory" ? { ...info, modifiedMs: 0 } : info;
  }
}

async function inPacked(
  size: number,
  test: (path: string, packs: PackReader, fs: WatchedFileSystem) => Promise<void>,
): Promise<void> {
  await inScene(async (directory) => {
    const path = await makeRepository(`${directory}/app`);
    const noise = new Uint8Array(size);
    for (let at = 0; at < size; at += 65_536) {
      crypto.getRandomValues(noise.subarray(at, at + 65_536));
    }
    await Deno.writeFile(`${path}/noise`, noise);
    await git(path, ["add", "noise"]);
    await git(path, ["commit", "-q", "-m", "noise"]);
    await git(path, ["gc", "-q", "--prune=now"]);
    const fs = new WatchedFileSystem();
    const packs = new PackReader(fs, resolveLayout(fileSystem, path));
    try {
      await test(path, packs, fs);
    } finally {
      await packs.close();
    }
  });
}

async function idOf(path: string, revision: string) {
  return parseObjectId(await git(path, ["rev-parse", revision]));
}

Deno.test("PackReader.read() holds small packs in memory and leaves large ones to git", async () => {
  for (const [size, count] of [[1_000, 1], [9 * 1024 * 1024, 0]] as const) {
    await inPacked(size, async (path, packs, fs) => {
      const oid = await idOf(path, "HEAD:noise");
      assertEquals((await packs.read(oid))?.body.length, size);
      assertEquals((await packs.read(oid))?.body.length, size);
      assertEquals(await packs.header(oid), { type: "blob", size });
      assertEquals(fs.packsRead.length, count);
    });
  }
});

Deno.test("PackReader.read() looks at the packs again when git repacked unnoticed", async () => {
  await inPacked(1_000, async (path, packs, fs) => {
    fs.coarse = true;
    const first = await idOf(path, "HEAD");
    assertEquals((await packs.read(first))?.type, "commit");
    await git(path, ["commit", "-q", "--allow-empty", "-m", "later"]);
    await git(path, ["repack", "-adfq"]);
    assertEquals((await packs.read(await idOf(path, "HEAD")))?.type, "commit");
    assertEquals((await packs.read(first))?.type, "commit");
    assertEquals(await packs.read(parseObjectId("1".repeat(40))), null);
  });
});

Deno.test("PackReader.read() reads again when a pack vanished under the read", async () => {
  await inPacked(1_000, async (path, packs, fs) => {
    fs.coarse = true;
    // The index is known; the pack itself is read only now, and is gone.
    assertEquals(await packs.read(parseObjectId("1".repeat(40))), null);
    await git(path, ["commit", "-q", "--allow-empty", "-m", "later"]);
    await git(path, ["repack", "-adfq"]);
    assertEquals((await packs.read(await idOf(path, "HEAD~1")))?.type, "commit");
  });
});
