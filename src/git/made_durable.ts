import type { ObjectId } from "../core/ids.ts";

/** What a checkpoint made durable. */
export interface MadeDurable {
  /** Recorded objects that are durable now. */
  readonly objects: ReadonlySet<ObjectId>;
  /** Whether something that was placed is not among them: somebody removed its pack. */
  readonly isAnyMissing: boolean;
}
