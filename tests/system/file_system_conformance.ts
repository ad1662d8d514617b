/**
 * What every {@link FileSystem} must do, the machine's and a simulated one alike: each
 * claim here is one that the log, the locks or the publication of refs rests on.
 */
import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type FileSystem, FileSystemError } from "../../src/system/file_system.ts";

export interface FileSystemUnderTest {
  readonly fileSystem: FileSystem;
  /** An existing empty directory. */
  readonly directory: string;
  dispose(): void;
}

const bytes = (text: string) => new TextEncoder().encode(text);

function assertCode(code: string, action: () => unknown): void {
  assertEquals(assertThrows(action, FileSystemError).code, code);
}

function readText(fileSystem: FileSystem, path: string): string {
  return new TextDecoder().decode(fileSystem.readFile(path));
}

/** Registers the suite under a name for the implementation. */
export function testFileSystem(name: string, make: () => FileSystemUnderTest): void {
  const test = (
    title: string,
    body: (fileSystem: FileSystem, at: (path: string) => string) => void | Promise<void>,
  ) =>
    Deno.test(`${name}: ${title}`, async () => {
      const subject = make();
      try {
        await body(subject.fileSystem, (path) => `${subject.directory}/${path}`);
      } finally {
        subject.dispose();
      }
    });
  testFiles(test);
  testHandles(test);
  testNames(test);
  testDirectories(test);
  testLinks(test);
  testDurability(test);
}

type Register = (
  title: string,
  body: (fileSystem: FileSystem, at: (path: string) => string) => void | Promise<void>,
) => void;

function testFiles(test: Register): void {
  test("writeNewFile() writes all bytes with exactly the mode", (fs, at) => {
    fs.writeNewFile(at("a"), bytes("hello"), 0o666);
    assertEquals(readText(fs, at("a")), "hello");
    assertEquals(fs.stat(at("a")).mode, 0o666);
    fs.writeNewFile(at("b"), bytes(""), 0o444);
    assertEquals(fs.stat(at("b")).mode, 0o444);
    assertEquals(fs.stat(at("b")).size, 0);
  });

  test("writeNewFile() refuses an existing name and leaves it as it was", (fs, at) => {
    fs.writeNewFile(at("a"), bytes("old"));
    assertCode("EEXIST", () => fs.writeNewFile(at("a"), bytes("new")));
    assertEquals(readText(fs, at("a")), "old");
    fs.symlink("nowhere", at("dangling"));
    assertCode("EEXIST", () => fs.writeNewFile(at("dangling"), bytes("new")));
  });

  test("open() creates exclusively, or opens what is there", (fs, at) => {
    assertCode("ENOENT", () => fs.open(at("a"), { read: true }));
    fs.open(at("a"), { write: true, createNew: true, mode: 0o620 }).close();
    assertEquals(fs.stat(at("a")).mode, 0o620);
    assertCode("EEXIST", () => fs.open(at("a"), { write: true, createNew: true }));
    fs.open(at("a"), { write: true, create: true, mode: 0o600 }).close();
    assertEquals(fs.stat(at("a")).mode, 0o620, "an existing file keeps its mode");
    fs.open(at("b"), { write: true, create: true, mode: 0o600 }).close();
    assertEquals(fs.stat(at("b")).mode, 0o600);
  });

  test("open() and readFile() name a directory in the way", (fs, at) => {
    fs.makeDirectory(at("d"));
    assertCode("EISDIR", () => fs.open(at("d"), { write: true }));
    assertCode("EISDIR", () => fs.readFile(at("d")));
    fs.writeNewFile(at("f"), bytes(""));
    assertCode("ENOTDIR", () => fs.readFile(at("f/below")));
    assertCode("ENOENT", () => fs.readFile(at("missing")));
  });
}

