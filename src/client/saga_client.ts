/** Calls on sagas: `client.sagas`. Rejections are as everywhere in the client. */
import { type Exchange, keyHeader } from "./exchange.ts";
import { query } from "./paths.ts";
import type {
  CompensationDocument,
  Json,
  SagaDefinitionBody,
  SagaDocument,
  SagaEventDocument,
  SagaFilter,
  SagaVerb,
  VersionedDefinition,
} from "./saga_documents.ts";

/** Read from a file: the daemon says whether it is a definition. */
export type UncheckedDefinition = Readonly<Record<string, Json>>;

export class SagaClient {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** A changed definition is a new version; sagas under way keep theirs. */
  async define(
    name: string,
    definition: SagaDefinitionBody | UncheckedDefinition,
  ): Promise<VersionedDefinition> {
    return (await this.#exchange.json<{ definition: VersionedDefinition }>({
      method: "PUT",
      path: definitionPath(name),
      json: definition,
    })).definition;
  }

  async definition(name: string): Promise<VersionedDefinition> {
    return (await this.#get<{ definition: VersionedDefinition }>(definitionPath(name))).definition;
  }

  async definitions(): Promise<VersionedDefinition[]> {
    return (await this.#get<{ definitions: VersionedDefinition[] }>("/v1/saga-definitions"))
      .definitions;
  }

  /** With a key: exactly one saga, however often it is asked for. */
  async start(
    body: {
      readonly definition: string;
      readonly input?: Json;
      readonly tenant_id?: string;
    },
    options: { readonly idempotencyKey?: string } = {},
  ): Promise<SagaDocument> {
    return (await this.#exchange.json<{ saga: SagaDocument }>({
      method: "POST",
      path: "/v1/sagas",
      json: body,
      headers: keyHeader(options.idempotencyKey),
    })).saga;
  }

  async get(id: string): Promise<SagaDocument> {
    return (await this.#get<{ saga: SagaDocument }>(sagaPath(id))).saga;
  }

  /** Answers when the saga has ended; else problem `timeout`. */
  async waitForEnd(id: string, timeoutMs: number): Promise<SagaDocument> {
    const search = query({ wait_for: "terminal", timeout_ms: timeoutMs });
    return (await this.#get<{ saga: SagaDocument }>(sagaPath(id) + search)).saga;
  }

  async list(
    filter: SagaFilter = {},
  ): Promise<{ sagas: SagaDocument[]; next_cursor: string | null }> {
    return await this.#get("/v1/sagas" + query({ ...filter }));
  }

  async events(id: string): Promise<SagaEventDocument[]> {
    return (await this.#get<{ events: SagaEventDocument[] }>(`${sagaPath(id)}/events`)).events;
  }

  /** What a compensation from here would call, in that order; nothing is done. */
  async compensationPlan(id: string): Promise<CompensationDocument[]> {
    return (await this.#get<{ compensation: CompensationDocument[] }>(
      `${sagaPath(id)}/compensation`,
    )).compensation;
  }

  /** An operator's word: `cancel`, `pause`, `resume`, `retry`, `skip` or `compensate`. */
  async tell(id: string, verb: SagaVerb, reason?: string): Promise<SagaDocument> {
    return (await this.#exchange.json<{ saga: SagaDocument }>({
      method: "POST",
      path: `${sagaPath(id)}/${verb}`,
      json: reason === undefined ? {} : { reason },
    })).saga;
  }

  #get<T>(path: string): Promise<T> {
    return this.#exchange.json<T>({ method: "GET", path });
  }
}

function definitionPath(name: string): string {
  return `/v1/saga-definitions/${encodeURIComponent(name)}`;
}

function sagaPath(id: string): string {
  return `/v1/sagas/${encodeURIComponent(id)}`;
}
