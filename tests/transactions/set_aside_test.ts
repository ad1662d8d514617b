/**
 * Repositories in which recovery fails: their refs may point at objects that a power loss took
 * and that only the log has. They are not served until it has given them back.
 */
import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseRepositoryName } from "../../src/core/ids.ts";
import { readState } from "../sim/invariants.ts";
import { put } from "../sim/model.ts";
import { afterCrash, type Image, SimulatedMachine } from "../sim/simulated_machine.ts";
import { BEGIN, freshImage, Stage } from "../sim/stage.ts";
import { refusalOf } from "./refusals.ts";
import { app, create, put as putFile, withEngine } from "./engine_scene.ts";

const RETRIED_MS = 10_000;

/** Two repositories with a commit each whose objects a power loss has taken. */
async function withoutObjects(): Promise<Image> {
  const stage = new Stage(await freshImage("journaled", ["app", "web"]), { seed: 1 });
  await stage.machine.boot();
  for (const name of ["app", "web"]) await stage.register(name);
  await stage.commit(put("app", "base", "a", "1"), put("web", "base", "a", "1"));
  return afterCrash(stage.machine.image(), "all_lost", 1);
}

for (const code of ["ENOSPC", "EIO"]) {
  Deno.test(`recovery that cannot place objects (${code}) sets the repository aside, and no other`, async () => {
    const machine = new SimulatedMachine(await withoutObjects(), { seed: 2 });
    machine.fail((call) => call.path.startsWith("/app/objects/pack/tmp_pack_") ? code : null);
    await machine.boot();
    const { catalog, manager } = machine.engine;
    assertEquals(catalog.all().map(({ name }) => `${name}`), ["web"]);
    const [{ problem } = assertAside()] = catalog.unavailable();
    assertEquals(problem.code, code === "ENOSPC" ? "no_space" : "io_error");
    assertStringIncludes(problem.message, code);
    assertThrows(() => catalog.get(parseRepositoryName("app")), LayerdError, code);
    const removal = catalog.remove(parseRepositoryName("app"), { abandon: false });
    assertEquals((await refusalOf(machine.clock.until(removal))).code, "repository_busy");
    const step = put("web", "base", "a", "2");
    const begun = manager.begin({ ...BEGIN, operations: [step.operation], commit: true });
    assertEquals((await machine.clock.until(begun)).state, "committed");

    machine.fail(() => null);
    await machine.clock.run(RETRIED_MS);
    assertEquals(catalog.unavailable(), []);
    assertEquals(readState(machine.disk, ["app", "web"]), {
      "app refs/layers/base": { a: "1" },
      "web refs/layers/base": { a: "2" },
    });
    await machine.stop();
  });
}

function assertAside(): never {
  throw new Error("No repository is set aside");
}

Deno.test("a repository whose lock links cannot be listed is set aside, and returns with its promise", async () => {
  const stage = new Stage(await freshImage("journaled", ["app"]), { seed: 1 });
  await stage.machine.boot();
  await stage.register("app");
  await stage.commit(put("app", "base", "a", "1"));
  const id = await stage.prepare(put("app", "base", "a", "2"));
  const machine = new SimulatedMachine(afterCrash(stage.machine.image(), "killed", 1), { seed: 2 });
  machine.fail((call) => call.name === "readdir" && call.path === "/app/refs" ? "EIO" : null);
  await machine.boot();
  assertEquals(machine.engine.catalog.unavailable().map(({ name }) => `${name}`), ["app"]);
  machine.fail(() => null);
  await machine.clock.run(RETRIED_MS);
  assertEquals(machine.engine.catalog.unavailable(), []);
  assertEquals((await machine.clock.until(machine.engine.manager.commit(id))).state, "committed");
  assertEquals(readState(machine.disk, ["app"]), { "app refs/layers/base": { a: "2" } });
  await machine.stop();
});

Deno.test("a stop whose checkpoint failed does not release what only the log makes durable", () =>
  withEngine(async (scene) => {
    const position = () => Deno.readTextFile(`${scene.path("app")}/.git/layerd/position`);
    await scene.run(create("a"), putFile("a", "f", "1"));
    scene.fileSystem.refusesFileSyncs = true;
    await scene.close();
    assertEquals(JSON.parse(await position()).released, false);
    scene.fileSystem.refusesFileSyncs = false;
    await scene.open();
    assertEquals(scene.engine.catalog.get(app).name, app);
    await scene.close();
    assertEquals(JSON.parse(await position()).released, true);
    await scene.open();
  }));
