/** Why a participant refused: text from outside, on its way into answers and records. */
import { REASON_LENGTH_MAX } from "../core/limits.ts";

/** One line of bounded length. */
export function shortened(text: string): string {
  const line = text.replaceAll(/\s+/g, " ").trim();
  return line.length > REASON_LENGTH_MAX ? `${line.slice(0, REASON_LENGTH_MAX - 3)}...` : line;
}
