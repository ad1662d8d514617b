/**
 * Chooses the size of each `packed-refs` that we write, so that a long-lived git process
 * notices every one of them (GIT-SAFETY 2.8). Such a process re-reads the file only when
 * inode, size, or the whole second of mtime or ctime differ, and the file system hands the
 * two inodes of alternating files out in turn: same second and same size go unseen.
 *
 * S1. A file's size modulo 1,024 is one more than that of the file it replaces.
 * S2. It is none that this process published, or saw in place, within the last two
 *     seconds; where one more is taken, the next free one is used. Where all 1,024 are
 *     taken, the oldest is waited for.
 * S3. The first file of this process is not written in the second in which the file to be
 *     replaced was: its predecessors of that second were not seen (another process of ours
 *     may have written them), so their sizes cannot be avoided. They all are at least as old
 *     as the file in place, and packed-refs.lock keeps further ones away, so one second is
 *     enough. This is the sound form of "in the first two seconds after a start the second is
 *     waited out": a start long after the last publication waits for nothing.
 * S4. The kernel stamps files with the time of its last tick, up to 10 ms ago; hence a
 *     second counts as begun 20 ms late.
 *
 * Limit: a file that native git wrote *and* replaced between two of our looks, within one
 * second, is not known. A reader that loaded exactly that one, while ours gets its inode and
 * its exact size, is not told. Waiting for every foreign second would hold packed-refs.lock
 * for up to a second beside each native deletion and starve native git instead.
 */
import type { Clock } from "../system/clock.ts";
import type { FileInfo } from "../system/file_system.ts";

const MODULUS = 1024;
const REMEMBERED_MS = 2_000;
const TICK_MS = 20;

export class SizePad {
  readonly #clock: Clock;
  /** Monotonic time at which a size modulo 1,024 was last used. */
  readonly #usedAt = new Map<number, number>();
  #first = true;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** A file of this size is in place, whoever wrote it. */
  note(size: number): void {
    this.#usedAt.set(size % MODULUS, this.#clock.monotonic());
  }

  /**
   * Answers the pad for the file that replaces `replaced`: a function from its size without
   * pad to the spaces to add. Requires packed-refs.lock, up to the rename.
   */
  async next(replaced: FileInfo | null): Promise<(size: number) => number> {
    if (this.#first && replaced !== null) await this.#waitSecondOut(replaced.modifiedMs);
    this.#first = false;
    const residue = await this.#free((replaced?.size ?? 0) + 1);
    this.note(residue);
    return (size) => (residue + MODULUS - size % MODULUS) % MODULUS;
  }

  async #waitSecondOut(modifiedMs: number): Promise<void> {
    const now = this.#clock.now();
    if (secondOf(modifiedMs) < secondOf(now - TICK_MS)) return;
    // A time in the future is a skewed clock's; no file written from now on shares the
    // second that is passing here.
    const passing = Math.min(secondOf(modifiedMs), secondOf(now));
    await this.#clock.sleep((passing + 1) * 1000 + TICK_MS - now);
  }

  async #free(wanted: number): Promise<number> {
    for (;;) {
      const now = this.#clock.monotonic();
      for (let step = 0; step < MODULUS; step++) {
        const residue = (wanted + step) % MODULUS;
        const usedAt = this.#usedAt.get(residue);
        if (usedAt === undefined || now - usedAt > REMEMBERED_MS) return residue;
      }
      await this.#clock.sleep(Math.min(...this.#usedAt.values()) + REMEMBERED_MS + 1 - now);
    }
  }
}

function secondOf(ms: number): number {
  return Math.floor(ms / 1000);
}
