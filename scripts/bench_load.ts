/** The bench's load generator: SOCKET CLIENTS SECONDS; prints figures as JSON. */
// deno-lint-ignore-file no-console -- a script: its output is for bench.ts
import { LayerdClient } from "../src/client/client.ts";
import { measure } from "./bench_measure.ts";

const [socket = "", clients = "1", seconds = "1"] = Deno.args;
const repository = "bench";
const lanes: (() => Promise<void>)[] = [];
for (let lane = 0; lane < Number(clients); lane++) {
  const client = new LayerdClient({ socketPath: socket });
  const layer = `lane-${lane}`;
  await client.begin({ commit: true, operations: [{ op: "create_layer", repository, layer }] });
  let number = 0;
  lanes.push(async () => {
    const content = `lane ${lane} value ${number++}`;
    const put = { op: "put_file", repository, layer, path: "file.txt", content } as const;
    await client.begin({ commit: true, operations: [put] });
  });
}
console.log(JSON.stringify(await measure(Number(seconds), ...lanes)));
Deno.exit(0);
