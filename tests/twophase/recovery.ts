/**
 * What a look at participants finds that the log does not say, and the other way round; what
 * an operator did behind the coordinator's back. The engine runs in this process, over a real
 * PostgreSQL, with a clock that looks when the test says so.
 */
import { assertEquals, assertStringIncludes } from "@std/assert";
import { branchKey, branchPrefix } from "../../src/core/branch.ts";
import {
  parseLogId,
  parseParticipantName,
  parseTransactionId,
  type TransactionId,
} from "../../src/core/ids.ts";
import { ORPHAN_SCAN_MS } from "../../src/core/limits.ts";
import type { Operation } from "../../src/core/operations.ts";
import { healthDocument } from "../../src/http/health.ts";
import type { Timer } from "../../src/system/clock.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import type { PostgresServer } from "../participants/postgres.ts";
import { create, type EngineScene, put, withEngine } from "../transactions/engine_scene.ts";

const pg = parseParticipantName("pg");

/** Looks at participants when the test says so. */
class LookingClock extends DenoClock {
  /** The next look, and the leases that are as long. */
  readonly #due = new Set<() => void>();
  #next: PromiseWithResolvers<void> = Promise.withResolvers();

  override after(delayMs: number, callback: () => void): Timer {
    if (delayMs !== ORPHAN_SCAN_MS) return super.after(delayMs, callback);
    this.#due.add(callback);
    this.#next.resolve();
    return { cancel: () => this.#due.delete(callback) };
  }

  /** One look, done. Not beside an open transaction with a lease of the same length. */
  async look(): Promise<void> {
    await this.#next.promise;
    this.#next = Promise.withResolvers();
    const due = [...this.#due];
    this.#due.clear();
    for (const callback of due) callback();
    await this.#next.promise;
  }
}

/** Runs a test over an engine with PostgreSQL as its participant `pg`. */
export async function withPostgres(
  server: PostgresServer,
  test: (scene: EngineScene, clock: LookingClock) => Promise<void>,
): Promise<void> {
  await server.psql("CREATE TABLE models (id text PRIMARY KEY)");
  try {
    await withEngine(async (scene) => {
      const clock = new LookingClock();
      scene.clock = clock;
      scene.allowed.push(`unix:${server.socketPath}`);
      await scene.restart();
      await scene.engine.twoPhase.registry.add({ name: pg, kind: "postgres", url: server.url() });
      await scene.run(create("a"));
      await test(scene, clock);
    });
  } finally {
    await server.clear();
  }
}

function insert(id: string): Operation {
  return {
    op: "sql",
    participant: pg,
    statements: [{ text: "INSERT INTO models VALUES ($1)", params: [id] }],
  };
}

const preparedKeys = async (server: PostgresServer) =>
  (await server.psql("SELECT gid FROM pg_prepared_xacts ORDER BY 1")).split("\n")
    .filter((key) => key !== "");

/** Only what is ours, nobody's, and seen twice is rolled back. */
export async function orphans(server: PostgresServer): Promise<void> {
  await withPostgres(server, async (scene, clock) => {
    const random = new DenoRandom();
    const stranger = parseLogId(random.ulid(Date.now()));
    const ulid = () => parseTransactionId(random.ulid(Date.now()));
    const ours = branchKey(scene.engine.log.logId, ulid(), pg, 1);
    const garbled = `${branchPrefix(scene.engine.log.logId)}no transaction`;
    const theirs = branchKey(stranger, ulid(), pg, 1);
    const promised = await scene.openTransaction({ operations: [put("a", "f", "1"), insert("p")] });
    await scene.manager.prepare(promised);
    for (const [row, key] of Object.entries({ garbled, ours, theirs })) {
      await server.psql(
        `BEGIN; INSERT INTO models VALUES ('${row}'); PREPARE TRANSACTION '${key}'`,
      );
    }
    await clock.look();
    const seen = await preparedKeys(server);
    assertEquals(seen.length, 4);
    await clock.look();
    assertEquals(await preparedKeys(server), seen.filter((key) => key !== ours));
    assertEquals((await scene.manager.commit(promised)).state, "committed");
    assertEquals(await server.psql("SELECT id FROM models"), "p");
  });
}

/** What a participant's operator ended by hand is told once, kept, and closed with a reason. */
export async function contradictions(server: PostgresServer): Promise<void> {
  await withPostgres(server, async (scene) => {
    const promise = async (id: string) => {
      const operations = [put("a", id, "1"), insert(id)];
      const transaction = await scene.openTransaction({ operations });
      await scene.manager.prepare(transaction);
      const [key = ""] = await preparedKeys(server);
      return { transaction, key };
    };
    const told = () => scene.engine.inDoubt.list().map((one) => [one.decision, one.last_error]);
    const health = async () => {
      const { engine } = scene;
      const served = { version: "0.0.0", uptimeMs: 0, phase: "serving" } as const;
      const { status, transactions } = await healthDocument({ engine, ...served });
      return [status, transactions.in_doubt, transactions.failed];
    };
    const partsOf = (id: TransactionId) => {
      const { results, participants } = scene.manager.get(id);
      return [
        results.map(({ layer }) => layer),
        participants.map(({ name, vote, outcome }) => [name, vote, outcome]),
      ];
    };
    const first = await promise("x");
    await server.psql(`ROLLBACK PREPARED '${first.key}'`);
    assertEquals((await scene.manager.commit(first.transaction)).state, "failed");
    const reason = "The branch is neither prepared nor committed: somebody rolled it back";
    assertEquals(told(), [["committed", reason]]);
    const parts = [["a"], [["pg", "prepared", "failed"]]];
    assertEquals(partsOf(first.transaction), parts);
    assertEquals(await health(), ["failing", 0, 1]);
    // Git kept its part, and the layer is nobody's any more.
    assertEquals(await scene.text("a", "x"), "1");
    await scene.run(put("a", "after", "1"));
    await scene.restart();
    assertEquals(told(), [["committed", reason]]);
    assertEquals(partsOf(first.transaction), parts);
    const { problem } = await scene.manager.get(first.transaction);
    assertStringIncludes(problem?.detail ?? "", "somebody rolled it back");
    const resolution = {
      participant: "pg",
      outcome: "rolled_back",
      reason: "seen by hand",
    } as const;
    await scene.engine.inDoubt.resolve(first.transaction, resolution);
    assertEquals(told(), []);
    assertEquals(await health(), ["ok", 0, 0], "what is resolved needs nobody's look");

    const second = await promise("y");
    await server.psql(`COMMIT PREPARED '${second.key}'`);
    assertEquals((await scene.manager.rollback(second.transaction)).state, "rolled_back");
    while (scene.engine.inDoubt.list()[0]?.last_error === null) await new DenoClock().sleep(10);
    assertEquals(told(), [["rolled_back", "The branch has committed"]]);
    assertEquals(await health(), ["degraded", 1, 0], "its transaction has ended, its branch not");
    await scene.restart();
    await scene.restart();
    assertEquals(told(), [["rolled_back", "The branch has committed"]]);
    await scene.engine.inDoubt.resolve(second.transaction, { ...resolution, outcome: "committed" });
    await scene.restart();
    assertEquals(told(), []);
    assertEquals(await health(), ["ok", 0, 0]);
  });
}
