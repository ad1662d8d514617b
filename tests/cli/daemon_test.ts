/** The command beside a real daemon. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { git } from "../harness/git.ts";
import { Home, withDaemon } from "./launched.ts";

/** Begins a transaction with one layer in it; answers its id. */
async function beginWithLayer(home: Home, layer: string): Promise<string> {
  const begun = await home.layerd(["begin", "-m", "make a layer"]);
  assertEquals(begun.code, 0, begun.stderr);
  const id = begun.stdout.trim();
  const created = await home.layerd(["layer", "create", layer, "-t", id]);
  assertEquals(created.code, 0, created.stderr);
  return id;
}

Deno.test("layerd start, status and stop agree on one process", async () => {
  const home = await Home.make();
  try {
    assertEquals((await home.layerd(["status"])).code, 1);

    const started = await home.layerd(["start"]);
    assertEquals(started.code, 0, started.stderr);
    assertMatch(started.stdout, /^\d+\n$/);
    assertStringIncludes(started.stderr, `${home.directory}/state/layerd/daemon.log`);

    const status = await home.layerd(["status", "--json"]);
    assertEquals(status.code, 0);
    assertEquals(JSON.parse(status.stdout).pid, Number(started.stdout));

    const again = await home.layerd(["start"]);
    assertEquals([again.code, again.stdout], [0, started.stdout]);
    for (let repeat = 0; repeat < 2; repeat++) {
      const more = await home.layerd(["start", "--repository", `app=${home.repository}`]);
      assertEquals([more.code, more.stdout], [0, started.stdout], more.stderr);
    }
    assertStringIncludes((await home.layerd(["repo", "list"])).stdout, home.repository);

    const stopped = await home.layerd(["stop", "--json"]);
    assertEquals(stopped.code, 0, stopped.stderr);
    assertEquals(JSON.parse(stopped.stdout), { pid: Number(started.stdout), stopped: true });
    assertEquals((await home.layerd(["status"])).code, 1);
    assertEquals((await home.layerd(["stop"])).code, 1);
    assertEquals((await home.layerd(["health"])).code, 69);
  } finally {
    await home.remove();
  }
});

Deno.test("layerd start says why the daemon did not start", async () => {
  const home = await Home.make();
  try {
    const { code, stdout, stderr } = await home.layerd(["start", "--repository", "app=/nowhere"]);
    assertEquals([code, stdout], [1, ""]);
    assertStringIncludes(stderr, "/nowhere");
    assertStringIncludes(stderr, "daemon.log");

    // The socket's directory is one that others can enter; the last start's reason is not shown.
    await Deno.chmod(`${home.directory}/run/layerd`, 0o755);
    const open = await home.layerd(["start", "--json"]);
    assertEquals([open.code, open.stdout], [77, ""]);
    const { code: said, detail } = JSON.parse(open.stderr);
    assertEquals(said, "permission_denied");
    assertStringIncludes(detail, "run: chmod 700");
    assert(!detail.includes("/nowhere"), detail);

    await Deno.writeTextFile(`${home.directory}/file`, "");
    const unwritable = await home.layerd(["start", "--state-dir", `${home.directory}/file/state`]);
    assertEquals([unwritable.code, unwritable.stdout], [77, ""]);
    assertStringIncludes(unwritable.stderr, "choose another --state-dir");
  } finally {
    await home.remove();
  }
});

Deno.test("layerd walks a transaction from begin to its history", async () => {
  await withDaemon(async (home) => {
    const id = await beginWithLayer(home, "team/base");
    const env = { LAYERD_TRANSACTION: id };
    const run = async (args: readonly string[], stdin = "") => {
      const { code, stdout, stderr } = await home.layerd(args, { env, stdin });
      assertEquals(code, 0, stderr);
      return stdout;
    };
    await run(["put", "team/base", "a.txt"], "one\n");
    await run(["put", "team/base", "b.sh", "--executable"], "#!/bin/sh\n");
    await run(["mv", "team/base", "a.txt", "c/a.txt"]);
    assertEquals(await run(["cat", "team/base", "c/a.txt"]), "one\n");
    assertEquals(await run(["diff"]), "A\tapp\tteam/base\tb.sh\nA\tapp\tteam/base\tc/a.txt\n");
    assertStringIncludes(await run(["locks"]), `team/base\texclusive\theld\t${id}`);
    assertMatch(await run(["commit"]), /^app\trefs\/layers\/team\/base\t-\t[0-9a-f]{40}\n$/);

    assertEquals(await git(home.repository, ["show", "refs/layers/team/base:c/a.txt"]), "one");
    const inEnded = await home.layerd(["ls", "team/base"], { env });
    assertEquals(inEnded.code, 1);
    assertStringIncludes(inEnded.stderr, "unset");
    const listed = await home.layerd(["ls", "team/base"]);
    assertMatch(listed.stdout, /^100755 [0-9a-f]{40} 10\tb\.sh\n/);
    assertStringIncludes(await run(["log", "team/base"]), `${id}\tmake a layer`);
    assertStringIncludes(await run(["log"]), `${id}\tcommitted`);
    assertStringIncludes(await run(["show"]), "state       committed");
    assertEquals(await run(["wait"]), "committed\n");
    assertMatch(await run(["layer", "list"]), /^team\/base\t[0-9a-f]{40}\n$/);
  });
});

