/** Requests for a plan, and plans. */
import { z } from "zod";
import { PARTICIPANTS_MAX } from "../core/limits.ts";
import { milliseconds, operationType, textOfBytes } from "./names.ts";

/** Work that is thought to take longer than a year was given in another unit. */
const DURATION_MS_MAX = 365 * 24 * 3_600_000;
const NAME_BYTES_MAX = 256;

export const consistency = z.enum(["strong", "eventual"]);
export const durationEstimateMs = milliseconds(1, DURATION_MS_MAX);

/** `POST /v1/plans` */
export const planBody = z.strictObject({
  operation_type: operationType.nullable().default(null),
  participants: z.array(textOfBytes(NAME_BYTES_MAX).min(1)).max(PARTICIPANTS_MAX)
    .refine((names) => new Set(names).size === names.length, "Participants must differ")
    .default([]).meta({ description: "Registered participants; repositories as `git:NAME`" }),
  consistency,
  duration_estimate_ms: durationEstimateMs,
}).meta({ id: "PlanRequest" });

const explained = { reason: z.string(), warnings: z.array(z.string()) };

export const planAnswer = z.discriminatedUnion("pattern", [
  z.object({
    pattern: z.literal("two_phase_commit"),
    participants: z.array(z.string()),
    timeout_ms: z.int().meta({ description: "Twice the estimate, for `prepare_timeout_ms`" }),
    ...explained,
  }),
  z.object({
    pattern: z.literal("saga"),
    saga_type: z.string().meta({ description: "The definition to start" }),
    compensation_strategy: z.literal("automatic"),
    ...explained,
  }),
  z.object({
    pattern: z.literal("eventual_consistency"),
    reconciliation_interval_ms: z.int(),
    conflict_resolution: z.literal("last_write_wins"),
    ...explained,
  }),
]).meta({ id: "Plan" });
