/** What the orchestrator of a load and its client processes say to each other, a line of JSON each. */

/** A layer under load: repository and layer name. */
export type LoadedLayer = readonly [repository: string, layer: string];

/** Given to a client process as its only argument. */
export interface WorkerConfiguration {
  readonly socket: string;
  readonly seed: number;
  readonly layers: readonly LoadedLayer[];
  /** Whether this process may end itself in the middle of a transaction. */
  readonly vanishes: boolean;
}

export type Command =
  /** Make this many transactions, then be idle. */
  | { readonly kind: "go"; readonly transactions: number }
  /** Finish the transaction under way, then be idle. */
  | { readonly kind: "stop" }
  /** Send again what ended unanswered and has an idempotency key, then be idle. */
  | { readonly kind: "settle" };

/** What a transaction did to one layer. */
export interface Touched {
  readonly repository: string;
  readonly layer: string;
  /** Whether it appended its mark to the layer's list as well as counting. */
  readonly listed: boolean;
}

/** `unknown`: the connection ended under the commit. */
export type Outcome = "committed" | "rolled_back" | "unknown";

export type Report =
  | {
    readonly kind: "outcome";
    readonly id: string;
    readonly outcome: Outcome;
    readonly touched: readonly Touched[];
    /** The client left without a word: the transaction ends by its lease. */
    readonly vanished: boolean;
    /** Code of the problem that ended it, for the figures. */
    readonly code: string | null;
  }
  /** `remaining` transactions of the last `go` were not made. */
  | { readonly kind: "idle"; readonly remaining: number }
  /** The client saw something that must not be; the load fails. */
  | { readonly kind: "broken"; readonly detail: string };

/** Whether a transaction came to an end that its client chose; the others are repeated. */
export function cameToItsEnd(
  ended: { readonly outcome: Outcome; readonly vanished: boolean; readonly code: string | null },
): boolean {
  return ended.outcome !== "rolled_back" || ended.vanished || ended.code === "asked";
}

/** Exit code of a process that vanished on purpose. */
export const VANISHED_EXIT_CODE = 17;
