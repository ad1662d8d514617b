/** `patch`, `merge`, `undo`, `stack`, `view`, `explain` and `materialize` beside a real daemon. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { type Ended, type Home, withDaemon } from "./launched.ts";

const SETTINGS = '{\n  // size\n  "size": 12,\n  "a.b": { "c": 1 }\n}\n';

/** Makes layers with one settings file each; answers the transaction's id. */
async function makeLayers(home: Home, layers: Readonly<Record<string, string>>): Promise<string> {
  const operations = Object.entries(layers).flatMap(([layer, content]) => [
    { op: "create_layer", repository: "app", layer },
    { op: "put_file", repository: "app", layer, path: "s.json", content },
  ]);
  const stdin = JSON.stringify({ message: "make layers", operations });
  const { code, stdout, stderr } = await home.layerd(["apply", "-", "--json"], { stdin });
  assertEquals(code, 0, stderr);
  return JSON.parse(stdout).transaction.id;
}

function caller(home: Home) {
  const run = (args: readonly string[], stdin = ""): Promise<Ended> => home.layerd(args, { stdin });
  const ok = async (args: readonly string[], stdin = "") => {
    const { code, stdout, stderr } = await run(args, stdin);
    assertEquals(code, 0, stderr);
    return stdout;
  };
  return { run, ok };
}

Deno.test("layerd stack, view and explain say what a stack is and where keys come from", async () => {
  await withDaemon(async (home) => {
    const { run, ok } = caller(home);
    await makeLayers(home, { base: SETTINGS, ann: '{ "size": 16 }' });
    assertEquals(await ok(["stack", "list"]), "");
    await ok(["stack", "put", "ed", "base", "ann", "--deep", "*.json"]);
    assertEquals(await ok(["stack", "show", "ed"]), "layer\tbase\nlayer\tann\ndeep\t*.json\n");
    assertEquals(JSON.parse(await ok(["stack", "show", "ed", "--json"])), {
      stack: { name: "ed", layers: ["base", "ann"], merge: [{ glob: "*.json", strategy: "deep" }] },
    });
    assertEquals(await ok(["stack", "list"]), "ed\tbase < ann\n");

    assertEquals(await ok(["view", "ed"]), "100644 ann\ts.json\n");
    assertEquals(await ok(["view", "ed", "s.json"]), SETTINGS.replace("12", "16"));
    assertEquals(await ok(["view", "base,ann", "s.json"]), '{ "size": 16 }');
    const [file] = JSON.parse(await ok(["view", "ed", "s.json", "--json"])).files;
    assertEquals([file.layer, file.content], ["ann", SETTINGS.replace("12", "16")]);

    const whole = await ok(["explain", "ed", "s.json"]);
    assertMatch(whole, /^\(file\)\tfrom ann \([0-9a-f]{7}\), hides base \([0-9a-f]{7}\)\n/);
    assertMatch(whole, /\nsize\tfrom ann:1 \([0-9a-f]{7}\), hides base:3 \([0-9a-f]{7}\)\n/);
    assertMatch(await ok(["explain", "ed", "s.json", "a.b"]), /^"a\.b"\.c\tfrom base:4 /);
    const { origins } = JSON.parse(await ok(["explain", "ed", "s.json", "size", "--json"]));
    assertEquals([origins.length, origins[0].layer, origins[0].line], [1, "ann", 1]);

    for (
      const [args, code, said] of [
        [["explain", "ed", "s.json", "none"], 1, "has no key none"],
        [["view", "none"], 1, "stack_not_found"],
        [["view", "ed", "none"], 1, "file_not_found"],
        [["view", "base,,ann"], 64, "one comma"],
        [["stack", "put", "ed", "a..b"], 64, "a..b"],
      ] as const
    ) {
      const ended = await run(args);
      assertEquals([ended.code, ended.stdout], [code, ""], args.join(" "));
      assertStringIncludes(ended.stderr, said);
    }
    await ok(["stack", "remove", "ed"]);
    assertEquals((await run(["stack", "remove", "ed"])).code, 1);
  });
});

