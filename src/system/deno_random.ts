import { ulid } from "@std/ulid";
import type { Random } from "./random.ts";

/** Crockford's base 32, the alphabet of ULIDs; its order is also the order of its bytes. */
const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/** Characters of a ULID that hold the time. */
const TIME_LENGTH = 10;
/** Characters of a ULID that are random, five bits each. */
const RANDOM_LENGTH = 16;
/** `crypto.getRandomValues` refuses more at once. */
const RANDOM_BYTES_MAX = 65_536;

/** Randomness of the platform's cryptographic generator. */
export class DenoRandom implements Random {
  #lastMs = -1;
  #last = "";

  bytes(length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let offset = 0; offset < length; offset += RANDOM_BYTES_MAX) {
      crypto.getRandomValues(bytes.subarray(offset, offset + RANDOM_BYTES_MAX));
    }
    return bytes;
  }

  uniform(): number {
    const words = crypto.getRandomValues(new Uint32Array(2));
    const high = (words[0] ?? 0) >>> 5;
    const low = (words[1] ?? 0) >>> 6;
    // 53 random bits, as many as a double in [0, 1) can tell apart.
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /**
   * Every id is greater than the one before, also when two share a millisecond and when
   * the wall clock stepped back: then the previous id is counted up by one.
   */
  ulid(nowMs: number): string {
    this.#last = nowMs > this.#lastMs ? fresh(nowMs) : successor(this.#last);
    this.#lastMs = Math.max(nowMs, this.#lastMs);
    return this.#last;
  }
}

/** All random characters from one call: the package draws each by itself, 2 us a time. */
function fresh(nowMs: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(RANDOM_LENGTH));
  let drawn = 0;
  return ulid(nowMs, () => (bytes[drawn++] ?? 0) / 256);
}

/** The ULID that follows, by counting its random part up. */
function successor(id: string): string {
  let position = id.length - 1;
  while (position >= TIME_LENGTH && id[position] === "Z") position -= 1;
  if (position < TIME_LENGTH) throw new Error(`BUG: ULIDs of one millisecond ran out at ${id}`);
  const digit = ALPHABET.indexOf(id.charAt(position));
  const zeros = "0".repeat(id.length - 1 - position);
  return id.slice(0, position) + ALPHABET.charAt(digit + 1) + zeros;
}
