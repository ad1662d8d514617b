/** Knows the last durable checkpoint and how many bytes of log would be redone from it. */
import type { Lsn } from "../core/ids.ts";

export interface Checkpoint {
  /** Of the checkpoint record itself. */
  readonly lsn: Lsn;
  readonly redoLsn: Lsn;
}

export class CheckpointMeter {
  #checkpoint: Checkpoint | null;
  /** Bytes made durable, counted from the redo position that opening found. */
  #bytes: number;
  #bytesAtRedo = 0;
  /** Bytes after each force that a later redo position may fall behind. */
  #marks: { readonly lsn: Lsn; readonly bytes: number }[] = [];

  constructor(checkpoint: Checkpoint | null, bytesFromRedo: number) {
    this.#checkpoint = checkpoint;
    this.#bytes = bytesFromRedo;
  }

  get checkpoint(): Checkpoint | null {
    return this.#checkpoint;
  }

  get bytesSinceCheckpoint(): number {
    return this.#bytes - this.#bytesAtRedo;
  }

  /** Notes a force of `bytes` up to `lsn`, with the last checkpoint record in it, if any. */
  noteForce(lsn: Lsn, bytes: number, checkpoint: Checkpoint | null): void {
    this.#bytes += bytes;
    this.#marks.push({ lsn, bytes: this.#bytes });
    if (checkpoint === null) return;
    const { redoLsn } = checkpoint;
    this.#checkpoint = checkpoint;
    this.#bytesAtRedo = this.#marks.findLast((mark) => mark.lsn < redoLsn)?.bytes ??
      this.#bytesAtRedo;
    this.#marks = this.#marks.filter((mark) => mark.lsn >= redoLsn);
  }
}
