/**
 * A log that no checkpoint cut: commits through an engine that makes none, until so many records
 * are behind the last one, then death without a word. A process of its own, told by one argument
 * of JSON; the state directory is for a daemon to recover from.
 */
import { parseFilePath, parseLayerName, parseRepositoryName } from "../../src/core/ids.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import { openEngine } from "../../src/transactions/engine.ts";
import { Metrics } from "../../src/transactions/metrics.ts";
import { BEGIN } from "../../tests/sim/stage.ts";

interface Order {
  readonly stateDirectory: string;
  readonly repository: string;
  readonly records: number;
}

const LANES = 16;
const order: Order = JSON.parse(Deno.args[0] ?? "{}");
const engine = await openEngine({
  fileSystem: new DenoFileSystem(),
  clock: new DenoClock(),
  random: new DenoRandom(),
  metrics: new Metrics(),
  stateDirectory: order.stateDirectory,
  version: "0.0.0",
  pid: Deno.pid,
  onFatal: (error) => {
    throw error;
  },
  checkpointBytes: Number.MAX_SAFE_INTEGER,
});
const repository = parseRepositoryName("bench");
await engine.catalog.add({ name: repository, path: order.repository, adopt: false });
await Promise.all(Array.from({ length: LANES }, (_, lane) => fill(lane)));
Deno.kill(Deno.pid, "SIGKILL");

async function fill(lane: number): Promise<void> {
  const layer = parseLayerName(`lane-${lane}`);
  const path = parseFilePath("file.txt");
  const create = { op: "create_layer", repository, layer, from: null } as const;
  await engine.manager.begin({ ...BEGIN, operations: [create], commit: true });
  for (let number = 0; recordsBehind() < order.records; number++) {
    const content = {
      kind: "inline",
      bytes: new TextEncoder().encode(`${lane} ${number}`),
    } as const;
    const put = { op: "put_file", repository, layer, path, content, mode: "100644" } as const;
    await engine.manager.begin({ ...BEGIN, operations: [put], commit: true });
  }
}

function recordsBehind(): number {
  const { lastLsn, checkpointLsn } = engine.log.status();
  return lastLsn - checkpointLsn;
}
