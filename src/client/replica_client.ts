/** Calls on replicas: `client.replicas`. Rejections are as everywhere in the client. */
import type { Exchange } from "./exchange.ts";

/** A layer of a repository. */
export interface ReplicaPlace {
  readonly repository: string;
  readonly layer: string;
}

export interface ReplicaBody {
  readonly source: ReplicaPlace;
  readonly targets: readonly ReplicaPlace[];
  readonly reconciliation_interval_ms?: number;
  readonly conflict_resolution?: "last_write_wins" | "source_wins" | "manual";
}

export interface ReplicaDocument extends Required<ReplicaBody> {
  readonly name: string;
  readonly source_commit: string | null;
  readonly targets: readonly (ReplicaPlace & {
    readonly commit: string | null;
    readonly status: "in_sync" | "behind" | "conflict" | "failing";
    readonly lag_ms: number;
    readonly detail: string | null;
  })[];
  readonly lag_ms: number;
  readonly conflicts: number;
  readonly reconciled_at: string | null;
}

export class ReplicaClient {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  async put(name: string, json: ReplicaBody): Promise<ReplicaDocument> {
    return await this.#one({ method: "PUT", path: replicaPath(name), json });
  }

  async get(name: string): Promise<ReplicaDocument> {
    return await this.#one({ method: "GET", path: replicaPath(name) });
  }

  async list(): Promise<ReplicaDocument[]> {
    return (await this.#exchange.json<{ replicas: ReplicaDocument[] }>({
      method: "GET",
      path: "/v1/replicas",
    })).replicas;
  }

  /** Stops reconciling; the layers stay as they are. */
  async remove(name: string): Promise<void> {
    await this.#exchange.bytes({ method: "DELETE", path: replicaPath(name) });
  }

  /** Reconciles now; answers how the replica stands then. */
  async reconcile(name: string): Promise<ReplicaDocument> {
    return await this.#one({ method: "POST", path: `${replicaPath(name)}/reconcile` });
  }

  async #one(call: Parameters<Exchange["json"]>[0]): Promise<ReplicaDocument> {
    return (await this.#exchange.json<{ replica: ReplicaDocument }>(call)).replica;
  }
}

function replicaPath(name: string): string {
  return `/v1/replicas/${encodeURIComponent(name)}`;
}
