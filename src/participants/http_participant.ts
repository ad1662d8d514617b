/**
 * A service that takes part over HTTP: `POST {base_url}/prepare|commit|abort` (API section
 * 5). Over TCP by `http:` and `https:`, over a Unix socket by `http+unix://`, whose host is
 * the socket's path, percent-encoded.
 *
 * H1. Redirects are not followed: another host than the one that was allowed is never called.
 * H2. An answer is read up to a limit and within the timeout, whatever the service sends.
 * H3. Each call has a connection of its own: a kept one that the service closes in the same
 *     moment would look like a service that died under a prepare.
 */
import { request as requestHttp } from "node:http";
import { request as requestHttps } from "node:https";
import { messageOf } from "../core/errors.ts";
import type { ParticipantName } from "../core/ids.ts";
import { PARTICIPANT_ANSWER_BYTES_MAX } from "../core/limits.ts";
import type { Json } from "../core/structured_value.ts";
import type { Clock } from "../system/clock.ts";
import { type HttpAddress, targetOf } from "./addresses.ts";
import type {
  Acknowledgement,
  BranchCall,
  BranchStatus,
  Participant,
  ParticipantWork,
  TellCall,
  Vote,
} from "./participant.ts";
import { shortened } from "./reasons.ts";

const CONFLICT = 409;

interface ServiceAnswer {
  readonly status: number;
  readonly body: string;
}

export class HttpParticipant implements Participant {
  readonly kind = "http";
  readonly name: ParticipantName;
  readonly #address: HttpAddress;
  readonly #timeoutMs: number;
  readonly #clock: Clock;

  /** `timeoutMs` bounds every call, beside what the call itself allows. */
  constructor(name: ParticipantName, address: HttpAddress, timeoutMs: number, clock: Clock) {
    this.name = name;
    this.#address = address;
    this.#timeoutMs = timeoutMs;
    this.#clock = clock;
  }

  async prepare(call: BranchCall, work: ParticipantWork): Promise<Vote> {
    if (work.kind !== "http") throw new Error(`BUG: ${work.kind} work for ${this.name}`);
    let answer: ServiceAnswer;
    try {
      answer = await this.#post("prepare", call, work.payload);
    } catch (error) {
      return { vote: "unknown", reason: shortened(messageOf(error)) };
    }
    if (answer.status !== 200) {
      return { vote: "unknown", reason: shortened(`Answered ${answer.status} to prepare`) };
    }
    return voteOf(answer.body);
  }

  commit(call: TellCall): Promise<Acknowledgement> {
    return this.#tell("commit", call);
  }

  abort(call: TellCall): Promise<Acknowledgement> {
    return this.#tell("abort", call);
  }

  /** The protocol has no question for it. */
  inquire(): Promise<BranchStatus> {
    return Promise.resolve(null);
  }

  prepared(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  forget(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #tell(verb: "commit" | "abort", call: TellCall): Promise<Acknowledgement> {
    try {
      const { status, body } = await this.#post(verb, call, call.payload);
      if (status >= 200 && status < 300) return { kind: "done" };
      if (status === CONFLICT) {
        return { kind: "contradicted", reason: shortened(`Answered 409 to ${verb}: ${body}`) };
      }
      return { kind: "again", reason: `Answered ${status} to ${verb}` };
    } catch (error) {
      return { kind: "again", reason: shortened(messageOf(error)) };
    }
  }

  #post(verb: string, call: BranchCall, payload: Json): Promise<ServiceAnswer> {
    const timeoutMs = Math.min(call.timeoutMs, this.#timeoutMs);
    const { context } = call;
    const body = JSON.stringify({
      transaction_id: context.transactionId,
      tenant_id: context.tenantId,
      operation_type: context.operationType,
      idempotency_key: call.key,
      fencing_token: context.fencingToken,
      timeout_ms: timeoutMs,
      payload,
    });
    return post(this.#address, verb, body, { clock: this.#clock, timeoutMs });
  }
}

function voteOf(body: string): Vote {
  let answer: unknown;
  try {
    answer = JSON.parse(body);
  } catch {
    return { vote: "unknown", reason: shortened(`Answered no JSON to prepare: ${body}`) };
  }
  const vote = fieldOf(answer, "vote");
  switch (vote) {
    case "prepared": {
      const locks = fieldOf(answer, "resource_locks");
      const resourceLocks = Array.isArray(locks)
        ? locks.filter((lock) => typeof lock === "string")
        : [];
      return { vote, resourceLocks };
    }
    case "read_only":
      return { vote };
    case "abort": {
      const reason = fieldOf(answer, "reason");
      return { vote, reason: typeof reason === "string" ? shortened(reason) : "Gave no reason" };
    }
    default:
      return { vote: "unknown", reason: shortened(`Answered no vote to prepare: ${body}`) };
  }
}

function fieldOf(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return Object.entries(value).find(([key]) => key === name)?.[1];
}

/** One exchange. Rejects where there is no complete answer in time. */
function post(
  address: HttpAddress,
  verb: string,
  body: string,
  { clock, timeoutMs }: { readonly clock: Clock; readonly timeoutMs: number },
): Promise<ServiceAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<ServiceAnswer>();
  const { options, secure } = targetOf(address, verb);
  const bytes = new TextEncoder().encode(body);
  const exchange = (secure ? requestHttps : requestHttp)({
    ...options,
    method: "POST",
    agent: false,
    headers: {
      ...options.headers,
      "content-type": "application/json",
      "content-length": String(bytes.length),
      "connection": "close",
    },
  }, (response) => {
    const parts: Uint8Array[] = [];
    let length = 0;
    response.on("data", (part: Uint8Array) => {
      length += part.length;
      parts.push(part);
      if (length <= PARTICIPANT_ANSWER_BYTES_MAX) return;
      exchange.destroy(new Error(`Answered more than ${PARTICIPANT_ANSWER_BYTES_MAX} bytes`));
    });
    response.on("error", reject);
    response.on("aborted", () => reject(new Error("The connection ended inside the answer")));
    response.on("end", () => {
      resolve({ status: response.statusCode ?? 0, body: textOf(parts) });
    });
  });
  exchange.on("error", reject);
  const timer = clock.after(timeoutMs, () => {
    reject(new Error(`Did not answer ${verb} within ${timeoutMs} ms`));
    exchange.destroy();
  });
  exchange.end(bytes);
  return promise.finally(() => timer.cancel());
}

function textOf(parts: readonly Uint8Array[]): string {
  const decoder = new TextDecoder();
  return parts.map((part) => decoder.decode(part, { stream: true })).join("") + decoder.decode();
}
