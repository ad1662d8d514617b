/**
 * Whether the client of a request is still there.
 *
 * Deno 2.9 aborts `request.signal` when the connection dies and, by its legacy behaviour,
 * also when the answer was sent (`info.completed` resolves in both cases, also over a Unix
 * socket, so it tells nothing). What tells the two apart is the order: before the answer
 * exists, only a dead connection aborts.
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
