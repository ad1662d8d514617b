/** The coordinator over one repository and a service that says what the test wants. */
import { assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import {
  parseParticipantName,
  type ParticipantName,
  type TransactionId,
} from "../../src/core/ids.ts";
import type { Operation } from "../../src/core/operations.ts";
import { ScriptedService } from "../participants/scripted_service.ts";
import { app, create, type EngineScene, put, withEngine } from "./engine_scene.ts";

const flags = parseParticipantName("flags");

function call(participant: ParticipantName): Operation {
  return { op: "http", participant, payload: { set: { a: 1 } } };
}

function withService(
  name: string,
  test: (scene: EngineScene, service: ScriptedService) => Promise<void>,
): void {
  Deno.test(name, async () => {
    await using service = new ScriptedService();
    await withEngine(async (scene) => {
      scene.allowed.push(service.host);
      await scene.restart();
      await register(scene, service);
      await scene.run(create("a"));
      await test(scene, service);
    });
  });
}

async function register(scene: EngineScene, service: ScriptedService, path = ""): Promise<void> {
  await scene.engine.twoPhase.registry.add({
    name: flags,
    kind: "http",
    base_url: `http://${service.host}${path}`,
    timeout_ms: 600_000,
  });
}

async function promise(scene: EngineScene): Promise<TransactionId> {
  const id = await scene.openTransaction({ operations: [put("a", "f", "1"), call(flags)] });
  await scene.manager.prepare(id);
  return id;
}

/** A promise that was rolled back, of which the service cannot be told. */
async function leftInDoubt(scene: EngineScene, service: ScriptedService): Promise<TransactionId> {
  const id = await promise(scene);
  service.answer = ({ verb }) => verb === "abort" ? new Response(null, { status: 503 }) : null;
  await scene.manager.rollback(id);
  return id;
}

withService(
  "a promise keeps its participants through checkpoints and restarts",
  async (scene, service) => {
    const id = await promise(scene);
    await scene.engine.checkpoint();
    await scene.restart();
    await scene.engine.checkpoint();
    await scene.restart();
    assertEquals(service.verbs, ["prepare"]);
    assertEquals((await scene.manager.commit(id)).state, "committed");
    assertEquals(service.verbs, ["prepare", "commit"]);
  },
);

withService("a branch is over only once its end is durable", async (scene, service) => {
  const { coordinator } = scene.engine.twoPhase;
  await scene.run(put("a", "f", "1"), call(flags));
  const key = service.heard[0]?.key ?? "";
  assertEquals([coordinator.owns(key), coordinator.isOver(key)], [false, false]);
  await scene.run(put("a", "f", "2"));
  assertEquals([coordinator.owns(key), coordinator.isOver(key)], [false, true]);
});

withService("a stop does not wait for a vote that is an hour away", async (scene, service) => {
  const never = Promise.withResolvers<Response>();
  const asked = Promise.withResolvers<void>();
  service.answer = ({ verb }) => {
    if (verb !== "prepare") return null;
    asked.resolve();
    return never.promise;
  };
  const running = scene.begin({
    operations: [put("a", "f", "1"), call(flags)],
    commit: true,
    prepareTimeoutMs: 3_600_000,
  });
  await asked.promise;
  const refused = assertRejects(() => running, LayerdError, "Aborted by flags");
  await scene.close();
  await refused;
  never.resolve(Response.json({ vote: "prepared" }));
  await scene.open();
  assertEquals(service.heard.filter(({ verb }) => verb === "commit"), []);
});

withService(
  "votes that take longer than locks and lease are waited for",
  async (scene, service) => {
    const { path } = scene.engine.catalog.get(app);
    service.answer = async ({ verb }) => {
      if (verb === "prepare") {
        // Native git is at work when the vote comes, and the lock timeout is long over.
        await new Promise((resolve) => setTimeout(resolve, 300));
        await Deno.writeTextFile(`${path}/.git/packed-refs.lock`, "", { createNew: true });
        setTimeout(() => Deno.removeSync(`${path}/.git/packed-refs.lock`), 100);
      }
      return Response.json({ vote: "prepared" });
    };
    const done = await scene.begin({
      operations: [put("a", "f", "1"), call(flags)],
      commit: true,
      lockTimeoutMs: 250,
    });
    assertEquals(done.state, "committed");
  },
);

withService("a second attempt asks under other keys", async (scene, service) => {
  const { path } = scene.engine.catalog.get(app);
  const lock = `${path}/.git/packed-refs.lock`;
  service.answer = async ({ verb }) => {
    if (verb === "prepare" && service.heard.length === 1) await Deno.writeTextFile(lock, "");
    return Response.json({ vote: "prepared" });
  };
  const operations = [put("a", "f", "1"), call(flags)];
  const id = await scene.openTransaction({ operations, lockTimeoutMs: 100 });
  const refused = await assertRejects(() => scene.manager.commit(id), LayerdError);
  assertEquals([refused.code, scene.manager.get(id).state], ["repository_locked", "active"]);
  await Deno.remove(lock);
  assertEquals((await scene.manager.commit(id)).state, "committed");
  const told = (verb: string) => service.heard.find((heard) => heard.verb === verb)?.key;
  assertEquals(told("abort"), told("prepare"));
  assertEquals(told("commit"), told("prepare")?.replace(/:1$/, ":2"));
});

withService("of operators who resolve one branch at once, one is heard", async (scene, service) => {
  const { inDoubt } = scene.engine;
  const id = await leftInDoubt(scene, service);
  const collected = scene.events();
  const words = Array.from({ length: 10 }, (_, at) => ({
    participant: flags,
    outcome: at % 2 === 0 ? "committed" as const : "rolled_back" as const,
    reason: `operator ${at}`,
  }));
  const ends = await Promise.allSettled(words.map((word) => inDoubt.resolve(id, word)));
  assertEquals(ends.filter(({ status }) => status === "fulfilled").length, 1);
  for (const end of ends) {
    if (end.status === "rejected") assertEquals(end.reason.code, "transaction_not_found");
  }
  const announced = (await collected()).filter(({ type }) => type === "transaction.resolved");
  const heard = words.filter((_, at) => ends[at]?.status === "fulfilled");
  assertEquals(announced.map(({ data }) => data["reason"]), heard.map(({ reason }) => reason));
  assertEquals(inDoubt.list(), []);
});

withService("a service that is waited for keeps its address", async (scene, service) => {
  const refused = async () => {
    const error = await assertRejects(() => register(scene, service, "/anew"), LayerdError);
    assertEquals(error.code, "repository_busy");
    // The same place may be registered again, with another timeout say.
    await register(scene, service);
  };
  const promised = await promise(scene);
  await refused();
  await scene.manager.rollback(promised);
  const id = await leftInDoubt(scene, service);
  await refused();
  await scene.restart();
  await refused();
  const resolution = { participant: flags, outcome: "rolled_back", reason: "by hand" } as const;
  await scene.engine.inDoubt.resolve(id, resolution);
  await register(scene, service, "/anew");
  assertEquals(service.verbs.filter((verb) => verb.startsWith("anew/")), []);
});
