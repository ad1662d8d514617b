/** Faults by chance, counted by kind. */
import type { SeededRandom } from "../harness/random.ts";
import type { SystemCall } from "./simulated_file_system.ts";
import type { Faults } from "./simulated_machine.ts";

/** What a call can fail with, apart from what it says itself. */
const CODES: Readonly<Record<string, readonly string[]>> = {
  create: ["EMFILE", "ENOSPC", "EIO"],
  open: ["EMFILE", "EIO"],
  read: ["EIO", "EMFILE"],
  pread: ["EIO"],
  mkdir: ["ENOSPC"],
  link: ["ENOSPC", "EIO"],
  rename: ["EIO", "ENOSPC"],
  unlink: ["EIO"],
  readdir: ["EMFILE"],
};

export class RandomFaults implements Faults {
  readonly #random: SeededRandom;
  readonly #counts: Map<string, number>;
  /** Of calls that fail. */
  rate: number;

  /** `counts` is added to. */
  constructor(random: SeededRandom, rate: number, counts: Map<string, number>) {
    this.#random = random;
    this.rate = rate;
    this.#counts = counts;
  }

  onCall(call: SystemCall): string | null {
    const codes = CODES[call.name];
    if (codes === undefined || !this.#random.chance(this.rate)) return null;
    return this.#count(call, this.#random.pick(codes));
  }

  onWrite(call: SystemCall, length: number) {
    if (!this.#random.chance(this.rate)) return null;
    const code = this.#random.pick(["ENOSPC", "EIO"]);
    this.#count({ ...call, name: "short write" }, code);
    return { count: this.#random.integer(0, Math.max(0, length - 1)), code };
  }

  onSync(call: SystemCall): string | null {
    return this.#random.chance(this.rate / 2) ? this.#count(call, "EIO") : null;
  }

  #count({ name }: SystemCall, code: string): string {
    const kind = `${code} on ${name}`;
    this.#counts.set(kind, (this.#counts.get(kind) ?? 0) + 1);
    return code;
  }
}
