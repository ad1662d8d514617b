import { assertEquals } from "@std/assert";
import { loosePath, readLoose, readLooseHeader } from "../../src/git/loose_objects.ts";
import { objectId } from "../../src/git/object_codec.ts";
import { git } from "../harness/git.ts";
import { fileSystem, inScene } from "./repository_scene.ts";

const body = new TextEncoder().encode("a blob\n");
const oid = objectId("blob", body);

Deno.test("readLoose() reads what git wrote, and tells damage from absence", async () => {
  await inScene(async (directory) => {
    await git(directory, ["init", "-q", "--bare", "."]);
    const objects = `${directory}/objects`;
    assertEquals(readLoose(fileSystem, objects, oid), "missing");
    assertEquals(readLooseHeader(fileSystem, objects, oid), "missing");
    await git(directory, ["hash-object", "-w", "--stdin"], { input: body });
    assertEquals(readLoose(fileSystem, objects, oid), { type: "blob", body });
    const header = { type: "blob" as const, size: body.length };
    assertEquals(readLooseHeader(fileSystem, objects, oid), header);
    await Deno.chmod(loosePath(objects, oid), 0o644);
    await Deno.writeFile(loosePath(objects, oid), new Uint8Array(0));
    assertEquals(readLoose(fileSystem, objects, oid), "damaged");
    assertEquals(readLooseHeader(fileSystem, objects, oid), "damaged");
  });
});
