/**
 * Cursors of paginated lists: opaque to clients. They carry what they were made for, so
 * that a cursor of another list is refused instead of starting somewhere.
 */
import type { z } from "zod";
import { LayerdError } from "../core/errors.ts";
import { parsedString } from "./names.ts";

export type CursorKind = "transactions" | "layers" | "sagas";

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** The cursor behind the last entry of a page. */
export function encodeCursor(kind: CursorKind, last: string): string {
  return encoder.encode(`${kind}:${last}`).toBase64({ alphabet: "base64url", omitPadding: true });
}

/** Schema of a cursor; its output is the last entry of the page before. */
export function cursorOf<T>(
  kind: CursorKind,
  parse: (last: string) => T,
): z.ZodType<T, string> {
  return parsedString((text) => {
    const last = decodeCursor(text);
    if (last === null || !last.startsWith(`${kind}:`)) {
      throw new LayerdError("invalid_request", `Not a cursor of a list of ${kind}`);
    }
    return parse(last.slice(kind.length + 1));
  }, { description: "`next_cursor` of the page before" });
}

function decodeCursor(text: string): string | null {
  try {
    const bytes = Uint8Array.fromBase64(text, { alphabet: "base64url" });
    return decoder.decode(bytes);
  } catch {
    // Whatever is wrong with it, it is not one that encodeCursor() made.
    return null;
  }
}