Deno.test("layerd patch, merge and undo change layers and name what conflicts", async () => {
  await withDaemon(async (home) => {
    const { run, ok } = caller(home);
    const made = await makeLayers(home, { base: SETTINGS });
    const id = (await ok(["begin"])).trim();
    await ok(["layer", "create", "ann", "--from", "base", "-t", id]);
    await ok(["patch", "ann", "s.json", '{"size": 16}', "-t", id]);
    await ok(["patch", "base", "s.json", "-", "-t", id], '{"a.b": null}');
    await ok(["commit", id]);
    const merged = (await ok(["begin"])).trim();
    await ok(["merge", "base", "ann", "-t", merged]);
    const answer = JSON.parse(await ok(["commit", merged, "--json"])).transaction;
    assertEquals(await ok(["cat", "base", "s.json"]), '{\n  // size\n  "size": 16\n}\n');

    const undone = await ok(["undo", merged]);
    assertStringIncludes(undone, `app\trefs/layers/base\t${answer.results[0].new}\t`);
    assertStringIncludes(await ok(["cat", "base", "s.json"]), '"size": 12');
    const again = await run(["undo", merged, "--json"]);
    assertEquals([again.code, JSON.parse(again.stdout).transaction.results], [0, []]);
    assertStringIncludes(again.stderr, "as it was before");

    const refused = await run(["undo", made]);
    assertEquals([refused.code, refused.stdout], [1, ""]);
    assertStringIncludes(refused.stderr, "write_conflict");
    const conflict = (await ok(["begin"])).trim();
    await ok(["patch", "base", "s.json", '{"size": 20}', "-t", conflict]);
    const theirs = JSON.stringify({
      operations: [
        {
          op: "patch_file",
          repository: "app",
          layer: "ann",
          path: "s.json",
          merge_patch: { size: 18 },
        },
      ],
    });
    await ok(["apply", "-"], theirs);
    const refusedMerge = await run(["merge", "base", "ann", "-t", conflict]);
    assertEquals(refusedMerge.code, 1);
    assertStringIncludes(refusedMerge.stderr, "app base: s.json at size (content)");
    const json = await run(["merge", "base", "ann", "-t", conflict, "--json"]);
    assertEquals(JSON.parse(json.stderr).conflicts[0].key, "size");
    assertEquals((await run(["patch", "base", "s.json", "{", "-t", conflict])).code, 64);
  });
});

Deno.test("layerd materialize writes a view, follows it, and never overwrites an edit", async () => {
  await withDaemon(async (home) => {
    const { run, ok } = caller(home);
    await makeLayers(home, { base: SETTINGS });
    const file = `${home.repository}/config/s.json`;
    await ok(["stack", "put", "ed", "base"]);
    const first = JSON.parse(await ok(["materialize", "ed", "config", "--json"]));
    assertEquals([first.kind, first.written], ["written", 1]);
    assertStringIncludes((await run(["materialize", "ed", "config"])).stderr, "up to date");
    assertEquals(await Deno.readTextFile(file), SETTINGS);

    const follower = home.spawn(["materialize", "ed", "config", "--follow"]);
    try {
      await follower.saying("up to date");
      const id = (await ok(["begin"])).trim();
      await ok(["patch", "base", "s.json", '{"size": 18}', "-t", id]);
      await ok(["commit", id]);
      await follower.saying("1 file written");
      assertStringIncludes(await Deno.readTextFile(file), '"size": 18');
    } finally {
      await follower.end();
    }

    await Deno.writeTextFile(file, "mine");
    await ok(["stack", "put", "ed", "base", "other"]);
    const edited = await run(["materialize", "ed", "config"]);
    assertEquals([edited.code, edited.stdout], [1, "modified\ts.json\n"]);
    assertEquals(await Deno.readTextFile(file), "mine");
    const refused = await run(["materialize", "ed", home.repository]);
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.stderr, "was not written by layerd");
    assertEquals(JSON.parse(await ok(["locks", "--json"])).locks, []);
  });
});
