import { parseParticipantName } from "../../src/core/ids.ts";
import { parsePostgresAddress } from "../../src/participants/addresses.ts";
import type { ParticipantWork } from "../../src/participants/participant.ts";
import { PostgresParticipant } from "../../src/participants/postgres_participant.ts";
import { setUpPostgres } from "../../src/participants/postgres_setup.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { conformance } from "./conformance.ts";
import { PostgresServer } from "./postgres.ts";

const sql = (text: string, ...params: string[]): ParticipantWork => ({
  kind: "postgres",
  statements: [{ text, params }],
});

conformance("PostgresParticipant", async () => {
  const server = await PostgresServer.make();
  await server.psql("CREATE TABLE places (name text PRIMARY KEY, value text)");
  const address = parsePostgresAddress(server.url());
  await setUpPostgres(address);
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
