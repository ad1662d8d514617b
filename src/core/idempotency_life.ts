/**
 * How long idempotency keys live. A client's is good for a day; that of a saga's step for as
 * long as the saga, which may wait for an operator for weeks and then asks again: its step
 * must find what it did. Sagas are kept for good, so these keys are.
 */
import { IDEMPOTENCY_KEY_MS_KEPT } from "./limits.ts";

/** Scope of the keys of layer steps. */
export const SAGA_STEP_ROUTE = "saga step";
/** Scope of the keys of their compensations. */
export const SAGA_UNDO_ROUTE = "saga compensation";

/** Scopes whose keys are never forgotten. */
export const KEPT_ROUTES: readonly string[] = [SAGA_STEP_ROUTE, SAGA_UNDO_ROUTE];

/** Keys of the scope that were created at or after this still count; RFC 3339. */
export function keysCountSince(route: string, nowMs: number): string {
  const ms = KEPT_ROUTES.includes(route) ? 0 : nowMs - IDEMPOTENCY_KEY_MS_KEPT;
  return new Date(ms).toISOString();
}
