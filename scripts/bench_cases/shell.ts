/**
 * What `scripts/layerd.sh` costs on top of curl: the same transactions (begin, upload, stage,
 * commit: four calls each) by the library and by curl alone with the bodies written out, in
 * one shell process a measurement, the sides in turn.
 */
import { BenchDaemon } from "../bench_kit/daemon.ts";
import { type Context, newRepository, run, scriptPath } from "../bench_kit/context.ts";
import { median, timed } from "../bench_kit/figures.ts";
import type { Section } from "../bench_kit/report.ts";

const CALLS = 4;
const OVERHEAD_MS_MAX = 30;

const BY_LIBRARY = `
  layerd_begin bench
  printf '%s\\n' "$n" | layerd_put bench base a.txt
  layerd_commit
`;

const BY_CURL = `
  call() { curl -sS --unix-socket "$LAYERD_SOCKET" "$@"; }
  at=http://layerd/v1/transactions
  answer=$(call "$at" -d '{"message":"bench"}' -H 'Content-Type: application/json')
  id=\${answer#*'"id":"'}
  at=$at/\${id%%'"'*}
  answer=$(printf '%s\\n' "$n" | call -X PUT "$at/blobs" --data-binary @- \
    -H 'Content-Type: application/octet-stream')
  oid=\${answer#*'"oid":"'}
  call "$at/operations" -H 'Content-Type: application/json' -d '{"operations":[{"op":"put_file",
    "repository":"bench","layer":"base","path":"a.txt","oid":"'"\${oid%%'"'*}"'"}]}' >/dev/null
  call -X POST "$at/commit" >/dev/null
`;

export async function shell(context: Context): Promise<Section[]> {
  const transactions = context.quick ? 10 : 40;
  const daemon = await BenchDaemon.start(context, { bench: await newRepository(context, "shell") });
  try {
    const layer = { op: "create_layer", repository: "bench", layer: "base" } as const;
    await daemon.client.begin({ commit: true, operations: [layer] });
    const side = async (body: string): Promise<number> => {
      const script = `set -eu\n. ${scriptPath("layerd.sh")}\nLAYERD_SOCKET=${daemon.socket}\n` +
        `n=0; while [ $n -lt ${transactions} ]; do n=$((n + 1))\n${body}\ndone`;
      return await timed(() => run("sh", ["-c", script])) / (transactions * CALLS);
    };
    const library: number[] = [];
    const curl: number[] = [];
    for (let round = 0; round < context.rounds; round++) {
      context.tell(`shell, round ${round + 1}`);
      curl.push(await side(BY_CURL));
      library.push(await side(BY_LIBRARY));
    }
    const commits = await daemon.client.log("bench", "base", { limit: 1_000 });
    if (commits.length !== 1 + 2 * context.rounds * transactions) {
      throw new Error(`${commits.length} commits: a side did not do its work`);
    }
    return [{
      title: "Shell wrapper",
      note: `${transactions} transactions of ${CALLS} calls a measurement; milliseconds a call.`,
      columns: ["ms a call"],
      rows: [
        { name: "curl alone", values: [median(curl)] },
        { name: "scripts/layerd.sh", values: [median(library)] },
      ],
      goals: [{
        text: "ms a call on top of curl",
        figure: median(library) - median(curl),
        atMost: OVERHEAD_MS_MAX,
      }],
    }];
  } finally {
    await daemon.stop();
  }
}
