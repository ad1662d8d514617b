/** What a promise of the manager is refused with. */
import { assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";

export async function refusalOf(promise: PromiseLike<unknown>): Promise<LayerdError> {
  return await assertRejects(() => promise, LayerdError);
}

/** Code of the refusal and state of the transaction that it carries. */
export async function codeAndState(promise: PromiseLike<unknown>): Promise<[string, unknown]> {
  const { code, details } = await refusalOf(promise);
  const { transaction } = details;
  const state = typeof transaction === "object" && transaction !== null && "state" in transaction
    ? transaction.state
    : null;
  return [code, state];
}
