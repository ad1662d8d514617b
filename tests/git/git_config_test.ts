import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import {
  GitConfig,
  parseConfig,
  readConfigFile,
  readConfigWithIncludes,
} from "../../src/git/git_config.ts";
import { git } from "../harness/git.ts";
import { fileSystem, inScene } from "./repository_scene.ts";

Deno.test("parseConfig() reads what git config reads", async () => {
  await inScene(async (directory) => {
    const path = `${directory}/config`;
    const text = [
      "# comment",
      "[core]",
      "\tbare = false ; trailing",
      "  FileMode",
      '[user] name = "Ann  \\"A\\" #1"   # why',
      "  email = ann@example.org  ",
      '[Remote "Or\\"igin"]',
      "\turl = one\\",
      "two\\tthree",
      "[section.SUB]",
      "\tkey = a  b",
      "[core]",
      "\tbare = true",
      "\tempty =",
      "",
    ].join("\n");
    await Deno.writeTextFile(path, text);
    const expected = await git(directory, ["config", "--file", path, "--list", "--null"]);
    const ours = parseConfig(text, path).map(({ key, value }) =>
      value === null ? key : `${key}\n${value}`
    ).join("\0") + "\0";
    assertEquals(ours, expected);
  });
});

Deno.test("GitConfig.isTrue() takes for true what git takes for true", () => {
  const values = ["true", "Yes", "on", "1", "2k", "false", "no", "off", "0", ""];
  const config = new GitConfig(values.map((value, index) => ({ key: `a.k${index}`, value })));
  assertEquals(values.map((_, index) => config.isTrue(`a.k${index}`)), [
    ...Array(5).fill(true),
    ...Array(5).fill(false),
  ]);
  assertEquals(new GitConfig([{ key: "a.b", value: null }]).isTrue("a.b"), true);
  assertEquals(new GitConfig([]).isTrue("a.b"), false);
});

Deno.test("parseConfig() names the line that it cannot read", () => {
  const error = assertThrows(() => parseConfig("[core]\n\tbare = \\q\n", "config"), LayerdError);
  assertEquals(error.message, "Bad configuration line 2 in config");
  assertThrows(() => parseConfig("orphan = 1\n", "config"), LayerdError, "line 1");
});

Deno.test("readConfigWithIncludes() follows include.path and stops at a cycle", async () => {
  await inScene(async (directory) => {
    await Deno.mkdir(`${directory}/sub`);
    await Deno.writeTextFile(`${directory}/config`, "[include]\n\tpath = sub/more\n");
    await Deno.writeTextFile(
      `${directory}/sub/more`,
      "[user]\n\tname = Ann\n[include]\n\tpath = ../config\n\tpath = ~/none\n",
    );
    const config = readConfigWithIncludes(fileSystem, `${directory}/config`);
    assertEquals(config.get("user.name"), "Ann");
    assertEquals(readConfigFile(fileSystem, `${directory}/config`).get("user.name"), null);
  });
});
