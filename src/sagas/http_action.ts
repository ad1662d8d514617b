/**
 * Steps that are HTTP services: `POST {base_url}/{action}`.
 *
 * 2xx is done; 4xx but 408, 425 and 429 a refusal; all else, no answer in time and an answer
 * that cannot be read are unknown. A redirect is not followed: it would carry the key elsewhere.
 */
import { messageOf } from "../core/errors.ts";
import { SAGA_DOCUMENT_BYTES_MAX } from "../core/limits.ts";
import type { Clock } from "../system/clock.ts";
import {
  type CallOutcome,
  outcomeOfText,
  type StepAction,
  type StepCall,
  unknownOutcome,
} from "./step_action.ts";

const NOT_FINAL: ReadonlySet<number> = new Set([408, 425, 429]);
/** Of a refusal's body, in the saga's error. */
const ERROR_LENGTH_SHOWN = 500;

export function httpAction(clock: Clock): StepAction {
  return async (call, signal) => {
    if (call.service.kind !== "http") throw new Error("BUG: not an HTTP service");
    const late = new AbortController();
    const timer = clock.after(call.timeoutMs, () => late.abort());
    try {
      return await exchange(call.service.base_url, call, AbortSignal.any([signal, late.signal]));
    } catch (error) {
      if (late.signal.aborted) {
        return { kind: "unknown", error: `No answer in ${call.timeoutMs} ms`, timedOut: true };
      }
      return unknownOutcome(messageOf(error));
    } finally {
      timer.cancel();
    }
  };
}

/** Where an action is called. */
export function urlOf(baseUrl: string, action: string): string {
  return `${baseUrl.replace(/\/+$/, "")}/${action}`;
}

async function exchange(
  baseUrl: string,
  { action, body }: StepCall,
  signal: AbortSignal,
): Promise<CallOutcome> {
  const response = await fetch(urlOf(baseUrl, action), {
    method: "POST",
    headers: { "content-type": "application/json", "idempotency-key": body.idempotency_key },
    body: JSON.stringify(body),
    redirect: "manual",
    signal,
  });
  const text = await boundedText(response);
  const { status } = response;
  if (text === null) return unknownOutcome(`Answer ${status} is larger than the limit`);
  if (status >= 200 && status < 300) return outcomeOfText(text, "The answer");
  const error = `${status} ${text.slice(0, ERROR_LENGTH_SHOWN)}`.trim();
  return status >= 400 && status < 500 && !NOT_FINAL.has(status)
    ? { kind: "refused", error }
    : unknownOutcome(error);
}

/** The body, or null where it is larger than an output may be. */
async function boundedText(response: Response): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of response.body ?? []) {
    size += chunk.length;
    if (size > SAGA_DOCUMENT_BYTES_MAX) return null;
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
