/**
 * A one-shot commit under load: reads outside any transaction, commits on the condition that
 * the layer has not moved since, under an idempotency key. Unanswered, it is sent again with
 * the same key until it is answered, also after a crash; the key makes that safe.
 */
import { type Api, type Body, bodyOf, put, transactionIn } from "../harness/api.ts";
import type { SeededRandom } from "../harness/random.ts";
import type { Ended } from "./client_transaction.ts";
import type { LoadedLayer } from "./worker_messages.ts";

/** Refusals that end a one-shot; its transaction is gone, so there is nothing to report. */
const REFUSED_CODES = new Set(["write_conflict", "deadlock", "lock_timeout", "repository_locked"]);

export class OneShot {
  readonly #key: string;
  readonly #layer: LoadedLayer;
  readonly #body: Body;

  private constructor(key: string, layer: LoadedLayer, body: Body) {
    this.#key = key;
    this.#layer = layer;
    this.#body = body;
  }

  /** Reads a layer's counter at its tip and makes the request from it. */
  static async plan(
    api: Api,
    random: SeededRandom,
    layers: readonly LoadedLayer[],
    key: string,
  ): Promise<OneShot> {
    const [repository, layer] = random.pick(layers);
    const listing = await api.get<{ layers: { name: string; commit: string }[] }>(
      `/v1/repositories/${repository}/layers?prefix=${encodeURIComponent(layer)}`,
    );
    const commit = listing.layers.find(({ name }) => name === layer)?.commit;
    if (commit === undefined) throw new Error(`Layer ${layer} vanished from ${repository}`);
    const file = await api.tryFile(repository, layer, "counter", { at: commit });
    const counter = Number(bodyOf<{ content: string }>(file).content);
    const expect = { commit };
    const operations = [
      { ...put(repository, layer, "counter", String(counter + 1)), expect },
      { ...put(repository, layer, "last-one-shot", key), expect },
      { ...put(repository, layer, `one-shots/${random.integer(0, 20)}`, key), expect },
    ];
    const isolation = random.chance(0.5) ? "locking" : "optimistic";
    return new OneShot(key, [repository, layer], {
      message: key,
      isolation,
      lock_timeout_ms: 10_000,
      operations,
      commit: true,
    });
  }

  /** Null where it was refused. Rejects with ConnectionLost where it must be sent again. */
  async send(api: Api): Promise<Ended | null> {
    const reply = await api.tryBegin(this.#body, { headers: { "idempotency-key": this.#key } });
    if (reply.status >= 400) {
      const { code } = bodyOf<{ code: string }>(reply, reply.status);
      if (REFUSED_CODES.has(code)) return null;
      throw new Error(`One-shot got ${reply.status}: ${reply.text.slice(0, 1_000)}`);
    }
    const begun = transactionIn(reply, reply.status);
    const { id, state } = begun.state === "committing"
      ? await api.transaction(begun.id, "?wait_for=terminal&timeout_ms=60000")
      : begun;
    if (state !== "committed") throw new Error(`One-shot ${id} answered success in ${state}`);
    const [repository, layer] = this.#layer;
    return {
      id,
      outcome: "committed",
      touched: [{ repository, layer, listed: false }],
      vanished: false,
      code: "one_shot",
    };
  }
}
