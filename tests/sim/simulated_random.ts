/** {@link Random} of the simulated machine: all of it from one seed. */
import type { SeededRandom } from "../harness/random.ts";
import type { Random } from "../../src/system/random.ts";

const ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const TIME_DIGITS = 10;
const COUNT_DIGITS = 6;
const RANDOM_DIGITS = 10;

export class SimulatedRandom implements Random {
  readonly #random: SeededRandom;
  #count = 0;
  #lastMs = 0;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.#random.integer(0, 255));
  }

  uniform(): number {
    return this.#random.uniform();
  }

  /** Rises with each call: time, a count, random digits. */
  ulid(nowMs: number): string {
    this.#count += 1;
    this.#lastMs = Math.max(this.#lastMs, nowMs);
    const tail = Array.from({ length: RANDOM_DIGITS }, () => this.#random.pick([...ALPHABET]));
    return digits(this.#lastMs, TIME_DIGITS) + digits(this.#count, COUNT_DIGITS) + tail.join("");
  }
}

function digits(value: number, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest = Math.floor(rest / 32)) {
    text = ALPHABET.charAt(rest % 32) + text;
  }
  return text;
}