function testHandles(test: Register): void {
  test("readAt() and writeAt() keep to their positions", (fs, at) => {
    const file = fs.open(at("a"), { read: true, write: true, createNew: true });
    file.writeAt(bytes("world"), 6);
    file.writeAt(bytes("hello"), 0);
    const buffer = new Uint8Array(5);
    assertEquals(file.readAt(buffer, 6), 5);
    assertEquals(buffer, bytes("world"));
    assertEquals(file.readAt(buffer, 9), 2, "a short read at the end");
    assertEquals(file.readAt(buffer, 11), 0);
    assertEquals(file.readAt(buffer, 100), 0);
    file.close();
    assertEquals(fs.readFile(at("a")), bytes("hello\0world"));
  });

  test("truncate() cuts and extends with zeros", (fs, at) => {
    const file = fs.open(at("a"), { read: true, write: true, createNew: true });
    file.writeAt(bytes("abcdef"), 0);
    file.truncate(3);
    assertEquals(file.info().size, 3);
    file.truncate(5);
    file.close();
    assertEquals(fs.readFile(at("a")), bytes("abc\0\0"));
  });

  test("a handle refuses what it was not opened for, and everything once closed", (fs, at) => {
    fs.writeNewFile(at("a"), bytes("x"));
    const file = fs.open(at("a"), { read: true });
    assertCode("EBADF", () => file.writeAt(bytes("y"), 0));
    file.close();
    assertCode("EBADF", () => file.readAt(new Uint8Array(1), 0));
    assertEquals(readText(fs, at("a")), "x");
  });

  test("a handle goes on to mean its file after rename and unlink", (fs, at) => {
    const file = fs.open(at("a"), { read: true, write: true, createNew: true });
    fs.rename(at("a"), at("b"));
    file.writeAt(bytes("x"), 0);
    assertEquals(readText(fs, at("b")), "x");
    assertEquals(file.info().inode, fs.stat(at("b")).inode);
    fs.unlink(at("b"));
    assertEquals(file.info().links, 0);
    file.close();
  });

  test("tryLock() excludes every other open of the file until close()", (fs, at) => {
    const first = fs.open(at("a"), { read: true, write: true, createNew: true });
    const second = fs.open(at("a"), { read: true, write: true });
    assertEquals(first.tryLock(), true);
    assertEquals(first.tryLock(), true, "one that is held already");
    assertEquals(second.tryLock(), false);
    first.close();
    assertEquals(second.tryLock(), true);
    second.close();
  });
}

function testNames(test: Register): void {
  test("rename() replaces a file at once and moves directories", (fs, at) => {
    fs.writeNewFile(at("a"), bytes("new"));
    fs.writeNewFile(at("b"), bytes("old"));
    const inode = fs.stat(at("a")).inode;
    fs.rename(at("a"), at("b"));
    assertEquals(readText(fs, at("b")), "new");
    assertEquals(fs.stat(at("b")).inode, inode);
    assertEquals(fs.lstatIfAny(at("a")), null);
    fs.makeDirectory(at("d"));
    fs.rename(at("b"), at("d/b"));
    fs.rename(at("d"), at("e"));
    assertEquals(readText(fs, at("e/b")), "new");
  });

  test("rename() refuses a missing source and a directory that is not empty", (fs, at) => {
    assertCode("ENOENT", () => fs.rename(at("missing"), at("b")));
    fs.writeNewFile(at("a"), bytes(""));
    fs.makeDirectory(at("d"));
    assertCode("EISDIR", () => fs.rename(at("a"), at("d")));
    assertCode("ENOTDIR", () => fs.rename(at("d"), at("a")));
    fs.makeDirectory(at("full"));
    fs.writeNewFile(at("full/x"), bytes(""));
    assertCode("ENOTEMPTY", () => fs.rename(at("d"), at("full")));
  });

  test("unlink() removes one name and never a directory", (fs, at) => {
    assertCode("ENOENT", () => fs.unlink(at("missing")));
    fs.makeDirectory(at("d"));
    assertCode("EISDIR", () => fs.unlink(at("d")));
    assertEquals(fs.stat(at("d")).kind, "directory");
    fs.writeNewFile(at("a"), bytes(""));
    fs.unlink(at("a"));
    assertEquals(fs.lstatIfAny(at("a")), null);
    fs.symlink("d", at("s"));
    fs.unlink(at("s"));
    assertEquals(fs.stat(at("d")).kind, "directory", "the link went, not what it named");
  });

  test("lstatIfAny() is null for a missing name and below a file", (fs, at) => {
    assertEquals(fs.lstatIfAny(at("a")), null);
    fs.writeNewFile(at("a"), bytes(""));
    assertEquals(fs.lstatIfAny(at("a/b")), null);
    assertEquals(fs.lstatIfAny(at("a"))?.kind, "file");
  });

  test("chmod() and chown() change what stat() shows", (fs, at) => {
    fs.writeNewFile(at("a"), bytes(""), 0o600);
    fs.chmod(at("a"), 0o640);
    assertEquals(fs.stat(at("a")).mode, 0o640);
    const before = fs.stat(at("a"));
    fs.chown(at("a"), null, before.gid);
    assertEquals(fs.stat(at("a")).gid, before.gid);
    assertEquals(fs.stat(at("a")).uid, before.uid);
  });
}

