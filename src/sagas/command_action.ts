/**
 * Steps that are programs: `PROGRAM ACTION`, the call as JSON on standard input, the output as
 * JSON on standard output. Exit code 0 is done; 75 (EX_TEMPFAIL), a signal and no end in time
 * are unknown; any other code is a refusal, with standard error as its reason.
 *
 * A program that is killed may leave children behind; it is asked again with the same key.
 */
import { messageOf } from "../core/errors.ts";
import { SAGA_DOCUMENT_BYTES_MAX } from "../core/limits.ts";
import type { Json } from "../core/structured_value.ts";
import type { Clock } from "../system/clock.ts";
import { type CallOutcome, type StepAction, type StepCall, unknownOutcome } from "./step_action.ts";

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
      bounded(child.stdout),
      bounded(child.stderr),
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
  if (stdout.trim() === "") return { kind: "done", output: null };
  try {
    const output: Json = JSON.parse(stdout);
    return { kind: "done", output };
  } catch (error) {
    return unknownOutcome(`The output is not JSON: ${messageOf(error)}`);
  }
}

/** All of a stream is read, so that its writer can end; null where it is too large to keep. */
async function bounded(stream: ReadableStream<Uint8Array>): Promise<string | null> {
  const decoder = new TextDecoder();
  let text = "";
  let size = 0;
  for await (const chunk of stream) {
    size += chunk.length;
    if (size <= SAGA_DOCUMENT_BYTES_MAX) text += decoder.decode(chunk, { stream: true });
  }
  return size > SAGA_DOCUMENT_BYTES_MAX ? null : text + decoder.decode();
}
