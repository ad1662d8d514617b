/**
 * The example's saga with its real processes: every failure is compensated in the services' own
 * books, and a daemon that is killed at every event ends the saga as it would have ended.
 */
import { assert, assertEquals } from "@std/assert";
import {
  LAYER,
  SERVICE_STEPS,
  TRAINING_INPUT,
  trainingSaga,
} from "../../examples/ml-training/definition.ts";
import { ServiceProcesses } from "../../examples/ml-training/service_processes.ts";
import type { SagaDocument } from "../../src/core/saga_document.ts";
import { LayerdClient } from "../../src/client/client.ts";
import { git } from "../harness/git.ts";
import { report, scaled } from "../harness/scale.ts";
import { isolated, type Registered, type Scene } from "../harness/scene.ts";

/** `saga_requested`, two events a step, `saga_completed`. */
const EVENTS = 14;
/** Every event, or every fifth. */
const STRIDE = scaled({ reduced: 5, full: 1 });

type Play = (scene: Scene, services: ServiceProcesses, at: Registered) => Promise<void>;

function training(name: string, play: Play): void {
  isolated(`the training saga ${name}`, async (scene) => {
    const services = await ServiceProcesses.start(scene.path("services"));
    try {
      await scene.start({ allow: services.allow });
      const repository = await scene.repository();
      await scene.api.apply([{ op: "create_layer", repository: repository.name, layer: LAYER }]);
      using client = clientOf(scene);
      await client.sagas.define("train", trainingSaga(services.urls, repository.name));
      await play(scene, services, repository);
    } finally {
      await services.stop();
    }
  });
}

/** A client of the daemon as it is now. */
function clientOf(scene: Scene): LayerdClient & Disposable {
  const client = new LayerdClient({ socketPath: scene.home.socket });
  return Object.assign(client, { [Symbol.dispose]: () => client.close() });
}

async function train(scene: Scene): Promise<SagaDocument> {
  using client = clientOf(scene);
  const { id } = await client.sagas.start({ definition: "train", input: TRAINING_INPUT });
  return await client.sagas.waitForEnd(id, 30_000);
}

training(
  "is compensated in reverse whichever step is refused, then trains a model",
  async (scene, services, at) => {
    const undo = ["release_reservation", "release_resources", "cancel_training_job"];
    for (const [index, { service, action }] of SERVICE_STEPS.entries()) {
      await services.break(service, action);
      const saga = await train(scene);
      await services.break(service, null);
      assertEquals(saga.state, "compensated", JSON.stringify(saga));
      const expected = [...undo, "revert_model_update"].slice(0, index).reverse();
      assertEquals(services.undone(saga.id), expected);
      assertEquals(services.books("audit", saga.id), [], "No audit entry is made, or undone");
      for (const name of ["model", "resource", "training"] as const) {
        assert(services.books(name, saga.id).every(({ state }) => state === "undone"));
      }
      assertEquals(await git(at.path, ["ls-tree", "--name-only", `refs/layers/${LAYER}`]), "");
    }
    await trainsAModel(scene, at);
  },
);

async function trainsAModel(scene: Scene, { path }: Registered): Promise<void> {
  const saga = await train(scene);
  assertEquals(saga.state, "completed", JSON.stringify(saga));
  assert(saga.execution_time_ms > 0);
  const ref = `refs/layers/${LAYER}`;
  const metrics = JSON.parse(await git(path, ["show", `${ref}:metrics.json`]));
  assert(metrics.validation_accuracy >= 0.9, JSON.stringify(metrics));
  assertEquals(metrics.training_examples + metrics.validation_examples, 150);
  const model = JSON.parse(await git(path, ["show", `${ref}:model.json`]));
  assertEquals(model.classes, ["setosa", "versicolor", "virginica"]);
  assertEquals(JSON.parse(await git(path, ["show", `${ref}:config.json`])), TRAINING_INPUT.config);
}

training("ends as ever after a SIGKILL at each of its events", async (scene, services, at) => {
  let kills = 0;
  for (let event = 1; event <= EVENTS; event += STRIDE) {
    kills++;
    const saga = await killedAt(scene, services, event);
    assertEquals(saga.state, "completed", `killed at event ${event}: ${JSON.stringify(saga)}`);
    for (const { step, service } of SERVICE_STEPS) {
      const key = `${saga.id}-${step.replace("_", "-")}`;
      const entries = services.books(service, saga.id).filter((entry) => entry.key === key);
      assertEquals(entries.map(({ state, effects }) => [state, effects]), [["done", 1]], step);
    }
    const commits = await git(at.path, ["log", "--format=%H", `refs/layers/${LAYER}`]);
    // Training is deterministic but for its time: each saga adds one commit at most.
    assert(commits.split("\n").length <= kills + 1, `${kills} sagas, commits: ${commits}`);
  }
  report(`sagas: SIGKILL at ${kills} of the ${EVENTS} events of the training saga`);
});

/** Starts a saga, kills the daemon as soon as it says that the event happened, starts it again. */
async function killedAt(
  scene: Scene,
  services: ServiceProcesses,
  event: number,
): Promise<SagaDocument> {
  using client = clientOf(scene);
  const listening = new AbortController();
  const seen = (async () => {
    for await (const { data } of client.events({ signal: listening.signal })) {
      if (data["sequence"] === event) return;
    }
  })();
  const key = `killed-at-${event}`;
  const body = { definition: "train", input: TRAINING_INPUT };
  const started = client.sagas.start(body, { idempotencyKey: key }).catch(() => null);
  await seen;
  await scene.daemon.kill();
  listening.abort();
  await started;
  await scene.start({ allow: services.allow });
  using next = clientOf(scene);
  const { id } = await next.sagas.start(body, { idempotencyKey: key });
  return await next.sagas.waitForEnd(id, 30_000);
}
