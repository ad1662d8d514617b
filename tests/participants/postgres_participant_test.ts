import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseParticipantName } from "../../src/core/ids.ts";
import { parsePostgresAddress } from "../../src/participants/addresses.ts";
import type { ParticipantWork } from "../../src/participants/participant.ts";
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
