import { assertEquals, assertThrows } from "@std/assert";
import * as isomorphic from "isomorphic-git";
import fs from "node:fs";
import { LayerdError } from "../../src/core/errors.ts";
import { parseObjectId } from "../../src/core/ids.ts";
import {
  decodeLoose,
  decodeLooseHeader,
  EMPTY_TREE_ID,
  encodeCommit,
  objectId,
  parseCommit,
} from "../../src/git/object_codec.ts";
import type { CommitFields } from "../../src/git/repository.ts";
import { git } from "../harness/git.ts";
import { makeRepository } from "../harness/repositories.ts";
import { inScene } from "./repository_scene.ts";
import { encodeLoose } from "../harness/loose_objects.ts";

const encoder = new TextEncoder();

function commitOf(message: string): CommitFields {
  return {
    tree: EMPTY_TREE_ID,
    parents: [parseObjectId("1".repeat(40)), parseObjectId("2".repeat(40))],
    author: { name: "Ann Ö", email: "ann@example.org", atSeconds: 1_700_000_000 },
    committer: { name: "layerd", email: "layerd@localhost", atSeconds: 1_700_000_001 },
    message,
  };
}

Deno.test("objectId() agrees with git hash-object and isomorphic-git", async () => {
  await inScene(async (directory) => {
    for (const body of [new Uint8Array(0), encoder.encode("héllo\n"), new Uint8Array(70_000)]) {
      const expected = await git(directory, ["hash-object", "--stdin"], { input: body });
      assertEquals(objectId("blob", body), parseObjectId(expected));
      assertEquals((await isomorphic.hashBlob({ object: body })).oid, expected);
    }
    assertEquals(objectId("tree", new Uint8Array(0)), EMPTY_TREE_ID);
  });
});

Deno.test("encodeCommit() makes the bytes that isomorphic-git's writeCommit makes", async () => {
  await inScene(async (directory) => {
    const dir = await makeRepository(`${directory}/app`);
    for (const message of ["one line", "two\n\nparagraphs\n", "ünïcode ✓\n"]) {
      const commit = commitOf(message);
      const stamp = (signature: CommitFields["author"]) => ({
        name: signature.name,
        email: signature.email,
        timestamp: signature.atSeconds,
        timezoneOffset: 0,
      });
      const oid = await isomorphic.writeCommit({
        fs,
        dir,
        commit: {
          ...commit,
          tree: commit.tree,
          parent: [...commit.parents],
          author: stamp(commit.author),
          committer: stamp(commit.committer),
        },
      });
      const body = encodeCommit(commit);
      assertEquals(objectId("commit", body), parseObjectId(oid));
      const checked = await git(dir, ["hash-object", "-t", "commit", "--stdin"], { input: body });
      assertEquals(checked, oid);
    }
  });
});

Deno.test("parseCommit() reads back what encodeCommit() wrote", () => {
  const commit = commitOf("subject\n\nbody\n");
  const body = encodeCommit(commit);
  assertEquals(parseCommit(body, objectId("commit", body)), commit);
});

Deno.test("parseCommit() is lenient with what old and strange tools wrote", () => {
  const head = `tree ${EMPTY_TREE_ID}\n`;
  const latin1 = new Uint8Array([
    ...encoder.encode(`${head}author J`),
    0xf6,
    ...encoder.encode("rg <j@x> 12 +0100\ncommitter J <j@x> 13 -0500\nencoding ISO-8859-1\n\nGr"),
    0xfc,
    0xdf,
    ...encoder.encode("e\n"),
  ]);
  const parsed = parseCommit(latin1, EMPTY_TREE_ID);
  assertEquals([parsed.author.name, parsed.author.atSeconds, parsed.message], [
    "Jörg",
    12,
    "Grüße\n",
  ]);
  const signed = encoder.encode(
    `${head}author A <a> 1 +0000\ncommitter C <c> 2 +0000\n` +
      `gpgsig -----BEGIN\n tree lies\n \n -----END\n\nsigned`,
  );
  assertEquals(parseCommit(signed, EMPTY_TREE_ID).message, "signed");
  const nameless = encoder.encode(`${head}author <> 5\ncommitter x\n\nm`);
  assertEquals(parseCommit(nameless, EMPTY_TREE_ID).author, {
    name: "",
    email: "",
    atSeconds: 5,
  });
  assertThrows(
    () => parseCommit(encoder.encode("nonsense\n\nm"), EMPTY_TREE_ID),
    LayerdError,
    "name no objects",
  );
});

Deno.test("decodeLoose() finds every kind of damage", () => {
  const body = encoder.encode("content");
  const oid = objectId("blob", body);
  const file = encodeLoose("blob", body);
  assertEquals(decodeLoose(oid, file), { type: "blob", body });
  assertEquals(decodeLoose(EMPTY_TREE_ID, file), null);
  assertEquals(decodeLoose(oid, file.subarray(0, file.length - 5)), null);
  assertEquals(decodeLoose(oid, new Uint8Array(0)), null);
  assertEquals(decodeLoose(oid, encoder.encode("not zlib")), null);
});

Deno.test("decodeLooseHeader() needs only the first bytes of the file", () => {
  const body = crypto.getRandomValues(new Uint8Array(60_000));
  const file = encodeLoose("blob", body);
  assertEquals(decodeLooseHeader(file.subarray(0, 128)), { type: "blob", size: 60_000 });
  assertEquals(decodeLooseHeader(new Uint8Array(0)), null);
});
