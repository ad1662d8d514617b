/**
 * Resident memory of a daemon: idle with one repository, and with many open transactions,
 * each holding a lock and two staged operations. `scripts/memory` prints both.
 */
import { create, put } from "../harness/api.ts";
import { makeHome } from "../harness/daemon.ts";
import { Scene } from "../harness/scene.ts";

export const IDLE_MIB_MAX = 120;
export const OPEN_MIB_MAX = 500;
export const OPEN_TRANSACTIONS = 10_000;
const CONNECTIONS = 32;

export interface Footprint {
  readonly idleMiB: number;
  readonly openMiB: number;
  readonly openTransactions: number;
}

/** Starts a daemon, measures it idle, opens the transactions and measures it again. */
export async function measureMemory(openTransactions: number): Promise<Footprint> {
  const scene = new Scene(await makeHome());
  try {
    await scene.start();
    const { name } = await scene.repository();
    const idleMiB = await scene.daemon.residentMiB();
    let opened = 0;
    const open = async () => {
      while (opened < openTransactions) {
        const layer = `open/l${++opened}`;
        await scene.api.begin({
          lease_ms: 3_600_000,
          operations: [create(name, layer), put(name, layer, "file", `content of ${layer}`)],
        });
      }
    };
    await Promise.all(Array.from({ length: CONNECTIONS }, open));
    const health = await scene.api.get<{ transactions: { active: number } }>("/v1/health");
    if (health.transactions.active !== openTransactions) {
      throw new Error(`${health.transactions.active} transactions are open`);
    }
    return { idleMiB, openMiB: await scene.daemon.residentMiB(), openTransactions };
  } finally {
    await scene.close();
  }
}

/** The figures as a line, and whether they are within their limits. */
export function judge(footprint: Footprint): { readonly line: string; readonly within: boolean } {
  const { idleMiB, openMiB, openTransactions } = footprint;
  const line = `idle ${idleMiB.toFixed(0)} MiB (limit ${IDLE_MIB_MAX}), with ` +
    `${openTransactions} open transactions ${openMiB.toFixed(0)} MiB (limit ${OPEN_MIB_MAX})`;
  return { line, within: idleMiB < IDLE_MIB_MAX && openMiB < OPEN_MIB_MAX };
}

if (import.meta.main) {
  const { line, within } = judge(await measureMemory(OPEN_TRANSACTIONS));
  Deno.stdout.writeSync(new TextEncoder().encode(`memory: ${line}\n`));
  Deno.exit(within ? 0 : 1);
}
