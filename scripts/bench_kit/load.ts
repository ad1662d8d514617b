/** The load generator, a process of its own: one argument of JSON, figures as JSON out. */
// deno-lint-ignore-file no-console -- a script: its output is for daemon.ts
import { LayerdClient } from "../../src/client/client.ts";
import { LayerdProblem } from "../../src/client/problem.ts";
import { measure } from "./figures.ts";

interface Order {
  readonly mode: string;
  readonly clients: number;
  readonly seconds: number;
  readonly repository: string;
  readonly socket: string;
  readonly layer?: string;
  readonly path?: string;
}

const order: Order = JSON.parse(Deno.args[0] ?? "{}");
const { repository } = order;
let refused = 0;

const lanes: (() => Promise<void>)[] = [];
for (let lane = 0; lane < order.clients; lane++) lanes.push(await laneOf(lane));
const figures = await measure(order.seconds, ...lanes);
console.log(JSON.stringify({ ...figures, refused }));
Deno.exit(0);

async function laneOf(lane: number): Promise<() => Promise<void>> {
  const client = new LayerdClient({ socketPath: order.socket });
  const layer = order.layer ?? `lane-${lane}`;
  if (order.layer === undefined) {
    await tolerating(
      "layer_exists",
      () => client.begin({ commit: true, operations: [{ op: "create_layer", repository, layer }] }),
    );
  }
  const path = order.path ?? "file.txt";
  let number = 0;
  const put = () => ({
    op: "put_file" as const,
    repository,
    layer,
    path,
    content: `lane ${lane} value ${number++} of ${order.seconds}`,
  });
  switch (order.mode) {
    case "one_shot":
      return async () => void await client.begin({ commit: true, operations: [put()] });
    case "staged":
      return async () => {
        const { id } = await client.begin();
        await client.stage(id, [put()]);
        await client.commit(id);
      };
    case "read":
      return async () => void await client.fileBytes(repository, layer, path);
    case "contention_locking":
    case "contention_optimistic": {
      const isolation = order.mode === "contention_locking" ? "locking" : "optimistic";
      return () => contended(client, isolation, put);
    }
    default:
      throw new Error(`No load is called ${order.mode}`);
  }
}

/** Reads the layer and writes it in one transaction, again until it commits. */
async function contended(
  client: LayerdClient,
  isolation: "locking" | "optimistic",
  put: () => {
    readonly op: "put_file";
    readonly repository: string;
    readonly layer: string;
    readonly path: string;
    readonly content: string;
  },
): Promise<void> {
  for (;;) {
    const operation = put();
    const mode = "exclusive" as const;
    const locks = isolation === "locking" ? [{ repository, layer: operation.layer, mode }] : [];
    const { id } = await client.begin({ isolation, locks, lock_timeout_ms: 60_000 });
    try {
      await client.file(repository, operation.layer, operation.path, { transaction: id });
      await client.stage(id, [operation]);
      await client.commit(id);
      return;
    } catch (error) {
      if (!(error instanceof LayerdProblem)) throw error;
      refused++;
    }
  }
}

async function tolerating(code: string, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof LayerdProblem) || error.code !== code) throw error;
  }
}
