/**
 * Calls on participants and on what is in doubt with them: `client.participants` and
 * `client.inDoubt`. Rejections are as everywhere in the client.
 */
import type { Exchange } from "./exchange.ts";
import type {
  InDoubtDocument,
  InDoubtExplanation,
  ParticipantBody,
  ParticipantDocument,
  ResolveBody,
} from "./two_phase_documents.ts";

export class ParticipantClient {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  /** Registers; under a name that is in use the address is replaced (a new password, say). */
  async add(json: ParticipantBody): Promise<ParticipantDocument> {
    return (await this.#exchange.json<{ participant: ParticipantDocument }>({
      method: "POST",
      path: "/v1/participants",
      json,
    })).participant;
  }

  async list(): Promise<ParticipantDocument[]> {
    return (await this.#exchange.json<{ participants: ParticipantDocument[] }>({
      method: "GET",
      path: "/v1/participants",
    })).participants;
  }

  async get(name: string): Promise<ParticipantDocument> {
    return (await this.#exchange.json<{ participant: ParticipantDocument }>({
      method: "GET",
      path: participantPath(name),
    })).participant;
  }

  /** Problem `repository_busy` while transactions wait for it. */
  async remove(name: string): Promise<void> {
    await this.#exchange.bytes({ method: "DELETE", path: participantPath(name) });
  }
}

export class InDoubtClient {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  async list(): Promise<InDoubtDocument[]> {
    return (await this.#exchange.json<{ in_doubt: InDoubtDocument[] }>({
      method: "GET",
      path: "/v1/in-doubt",
    })).in_doubt;
  }

  /** Asks each participant what it says now: as long as that takes, some seconds at most. */
  async explain(transactionId: string): Promise<InDoubtExplanation> {
    return await this.#exchange.json({ method: "GET", path: inDoubtPath(transactionId) });
  }

  /** An operator's word on how it ended; answers what is in doubt after it. */
  async resolve(transactionId: string, json: ResolveBody): Promise<InDoubtDocument[]> {
    return (await this.#exchange.json<{ in_doubt: InDoubtDocument[] }>({
      method: "POST",
      path: `${inDoubtPath(transactionId)}/resolve`,
      json,
    })).in_doubt;
  }
}

function participantPath(name: string): string {
  return `/v1/participants/${encodeURIComponent(name)}`;
}

function inDoubtPath(transactionId: string): string {
  return `/v1/in-doubt/${encodeURIComponent(transactionId)}`;
}
