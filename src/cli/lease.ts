/** Keeps a transaction's lease alive beside long work. */
import { type LayerdClient, LayerdProblem } from "../client/client.ts";

/** Two lost answers in a row are survived. */
const LEASE_SHARE = 3;

export interface LeaseKeeper {
  /** Stops renewing; answers why the transaction is over, where the daemon said so. */
  stop(): Promise<LayerdProblem | null>;
}

/** Renews at a third of the lease's length, until stopped or refused. */
export function keepLease(client: LayerdClient, id: string, leaseMs: number): LeaseKeeper {
  let refused: LayerdProblem | null = null;
  let renewal: Promise<void> = Promise.resolve();
  const renew = async () => {
    try {
      await client.heartbeat(id);
    } catch (error) {
      // A daemon that does not answer now may do so in time; the lease decides.
      if (error instanceof LayerdProblem && !error.retryable) {
        refused = error;
        clearInterval(timer);
      }
    }
  };
  const timer = setInterval(() => renewal = renew(), Math.max(20, leaseMs / LEASE_SHARE));
  return {
    stop: async () => {
      clearInterval(timer);
      await renewal;
      return refused;
    },
  };
}
