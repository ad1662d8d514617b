/** The shared event store, and daemons that share it. */
import { assert, assertEquals } from "@std/assert";
import type { SagaDocument } from "../../src/core/saga_document.ts";
import { openPostgresSagaStore } from "../../src/sagas/postgres_saga_store.ts";
import type { SagaStore } from "../../src/sagas/saga_store.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { bodyOf } from "../harness/api.ts";
import { Daemon, homeIn } from "../harness/daemon.ts";
import { isolated } from "../harness/scene.ts";
import { PostgresServer } from "../participants/postgres.ts";
import { stepsOf } from "./engine_scene.ts";
import { ReferenceService } from "./service.ts";
import { testSagaStore } from "./store_conformance.ts";

const REST_MS_MAX = 30_000;
const clock = new DenoClock();
let server: PostgresServer;

Deno.test.beforeAll(async () => {
  server = await PostgresServer.make();
});
Deno.test.afterAll(async () => {
  await server.remove();
});

testSagaStore("PostgresSagaStore", async () => {
  await server.psql("DROP SCHEMA IF EXISTS layerd_sagas CASCADE");
  const stores: SagaStore[] = [];
  return {
    open: async () => {
      const store = await openPostgresSagaStore(server.url(), clock);
      stores.push(store);
      return store;
    },
    letDie: async (store) => {
      await server.psql(
        `UPDATE layerd_sagas.owners SET alive_until = now() WHERE token = ${store.fencingToken}`,
      );
    },
    [Symbol.asyncDispose]: async () => {
      for (const store of stores) await store.close();
    },
  };
});

interface SagaReply {
  readonly saga: SagaDocument;
}

/** Resolves once two daemons hold a lease. */
async function bothAlive(): Promise<void> {
  const until = performance.now() + REST_MS_MAX;
  const alive = "SELECT count(*) FROM layerd_sagas.owners WHERE alive_until > now()";
  while (await server.psql(alive) !== "2") {
    if (performance.now() > until) throw new Error("The first daemon took no lease again");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

isolated(
  "a saga begun on one daemon is finished by another, and the first goes on under a new token",
  async (scene) => {
    await server.psql("DROP SCHEMA IF EXISTS layerd_sagas CASCADE");
    await using service = new ReferenceService();
    const reached = Promise.withResolvers<void>();
    const work = Promise.withResolvers<void>();
    let calls = 0;
    service.misbehave = ({ action }) => {
      if (action !== "do_b" || ++calls > 1) return null;
      reached.resolve();
      return { kind: "late", until: work.promise };
    };
    const allow = [
      "--allow-participant",
      service.host,
      "--allow-participant",
      `unix:${server.socketPath}`,
      "--saga-store",
      server.url(),
    ];
    const first = await scene.start({ allow });
    const services = { service: { kind: "http", base_url: service.url } };
    bodyOf(
      await first.client.request("PUT", "/v1/saga-definitions/test", {
        services,
        steps: stepsOf(["a", "b", "c"], { timeout_ms: 60_000 }),
      }),
    );
    const start = await first.client.request("POST", "/v1/sagas", { definition: "test" });
    const { id } = bodyOf<SagaReply>(start, 201).saga;
    await reached.promise;
    // Stopped, not killed: it comes back, and believes that the saga is its own.
    first.signal("SIGSTOP");
    const second = await Daemon.start(await homeIn(scene.home.directory, "b"), { allow });
    try {
      const path = `/v1/sagas/${id}?wait_for=terminal&timeout_ms=30000`;
      const ended = bodyOf<SagaReply>(await second.client.request("GET", path)).saga;
      assertEquals(ended.state, "completed");
      work.resolve();
      first.signal("SIGCONT");
      while (!first.stderr.includes("was taken over")) {
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      const seen = bodyOf<SagaReply>(await first.client.request("GET", `/v1/sagas/${id}`)).saga;
      assertEquals(seen.steps, ended.steps);
      for (const step of ["a", "b", "c"]) assertEquals(service.count(`${id}-${step}`), 1);
      const tokens = service.received.map(({ action, body }) => [action, body["fencing_token"]]);
      assertEquals(tokens, [["do_a", 1], ["do_b", 1], ["do_b", 2], ["do_c", 2]]);
      // The service has seen a higher token than the one that lapsed.
      await bothAlive();
      const again = await first.client.request("POST", "/v1/sagas", { definition: "test" });
      const later = `/v1/sagas/${bodyOf<SagaReply>(again, 201).saga.id}`;
      const wait = "?wait_for=terminal&timeout_ms=30000";
      const done = bodyOf<SagaReply>(await first.client.request("GET", later + wait)).saga;
      assertEquals(done.state, "completed");
      const newest = service.received.slice(tokens.length)
        .map(({ body }) => Number(body["fencing_token"]));
      // On a machine so busy that its lease lapses once more, the token rises once more.
      assert(newest.length === 3 && newest.every((token) => token > 2), newest.join());
    } finally {
      await second.kill();
    }
  },
);