function testDirectories(test: Register): void {
  test("makeDirectory() is exclusive, needs its parent and sets exactly the mode", (fs, at) => {
    fs.makeDirectory(at("d"), 0o777);
    assertEquals(fs.stat(at("d")).mode, 0o777);
    assertCode("EEXIST", () => fs.makeDirectory(at("d")));
    assertCode("ENOENT", () => fs.makeDirectory(at("x/y")));
    fs.writeNewFile(at("f"), bytes(""));
    assertCode("EEXIST", () => fs.makeDirectory(at("f")));
    assertCode("ENOTDIR", () => fs.makeDirectory(at("f/y")));
  });

  test("removeDirectory() removes only an empty directory", (fs, at) => {
    assertCode("ENOENT", () => fs.removeDirectory(at("d")));
    fs.makeDirectory(at("d"));
    fs.writeNewFile(at("d/f"), bytes(""));
    assertCode("ENOTEMPTY", () => fs.removeDirectory(at("d")));
    assertCode("ENOTDIR", () => fs.removeDirectory(at("d/f")));
    fs.unlink(at("d/f"));
    fs.removeDirectory(at("d"));
    assertEquals(fs.lstatIfAny(at("d")), null);
  });

  test("readDirectory() lists every entry with its kind", (fs, at) => {
    fs.makeDirectory(at("d"));
    assertEquals(fs.readDirectory(at("d")), []);
    fs.writeNewFile(at("d/f"), bytes(""));
    fs.makeDirectory(at("d/g"));
    fs.symlink("f", at("d/s"));
    const entries = fs.readDirectory(at("d")).toSorted((a, b) => a.name < b.name ? -1 : 1);
    assertEquals(entries, [
      { name: "f", kind: "file" },
      { name: "g", kind: "directory" },
      { name: "s", kind: "symlink" },
    ]);
    assertCode("ENOENT", () => fs.readDirectory(at("missing")));
    assertCode("ENOTDIR", () => fs.readDirectory(at("d/f")));
  });
}

function testLinks(test: Register): void {
  test("link() is exclusive and counts", (fs, at) => {
    fs.writeNewFile(at("a"), bytes("x"));
    assertEquals(fs.stat(at("a")).links, 1);
    fs.link(at("a"), at("b"));
    assertEquals(fs.stat(at("a")).links, 2);
    assertEquals(fs.stat(at("b")).inode, fs.stat(at("a")).inode);
    assertEquals(fs.stat(at("b")).device, fs.stat(at("a")).device);
    assertCode("EEXIST", () => fs.link(at("a"), at("b")));
    assertCode("ENOENT", () => fs.link(at("missing"), at("c")));
    assertCode("ENOENT", () => fs.link(at("a"), at("x/c")));
    fs.unlink(at("a"));
    assertEquals(fs.stat(at("b")).links, 1);
    assertEquals(readText(fs, at("b")), "x");
  });

  test("symlink() is seen by lstat() and followed by stat()", (fs, at) => {
    fs.writeNewFile(at("a"), bytes("xyz"));
    fs.symlink("a", at("s"));
    assertEquals(fs.lstat(at("s")).kind, "symlink");
    assertEquals(fs.lstatIfAny(at("s"))?.kind, "symlink");
    assertEquals(fs.stat(at("s")).kind, "file");
    assertEquals(fs.stat(at("s")).size, 3);
    assertEquals(fs.readLink(at("s")), "a");
    assertEquals(fs.realPath(at("s")), fs.realPath(at("a")));
    assertCode("EEXIST", () => fs.symlink("a", at("s")));
    assertCode("EINVAL", () => fs.readLink(at("a")));
    fs.symlink("nowhere", at("dangling"));
    assertCode("ENOENT", () => fs.stat(at("dangling")));
    assertCode("ENOENT", () => fs.realPath(at("dangling")));
  });
}

function testDurability(test: Register): void {
  test("every kind of sync succeeds on what exists and says ENOENT otherwise", async (fs, at) => {
    const file = fs.open(at("a"), { read: true, write: true, createNew: true });
    file.writeAt(bytes("x"), 0);
    await file.syncData();
    await file.sync();
    file.close();
    await fs.syncFile(at("a"));
    await fs.syncDirectory(at("."));
    await fs.syncFileSystem(at("a"));
    for (
      const sync of [
        () => fs.syncFile(at("missing")),
        () => fs.syncDirectory(at("missing")),
        () => fs.syncFileSystem(at("missing")),
      ]
    ) {
      assertEquals((await assertRejects(sync, FileSystemError)).code, "ENOENT");
    }
  });

  test("modifiedMs is the time of the last write", (fs, at) => {
    fs.writeNewFile(at("a"), bytes("x"));
    const info = fs.stat(at("a"));
    assert(Number.isFinite(info.modifiedMs) && info.modifiedMs > 0);
  });
}
