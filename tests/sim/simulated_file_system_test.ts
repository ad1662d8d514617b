import { assertEquals } from "@std/assert";
import { SeededRandom } from "../harness/random.ts";
import { testFileSystem } from "../system/file_system_conformance.ts";
import type { DiskKind } from "./name_journal.ts";
import { type PowerLoss, SimulatedDisk } from "./simulated_disk.ts";
import { CALM, SimulatedFileSystem } from "./simulated_file_system.ts";

for (const kind of ["journaled", "adversarial"] as const) {
  testFileSystem(`SimulatedFileSystem (${kind})`, () => {
    const fileSystem = new SimulatedFileSystem(new SimulatedDisk(kind), CALM);
    fileSystem.makeDirectory("/d");
    return { fileSystem, directory: "/d", dispose: () => {} };
  });
}

const bytes = (text: string) => new TextEncoder().encode(text);

function boot(kind: DiskKind) {
  const disk = new SimulatedDisk(kind);
  return { disk, fs: new SimulatedFileSystem(disk, CALM) };
}

/** Names and contents after a power loss. */
function after(disk: SimulatedDisk, loss: PowerLoss, seed = 1): Record<string, string> {
  const crashed = disk.afterPowerLoss(new SeededRandom(seed), loss);
  const fs = new SimulatedFileSystem(crashed, CALM);
  const files: Record<string, string> = {};
  const visit = (directory: string) => {
    for (const { name, kind } of fs.readDirectory(directory === "" ? "/" : directory)) {
      const path = `${directory}/${name}`;
      if (kind === "directory") visit(path);
      else files[path] = new TextDecoder().decode(fs.readFile(path));
    }
  };
  visit("");
  return files;
}

Deno.test("SimulatedDisk: a power loss takes what was synced by nobody, and may keep all of it", () => {
  const { disk, fs } = boot("adversarial");
  fs.writeNewFile("/a", bytes("one"));
  assertEquals(after(disk, "all_lost"), {});
  assertEquals(after(disk, "all_kept"), { "/a": "one" });
});

Deno.test("SimulatedDisk: an fsync of a file keeps its bytes, not its name", async () => {
  const { disk, fs } = boot("adversarial");
  fs.writeNewFile("/a", bytes("one"));
  await fs.syncFile("/a");
  assertEquals(after(disk, "all_lost"), {});
  await fs.syncDirectory("/");
  assertEquals(after(disk, "all_lost"), { "/a": "one" });
});

Deno.test("SimulatedDisk: a name that is synced before its bytes is an empty file", async () => {
  const { disk, fs } = boot("adversarial");
  fs.writeNewFile("/a", bytes("one"));
  await fs.syncDirectory("/");
  assertEquals(after(disk, "all_lost"), { "/a": "" });
});

Deno.test("SimulatedDisk: ext4 keeps all earlier names with any fsync", async () => {
  const { disk, fs } = boot("journaled");
  fs.writeNewFile("/a", bytes("one"));
  fs.writeNewFile("/b", bytes("two"));
  await fs.syncFile("/b");
  assertEquals(after(disk, "all_lost"), { "/a": "", "/b": "two" });
});

Deno.test("SimulatedDisk: a rename is whole: never both names, never none", async () => {
  const { disk, fs } = boot("adversarial");
  fs.writeNewFile("/a", bytes("old"));
  fs.writeNewFile("/b", bytes("new"));
  await fs.syncFileSystem("/");
  fs.makeDirectory("/d");
  await fs.syncDirectory("/");
  fs.rename("/b", "/a");
  const seen = new Set<string>();
  for (let seed = 0; seed < 50; seed++) seen.add(JSON.stringify(after(disk, "some_lost", seed)));
  assertEquals(seen, new Set(['{"/a":"old","/b":"new"}', '{"/a":"new"}']));
  fs.rename("/a", "/d/c");
  await fs.syncDirectory("/d");
  assertEquals(after(disk, "all_lost"), { "/d/c": "new" });
});

Deno.test("SimulatedDisk: writes tear at sectors of 512 bytes and nowhere else", async () => {
  const { disk, fs } = boot("adversarial");
  fs.writeNewFile("/a", bytes("a".repeat(1536)));
  await fs.syncFileSystem("/");
  const file = fs.open("/a", { write: true });
  file.writeAt(bytes("b".repeat(1000)), 100);
  const seen = new Set<string>();
  for (let seed = 0; seed < 200; seed++) seen.add(after(disk, "some_lost", seed)["/a"] ?? "");
  const sector = (text: string, n: number) => text.slice(n * 512, n * 512 + 512);
  const written = "a".repeat(100) + "b".repeat(1000) + "a".repeat(436);
  assertEquals(seen.size, 8);
  for (const text of seen) {
    for (const n of [0, 1, 2]) {
      const isOld = sector(text, n) === "a".repeat(512);
      assertEquals(isOld || sector(text, n) === sector(written, n), true);
    }
  }
});

Deno.test("SimulatedDisk: after a failed fsync no later one writes those bytes", async () => {
  const disk = new SimulatedDisk("adversarial");
  let fails = false;
  const fs = new SimulatedFileSystem(disk, { ...CALM, syncFailure: () => fails ? "EIO" : null });
  fs.writeNewFile("/a", bytes("old"));
  await fs.syncFileSystem("/");
  const file = fs.open("/a", { write: true });
  file.writeAt(bytes("new"), 0);
  fails = true;
  await file.sync().catch(() => {});
  fails = false;
  await file.sync();
  assertEquals(new TextDecoder().decode(fs.readFile("/a")), "new");
  assertEquals(after(disk, "all_lost"), { "/a": "old" });
});

Deno.test("SimulatedDisk: a snapshot does not see what is done after it", () => {
  const { disk, fs } = boot("adversarial");
  fs.writeNewFile("/a", bytes("one"));
  const file = fs.open("/a", { write: true });
  const snapshot = disk.snapshot();
  file.writeAt(bytes("two"), 0);
  fs.unlink("/a");
  assertEquals(after(snapshot, "all_kept"), { "/a": "one" });
  assertEquals(after(disk, "all_kept"), {});
});

Deno.test("SimulatedFileSystem: a full disk takes what fits, then says ENOSPC", () => {
  const { disk, fs } = boot("adversarial");
  disk.capacityBytes = 10;
  const file = fs.open("/a", { read: true, write: true, createNew: true });
  let code = "";
  try {
    file.writeAt(bytes("0123456789abc"), 0);
  } catch (error) {
    code = error instanceof Error && "code" in error ? String(error.code) : "";
  }
  assertEquals(code, "ENOSPC");
  assertEquals(file.info().size, 10);
  file.writeAt(bytes("overwriting needs no room").subarray(0, 10), 0);
});

Deno.test("SimulatedFileSystem: inode numbers are used again", () => {
  const { fs } = boot("adversarial");
  fs.writeNewFile("/a", bytes(""));
  const { inode } = fs.stat("/a");
  fs.unlink("/a");
  fs.writeNewFile("/b", bytes(""));
  assertEquals(fs.stat("/b").inode, inode);
});
