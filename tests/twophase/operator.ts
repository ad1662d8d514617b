/**
 * What an operator sees and does about participants and doubt, through the command line beside
 * a real daemon: registration, a service that is away, a repository whose ref contradicts.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { LayerdClient, type TransactionDocument } from "../../src/client/client.ts";
import { runCommand } from "../cli/command_line.ts";
import { problemOf, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import type { Scene } from "../harness/scene.ts";
import type { PostgresServer } from "../participants/postgres.ts";
import { ScriptedService } from "../participants/scripted_service.ts";
import { LAYER, settled, Stand } from "./stand.ts";

export async function playOperator(scene: Scene, postgres: PostgresServer): Promise<void> {
  await using liar = new ScriptedService();
  const stand = await Stand.make(scene, postgres, { also: [liar.host] });
  try {
    const operator = new Operator(stand);
    await operator.managesParticipants();
    await operator.closesWhatAServiceDoesNotAcknowledge();
    await operator.hearsWhichSideHasFailed(liar);
    await operator.letsAQuarantinedRepositoryBeWrittenAgain();
  } finally {
    await stand.close();
  }
}

class Operator {
  constructor(readonly stand: Stand) {}

  async managesParticipants(): Promise<void> {
    const { postgres, service } = this.stand;
    const listed = await this.#ok(["participant", "list"]);
    assertMatch(listed, /^pg\tpostgres\tpostgres:\/\/layerd:redacted@.*\nflags\thttp\t.* ms\n$/);
    assertEquals(await this.#code(["participant", "add", "x", "ftp://127.0.0.1/"]), 64);
    assertEquals(await this.#code(["participant", "add", "x", "http://127.0.0.1:9"]), 77);
    assertEquals(await this.#code(["participant", "show", "x"]), 1);
    assertEquals(await this.#code(["participant", "remove", "x"]), 1);
    // By standard input: an argument could be read in the list of processes.
    await this.#ok(["participant", "add", "second", "-"], postgres.url());
    assertMatch(await this.#ok(["participant", "show", "second"]), /^second\tpostgres\t/);
    await this.#ok(["participant", "add", "second", service.baseUrl, "--timeout-ms", "7"]);
    assertMatch(await this.#ok(["participant", "show", "second"]), /^second\thttp\t.*\t7 ms\n$/);
    await this.#ok(["participant", "remove", "second"]);
    const plan = ["plan", "git:r1", "pg", "flags", "--duration-ms"];
    assertMatch(await this.#ok([...plan, "200"]), /^pattern\ttwo_phase_commit\n/);
    const weaker = await this.#run([...plan, "60000", "--json"]);
    assertEquals([weaker.code, JSON.parse(weaker.stdout).pattern], [1, "eventual_consistency"]);
    assertEquals(
      await this.#code(["plan", "pg", "--consistency", "weak", "--duration-ms", "1"]),
      64,
    );
  }

  async closesWhatAServiceDoesNotAcknowledge(): Promise<void> {
    const { scene, service } = this.stand;
    const { id } = await scene.api.begin();
    await scene.api.stage(id, ...this.stand.change("one"));
    await scene.api.prepare(id);
    await service.kill();
    await scene.api.tryVerb(id, "commit");
    assertMatch(await this.#ok(["in-doubt", "list"]), new RegExp(`^${id}\tflags\tcommitted\t`));
    assertMatch(await this.#ok(["participant", "show", "flags"]), new RegExp(`in doubt\t${id}`));
    assertEquals(await this.#code(["participant", "remove", "flags"]), 75);
    assertMatch(await this.#ok(["in-doubt", "explain", id]), /^flags\n.*committed by layerd at/);
    const metrics = await this.#metrics();
    assertEquals(metrics.get("layerd_in_doubt"), 1);
    assert((metrics.get("layerd_in_doubt_oldest_age_ms") ?? 0) > 0);
    const resolve = (...rest: string[]) => ["in-doubt", "resolve", ...rest, "--reason", "by hand"];
    assertEquals(await this.#code(resolve(id, "flags", "perhaps")), 64);
    assertEquals(await this.#code(resolve(id, "pg", "committed")), 1);
    assertEquals(await this.#code(resolve("01JZ8Y6S3K8Q4T2W5X7Y9Z1A3B", "flags", "committed")), 1);
    assertEquals(await this.#code(["in-doubt", "resolve", id, "flags", "committed"]), 64);
    await this.#ok(resolve(id, "flags", "committed"));
    assertEquals(await this.#announced(), {
      transaction_id: id,
      participant: "flags",
      outcome: "committed",
      reason: "by hand",
    });
    assertEquals(await this.#ok(["in-doubt", "list"]), "");
    assertEquals((await this.#metrics()).get("layerd_in_doubt_oldest_age_ms"), 0);
    assertEquals((await scene.api.transaction(id)).state, "committed");
    await service.start();
    // What is resolved is told nothing more: the hand of "by hand" is ours.
    const [key] = await service.prepared();
    const body = JSON.stringify({ idempotency_key: key });
    const told = await fetch(`${service.baseUrl}/commit`, { method: "POST", body });
    assertEquals(await told.json(), { resources_updated: ["one"] });
  }

  /** A service that promises and then does not keep it: the others have committed. */
  async hearsWhichSideHasFailed(liar: ScriptedService): Promise<void> {
    const { api } = this.stand.scene;
    liar.answer = ({ verb }) => verb === "commit" ? new Response("no", { status: 409 }) : null;
    await this.stand.register({
      name: "liar",
      kind: "http",
      base_url: `http://${liar.host}`,
      timeout_ms: 10_000,
    });
    const work = (id: string) => [
      ...this.stand.change(id),
      { op: "http", participant: "liar", payload: {} },
    ];
    const outcomes = ({ participants }: Pick<TransactionDocument, "participants">) =>
      Object.fromEntries(participants.map(({ name, outcome }) => [name, outcome]));
    const { id } = await api.begin();
    await api.stage(id, ...work("three"));
    await api.prepare(id);
    const untold = { pg: null, flags: null, liar: null };
    assertEquals(outcomes(await api.transaction(id)), untold);
    const said = await this.#run(["commit", id]);
    assertEquals(said.code, 1, said.stderr);
    assertStringIncludes(said.stderr, `layerd in-doubt explain ${id}`);
    const ended = await api.transaction(id);
    assertEquals([ended.state, outcomes(ended)["liar"]], ["failed", "failed"]);
    // A one-shot has nobody who would look again: it answers with the problem.
    const problem = problemOf(await api.tryApply(work("four")), 500, "git_error");
    assert(problem.transaction !== undefined);
    const told = { pg: "committed", flags: "committed", liar: "failed" };
    assertEquals([problem.transaction.state, outcomes(problem.transaction)], ["failed", told]);
    for (const failed of [id, problem.transaction.id]) {
      await this.#ok(["in-doubt", "resolve", failed, "liar", "rolled_back", "--reason", "it lies"]);
    }
  }

  /** Locks removed by hand, a ref moved by git: the promise contradicts the repository. */
  async letsAQuarantinedRepositoryBeWrittenAgain(): Promise<void> {
    const { scene, repositories: [one, two] } = this.stand;
    assert(one !== undefined && two !== undefined);
    const { api } = scene;
    const { id } = await api.begin();
    await api.stage(id, put(one.name, LAYER, "f", "1"), put(two.name, LAYER, "f", "1"));
    await api.prepare(id);
    const ref = `refs/layers/${LAYER}`;
    const before = await git(one.path, ["rev-parse", ref]);
    await Deno.remove(`${one.commonDirectory}/${ref}.lock`);
    await git(one.path, ["update-ref", ref, "HEAD"]);
    const moved = await git(one.path, ["rev-parse", ref]);
    assertEquals((await api.commit(id)).state, "failed");
    const said = await this.#run(["in-doubt", "explain", id]);
    assertStringIncludes(said.stdout, `git:${one.name}\n`);
    assertStringIncludes(
      said.stdout,
      `conflict ${ref}: expected ${before.trim()}, found ${moved.trim()}`,
    );
    assertStringIncludes(said.stdout, "says now unknown");
    assertStringIncludes(said.stderr, `layerd in-doubt resolve ${id} git:${one.name} OUTCOME`);
    const write = () => api.tryApply([put(one.name, LAYER, "g", "2")]);
    problemOf(await write(), 503, "repository_quarantined");
    const plan = await this.#ok(["plan", `git:${one.name}`, "--duration-ms", "200"]);
    assertStringIncludes(plan, `warning\tgit:${one.name} cannot prepare: Writing to repository`);
    await git(one.path, ["update-ref", ref, before.trim()]);
    const again = JSON.parse(await this.#ok(["in-doubt", "explain", id, "--json"]));
    const says = (name: string) =>
      again.participants.find((side: { participant: string }) => side.participant === name)?.says;
    assertEquals(says(`git:${one.name}`), "rolled_back");
    for (const { participant } of again.participants) {
      await this.#ok([
        "in-doubt",
        "resolve",
        id,
        participant,
        "rolled_back",
        "--reason",
        "put back to where it was",
      ]);
    }
    assertEquals((await write()).status, 200);
    assertEquals((await api.transaction(id)).state, "failed");
    await settled(this.stand);
    await this.stand.assertQuiet();
  }

  #run(argv: readonly string[], stdin?: string) {
    const { home } = this.stand.scene;
    const setting = stdin === undefined ? {} : { stdin };
    return runCommand([...argv, "--socket", home.socket], setting);
  }

  async #ok(argv: readonly string[], stdin?: string): Promise<string> {
    const { code, stdout, stderr } = await this.#run(argv, stdin);
    assertEquals(code, 0, `${argv.join(" ")}: ${stderr}`);
    return stdout;
  }

  async #code(argv: readonly string[]): Promise<number> {
    return (await this.#run(argv)).code;
  }

  async #metrics(): Promise<Map<string, number>> {
    const { text } = await this.stand.scene.daemon.client.request("GET", "/v1/metrics");
    return new Map(
      [...text.matchAll(/^(\w+) (\d+)$/gm)].map(([, name = "", value]) => [name, Number(value)]),
    );
  }

  /** What the daemon announced of the first resolution. */
  async #announced(): Promise<unknown> {
    const client = new LayerdClient({ socketPath: this.stand.scene.home.socket });
    try {
      const signal = AbortSignal.timeout(10_000);
      for await (const event of client.events({ after: "1-0", signal })) {
        if (event.type === "transaction.resolved") return event.data;
      }
      throw new Error("The stream ended");
    } finally {
      client.close();
    }
  }
}
