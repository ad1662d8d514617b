/** The wire contract as tests speak it: calls that say what they expect, and fail readably. */
import { assertEquals } from "@std/assert";
import type { ErrorDetails } from "../../src/core/errors.ts";
import type { TransactionDocument } from "../../src/core/transaction_document.ts";
import type { LocksDocument } from "../../src/transactions/manager.ts";
import type { Reply, RequestOptions, SocketClient } from "./socket_client.ts";

/** A problem document (API section 2). */
export interface Problem extends ErrorDetails {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: string;
  readonly retryable: boolean;
  readonly request_id: string;
  readonly transaction?: TransactionDocument;
}

/** Any JSON object that stands in a request. */
export type Body = Readonly<Record<string, unknown>>;

/** The reply's body, once its status is what the test expects. */
export function bodyOf<T>(reply: Reply, status = 200): T {
  if (reply.status !== status) {
    throw new Error(
      `Expected status ${status}, got ${reply.status}: ${reply.text.slice(0, 2_000)}`,
    );
  }
  return reply.json as T;
}

/** The problem document, once status, code and form are what the contract says. */
export function problemOf(reply: Reply, status: number, code: string): Problem {
  const problem = bodyOf<Problem>(reply, status);
  assertEquals(
    { code: problem.code, type: problem.type, status: problem.status },
    { code, type: `urn:layerd:error:${code}`, status },
    `Expected ${code}, got: ${reply.text.slice(0, 2_000)}`,
  );
  assertEquals(
    reply.headers.get("content-type")?.split(";")[0],
    "application/problem+json",
  );
  return problem;
}

/** A file as `GET .../file` answers it. */
export interface FileReply {
  readonly path: string;
  readonly mode: string;
  readonly oid: string;
  readonly size: number;
  readonly content?: string;
  readonly content_base64?: string;
}

/** Calls on one daemon. Those named for a verb expect success; `try...` answer the reply. */
export class Api {
  constructor(readonly client: SocketClient) {}

  async get<T>(path: string): Promise<T> {
    return bodyOf<T>(await this.client.request("GET", path));
  }

  tryBegin(body: Body = {}, options: RequestOptions = {}): Promise<Reply> {
    return this.client.request("POST", "/v1/transactions", body, options);
  }

  async begin(body: Body = {}): Promise<TransactionDocument> {
    return transactionIn(await this.tryBegin(body), 201);
  }

  /** One-shot: begin, stage and commit in one call. */
  async apply(operations: readonly Body[], rest: Body = {}): Promise<TransactionDocument> {
    return transactionIn(await this.tryApply(operations, rest), 200);
  }

  tryApply(operations: readonly Body[], rest: Body = {}): Promise<Reply> {
    return this.tryBegin({ ...rest, operations, commit: true });
  }

  tryStage(id: string, operations: readonly Body[]): Promise<Reply> {
    return this.client.request("POST", `/v1/transactions/${id}/operations`, { operations });
  }

  async stage(id: string, ...operations: readonly Body[]): Promise<TransactionDocument> {
    return transactionIn(await this.tryStage(id, operations), 200);
  }

  /** `prepare`, `commit`, `rollback` or `heartbeat`. */
  tryVerb(id: string, verb: string, body?: Body): Promise<Reply> {
    return this.client.request("POST", `/v1/transactions/${id}/${verb}`, body);
  }

  async prepare(id: string): Promise<TransactionDocument> {
    return transactionIn(await this.tryVerb(id, "prepare"), 200);
  }

  async commit(id: string): Promise<TransactionDocument> {
    return transactionIn(await this.tryVerb(id, "commit"), 200);
  }

  async rollback(id: string): Promise<TransactionDocument> {
    return transactionIn(await this.tryVerb(id, "rollback"), 200);
  }

  async transaction(id: string, query = ""): Promise<TransactionDocument> {
    return transactionIn(await this.client.request("GET", `/v1/transactions/${id}${query}`), 200);
  }

  async savepoint(id: string, name: string): Promise<void> {
    bodyOf(await this.client.request("POST", `/v1/transactions/${id}/savepoints`, { name }), 201);
  }

  tryFile(repository: string, layer: string, path: string, rest: Body = {}): Promise<Reply> {
    const query = new URLSearchParams({ layer, path });
    for (const [name, value] of Object.entries(rest)) query.set(name, String(value));
    return this.client.request("GET", `/v1/repositories/${repository}/file?${query}`);
  }

  /** A file's text, or null where there is no such file or layer. */
  async read(
    repository: string,
    layer: string,
    path: string,
    transaction?: string,
  ): Promise<string | null> {
    const rest = transaction === undefined ? {} : { transaction };
    const reply = await this.tryFile(repository, layer, path, rest);
    if (reply.status === 404) return null;
    return bodyOf<FileReply>(reply).content ?? null;
  }

  async locks(repository?: string): Promise<LocksDocument> {
    const query = repository === undefined ? "" : `?repository=${repository}`;
    return await this.get<LocksDocument>(`/v1/locks${query}`);
  }

  /** Registers a repository; the reply as it came. */
  tryRegister(name: string, path: string, adopt?: boolean): Promise<Reply> {
    const body = adopt === undefined ? { name, path } : { name, path, adopt };
    return this.client.request("POST", "/v1/repositories", body);
  }
}

/** The transaction of a reply with this status. */
export function transactionIn(reply: Reply, status: number): TransactionDocument {
  return bodyOf<{ readonly transaction: TransactionDocument }>(reply, status).transaction;
}

/** `put_file` with text. */
export function put(repository: string, layer: string, path: string, content: string): Body {
  return { op: "put_file", repository, layer, path, content };
}

/** `create_layer`, empty or from somewhere. */
export function create(repository: string, layer: string, from?: string): Body {
  return from === undefined
    ? { op: "create_layer", repository, layer }
    : { op: "create_layer", repository, layer, from };
}

/** `delete_file`. */
export function remove(repository: string, layer: string, path: string): Body {
  return { op: "delete_file", repository, layer, path };
}

/** `update_ref`, unconditional. */
export function updateRef(repository: string, ref: string, target: string | null): Body {
  return { op: "update_ref", repository, ref, new: target };
}

/** `verify` of a layer. */
export function verify(repository: string, layer: string, commit: string | null): Body {
  return { op: "verify", repository, layer, commit };
}
