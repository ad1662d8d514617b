/**
 * Whether the client of a request is still there.
 *
 * Deno aborts `request.signal` when the connection dies, and without `no-legacy-abort` (see
 * deno.json) also when the answer was sent (`info.completed` resolves in both cases, so it
 * tells nothing). The order tells the two apart in either mode: before the answer exists,
 * only a dead connection aborts.
 */
import { LayerdError } from "../core/errors.ts";

/** Runs work with a signal that fires if, and only if, the client leaves before its end. */
export async function whileConnected<T>(
  request: Request,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const gone = new AbortController();
  const leave = () => gone.abort(new LayerdError("timeout", "The client went away"));
  if (request.signal.aborted) leave();
  else request.signal.addEventListener("abort", leave, { once: true });
  try {
    return await work(gone.signal);
  } finally {
    request.signal.removeEventListener("abort", leave);
  }
}
