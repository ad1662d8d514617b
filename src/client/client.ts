/**
 * Typed client of the layerd daemon, for Deno and Node: one method a route of the wire
 * contract (sections 3 and 4). It holds no state but its connections, repeats nothing, and
 * rejects only with {@link LayerdProblem}, {@link DaemonUnreachable} or {@link ConnectionLost}.
 */
import type {
  BeginBody,
  ChangeDocument,
  CommitDocument,
  EventDocument,
  FileDocument,
  FindingDocument,
  HealthDocument,
  LayerDocument,
  LocksDocument,
  OperationBody,
  Page,
  ReadPoint,
  RepositoryDocument,
  TransactionDocument,
  TransactionState,
  TreeDocument,
  UndoBody,
} from "./documents.ts";
import { Exchange, keyHeader } from "./exchange.ts";
import { ViewCalls } from "./views.ts";
import { query, repositoryPath, transactionPath } from "./paths.ts";
import { ReplicaClient } from "./replica_client.ts";
import { SagaClient } from "./saga_client.ts";
import { InDoubtClient, ParticipantClient } from "./two_phase_client.ts";
import type { PlanBody, PlanDocument } from "./two_phase_documents.ts";

export * from "./problem.ts";
export type * from "./documents.ts";
export type * from "./two_phase_documents.ts";
export type * from "./view_documents.ts";
export type { ViewOf } from "./views.ts";

export class LayerdClient {
  /** Sagas and their definitions. */
  readonly sagas: SagaClient;
  readonly replicas: ReplicaClient;
  readonly participants: ParticipantClient;
  readonly inDoubt: InDoubtClient;
  readonly #exchange: Exchange;
  /** Stacks and views. */
  readonly views: ViewCalls;

  constructor(options: { readonly socketPath: string }) {
    this.#exchange = new Exchange(options.socketPath);
    this.sagas = new SagaClient(this.#exchange);
    this.replicas = new ReplicaClient(this.#exchange);
    this.participants = new ParticipantClient(this.#exchange);
    this.inDoubt = new InDoubtClient(this.#exchange);
    this.views = new ViewCalls(this.#exchange);
  }

  /** Ends kept-alive connections, so that the process can end. */
  close(): void {
    this.#exchange.close();
  }

  // Repositories

  async addRepository(
    body: { readonly name: string; readonly path: string; readonly adopt?: boolean },
  ): Promise<RepositoryDocument> {
    return (await this.#post<{ repository: RepositoryDocument }>("/v1/repositories", body))
      .repository;
  }

  /** All repositories, or the one whose work tree or git directory holds `path`. */
  async repositories(filter: { readonly path?: string } = {}): Promise<RepositoryDocument[]> {
    return (await this.#get<{ repositories: RepositoryDocument[] }>(
      "/v1/repositories" + query({ path: filter.path }),
    )).repositories;
  }

  async repository(name: string): Promise<RepositoryDocument> {
    return (await this.#get<{ repository: RepositoryDocument }>(repositoryPath(name))).repository;
  }

  async removeRepository(
    name: string,
    options: { readonly abandon?: boolean } = {},
  ): Promise<void> {
    await this.#exchange.bytes({
      method: "DELETE",
      path: repositoryPath(name) + query({ abandon: options.abandon }),
    });
  }

  async layers(
    repository: string,
    page: Page & { readonly prefix?: string } = {},
  ): Promise<{ layers: LayerDocument[]; next_cursor: string | null }> {
    return await this.#get(repositoryPath(repository) + "/layers" + query({ ...page }));
  }

  async tree(repository: string, layer: string, point: ReadPoint = {}): Promise<TreeDocument> {
    return await this.#get(repositoryPath(repository) + "/tree" + query({ layer, ...point }));
  }

  async file(
    repository: string,
    layer: string,
    path: string,
    point: ReadPoint = {},
  ): Promise<FileDocument> {
    return await this.#get(repositoryPath(repository) + "/file" + query({ layer, path, ...point }));
  }

  /** The file's bytes themselves. */
  async fileBytes(
    repository: string,
    layer: string,
    path: string,
    point: ReadPoint = {},
  ): Promise<Uint8Array> {
    return await this.#exchange.bytes({
      method: "GET",
      path: repositoryPath(repository) + "/file" + query({ layer, path, ...point }),
      headers: { accept: "application/octet-stream" },
    });
  }

  async log(
    repository: string,
    layer: string,
    options: { readonly limit?: number } = {},
  ): Promise<CommitDocument[]> {
    return (await this.#get<{ commits: CommitDocument[] }>(
      repositoryPath(repository) + "/log" + query({ layer, ...options }),
    )).commits;
  }

  async locks(filter: { readonly repository?: string } = {}): Promise<LocksDocument> {
    return await this.#get("/v1/locks" + query({ ...filter }));
  }

  /** Opens a transaction, or with `commit: true` performs and commits it in the same call. */
  async begin(
    body: BeginBody = {},
    options: { readonly idempotencyKey?: string } = {},
  ): Promise<TransactionDocument> {
    return (await this.#post<{ transaction: TransactionDocument }>(
      "/v1/transactions",
      body,
      keyHeader(options.idempotencyKey),
    )).transaction;
  }

  async stage(id: string, operations: readonly OperationBody[]): Promise<TransactionDocument> {
    return await this.#act(id, "operations", { operations });
  }

