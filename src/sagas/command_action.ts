/**
 * Steps that are programs: `PROGRAM ACTION`, the call as JSON on standard input, the output as
 * JSON on standard output. Exit code 0 is done; 75 (EX_TEMPFAIL), a signal and no end in time
 * are unknown; any other code is a refusal, with standard error as its reason.
 *
 * A program that ends or is killed may leave children behind, which may hold its pipes open for
 * ever: they are read until the call's time is up, and no longer.
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

const EX_TEMPFAIL = 75;
const ERROR_LENGTH_SHOWN = 500;

export function commandAction(clock: Clock): StepAction {
  return async (call, signal) => {
    if (call.service.kind !== "command") throw new Error("BUG: not a command");
    const late = new AbortController();
    const timer = clock.after(call.timeoutMs, () => late.abort());
    try {
      const stop = AbortSignal.any([signal, late.signal]);
      const outcome = await run(call.service.program, call, stop);
      if (!late.signal.aborted) return outcome;
      return { kind: "unknown", error: `No end in ${call.timeoutMs} ms`, timedOut: true };
    } catch (error) {
      return unknownOutcome(messageOf(error));
    } finally {
      timer.cancel();
    }
  };
}

async function run(program: string, call: StepCall, signal: AbortSignal): Promise<CallOutcome> {
  const child = new Deno.Command(program, {
    args: [call.action],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const kill = () => {
    try {
      child.kill("SIGKILL");
    } catch (error) {
      // It has ended meanwhile.
      if (!(error instanceof TypeError)) throw error;
    }
  };
  signal.addEventListener("abort", kill, { once: true });
  if (signal.aborted) kill();
  try {
    const written = send(child.stdin, JSON.stringify(call.body));
    const [status, stdout, stderr] = await Promise.all([
      child.status,
      bounded(child.stdout, signal),
      bounded(child.stderr, signal),
      written,
    ]);
    return outcomeOf(status, stdout, stderr);
  } finally {
    signal.removeEventListener("abort", kill);
  }
}

async function send(stdin: WritableStream<Uint8Array>, text: string): Promise<void> {
  const writer = stdin.getWriter();
  try {
    await writer.write(new TextEncoder().encode(text));
    await writer.close();
  } catch (error) {
    // A program may end without reading all of it; its exit code says what that means.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}

function outcomeOf(
  status: Deno.CommandStatus,
  stdout: string | null,
  stderr: string | null,
): CallOutcome {
  const said = stderr?.trim().slice(0, ERROR_LENGTH_SHOWN) ?? "";
  if (status.signal !== null || status.code === EX_TEMPFAIL) {
    return unknownOutcome(`Ended with ${status.signal ?? status.code}: ${said}`);
  }
  if (status.code !== 0) return { kind: "refused", error: `Exit code ${status.code}: ${said}` };
  if (stdout === null) return unknownOutcome("The output is larger than the limit");
  return outcomeOfText(stdout, "The output");
}

/** All of a stream is read, so that its writer can end; null where it is too large to keep. */
async function bounded(
  stream: ReadableStream<Uint8Array>,
  signal: AbortSignal,
): Promise<string | null> {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  const giveUp = () => void reader.cancel();
  signal.addEventListener("abort", giveUp, { once: true });
  if (signal.aborted) giveUp();
  let text = "";
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      size += value.length;
      if (size <= SAGA_DOCUMENT_BYTES_MAX) text += decoder.decode(value, { stream: true });
    }
  } finally {
    signal.removeEventListener("abort", giveUp);
  }
  return size > SAGA_DOCUMENT_BYTES_MAX ? null : text + decoder.decode();
}
