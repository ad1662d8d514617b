/** The engine over a file system of the test's, serving one repository `app`. */
import { parseRepositoryName } from "../../src/core/ids.ts";
import type { Operation } from "../../src/core/operations.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import type { FileSystem } from "../../src/system/file_system.ts";
import { openEngine } from "../../src/transactions/engine.ts";
import { Metrics } from "../../src/transactions/metrics.ts";
import { makeRepository } from "../harness/repositories.ts";

export interface RacedEngine extends AsyncDisposable {
  readonly path: string;
  /** A one-shot commit. */
  run(...operations: Operation[]): Promise<TransactionDocument>;
}

export async function engineOver(fileSystem: FileSystem): Promise<RacedEngine> {
  const directory = await Deno.realPath(await Deno.makeTempDir({ prefix: "layerd-raced-" }));
  const path = await makeRepository(`${directory}/app`);
  // Timers of the daemon's clock keep no process alive.
  const alive = setInterval(() => {}, 1_000);
  const engine = await openEngine({
    fileSystem,
    clock: new DenoClock(),
    random: new DenoRandom(),
    metrics: new Metrics(),
    stateDirectory: `${directory}/state`,
    version: "0.0.0",
    pid: Deno.pid,
    onFatal: (error) => {
      throw error;
    },
  });
  await engine.catalog.add({ name: parseRepositoryName("app"), path, adopt: false });
  return {
    path,
    run: (...operations) =>
      engine.manager.begin({
        message: null,
        author: null,
        isolation: "locking",
        locks: [],
        lockTimeoutMs: 5_000,
        leaseMs: 30_000,
        prepareTimeoutMs: 10_000,
        operationType: null,
        tenantId: null,
        labels: {},
        operations,
        commit: true,
        idempotency: null,
      }, undefined),
    async [Symbol.asyncDispose]() {
      await engine.close(0);
      clearInterval(alive);
      await Deno.remove(directory, { recursive: true });
    },
  };
}
