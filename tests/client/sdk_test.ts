/**
 * The SDK beside a real daemon. Deno runs this file as it is, Node 20 what `node_test.ts`
 * makes of it: the same lines in both.
 */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { DaemonUnreachable, isProblem } from "../../src/client/layerd.ts";
import { Proxy, SdkStage } from "./sdk_stage.ts";

interface File {
  readonly repository: string;
  readonly layer: string;
  readonly path: string;
}

const stage = new SdkStage();
before(() => stage.start());
after(() => stage.close());
let layers = 0;

/** A stream that says too little must not hang the run. */
function inTime(stop: AbortController): AbortSignal {
  return AbortSignal.any([stop.signal, AbortSignal.timeout(20_000)]);
}

/** Declares a test with a layer of its own, whose `file` holds 0. */
function sdkTest(name: string, play: (file: File) => Promise<void>): void {
  test(name, async () => {
    const place = { repository: "app", layer: `layer-${++layers}` } as const;
    const file = { ...place, path: "counter.txt" } as const;
    await stage.layerd().apply({
      operations: [{ op: "create_layer", ...place }, { op: "put_file", ...file, content: "0" }],
    });
    await play(file);
  });
}

sdkTest("a transaction changes its type with its state", async (file) => {
  const layerd = stage.layerd();
  const open = await layerd.begin({ message: "by the SDK" });
  assert.equal(open.state, "active");
  const staged = await (await open.put(file, "1")).put(file, new Uint8Array([50]));
  assert.equal((await staged.file(file)).content, "2");
  const done = await staged.commit();
  assert.ok(done.state === "committed");
  assert.equal(done.document.message, "by the SDK");
  assert.equal((await layerd.client.file(file.repository, file.layer, file.path)).content, "2");
  assert.equal((await done.published(1_000)).state, "committed");
  const undone = await done.undo();
  assert.notEqual(undone.id, done.id);
  assert.equal((await layerd.client.file(file.repository, file.layer, file.path)).content, "0");
});

sdkTest("savepoints take operations back", async (file) => {
  const open = await stage.layerd().begin();
  await (await open.put(file, "1")).savepoint("one");
  await open.put(file, "2");
  const back = await open.rollbackTo("one");
  assert.equal((await back.file(file)).content, "1");
  assert.equal((await back.rollback()).state, "rolled_back");
});

sdkTest("await using rolls back what was left open, and nothing else", async (file) => {
  const layerd = stage.layerd();
  const ids: string[] = [];
  const boom = new Error("boom");
  await assert.rejects(async () => {
    await using open = await layerd.begin();
    ids.push(open.id);
    await open.put(file, "1");
    throw boom;
  }, boom);
  {
    await using open = await layerd.begin();
    ids.push(open.id);
    await open.put(file, "2");
    await open.commit();
  }
  {
    await using open = await layerd.begin();
    ids.push(open.id);
    await open.put(file, "3");
    await open.prepare();
  }
  {
    // Ended behind its back: nothing is open, and that is no error.
    await using open = await layerd.begin();
    ids.push(open.id);
    await layerd.client.rollback(open.id);
  }
  const states = await Promise.all(ids.map((id) => layerd.client.transaction(id)));
  assert.deepEqual(states.map((t) => t.state), [
    "rolled_back",
    "committed",
    "prepared",
    "rolled_back",
  ]);
  await layerd.client.rollback(ids[2] ?? "");
});

sdkTest(
  "transact() repeats what others got in the way of, until all have their turn",
  async (file) => {
    const layerd = stage.layerd();
    let calls = 0;
    const increment = () =>
      layerd.transact(async (open) => {
        calls++;
        const { content } = await open.file(file);
        await open.put(file, String(Number(content) + 1));
      }, { isolation: "optimistic", attempts: 50 });
    const outcomes = await Promise.all(Array.from({ length: 6 }, increment));
    assert.ok(outcomes.every(({ transaction }) => transaction.state === "committed"));
    assert.equal((await layerd.client.file(file.repository, file.layer, file.path)).content, "6");
    assert.ok(calls > 6, `${calls} calls: nobody got in anybody's way`);
  },
);

