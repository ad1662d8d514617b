import { assertEquals, assertThrows } from "@std/assert";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { translate } from "../../src/system/deno_file_handle.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { testFileSystem } from "./file_system_conformance.ts";

testFileSystem("DenoFileSystem", () => {
  const directory = Deno.makeTempDirSync();
  return {
    fileSystem: new DenoFileSystem(),
    directory,
    dispose: () => Deno.removeSync(directory, { recursive: true }),
  };
});

Deno.test("DenoFileSystem: writeAt() on a full device throws ENOSPC", () => {
  const full = new DenoFileSystem().open("/dev/full", { write: true });
  const error = assertThrows(() => full.writeAt(new Uint8Array(1), 0), FileSystemError);
  assertEquals(error.code, "ENOSPC");
  assertEquals(error.call, "write");
  full.close();
});

Deno.test("translate() knows the errors that the runtime tells by number alone", () => {
  const given = new Error("Too many links (os error 31): link '/a' -> '/b'");
  assertEquals(translate(given, "link", "/b").code, "EMLINK");
  assertEquals(translate(new Error("anything else"), "link", "/b").code, "EIO");
});

Deno.test("DenoFileSystem.makeDirectory() keeps the setgid bit that a parent hands down", () => {
  const directory = Deno.makeTempDirSync();
  const fileSystem = new DenoFileSystem();
  fileSystem.chmod(directory, 0o2755);
  fileSystem.makeDirectory(`${directory}/d`, 0o770);
  assertEquals(fileSystem.stat(`${directory}/d`).mode, 0o2770);
  Deno.removeSync(directory, { recursive: true });
});
