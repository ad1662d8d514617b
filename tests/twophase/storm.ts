/**
 * Many transactions over two repositories, PostgreSQL and a service that fails at random:
 * refuses, hangs, answers late, answers rubbish, drops the connection, answers 500 after doing
 * its work. Each side is counted by its own means; all must hold the same transactions.
 */
import { assertEquals } from "@std/assert";
import { type Body, create, type Problem, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { SeededRandom } from "../harness/random.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import { report, scaled, withSeed } from "../harness/scale.ts";
import type { Scene } from "../harness/scene.ts";
import type { PostgresServer } from "../participants/postgres.ts";
import { type Misbehaviour, ServiceWire } from "./service_wire.ts";
import { settled, Stand } from "./stand.ts";

const TRANSACTIONS = scaled({ reduced: 60, full: 2_000 });
const WORKERS = 6;
const LAYERS = ["s/1", "s/2", "s/3", "s/4", "s/5", "s/6"];
const ODD = 0.25;
const SERVICE_MS_MAX = 300;

export async function playStorm(scene: Scene, postgres: PostgresServer): Promise<void> {
  const wires: ServiceWire[] = [];
  const stand = await Stand.make(scene, postgres, {
    service: (port) => {
      const wire = new ServiceWire(port);
      wires.push(wire);
      return wire.baseUrl;
    },
  });
  try {
    await stand.registerService(SERVICE_MS_MAX);
    await withSeed((seed) => storm(scene, stand, wires, seed));
  } finally {
    for (const wire of wires) wire.close();
    await stand.close();
  }
}

/** What a transaction wants to do, by side; and whether it did. */
interface Played {
  readonly id: string;
  readonly sides: readonly boolean[];
  readonly told: string;
}

async function storm(
  scene: Scene,
  stand: Stand,
  wires: readonly ServiceWire[],
  seed: number,
): Promise<void> {
  const random = new SeededRandom(seed);
  await scene.api.apply(
    stand.repositories.flatMap(({ name }) => LAYERS.map((layer) => create(name, layer))),
  );
  for (const wire of wires) {
    wire.misbehave = (verb) => random.chance(ODD) ? misbehaviour(random, verb) : null;
  }
  const played: Played[] = [];
  let next = 0;
  const work = async () => {
    while (next < TRANSACTIONS) played.push(await play(scene, stand, random, `t${next++}`));
  };
  await Promise.all(Array.from({ length: WORKERS }, work));
  await settled(stand);
  await stand.assertQuiet();
  const held = await sidesOf(stand);
  const ends: Record<string, number> = {};
  for (const { id, sides, told } of played) {
    const has = held.map((side) => side.has(id));
    const isDone = sides.some((wanted, side) => wanted && has[side]);
    assertEquals(has, sides.map((wanted) => wanted && isDone), `${id}, told ${told}`);
    assertEquals(isDone, told === "committed" || told === "committing", `${id}, told ${told}`);
    ends[told] = (ends[told] ?? 0) + 1;
  }
  for (const { path } of stand.repositories) await assertFsckClean(path);
  const counts = held.map(({ size }) => size).join(", ");
  report(
    `storm: seed ${seed}, ${played.length} transactions ${JSON.stringify(ends)}; ` +
      `in the repositories, PostgreSQL and the service: ${counts}`,
  );
}

async function play(scene: Scene, stand: Stand, random: SeededRandom, id: string): Promise<Played> {
  const sides = [random.chance(0.7), random.chance(0.7), random.chance(0.7), random.chance(0.8)];
  if (!sides.includes(true)) sides[0] = true;
  const [, , sql, http] = stand.change(id);
  const operations: Body[] = stand.repositories.flatMap(({ name }, side) =>
    sides[side] ? [put(name, random.pick(LAYERS), id, id)] : []
  );
  if (sides[2] && sql) operations.push(sql);
  if (sides[3] && http) operations.push(http);
  const reply = await scene.api.tryApply(operations, { prepare_timeout_ms: 2_000 });
  const answer = reply.json as Partial<Problem>;
  const isDecided = reply.status === 200 || reply.status === 202;
  const told = isDecided ? answer.transaction?.state : answer.code;
  return { id, sides, told: told ?? String(reply.status) };
}

function misbehaviour(random: SeededRandom, verb: string): Misbehaviour {
  const done = random.chance(0.5);
  return random.pick<Misbehaviour>([
    verb === "prepare"
      ? { kind: "answers", status: 200, body: '{"vote":"abort","reason":"not now"}', done: false }
      : { kind: "answers", status: 503, body: "", done: false },
    { kind: "late", ms: SERVICE_MS_MAX * 2 },
    { kind: "late", ms: SERVICE_MS_MAX / 3 },
    // Any 2xx acknowledges a decision, so that rubbish is no excuse for not doing it.
    { kind: "answers", status: 200, body: "<html>?", done: verb === "prepare" ? done : true },
    { kind: "drops", done },
    { kind: "answers", status: 500, body: "", done: true },
  ]);
}

/** Transactions that each side holds, by its own account. */
async function sidesOf(stand: Stand): Promise<ReadonlySet<string>[]> {
  const repositories = await Promise.all(stand.repositories.map(async ({ path }) => {
    const trees = await Promise.all(
      LAYERS.map((layer) => git(path, ["ls-tree", "--name-only", `refs/layers/${layer}`])),
    );
    return trees.flatMap((text) => text.split("\n"));
  }));
  const rows = (await stand.postgres.psql("SELECT id FROM models")).split("\n");
  const flags = Object.keys(await stand.service.flags());
  return [...repositories, rows, flags].map((names) =>
    new Set(names.filter((name) => name !== ""))
  );
}
