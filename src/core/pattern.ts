/**
 * Which pattern a piece of work across several places wants: the selection rule of the
 * distributed-transactions seed ("Transaction Pattern Selection Guidelines"), with reasons.
 * What the rule cannot see (who is registered) comes as warnings of the caller.
 */

/** From here on work is too long to hold locks for. */
export const TWO_PHASE_DURATION_MS_MAX = 10_000;
export const TWO_PHASE_PARTICIPANTS_MAX = 4;
const RECONCILIATION_INTERVAL_MS = 60_000;

export type Consistency = "strong" | "eventual";

export interface PlanRequest {
  readonly operationType: string | null;
  /** Names of participants; repositories are `git:<name>`. */
  readonly participants: readonly string[];
  readonly consistency: Consistency;
  readonly durationEstimateMs: number;
}

interface Explained {
  readonly reason: string;
  readonly warnings: readonly string[];
}

/** A plan as the wire contract shows it. */
export type Plan =
  & Explained
  & (
    | {
      readonly pattern: "two_phase_commit";
      readonly participants: readonly string[];
      readonly timeout_ms: number;
    }
    | {
      readonly pattern: "saga";
      readonly saga_type: string;
      readonly compensation_strategy: "automatic";
    }
    | {
      readonly pattern: "eventual_consistency";
      readonly reconciliation_interval_ms: number;
      readonly conflict_resolution: "last_write_wins";
    }
  );

/** The type of a saga whose work has no name. */
const UNNAMED = "unnamed";

export function selectPattern(request: PlanRequest): Plan {
  const { operationType, participants, consistency, durationEstimateMs } = request;
  const count = participants.length;
  if (consistency === "eventual") {
    return {
      pattern: "saga",
      saga_type: operationType ?? UNNAMED,
      compensation_strategy: "automatic",
      reason: "Eventual consistency is enough, so each step commits by itself and a failure is " +
        "compensated; nobody holds locks for another one",
      warnings: [],
    };
  }
  const tooLong = durationEstimateMs >= TWO_PHASE_DURATION_MS_MAX;
  const tooMany = count > TWO_PHASE_PARTICIPANTS_MAX;
  if (!tooLong && !tooMany) {
    return {
      pattern: "two_phase_commit",
      participants,
      timeout_ms: durationEstimateMs * 2,
      reason: `Strong consistency, ${durationEstimateMs} ms and ${count} ` +
        `${count === 1 ? "participant" : "participants"}: short and few enough to hold locks for`,
      warnings: [],
    };
  }
  const why = [
    ...tooLong ? [`${durationEstimateMs} ms (${TWO_PHASE_DURATION_MS_MAX} or more)`] : [],
    ...tooMany ? [`${count} participants (more than ${TWO_PHASE_PARTICIPANTS_MAX})`] : [],
  ].join(" and ");
  return {
    pattern: "eventual_consistency",
    reconciliation_interval_ms: RECONCILIATION_INTERVAL_MS,
    conflict_resolution: "last_write_wins",
    reason: `Two-phase commit would hold locks of everybody for ${why}`,
    warnings: [
      `Strong consistency was asked for, and this pattern does not give it: ${
        [
          ...tooLong ? ["make the work shorter, or do the long part before the transaction"] : [],
          ...tooMany ? ["let fewer participants take part"] : [],
        ].join("; ")
      }`,
    ],
  };
}
