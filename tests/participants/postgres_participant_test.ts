import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import postgres from "postgres";
import { LayerdError } from "../../src/core/errors.ts";
import { parseParticipantName } from "../../src/core/ids.ts";
import { parsePostgresAddress } from "../../src/participants/addresses.ts";
import type { BranchCall, ParticipantWork } from "../../src/participants/participant.ts";
import { PostgresParticipant, sqlStateOf } from "../../src/participants/postgres_participant.ts";
import { setUpPostgres } from "../../src/participants/postgres_setup.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { conformance, newCall } from "./conformance.ts";
import { PostgresServer } from "./postgres.ts";
import { PostgresWire } from "../twophase/postgres_wire.ts";

const sql = (text: string, ...params: string[]): ParticipantWork => ({
  kind: "postgres",
  statements: [{ text, params }],
});

let server: PostgresServer;

conformance("PostgresParticipant", async () => {
  server = await PostgresServer.make();
  await server.psql("CREATE TABLE places (name text PRIMARY KEY, value text)");
  const address = parsePostgresAddress(server.url());
  await setUpPostgres(address, new DenoClock(), 10_000);
  let last = "";
  return {
    connect: () =>
      new PostgresParticipant(parseParticipantName("subject"), address, new DenoClock()),
    set: (place, value) => sql("INSERT INTO places VALUES ($1, $2)", last = place, value),
    look: () => sql("SELECT * FROM places"),
    refused: () => sql("INSERT INTO places VALUES ($1, 'other')", last),
    value: async (place) =>
      await server.psql(`SELECT value FROM places WHERE name = '${place}'`) || null,
    restart: async () => {
      await server.kill();
      await server.start();
    },
    freeze: () => server.freeze(),
    prepared: async () =>
      (await server.psql("SELECT gid FROM pg_prepared_xacts")).split("\n").filter((key) =>
        key !== ""
      ),
    close: () => server.remove(),
  };
});

/** Long enough that a busy machine says what comes before the silence. */
const PATIENCE_MS = 1_000;
const TOLD_MS_MAX = 10_000;
/** Room for what waits for the collector, of 50 MB that are answered. */
const KEPT_BYTES_MAX = 25_000_000;

Deno.test("sqlStateOf() takes a broken connection's code for none of the server's", () => {
  assertEquals(sqlStateOf(Object.assign(new Error("write EPIPE"), { code: "EPIPE" })), null);
});

const options = { sanitizeOps: false, sanitizeResources: false };

Deno.test(
  { name: "a PostgreSQL that greets and falls silent hangs nobody", ...options },
  async () => {
    const directory = await Deno.makeTempDir({ prefix: "layerd-wire-" });
    const wire = PostgresWire.listen(directory, server.socketPath);
    try {
      const silent = parsePostgresAddress(server.url(directory));
      const clock = new DenoClock();
      // The statement that opens a connection, the probe of a registration, a prepare.
      for (const subject of ["SELECT 1", "\n  SELECT pg_advisory"]) {
        wire.holds.arm(subject, "after");
        const error = await assertRejects(
          () => setUpPostgres(silent, clock, PATIENCE_MS),
          LayerdError,
        );
        assertStringIncludes(error.message, `did not answer within ${PATIENCE_MS} ms`);
      }
      const subject = new PostgresParticipant(parseParticipantName("subject"), silent, clock);
      const votes: Record<string, string> = {
        "SELECT 1": "abort",
        "BEGIN": "abort",
        "PREPARE TRANSACTION": "unknown",
        "DISCARD ALL": "prepared",
      };
      for (const text of Object.keys(votes)) {
        wire.holds.arm(text, "after");
        const call = { ...newCall(PATIENCE_MS) };
        const vote = await subject.prepare(call, sql("INSERT INTO places VALUES ($1, 'x')", text));
        assertEquals(vote.vote, votes[text], text);
        const told = { ...call, timeoutMs: 5_000, payload: null };
        assertEquals(await subject.abort(told), { kind: "done" });
      }
      assertEquals(await server.psql("SELECT gid FROM pg_prepared_xacts"), "");
      await subject.close();
    } finally {
      wire.close();
      await Deno.remove(directory, { recursive: true });
    }
  },
);

