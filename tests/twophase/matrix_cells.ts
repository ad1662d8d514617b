/**
 * The cells of the kill matrix: who is killed at which step of which course of the protocol,
 * and what everybody must have come to afterwards.
 *
 *   committed one-shot   asked, prepare, commit (the record), applied, commit (told), ended
 *   refused one-shot     asked, prepare, abort (told), ended
 *   promise kept         asked, prepare, prepared; commit, applied, commit (told), ended
 *   promise taken back   the same; rolled_back, abort (told), ended
 *
 * `ended` rides with the next commit record, so that its step is another transaction's write.
 */
import type { Point } from "./held_message.ts";

export type Victim = "daemon" | "pg" | "flags";
export type Side = "pg" | "flags";
export type Verb = "prepare" | "commit" | "abort";
export type Course = "committed" | "refused" | "kept" | "taken_back";
export type Decision = "committed" | "rolled_back";

export type Moment =
  | { readonly kind: "message"; readonly side: Side; readonly verb: Verb; readonly point: Point }
  /** `write`: which write to the log it is, of the phase. */
  | {
    readonly kind: "record";
    readonly record: string;
    readonly write: number;
    readonly point: Point;
  };

/** `ask`: until everybody voted. `end`: the ending of a promise. `after`: the next transaction. */
export type Phase = "ask" | "end" | "after";

export interface Cell {
  readonly course: Course;
  readonly phase: Phase;
  readonly moment: Moment;
  readonly victim: Victim;
  /** The message arrives when the daemon that sent it is dead and the next one serves. */
  readonly late: boolean;
  /** Null: either, as long as all agree. */
  readonly expected: Decision | null;
}

const SIDES: readonly Side[] = ["pg", "flags"];
const POINTS: readonly Point[] = ["before", "after"];
const VICTIMS: readonly Victim[] = ["daemon", "pg", "flags"];

export function titleOf({ course, moment, victim, late }: Cell): string {
  const what = moment.kind === "message"
    ? `${moment.verb} to ${moment.side}`
    : `record ${moment.record}`;
  return `${course}: ${victim} killed ${moment.point} ${what}${late ? ", which arrives late" : ""}`;
}

export function allCells(): Cell[] {
  const early = VICTIMS.flatMap((victim) =>
    steps().map((step): Cell => ({ ...step, victim, late: false, expected: outcome(step, victim) }))
  );
  const late = steps()
    .filter(({ course, moment }) =>
      moment.kind === "message" && moment.point === "before" &&
      (course === "committed" || course === "refused")
    )
    .map((step): Cell => ({
      ...step,
      victim: "daemon",
      late: true,
      expected: outcome(step, "daemon"),
    }));
  return [...early, ...late];
}

type Step = Pick<Cell, "course" | "phase" | "moment">;

function steps(): Step[] {
  return [
    ...messages("committed", "ask", "prepare"),
    ...records("committed", "ask", ["asked", "commit", "applied"]),
    ...messages("committed", "ask", "commit"),
    ...records("committed", "after", ["ended"]),
    ...messages("refused", "ask", "abort"),
    ...records("refused", "after", ["ended"]),
    ...messages("kept", "ask", "prepare"),
    ...records("kept", "ask", ["asked", "prepared"]),
    ...records("kept", "end", ["commit", "applied"]),
    ...messages("kept", "end", "commit"),
    ...records("kept", "after", ["ended"]),
    ...records("taken_back", "end", ["rolled_back"]),
    ...messages("taken_back", "end", "abort"),
    ...records("taken_back", "after", ["ended"]),
  ];
}

function messages(course: Course, phase: Phase, verb: Verb): Step[] {
  return SIDES.flatMap((side) =>
    POINTS.map((point) => ({ course, phase, moment: { kind: "message", side, verb, point } }))
  );
}

function records(course: Course, phase: Phase, names: readonly string[]): Step[] {
  return names.flatMap((record, index) =>
    POINTS.map((point) => ({
      course,
      phase,
      moment: { kind: "record", record, write: index + 1, point },
    }))
  );
}

function outcome({ course, phase, moment }: Step, victim: Victim): Decision | null {
  if (course === "refused" || course === "taken_back") return "rolled_back";
  if (phase !== "ask") return "committed";
  if (moment.kind === "message") {
    if (moment.verb === "commit") return "committed";
    // The answer stands; who has voted keeps the vote over its own death.
    const lost = victim === "daemon" || (victim === moment.side && moment.point === "before");
    return lost ? "rolled_back" : "committed";
  }
  switch (moment.record) {
    case "asked":
      // Whether a participant that was killed before it was asked is back in time is open.
      return victim === "daemon" ? "rolled_back" : null;
    case "commit":
    case "prepared":
      return victim === "daemon" && moment.point === "before" ? "rolled_back" : "committed";
    default:
      return "committed";
  }
}
