/**
 * Fencing tokens. They rise over the life of a log, whatever the clock does: a range is
 * reserved by a forced record before a token of it is handed out.
 */
import { type FencingToken, toFencingToken } from "../core/ids.ts";
import { FENCING_TOKENS_RESERVED } from "../core/limits.ts";
import type { WriteAheadLog } from "../wal/write_ahead_log.ts";

export class FencingTokens {
  readonly #log: WriteAheadLog;
  #last: number;
  #reserved: number;
  #reserving: Promise<void> | null = null;

  /** `upTo`: tokens up to this one may have been handed out before. */
  constructor(log: WriteAheadLog, upTo: number) {
    this.#log = log;
    this.#last = upTo;
    this.#reserved = upTo;
  }

  /** For a checkpoint: the end of the range that is reserved now. */
  get reserved(): number {
    return this.#reserved;
  }

  async next(): Promise<FencingToken> {
    while (this.#last >= this.#reserved) {
      this.#reserving ??= this.#reserve().finally(() => this.#reserving = null);
      await this.#reserving;
    }
    return toFencingToken(++this.#last);
  }

  async #reserve(): Promise<void> {
    const upTo = this.#reserved + FENCING_TOKENS_RESERVED;
    this.#log.append({ kind: "fencing_range", upTo });
    await this.#log.force();
    this.#reserved = upTo;
  }
}
