import { assertEquals } from "@std/assert";
import { parseTransactionId } from "../../src/core/ids.ts";
import { create, put } from "./model.ts";
import { afterCrash, SimulatedMachine } from "./simulated_machine.ts";
import { BEGIN, freshImage, Stage } from "./stage.ts";

Deno.test("a checkpoint keeps a stalled commit that is published while it is made", async () => {
  const repositories = ["app", "web"];
  const stage = new Stage(await freshImage("journaled", repositories), { seed: 1 });
  const { machine } = stage;
  await machine.boot();
  for (const name of repositories) await stage.register(name);
  await stage.commit(create("app", "base"), create("web", "base"));
  machine.fail(({ name, path }) => name === "rename" && path === "/web/packed-refs" ? "EIO" : null);
  const { manager } = machine.engine;
  const operations = repositories.map((name) => put(name, "base", "a", "1").operation);
  const begun = { ...BEGIN, operations, commit: true };
  const { id, state } = await stage.wait(manager.begin(begun));
  assertEquals(state, "committing");
  machine.ledger.afterDurable = async () => {
    machine.ledger.afterDurable = () => Promise.resolve();
    machine.fail(() => null);
    await manager.waitFor(parseTransactionId(id), "committed", 60_000);
  };
  await stage.wait(machine.engine.checkpoint());
  // Each power loss takes other rows of the ledger.
  for (let seed = 1; seed <= 8; seed++) {
    const rebooted = new SimulatedMachine(afterCrash(machine.image(), "all_lost", seed), { seed });
    await rebooted.boot();
    assertEquals(rebooted.engine.manager.list({ state: "committed" }, 9, null)[0]?.id, id);
    await rebooted.stop();
  }
});
