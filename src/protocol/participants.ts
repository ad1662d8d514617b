/** Requests on participants and what is in doubt with them, and the answers. */
import { z } from "zod";
import { PREPARE_TIMEOUT_MS_MAX } from "../core/limits.ts";
import { milliseconds, participantName } from "./names.ts";
import { refConflict } from "./problem.ts";

const TIMEOUT_MS_DEFAULT = 10_000;

/** `POST /v1/participants` */
export const addParticipantBody = z.discriminatedUnion("kind", [
  z.strictObject({
    name: participantName,
    kind: z.literal("postgres"),
    url: z.string().meta({ description: "postgres://USER:PASSWORD@HOST:PORT/DATABASE" }),
  }),
  z.strictObject({
    name: participantName,
    kind: z.literal("http"),
    base_url: z.string().meta({ description: "http://, https:// or http+unix://%2Fpath" }),
    timeout_ms: milliseconds(1, PREPARE_TIMEOUT_MS_MAX).default(TIMEOUT_MS_DEFAULT),
  }),
]).meta({ id: "AddParticipant" });

const participant = z.union([
  z.object({ name: z.string(), kind: z.literal("postgres"), url: z.string() }),
  z.object({
    name: z.string(),
    kind: z.literal("http"),
    base_url: z.string(),
    timeout_ms: z.int(),
  }),
]).meta({ id: "Participant", description: "Passwords are never shown" });

export const participantAnswer = z.object({ participant });
export const participantsAnswer = z.object({ participants: z.array(participant) });

const decision = z.enum(["committed", "rolled_back"]);

/** `POST /v1/in-doubt/{transaction_id}/resolve` */
export const resolveBody = z.strictObject({
  participant: z.string(),
  outcome: decision,
  reason: z.string().min(1).max(2_000),
}).meta({ id: "Resolve" });

export const inDoubt = z.object({
  transaction_id: z.string(),
  participant: z.string(),
  decision,
  since: z.string().meta({ format: "date-time" }),
  attempts: z.int(),
  last_error: z.string().nullable(),
}).meta({ id: "InDoubt" });

export const inDoubtAnswer = z.object({ in_doubt: z.array(inDoubt) });

export const inDoubtExplained = z.object({
  transaction_id: z.string(),
  participants: z.array(inDoubt.extend({
    says: z.enum(["prepared", "committed", "rolled_back", "unknown"]).nullable().meta({
      description: "What the participant says now; null where it cannot be asked",
    }),
    conflicts: z.array(refConflict).meta({
      description: "Of a repository: refs that were not where the decision expected them",
    }),
  })),
}).meta({ id: "InDoubtExplained" });
