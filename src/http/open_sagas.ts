/** The saga engine over this process's parts: store, transactions, permissions. */
import { join } from "@std/path";
import { requireReachable, stepActions } from "../sagas/actions.ts";
import { SagaEngine } from "../sagas/saga_engine.ts";
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
}

/** Opens the event store, and takes up the sagas that have not ended. */
export async function openSagas(parts: SagaParts): Promise<SagaEngine> {
  const { engine, clock, random, stateDirectory } = parts;
  const sagas = new SagaEngine({
    store: openSqliteSagaStore(join(stateDirectory, "sagas.sqlite"), clock),
    clock,
    random,
    events: engine.events,
    perform: stepActions({ clock, manager: () => engine.manager, decodeBegin }),
    requireReachable: (definition) => requireReachable(definition, { mayConnect, mayRun }),
  });
  await sagas.open();
  return sagas;
}

function mayConnect(host: string): boolean {
  return Deno.permissions.querySync({ name: "net", host }).state === "granted";
}

function mayRun(command: string): boolean {
  return Deno.permissions.querySync({ name: "run", command }).state === "granted";
}