Deno.test("layerd put and cat carry bytes that are no text, and more than JSON holds", async () => {
  await withDaemon(async (home) => {
    const id = await beginWithLayer(home, "base");
    const env = { LAYERD_TRANSACTION: id };
    for (const size of [1_000, 3 * 1024 * 1024]) {
      const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7) % 256);
      const put = await home.layerd(["put", "base", "f.bin"], { env, stdin: bytes });
      assertEquals(put.code, 0, put.stderr);
      const cat = await home.layerd(["cat", "base", "f.bin", "--json"], { env });
      const file = JSON.parse(cat.stdout);
      assertEquals(file.size, size);
      assert(file.content_base64 === bytes.toBase64());
    }
    // An open transaction would have ten seconds to finish when the daemon is stopped.
    assertEquals((await home.layerd(["rollback"], { env })).code, 0);
  });
});

Deno.test("layerd answers no, usage and try-again by exit code, and says what to do next", async () => {
  await withDaemon(async (home) => {
    const first = await beginWithLayer(home, "base");
    const lockTimeout = await home.layerd(["begin", "--lock", "base", "--lock-timeout-ms", "50"]);
    assertEquals(lockTimeout.code, 75, lockTimeout.stderr);
    assertStringIncludes(lockTimeout.stderr, `held exclusive by ${first}`);
    assertStringIncludes(lockTimeout.stderr, "Nothing is left open");

    assertEquals((await home.layerd(["commit", first])).code, 0);
    assertEquals((await home.layerd(["rollback", first])).code, 1);
    assertEquals((await home.layerd(["show", "nonsense"])).code, 1);
    assertEquals((await home.layerd(["cat", "base", "../escape"])).code, 64);

    const missing = await home.layerd(["cat", "other", "a"]);
    assertEquals(missing.code, 1);
    assertStringIncludes(missing.stderr, "layerd layer create");

    const elsewhere = await home.layerd(["ls", "base"], { cwd: home.directory });
    assertEquals(elsewhere.code, 64);
    assertStringIncludes(elsewhere.stderr, "layerd repo add");
  });
});

Deno.test("layerd apply commits in one call, once for a key, and reports a conflict whole", async () => {
  await withDaemon(async (home) => {
    const body = {
      message: "applied",
      operations: [
        { op: "create_layer", repository: "app", layer: "base" },
        { op: "put_file", repository: "app", layer: "base", path: "a", content: "1" },
      ],
    };
    const apply = (document: unknown, ...args: string[]) =>
      home.layerd(["apply", "-", ...args], { stdin: JSON.stringify(document) });
    const once = await apply(body, "--idempotency-key", "k");
    assertEquals(once.code, 0, once.stderr);
    const again = await apply(body, "--idempotency-key", "k");
    assertEquals([again.code, again.stdout], [0, once.stdout]);
    assertEquals(await git(home.repository, ["rev-list", "--count", "refs/layers/base"]), "1");

    const stale = { commit: "0".repeat(39) + "1" };
    const [, put] = body.operations;
    const conflict = await apply({ operations: [{ ...put, expect: stale }] }, "--json");
    assertEquals([conflict.code, conflict.stdout], [1, ""]);
    const problem = JSON.parse(conflict.stderr);
    assertEquals(problem.code, "write_conflict");
    assertEquals(problem.conflicts[0].expected, stale.commit);
  });
});

Deno.test("layerd repo adds, lists and removes, and finds the repository around the directory", async () => {
  const home = await Home.make();
  try {
    assertEquals((await home.layerd(["start"])).code, 0);
    assertEquals((await home.layerd(["repo", "add", "app"])).code, 0);
    const listed = await home.layerd(["repo", "list", "--json"]);
    const [repository] = JSON.parse(listed.stdout).repositories;
    assertEquals([repository.name, repository.path], ["app", home.repository]);

    await Deno.mkdir(`${home.repository}/deep/down`, { recursive: true });
    const within = await home.layerd(["layer", "list"], { cwd: `${home.repository}/deep/down` });
    assertEquals(within.code, 0, within.stderr);

    assertEquals((await home.layerd(["repo", "add", "app"])).code, 1);
    assertEquals((await home.layerd(["repo", "remove", "app"])).code, 0);
    const empty = await home.layerd(["repo", "list"]);
    assertEquals(empty.stdout, "");
    assert(empty.stderr.includes("layerd repo add"));
  } finally {
    await home.remove();
  }
});

Deno.test("layerd events prints what happens until the daemon ends", async () => {
  await withDaemon(async (home) => {
    const events = home.layerd(["events", "--json"]);
    // Whether the stream is open already cannot be seen from outside: act until it has spoken.
    const id = await beginWithLayer(home, "base");
    assertEquals((await home.layerd(["commit", id])).code, 0);
    assertEquals((await home.layerd(["stop"])).code, 0);
    const { code, stdout, stderr } = await events;
    assertEquals(code, 0, stderr);
    const types = stdout.trimEnd().split("\n").map((line) => JSON.parse(line).type);
    assert(types.includes("transaction.committed"), types.join(" "));
  });
});
