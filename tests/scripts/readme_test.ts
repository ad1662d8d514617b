/** The README's tours, word for word: every command in them runs, and ends as the text says. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { blocksUnder, runBlocks } from "../harness/readme.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

Deno.test("README's tour runs word for word", async () => {
  const blocks = await blocksUnder("A five-minute tour");
  assertEquals(blocks.length, 5);
  const [started, committed, conflict, shell] = await runBlocks(blocks);

  assertStringIncludes(started ?? "", '"status":"ok"');
  assertEquals(committed?.match(/^[0-9a-f]{40} commit\trefs\/layers\//gm)?.length, 2);
  assertStringIncludes(committed ?? "", "Layerd-Transaction: ");
  assertStringIncludes(conflict ?? "", '"code":"write_conflict"');
  assertEquals(conflict?.match(/first layers/g)?.length, 1);
  assertStringIncludes(shell ?? "", '{"timeout":60}');
  assertStringIncludes(shell ?? "", "raise the timeout");
});

Deno.test("README's saga runs word for word", async () => {
  const blocks = await blocksUnder("Sagas");
  assertEquals(blocks.length, 4);
  const [, defined, shown, failed] = await runBlocks(blocks);
  assertEquals(defined, "train\t1\n");
  assertStringIncludes(shown ?? "", "publish");
  assert(shown?.endsWith("y = 2x"), shown);
  assertStringIncludes(failed ?? "", "ended with 1\n");
  assertStringIncludes(failed ?? "", "\ttrain\tcompensated\t");
  assertStringIncludes(failed ?? "", "reserve\ntrain\nreserve\nrelease\n");
});

Deno.test("README's path of a new user runs word for word", async () => {
  const blocks = await blocksUnder("A new user's path");
  assertEquals(blocks.length, 8);
  const said = await runBlocks(blocks);
  const [, , view = "", explained = "", disk = "", changed = "", byHand = "", back = ""] = said;
  assertStringIncludes(view, '"editor.fontSize": 16');
  assert(!view.includes("telemetry"), view);
  assertStringIncludes(view, "// What everybody starts from.");
  assertMatch(explained, /"editor\.fontSize"\tfrom user\/ann:3 \(\w{7}\), hides global:3 /);
  assertEquals(disk.trim(), view.slice(view.indexOf("{")).trim());
  assertEquals(changed.match(/"editor\.fontSize": 18/g)?.length, 2);
  assertStringIncludes(byHand, "modified\tsettings.json\nexit code 1\n");
  assertStringIncludes(back, '"editor.fontSize": 16');
  assertStringIncludes(back, 'Undo "a larger font"');
});

Deno.test("README's first hour: its commands carry layers to a colleague and leave no trace", async () => {
  const blocks = await blocksUnder("The first hour: what happens in your repository");
  assertEquals(blocks.length, 6);
  const [asBranches = "", push = "", created = "", merged = "", stacks = "", removed = ""] = blocks;
  const said = await runBlocks([
    `export PLAY=$(mktemp -d) PATH="$PWD/scripts:$PATH"
    export LAYERD_SOCKET="$PLAY/layerd.sock" LAYERD_STATE_DIR="$PLAY/state"
    git init -q --bare -b main "$PLAY/origin.git"
    for who in ann dotfiles; do git clone -q "$PLAY/origin.git" "$PLAY/$who" 2>&1; done
    layerd start --repository ann="$PLAY/ann" --repository dotfiles="$PLAY/dotfiles"
    cd "$PLAY/ann"
    layerd run -- sh -c 'for layer in global team/base; do
      layerd layer create $layer && echo "in $layer" | layerd put $layer settings.json
    done'
    layerd stack put editor global team/base`,
    asBranches,
    push,
    'cd "$PLAY/dotfiles"\ngit fetch -q\ngit for-each-ref',
    push.replace(/^git push.*$/m, ""),
    created,
    `(cd "$PLAY/ann" && echo more | layerd run -- layerd put team/base more.txt && git push -q origin 'refs/layers/*:refs/layers/*')`,
    merged,
    stacks + "layerd stack list\nlayerd cat team/base more.txt",
    removed + "git for-each-ref refs/layers refs/layerd; ls .git",
  ]);
  const [, branches = "", , plain, , , , , both = "", left = ""] = said;
  assertStringIncludes(branches, "Layerd-Transaction: ");
  assertStringIncludes(branches, "+in team/base");
  assertEquals(plain, "", "a plain clone has no layers");
  assertStringIncludes(both, "editor\tglobal < team/base\n");
  assertStringIncludes(both, "\nmore\n");
  assert(!/\blayerd\b/.test(left), left);
});

Deno.test("README's shell wrapper and replica run word for word", async () => {
  const [wrapper = "", ...others] = await blocksUnder("From shell scripts");
  const [replica = "", ...more] = await blocksUnder("Replicas");
  assertEquals([others, more], [[], []]);
  const said = await runBlocks([
    `export PLAY=$(mktemp -d) PATH="$PWD/scripts:$PATH"
    export LAYERD_SOCKET="$PLAY/layerd.sock" LAYERD_STATE_DIR="$PLAY/state"
    for name in app site; do git init -q -b main "$PLAY/$name"; done
    layerd start --repository app="$PLAY/app" --repository site="$PLAY/site"
    layerd run -r app -- layerd layer create -r app team/base`,
    wrapper,
    replica,
    "layerd replica reconcile base\nlayerd cat -r site team/base settings.json",
  ]);
  assertStringIncludes(said[2] ?? "", "site:team/base");
  assertStringIncludes(said[3] ?? "", '{"timeout":30}');
});

/** The text of every test file, for names of tests that documents give. */
async function testTexts(directory = `${ROOT}tests`): Promise<string> {
  let texts = "";
  for await (const { name, isDirectory } of Deno.readDir(directory)) {
    const path = `${directory}/${name}`;
    if (isDirectory) texts += await testTexts(path);
    else if (name.endsWith(".ts")) texts += await Deno.readTextFile(path);
  }
  return texts;
}

/** Each name is a test's, or a part of one; a path is there. An ellipsis stands for cases. */
async function assertNamesTests(names: readonly string[]): Promise<void> {
  const texts = await testTexts();
  for (const name of names) {
    if (name.startsWith("tests/")) await Deno.stat(`${ROOT}${name}`);
    else for (const part of name.split("…")) assert(texts.includes(part), name);
  }
}

Deno.test("every row of the README's compatibility table names a test that is there", async () => {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const table = readme.slice(readme.indexOf("shape by shape"), readme.indexOf("**System**"));
  const named = [...table.matchAll(/\| `([^`]+)` +\|$/gm)].map((match) => match[1] ?? "");
  assert(named.length >= 25, `only ${named.length} rows name a test`);
  await assertNamesTests(named);
});

Deno.test("every rule and defect of ARCHITECTURE.md names tests that are there", async () => {
  const text = await Deno.readTextFile(`${ROOT}ARCHITECTURE.md`);
  const tables = text.slice(text.indexOf("## Rules for touching"), text.indexOf("## The words"));
  const rows = tables.split("\n").filter((line) => line.startsWith("| "));
  // The column that names tests is the second one; what stands before it may name files.
  const named = rows.flatMap((row) => [...(row.split("|")[2] ?? "").matchAll(/`([^`]+)`/g)])
    .map((match) => match[1] ?? "");
  assert(named.length >= 60, `only ${named.length} tests are named`);
  await assertNamesTests(named);
});
