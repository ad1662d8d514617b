import { assertEquals } from "@std/assert";
import { fileAnswer } from "../../src/http/layers.ts";
import { problemOf } from "../harness/api.ts";
import { AppStage, refuse } from "./app_stage.ts";

const OID = "0123456789abcdef0123456789abcdef01234567";
const entry = { path: "a", mode: "100644", oid: OID, size: 3 };

Deno.test("fileAnswer() gives text where the bytes are UTF-8, byte-order mark included", () => {
  const answerOf = (...bytes: number[]) => fileAnswer({ ...entry, bytes: new Uint8Array(bytes) });
  assertEquals(answerOf(0x61), { ...entry, content: "a" });
  assertEquals(answerOf(), { ...entry, content: "" });
  assertEquals(answerOf(0xef, 0xbb, 0xbf, 0x61), { ...entry, content: "\ufeffa" });
  assertEquals(answerOf(0x00), { ...entry, content: "\0" });
  assertEquals(answerOf(0xff, 0xfe), { ...entry, content_base64: "//4=" });
  assertEquals(answerOf(0xed, 0xa0, 0x80), { ...entry, content_base64: "7aCA" });
});

Deno.test("readFile answers JSON, bytes by Accept, and 304 for a known blob", async () => {
  await using stage = await AppStage.open({
    reader: {
      file: (point, path) => {
        assertEquals<unknown>([point, path], [
          { repository: "app", layer: "team/base", transaction: null, at: null },
          "dir/ä b",
        ]);
        return Promise.resolve({ ...entry, bytes: new Uint8Array([1, 2, 255]) });
      },
    },
  });
  const get = (headers: Record<string, string>) =>
    stage.client.request(
      "GET",
      "/v1/repositories/app/file?layer=team%2Fbase&path=dir/%C3%A4%20b",
      undefined,
      { headers },
    );
  const json = await get({});
  assertEquals(json.json, { ...entry, content_base64: "AQL/" });
  assertEquals(json.headers.get("etag"), `"${OID}"`);
  const bytes = await get({ accept: "application/octet-stream" });
  assertEquals([...bytes.bytes], [1, 2, 255]);
  assertEquals(bytes.headers.get("content-type"), "application/octet-stream");
  for (const tag of [`"${OID}"`, `W/"${OID}"`, `"x", "${OID}"`, "*"]) {
    const unchanged = await get({ "if-none-match": tag });
    assertEquals([unchanged.status, unchanged.bytes.length], [304, 0]);
    assertEquals(unchanged.headers.get("etag"), `"${OID}"`);
  }
  assertEquals((await get({ "if-none-match": '"x"' })).status, 200);
});

Deno.test("listLayers pages by opaque cursors", async () => {
  const names = ["a", "b/c", "d"];
  await using stage = await AppStage.open({
    reader: {
      layers: (_repository, prefix, limit, after) => {
        assertEquals([prefix, limit], ["", 2]);
        const rest = names.filter((name) => after === null || name > after);
        return Promise.resolve({
          layers: rest.slice(0, limit).map((name) => ({
            name,
            ref: `refs/layers/${name}`,
            commit: OID,
            updated_at: null,
          })),
          more: rest.length > limit,
        });
      },
    },
  });
  interface Page {
    readonly layers: readonly { readonly name: string }[];
    readonly next_cursor: string | null;
  }
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const rest: string = cursor === null ? "" : `&cursor=${cursor}`;
    const reply = await stage.client.request("GET", `/v1/repositories/app/layers?limit=2${rest}`);
    const page = reply.json as Page;
    seen.push(...page.layers.map(({ name }) => name));
    cursor = page.next_cursor;
  } while (cursor !== null);
  assertEquals(seen, names);
});

Deno.test("repository routes register, find and remove", async () => {
  const document = {
    name: "app",
    path: "/r",
    git_dir: "/r/.git",
    common_dir: "/r/.git",
    head: null,
    layers: 0,
    status: "healthy",
  } as const;
  const removed: unknown[] = [];
  await using stage = await AppStage.open({
    catalog: {
      add: (request) => {
        assertEquals<unknown>(request, { name: "app", path: "/r", adopt: false });
        return Promise.resolve(document);
      },
      remove: (name, options) => {
        removed.push([name, options]);
        return name === "busy" ? refuse("repository_busy") : Promise.resolve();
      },
      findByPath: () => null,
      all: () => [],
    },
  });
  const { client } = stage;
  const added = await client.request("POST", "/v1/repositories", { name: "app", path: "/r" });
  assertEquals([added.status, added.json], [201, { repository: document }]);
  const relative = await client.request("POST", "/v1/repositories", { name: "app", path: "r" });
  assertEquals(problemOf(relative, 400, "invalid_request").field, "path");
  assertEquals((await client.request("GET", "/v1/repositories")).json, { repositories: [] });
  assertEquals((await client.request("GET", "/v1/repositories?path=/x")).json, {
    repositories: [],
  });
  const gone = await client.request("DELETE", "/v1/repositories/app?abandon=true");
  assertEquals([gone.status, gone.bytes.length], [204, 0]);
  problemOf(await client.request("DELETE", "/v1/repositories/busy"), 409, "repository_busy");
  assertEquals(removed, [["app", { abandon: true }], ["busy", { abandon: false }]]);
});
