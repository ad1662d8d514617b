/** What votes come to: documents for clients, branches to tell, the error of an abort. */
import type { Branch, Decision } from "../core/branch.ts";
import { LayerdError } from "../core/errors.ts";
import type { ParticipantDocument } from "../core/transaction_document.ts";
import type { Participant, Vote } from "../participants/participant.ts";

export interface Voted {
  readonly branch: Branch;
  readonly vote: Vote;
}

/** The branch, where it has to be told to abort if that is the decision. */
export function mayBePrepared({ branch, vote }: Voted): Branch[] {
  return vote.vote === "prepared" || vote.vote === "unknown" ? [branch] : [];
}

/** As it stands once the participant was asked. */
export function documentOf({ branch, vote }: Voted): ParticipantDocument {
  const voted = vote.vote === "unknown" ? null : vote.vote;
  return { name: branch.participant, kind: branch.kind, vote: voted, outcome: null };
}

/** As it will stand in history once everybody has acknowledged. */
export function committedAs(document: ParticipantDocument): ParticipantDocument {
  const outcome: Decision | null = document.vote === "prepared" ? "committed" : null;
  return { ...document, outcome };
}

/** Why a participant that was registered anew as another kind is not asked, nor told. */
export function takenOver(
  { participant, kind }: Branch,
  registered: Pick<Participant, "kind">,
): string {
  return `Participant ${participant} was ${kind} when it was asked and is ${registered.kind} now`;
}

/** All refusals in one error. */
export function abortedBy(refused: readonly Voted[]): LayerdError {
  const participants = refused.map(({ branch, vote }) => ({
    name: branch.participant,
    reason: "reason" in vote ? vote.reason : vote.vote,
  }));
  const names = participants.map(({ name }) => name).join(", ");
  return new LayerdError("transaction_aborted", `Aborted by ${names}`, { participants });
}