sdkTest("transact() gives up after its attempts, and leaves nothing open", async (file) => {
  const layerd = stage.layerd();
  await using other = await layerd.begin({
    locks: [{ repository: "app", layer: file.layer, mode: "exclusive" }],
  });
  let calls = 0;
  const refused = layerd.transact(async (open) => {
    calls++;
    await open.put(file, "1");
  }, { lock_timeout_ms: 10, attempts: 3 });
  await assert.rejects(refused, (error) => isProblem(error, "lock_timeout"));
  assert.equal(calls, 3);
  const { transactions } = await layerd.client.transactions({ state: "active" });
  assert.deepEqual(transactions.map((t) => t.id), [other.id]);
});

sdkTest("transact() throws what its function throws, once, and rolls back", async (file) => {
  const layerd = stage.layerd();
  const boom = new Error("boom");
  let calls = 0;
  const refused = layerd.transact(async (open) => {
    calls++;
    await open.put(file, "1");
    throw boom;
  });
  await assert.rejects(refused, boom);
  assert.equal(calls, 1);
  const stopped = layerd.transact(() => Promise.resolve(), { signal: AbortSignal.abort(boom) });
  await assert.rejects(stopped, boom);
  assert.deepEqual((await layerd.client.locks()).locks, []);
});

sdkTest("transact() asks for a commit whose answer was lost, and commits once", async (file) => {
  const proxy = new Proxy(stage.path("p.sock"), stage.socket);
  await proxy.listen();
  try {
    const layerd = stage.layerd(proxy.socketPath);
    let calls = 0;
    const { transaction } = await layerd.transact(async (open) => {
      calls++;
      await open.put(file, "1");
      proxy.swallowAnswerTo = "/commit";
    });
    assert.deepEqual([calls, transaction.state, proxy.swallowAnswerTo], [1, "committed", null]);
    assert.equal((await layerd.client.log(file.repository, file.layer)).length, 2);
  } finally {
    await proxy.close();
  }
});

sdkTest("events() goes on behind the last event when a connection breaks", async (file) => {
  const proxy = new Proxy(stage.path("p.sock"), stage.socket);
  await proxy.listen();
  const stop = new AbortController();
  try {
    const layerd = stage.layerd();
    const watcher = stage.layerd(proxy.socketPath);
    // Every event of the daemon's life, so that it does not matter when the stream opens.
    const seen: number[] = [];
    for await (const item of watcher.events({ after: "1-0", signal: inTime(stop) })) {
      assert.equal(item.kind, "event");
      if (item.type !== "layer.changed" || item.data.layer !== file.layer) continue;
      const count = seen.push(seen.length);
      if (count === 5) stop.abort();
      else {
        if (count % 2 === 0) proxy.cut();
        await layerd.apply({ operations: [{ op: "put_file", ...file, content: String(count) }] });
      }
    }
    assert.equal(seen.length, 5);
  } finally {
    await proxy.close();
  }
});

sdkTest("events() says where events were missed, over a killed daemon", async (file) => {
  const stop = new AbortController();
  const layerd = stage.layerd();
  const seen: string[] = [];
  let last: string | undefined;
  for await (const item of layerd.events({ after: "1-0", signal: inTime(stop) })) {
    if (item.kind === "gap") {
      seen.push("gap");
      assert.equal(item.after, last);
      await layerd.apply({ operations: [{ op: "put_file", ...file, content: "1" }] });
      stop.abort();
      continue;
    }
    last = item.id;
    if (item.type !== "layer.changed" || item.data.layer !== file.layer) continue;
    seen.push(item.type);
    await stage.kill();
    await stage.start();
  }
  assert.deepEqual(seen, ["layer.changed", "gap"]);
});

test("a client without a daemon says where it looked", async () => {
  const nowhere = stage.path("nobody.sock");
  await assert.rejects(
    stage.layerd(nowhere).begin(),
    (error) => error instanceof DaemonUnreachable && error.socketPath === nowhere,
  );
});
