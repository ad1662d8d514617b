/** Ref edits as data: what a transaction's operations become before they are published. */
import type { ObjectId, RefName } from "./ids.ts";

/** One ref to move. `old` is the expected value under the locks; null stands for "absent". */
export interface RefEdit {
  readonly ref: RefName;
  readonly old: ObjectId | null;
  readonly new: ObjectId | null;
}

/** One ref that must hold a value at the commit point without being moved. */
export interface RefCheck {
  readonly ref: RefName;
  readonly expected: ObjectId | null;
}
