/** `layerd doctor` as a command: with and without a daemon, exit codes, both forms of output. */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { withDaemon } from "./launched.ts";

Deno.test("layerd doctor ends in 0, 1 or 64, beside a daemon and without, as text and JSON", async () => {
  await withDaemon(async (home) => {
    const beside = await home.layerd(["doctor", "--json"]);
    assertEquals(beside.code, 0, beside.stderr);
    const { status, findings } = JSON.parse(beside.stdout);
    assertEquals([status, findings.map((one: { code: string }) => one.code)], ["ok", ["served"]]);
    const refused = await home.layerd(["doctor", "--fix"]);
    assertEquals(refused.code, 1);
    assertStringIncludes(refused.stderr, "layerd stop");
    assertEquals((await home.layerd(["doctor", "--mend"])).code, 64);

    await Deno.mkdir(`${home.repository}/.git/refs/layers`, { recursive: true });
    await Deno.writeTextFile(`${home.repository}/.git/refs/layers/torn`, "");
    const damaged = await home.layerd(["doctor"]);
    assertEquals(damaged.code, 1);
    assertStringIncludes(damaged.stdout, "The daemon (pid ");
    assertStringIncludes(damaged.stdout, "corrupted\tref_damaged\tRef refs/layers/torn");
    await home.layerd(["stop"]);

    const alone = await home.layerd(["doctor", "--repo", ".", "--json"]);
    assertEquals([alone.code, JSON.parse(alone.stdout).status], [1, "corrupted"]);
    const object = `${home.repository}/.git/objects/aa/${"0".repeat(38)}`;
    await Deno.mkdir(`${home.repository}/.git/objects/aa`, { recursive: true });
    await Deno.writeTextFile(object, "torn");
    await Deno.remove(`${home.repository}/.git/refs/layers/torn`);
    assertEquals((await home.layerd(["doctor"])).code, 1);
    assertEquals(await Deno.readTextFile(object), "torn");
    const fixed = await home.layerd(["doctor", "--fix"]);
    assertEquals(fixed.code, 1, "nothing can bring that object back");
    assertStringIncludes(fixed.stdout, "set aside\tobject_damaged");
    assertEquals((await home.layerd(["doctor"])).code, 0);
  });
});