  /** Uploads content that is too large for JSON; then `put_file` with its `oid`. */
  async putBlob(id: string, bytes: Uint8Array): Promise<{ oid: string; size: number }> {
    return await this.#exchange.json({
      method: "PUT",
      path: transactionPath(id) + "/blobs",
      bytes,
      headers: { "content-type": "application/octet-stream" },
    });
  }

  async prepare(id: string): Promise<TransactionDocument> {
    return await this.#act(id, "prepare", undefined);
  }

  /** State `committing` in the answer: decided for good, publication lags. */
  async commit(id: string): Promise<TransactionDocument> {
    return await this.#act(id, "commit", undefined);
  }

  async rollback(id: string): Promise<TransactionDocument> {
    return await this.#act(id, "rollback", undefined);
  }

  /**
   * Restores, in a new committed transaction, what a committed one changed; problem
   * `write_conflict` where any of it has changed since, and then nothing is undone.
   */
  async undo(
    id: string,
    body: UndoBody = {},
    options: { readonly idempotencyKey?: string } = {},
  ): Promise<TransactionDocument> {
    return (await this.#post<{ transaction: TransactionDocument }>(
      `${transactionPath(id)}/undo`,
      body,
      keyHeader(options.idempotencyKey),
    )).transaction;
  }

  async heartbeat(
    id: string,
    options: { readonly lease_ms?: number } = {},
  ): Promise<TransactionDocument> {
    return await this.#act(id, "heartbeat", options);
  }

  async savepoint(id: string, name: string): Promise<TransactionDocument> {
    return await this.#act(id, "savepoints", { name });
  }

  async rollbackTo(id: string, savepoint: string): Promise<TransactionDocument> {
    return await this.#act(id, `savepoints/${encodeURIComponent(savepoint)}/rollback`, undefined);
  }

  async transaction(id: string): Promise<TransactionDocument> {
    return (await this.#get<{ transaction: TransactionDocument }>(transactionPath(id))).transaction;
  }

  /** Answers when the state, or any terminal one, is reached; else problem `timeout`. */
  async waitFor(
    id: string,
    state: TransactionState | "terminal",
    timeoutMs: number,
  ): Promise<TransactionDocument> {
    return (await this.#get<{ transaction: TransactionDocument }>(
      transactionPath(id) + query({ wait_for: state, timeout_ms: timeoutMs }),
    )).transaction;
  }

  async transactions(
    filter: Page & {
      readonly state?: TransactionState;
      readonly repository?: string;
      readonly layer?: string;
      readonly tenant_id?: string;
    } = {},
  ): Promise<{ transactions: TransactionDocument[]; next_cursor: string | null }> {
    return await this.#get("/v1/transactions" + query({ ...filter }));
  }

  async diff(id: string): Promise<ChangeDocument[]> {
    return (await this.#get<{ changes: ChangeDocument[] }>(transactionPath(id) + "/diff")).changes;
  }

  async transactionHealth(
    id: string,
  ): Promise<{ health: RepositoryDocument["status"]; findings: FindingDocument[] }> {
    return await this.#get(transactionPath(id) + "/health");
  }

  /** Which pattern suits a piece of work, why, and what to beware of. */
  async plan(body: PlanBody): Promise<PlanDocument> {
    return await this.#post("/v1/plans", body);
  }

  // Daemon

  async health(): Promise<HealthDocument> {
    return await this.#get("/v1/health");
  }

  /** Rejects with problem `recovering` or `draining` while the daemon is not ready. */
  async ready(): Promise<void> {
    await this.#exchange.bytes({ method: "GET", path: "/v1/health/ready" });
  }

  async version(): Promise<{ version: string; api_version: number }> {
    return await this.#get("/v1/version");
  }

  async metrics(): Promise<string> {
    return await this.#exchange.text({ method: "GET", path: "/v1/metrics" });
  }

  async openapi(): Promise<Record<string, unknown>> {
    return await this.#get("/v1/openapi.json");
  }

  async wal(): Promise<Record<string, unknown>> {
    return await this.#get("/v1/wal");
  }

  async checkpoint(): Promise<Record<string, unknown>> {
    return await this.#post("/v1/wal/checkpoint", undefined);
  }

  /** Asks the daemon to drain and end; the answer comes before it has ended. */
  async shutdown(): Promise<void> {
    await this.#exchange.bytes({ method: "POST", path: "/v1/shutdown" });
  }

  /** Events from now on, or after a cursor; ends when the daemon ends the stream. */
  async *events(
    options: { readonly after?: string; readonly signal?: AbortSignal } = {},
  ): AsyncGenerator<EventDocument> {
    const lines = this.#exchange.lines({
      method: "GET",
      path: "/v1/events" + query({ after: options.after }),
      headers: { accept: "application/x-ndjson" },
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    for await (const line of lines) {
      if (line !== "") yield JSON.parse(line);
    }
  }

  async #act(id: string, verb: string, body: unknown): Promise<TransactionDocument> {
    return (await this.#post<{ transaction: TransactionDocument }>(
      `${transactionPath(id)}/${verb}`,
      body,
    )).transaction;
  }

  #get<T>(path: string): Promise<T> {
    return this.#exchange.json<T>({ method: "GET", path });
  }

  #post<T>(path: string, body: unknown, headers: Record<string, string> = {}): Promise<T> {
    return this.#exchange.json<T>({ method: "POST", path, json: body, headers });
  }
}
