/** A transaction from begin to commit with nothing but curl, and git to look at it. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { git, tryGit } from "../harness/git.ts";
import {
  assertFsckClean,
  assertNothingLeftBehind,
  makeRepository,
  transactionsIn,
} from "../harness/repositories.ts";
import { scenario } from "../harness/scene.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";

/** Runs curl on the socket; status and body. */
async function curl(
  socket: string,
  path: string,
  ...args: string[]
): Promise<{ status: number; text: string }> {
  const output = await new Deno.Command("curl", {
    args: ["-s", "--unix-socket", socket, "-w", "\n%{http_code}", ...args, `http://layerd${path}`],
  }).output();
  const lines = new TextDecoder().decode(output.stdout).split("\n");
  const status = Number(lines.pop());
  return { status, text: lines.join("\n") };
}

function post(socket: string, path: string, body: unknown) {
  const type = "content-type: application/json";
  return curl(socket, path, "-X", "POST", "-H", type, "-d", JSON.stringify(body));
}

scenario("curl alone walks through begin, stage, read inside and commit", async (scene) => {
  const { socket } = scene.home;
  const path = await makeRepository(scene.path("app"));
  assertEquals((await post(socket, "/v1/repositories", { name: "app", path })).status, 201);

  const begun = await post(socket, "/v1/transactions", { message: "raise the timeout" });
  assertEquals(begun.status, 201);
  const { id }: TransactionDocument = JSON.parse(begun.text).transaction;
  assertMatch(id, /^[0-9A-HJKMNP-TV-Z]{26}$/);

  const staged = await post(socket, `/v1/transactions/${id}/operations`, {
    operations: [
      { op: "create_layer", repository: "app", layer: "team/base" },
      { op: "create_layer", repository: "app", layer: "user/ann" },
      {
        op: "put_file",
        repository: "app",
        layer: "team/base",
        path: "etc/timeout",
        content: "30\n",
      },
      { op: "put_file", repository: "app", layer: "user/ann", path: "timeout", content: "60\n" },
    ],
  });
  assertEquals(staged.status, 200, staged.text);
  assertEquals(JSON.parse(staged.text).transaction.operations, 4);

  const inside = `/v1/repositories/app/file?layer=team/base&path=etc/timeout`;
  const seen = await curl(socket, `${inside}&transaction=${id}`);
  assertEquals(JSON.parse(seen.text).content, "30\n");
  assertEquals((await curl(socket, inside)).status, 404);
  assertEquals(
    (await tryGit(path, ["rev-parse", "-q", "--verify", "refs/layers/team/base"])).code,
    1,
  );

  const committed = await curl(socket, `/v1/transactions/${id}/commit`, "-X", "POST");
  assertEquals(committed.status, 200, committed.text);
  const { state, results }: TransactionDocument = JSON.parse(committed.text).transaction;
  assertEquals(state, "committed");
  assertEquals(results.map(({ ref, old }) => ({ ref, old })), [
    { ref: "refs/layers/team/base", old: null },
    { ref: "refs/layers/user/ann", old: null },
  ]);

  for (const { ref, new: commit } of results) {
    assertEquals(await git(path, ["rev-parse", ref]), commit);
    assertEquals(await transactionsIn(path, ref), [id]);
    assertEquals(
      await git(path, ["log", "-1", "--format=%s|%cn", ref]),
      "raise the timeout|layerd",
    );
  }
  assertEquals(await git(path, ["show", "refs/layers/team/base:etc/timeout"]), "30");
  assertEquals((await curl(socket, inside)).status, 200);
  await assertFsckClean(path);
  await assertNothingLeftBehind(`${path}/.git`);
});

scenario("every answer carries a request id, the caller's where it sent one", async (scene) => {
  const { socket } = scene.home;
  const given = await curl(socket, "/v1/health", "-i", "-H", "X-Request-Id: abc-123");
  assertMatch(given.text, /x-request-id: abc-123/i);
  assertMatch((await curl(socket, "/v1/nope", "-i")).text, /x-request-id: \S+/i);
  const refused = JSON.parse((await curl(socket, "/v1/nope", "-H", "X-Request-Id: zzz")).text);
  assertEquals(refused.request_id, "zzz");
  assert(refused.detail.length > 0);
});
