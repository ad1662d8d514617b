/**
 * The seed's model service ("Example participant implementation for Model Service") with real
 * PostgreSQL: lock the row, check the rules, update the version; beside it the model's card in
 * a Git layer. Its `begin` is ours, its `store_prepared_transaction` is PREPARE TRANSACTION.
 */
import { assert, assertEquals } from "@std/assert";
import { type Body, create, problemOf, put } from "../harness/api.ts";
import type { Scene } from "../harness/scene.ts";
import type { PostgresServer } from "../participants/postgres.ts";
import { settled, Stand } from "./stand.ts";

/** `validate_model_update_rules`, where the data is: a rule that is broken raises. */
const SCHEMA = `
  CREATE TABLE registry (
    id text PRIMARY KEY, tenant_id text NOT NULL, version int NOT NULL,
    training boolean NOT NULL DEFAULT false, updated_at timestamptz NOT NULL DEFAULT 'epoch');
  INSERT INTO registry (id, tenant_id, version, training)
    VALUES ('m', 'acme', 1, false), ('busy', 'acme', 1, true);
  CREATE FUNCTION require_updatable(model text, tenant text, wanted int) RETURNS void AS $$
  DECLARE found_one registry;
  BEGIN
    SELECT * INTO found_one FROM registry WHERE id = model AND tenant_id = tenant;
    IF NOT FOUND THEN RAISE 'Tenant % has no model %', tenant, model; END IF;
    IF found_one.training THEN RAISE 'Model % is being trained', model; END IF;
    IF wanted <> found_one.version + 1 THEN
      RAISE 'Version % does not follow version %', wanted, found_one.version;
    END IF;
  END $$ LANGUAGE plpgsql`;

/** The statements of `prepare` and `commit`, in one transaction. */
function updateModel(model: string, tenant: string, version: number): Body {
  const one = [model, tenant];
  return {
    op: "sql",
    participant: "pg",
    statements: [
      { text: "SELECT id FROM registry WHERE id = $1 AND tenant_id = $2 FOR UPDATE", params: one },
      { text: "SELECT require_updatable($1, $2, $3)", params: [...one, version] },
      {
        text: "UPDATE registry SET version = $3, updated_at = now() " +
          "WHERE id = $1 AND tenant_id = $2",
        params: [...one, version],
      },
    ],
  };
}

export async function playModel(scene: Scene, postgres: PostgresServer): Promise<void> {
  const stand = await Stand.make(scene, postgres);
  try {
    await postgres.psql(SCHEMA);
    const [{ name } = { name: "" }] = stand.repositories;
    await scene.api.apply([create(name, "card/a"), create(name, "card/b")]);
    const play = new Play(scene, postgres, name);
    await play.holdsTheRowUntilTheDecision();
    await play.refusesWhatTheRulesForbid();
    await play.letsOneOfTwoThroughThatSawTheSameVersion();
    await settled(stand);
    await stand.assertQuiet();
  } finally {
    await stand.close();
  }
}

class Play {
  constructor(
    readonly scene: Scene,
    readonly postgres: PostgresServer,
    readonly repository: string,
  ) {}

  async holdsTheRowUntilTheDecision(): Promise<void> {
    const { api } = this.scene;
    const { id } = await api.begin({ operation_type: "update_model", tenant_id: "acme" });
    await api.stage(id, updateModel("m", "acme", 2), this.#card("card/a", 2));
    const prepared = await api.prepare(id);
    assertEquals(prepared.participants.map(({ vote }) => vote), ["prepared"]);
    assertEquals(await this.#state("m"), "1|f");
    assertEquals(await this.#isFree("m"), false);
    // Whoever comes now waits for the row, no longer than it was given.
    const refused = problemOf(
      await this.#apply("card/b", 2, updateModel("m", "acme", 2), { prepare_timeout_ms: 300 }),
      409,
      "transaction_aborted",
    );
    assertEquals(refused.participants?.map((one) => one.name), ["pg"]);
    assertEquals((await api.commit(id)).state, "committed");
    assertEquals(await this.#state("m"), "2|t");
    assertEquals(await this.#isFree("m"), true);
    assertEquals(await this.#cards(), ["2", null]);
  }

  async refusesWhatTheRulesForbid(): Promise<void> {
    for (
      const [operation, rule] of [
        [updateModel("busy", "acme", 2), "Model busy is being trained"],
        [updateModel("m", "other", 3), "Tenant other has no model m"],
        [updateModel("m", "acme", 2), "Version 2 does not follow version 2"],
      ] as const
    ) {
      const refused = problemOf(
        await this.#apply("card/a", 9, operation),
        409,
        "transaction_aborted",
      );
      const [vote] = refused.participants ?? [];
      assert(vote?.name === "pg" && vote.reason.includes(rule), JSON.stringify(refused));
    }
    assertEquals([await this.#state("busy"), await this.#state("m")], ["1|f", "2|t"]);
    assertEquals(await this.#cards(), ["2", null]);
  }

  /** They meet at the row alone: each has a layer of its own. */
  async letsOneOfTwoThroughThatSawTheSameVersion(): Promise<void> {
    const replies = await Promise.all(
      ["card/a", "card/b"].map((layer) => this.#apply(layer, 3, updateModel("m", "acme", 3))),
    );
    assertEquals(replies.map(({ status }) => status).sort(), [200, 409]);
    assertEquals(await this.#state("m"), "3|t");
    const cards = await this.#cards();
    assertEquals(cards.map((card) => card === "3"), replies.map(({ status }) => status === 200));
  }

  #apply(layer: string, version: number, operation: Body, rest: Body = {}) {
    return this.scene.api.tryApply([operation, this.#card(layer, version)], rest);
  }

  #card(layer: string, version: number): Body {
    return put(this.repository, layer, "version", String(version));
  }

  #cards(): Promise<(string | null)[]> {
    const { api } = this.scene;
    return Promise.all(["card/a", "card/b"].map((at) => api.read(this.repository, at, "version")));
  }

  /** Version, and whether it was ever updated. */
  #state(model: string): Promise<string> {
    return this.postgres.psql(
      `SELECT version, updated_at > 'epoch' FROM registry WHERE id = '${model}'`,
    );
  }

  async #isFree(model: string): Promise<boolean> {
    const locked = `SELECT count(*) FROM
      (SELECT 1 FROM registry WHERE id = '${model}' FOR UPDATE SKIP LOCKED) AS free`;
    return await this.postgres.psql(locked) === "1";
  }
}
