/** The saga engine over this process's parts: store, transactions, permissions. */
import { join } from "@std/path";
import { LayerdError } from "../core/errors.ts";
import { parsePostgresAddress } from "../participants/addresses.ts";
import { requireReachable, stepActions } from "../sagas/actions.ts";
import { SagaEngine } from "../sagas/saga_engine.ts";
import type { SagaStore } from "../sagas/saga_store.ts";
import { openSqliteSagaStore } from "../sagas/sqlite_saga_store.ts";
import type { Clock } from "../system/clock.ts";
import type { Random } from "../system/random.ts";
import type { Engine } from "../transactions/engine.ts";
import { decodeBegin } from "./transactions.ts";

export interface SagaParts {
  readonly engine: Engine;
  readonly clock: Clock;
  readonly random: Random;
  readonly stateDirectory: string;
  /** URL of a PostgreSQL that daemons share, or null: a file in the state directory. */
  readonly sharedStore: string | null;
}

/** Opens the event store, and takes up the sagas that have not ended. */
export async function openSagas(parts: SagaParts): Promise<SagaEngine> {
  const { engine, clock, random, stateDirectory, sharedStore } = parts;
  const sagas = new SagaEngine({
    store: sharedStore === null
      ? openSqliteSagaStore(join(stateDirectory, "sagas.sqlite"), clock)
      : await openShared(sharedStore, clock),
    clock,
    random,
    events: engine.events,
    perform: stepActions({ clock, manager: () => engine.manager, decodeBegin }),
    requireReachable: (definition) => requireReachable(definition, { mayConnect, mayRun }),
  });
  await sagas.open();
  return sagas;
}

/** The client library is loaded where it is needed. */
async function openShared(url: string, clock: Clock): Promise<SagaStore> {
  const { permission } = parsePostgresAddress(url);
  if (!mayConnect(permission)) {
    throw new LayerdError(
      "permission_denied",
      `The daemon may not reach the store of its sagas: add --allow-participant ${permission}`,
    );
  }
  const { openPostgresSagaStore } = await import("../sagas/postgres_saga_store.ts");
  return await openPostgresSagaStore(url, clock);
}

/** `HOST:PORT`, or `unix:PATH`. */
function mayConnect(host: string): boolean {
  return Deno.permissions.querySync({ name: "net", host }).state === "granted";
}

function mayRun(command: string): boolean {
  return Deno.permissions.querySync({ name: "run", command }).state === "granted";
}
