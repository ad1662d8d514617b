import { assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import type { ObjectId } from "../../src/core/ids.ts";
import { makeLayerdDirectories, type RepositoryLayout } from "../../src/git/gate.ts";
import { objectId } from "../../src/git/object_codec.ts";
import { writePack } from "../../src/git/pack_writer.ts";
import type { NewObject } from "../../src/git/repository.ts";
import { git } from "../harness/git.ts";
import { assertNothingLeftBehind } from "../harness/repositories.ts";
import { fileSystem, inRepository } from "./repository_scene.ts";

function placeIn(layout: RepositoryLayout) {
  makeLayerdDirectories(fileSystem, layout);
  const pendingDir = `${layout.commonDir}/layerd/pending`;
  const { objectsDir, shared } = layout;
  return { fileSystem, objectsDir, pendingDir, shared, keep: () => {} };
}

function blob(body: Uint8Array): NewObject {
  return { oid: objectId("blob", body), type: "blob", body };
}

Deno.test("writePack() makes the index that git index-pack makes", async () => {
  await inRepository(async ({ path, layout }) => {
    // Sizes around every length of the entry header, and enough ids for each fan-out slot.
    const objects = [0, 1, 15, 16, 2_047, 2_048, 300_000].map((size) => blob(new Uint8Array(size)));
    for (let n = 0; n < 600; n += 1) objects.push(blob(new TextEncoder().encode(`blob ${n}`)));
    const name = await writePack(placeIn(layout), objects, "t");
    const pack = `${layout.objectsDir}/pack/${name}.pack`;
    await git(path, ["index-pack", "--strict", "-o", `${path}/native.idx`, pack]);
    assertEquals(
      await Deno.readFile(`${layout.objectsDir}/pack/${name}.idx`),
      await Deno.readFile(`${path}/native.idx`),
    );
    const [first] = (await git(path, ["show-index"], {
      input: await Deno.readFile(`${path}/native.idx`),
    })).split("\n");
    assertEquals(first?.split(" ")[1]?.length, 40);
    assertEquals(fileSystem.lstat(pack).mode & 0o777, 0o444);
    assertEquals(fileSystem.lstat(pack).links, 2);
    await assertNothingLeftBehind(layout.commonDir);
  });
});

Deno.test("writePack() streams a file whose blob git then reads", async () => {
  await inRepository(async ({ path, layout }) => {
    const body = new Uint8Array(5 * 1024 * 1024 + 7);
    for (let at = 0; at < body.length; at += 65_536) {
      crypto.getRandomValues(body.subarray(at, at + 65_536));
    }
    const file = `${path}/spooled`;
    await Deno.writeFile(file, body);
    const oid = objectId("blob", body);
    await writePack(placeIn(layout), [{ oid, type: "blob", file, size: body.length }], "t");
    assertEquals(await git(path, ["cat-file", "-s", oid]), String(body.length));
    await git(path, ["fsck", "--strict"]);
  });
});

Deno.test("writePack() refuses a spooled file that is not its blob, and leaves nothing", async () => {
  await inRepository(async ({ path, layout }) => {
    const file = `${path}/spooled`;
    await Deno.writeTextFile(file, "something else");
    const wrong = "1".repeat(40) as ObjectId;
    await assertRejects(
      () => writePack(placeIn(layout), [{ oid: wrong, type: "blob", file, size: 14 }], "t"),
      LayerdError,
      "is not what",
    );
    await assertRejects(
      () =>
        writePack(
          placeIn(layout),
          [{ oid: wrong, type: "blob", file: `${file}.gone`, size: 1 }],
          "t",
        ),
      Error,
      "ENOENT",
    );
    await assertNothingLeftBehind(layout.commonDir);
  });
});
