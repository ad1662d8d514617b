/**
 * The trailer that ties a commit to its transaction: `Layerd-Transaction: <id>`, in the
 * message's last paragraph as `git interpret-trailers` understands it.
 */
import type { TransactionId } from "../core/ids.ts";

const TOKEN = "Layerd-Transaction";
const TRAILER = /^[A-Za-z0-9][A-Za-z0-9-]*[ \t]*:[ \t]*\S/;
const CONTINUATION = /^[ \t]+\S/;

/** The message with the trailer at its end, and a final newline. */
export function withTrailer(message: string, id: TransactionId): string {
  const body = message.trimEnd();
  const trailer = `${TOKEN}: ${id}\n`;
  if (body === "") return trailer;
  return endsInTrailers(body) ? `${body}\n${trailer}` : `${body}\n\n${trailer}`;
}

/** The transaction that a commit message names, or null. */
export function transactionOf(message: string): string | null {
  const last = message.trimEnd().split(/\n[ \t]*\n/).at(-1) ?? "";
  for (const line of last.split("\n").reverse()) {
    const found = /^Layerd-Transaction:[ \t]*([0-7][0-9A-HJKMNP-TV-Z]{25})[ \t]*$/.exec(line);
    if (found?.[1] !== undefined) return found[1];
  }
  return null;
}

/** Whether the last paragraph is a block of trailers; a subject line never is one. */
function endsInTrailers(body: string): boolean {
  const paragraphs = body.split(/\n[ \t]*\n/);
  const last = paragraphs.at(-1);
  if (paragraphs.length < 2 || last === undefined) return false;
  return last.split("\n").every((line, index) =>
    TRAILER.test(line) || (index > 0 && CONTINUATION.test(line))
  );
}