/** A participant of its own, closed after the test. */
async function withSubject(
  url: string,
  test: (subject: PostgresParticipant) => Promise<void>,
): Promise<void> {
  const name = parseParticipantName("subject");
  const subject = new PostgresParticipant(name, parsePostgresAddress(url), new DenoClock());
  try {
    await test(subject);
  } finally {
    await subject.close();
  }
}

Deno.test(
  { name: "idle connections make room for decisions at the server's limit", ...options },
  async () => {
    await server.psql(`
      CREATE ROLE narrow LOGIN CONNECTION LIMIT 3;
      GRANT USAGE ON SCHEMA layerd TO narrow;
      GRANT ALL ON layerd.branches, places TO narrow`);
    await withSubject(server.url().replace("layerd:", "narrow:"), async (subject) => {
      const calls = [newCall(), newCall(), newCall()];
      // At once, so that each has a connection of its own, which is idle afterwards.
      const votes = await Promise.all(
        calls.map((call, at) =>
          subject.prepare(call, sql("INSERT INTO places VALUES ($1, 'x')", `narrow-${at}`))
        ),
      );
      assertEquals(votes.map(({ vote }) => vote), ["prepared", "prepared", "prepared"]);
      const connections = "SELECT count(*) FROM pg_stat_activity WHERE usename = 'narrow'";
      assertEquals(await server.psql(connections), "3");
      for (const call of calls) await toldInTime(subject, call);
      const there = "SELECT count(*) FROM places WHERE name LIKE 'narrow-%'";
      assertEquals(await server.psql(there), "3");
    });
  },
);

/** Tells a commit as the coordinator does: again, until it is acknowledged. */
async function toldInTime(subject: PostgresParticipant, call: BranchCall): Promise<void> {
  const until = performance.now() + TOLD_MS_MAX;
  for (;;) {
    const told = await subject.commit({ ...call, payload: null });
    if (told.kind === "done") return;
    assert(performance.now() < until, JSON.stringify(told));
    await new Promise((again) => setTimeout(again, 20));
  }
}

Deno.test(
  { name: "a branch that only looks and notifies sends nothing when it leaves", ...options },
  async () => {
    const listening = postgres({ path: server.socketPath, user: "layerd", database: "postgres" });
    try {
      const heard: string[] = [];
      const last = Promise.withResolvers<void>();
      await listening.listen("told", (text) => {
        heard.push(text);
        if (text === "last") last.resolve();
      });
      await withSubject(server.url(), async (subject) => {
        const vote = await subject.prepare(newCall(), sql("NOTIFY told, 'aborted'"));
        assertEquals(vote, { vote: "read_only" });
      });
      // Notifications come in the order in which their transactions committed.
      await server.psql("NOTIFY told, 'last'");
      await last.promise;
      assertEquals(heard, ["last"]);
    } finally {
      await listening.end();
    }
  },
);

Deno.test(
  { name: "rows that a statement answers are kept nowhere, however many", ...options },
  () =>
    withSubject(server.url(), async (subject) => {
      // Of this thread alone: other files run beside it in the same process.
      const heapBytes = () => Deno.memoryUsage().heapUsed;
      const before = heapBytes();
      let peak = before;
      const looking = setInterval(() => {
        peak = Math.max(peak, heapBytes());
      }, 2);
      try {
        const answered = sql("SELECT repeat('x', 1000) FROM generate_series(1, 50000)");
        assertEquals(await subject.prepare(newCall(60_000), answered), { vote: "read_only" });
      } finally {
        clearInterval(looking);
      }
      assert(peak - before < KEPT_BYTES_MAX, `${peak - before} bytes were kept`);
    }),
);
