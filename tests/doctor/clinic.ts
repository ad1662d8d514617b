/**
 * A state directory and a repository as a daemon left them, made once and put back for each
 * case: two checkpoints, commits before, between and behind them, so that some records are
 * needed and some are not.
 */
import { assertEquals } from "@std/assert";
import type { Diagnosis, DoctorReport } from "../../src/core/diagnosis.ts";
import { examine } from "../../src/doctor/doctor.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import { scanLog } from "../../src/wal/scan_log.ts";
import { bodyOf, create, put } from "../harness/api.ts";
import { makeHome } from "../harness/daemon.ts";
import { git } from "../harness/git.ts";
import { makeRepository, readRef } from "../harness/repositories.ts";
import { Scene } from "../harness/scene.ts";

const BLOCK = 4_096;

export class Clinic {
  /** Transactions that were acknowledged, in order. */
  readonly acknowledged: string[] = [];
  /** What each layer holds. */
  readonly tips = new Map<string, string>();

  private constructor(readonly scene: Scene) {}

  static async open(): Promise<Clinic> {
    const clinic = new Clinic(new Scene(await makeHome()));
    await clinic.#live();
    await clinic.#run("cp", "-a", clinic.#life, clinic.#saved);
    return clinic;
  }

  get stateDirectory(): string {
    return this.scene.home.stateDirectory;
  }

  get repository(): string {
    return `${this.#life}/app`;
  }

  get gitDirectory(): string {
    return `${this.repository}/.git`;
  }

  get segment(): string {
    return `${this.stateDirectory}/log/0000000001.wal`;
  }

  get ledger(): string {
    return `${this.stateDirectory}/ledger.sqlite`;
  }

  /** Puts everything back as the daemon left it. */
  async reset(): Promise<void> {
    await this.#run("rm", "-rf", this.#life, this.stateDirectory);
    await this.#run("cp", "-a", this.#saved, this.#life);
    await this.#run("mv", `${this.#life}/state`, this.stateDirectory);
  }

  async close(): Promise<void> {
    await this.scene.close();
  }

  async look(repository: string | null = null): Promise<DoctorReport> {
    return await this.#examine("look", repository);
  }

  async fix(repository: string | null = null): Promise<DoctorReport> {
    return await this.#examine("fix", repository);
  }

  /** The only finding of that code; fails where there is none. */
  static only(report: DoctorReport, code: string): Diagnosis {
    const [one, ...others] = report.findings.filter((finding) => finding.code === code);
    assertEquals(others.length, 0, `${code} stands more than once: ${JSON.stringify(report)}`);
    if (one === undefined) throw new Error(`No ${code} in ${JSON.stringify(report, null, 2)}`);
    return one;
  }

  /** A daemon starts, knows every acknowledged transaction, and every layer is where it was. */
  async assertServes(): Promise<void> {
    await this.scene.start();
    try {
      const { repositories } = await this.scene.api.get<
        { repositories: { name: string; status: string }[] }
      >("/v1/repositories");
      assertEquals(repositories.map(({ name, status }) => [name, status]), [["app", "healthy"]]);
      for (const [layer, tip] of this.tips) {
        assertEquals(await readRef(this.repository, `refs/layers/${layer}`), tip, layer);
      }
      await this.scene.api.apply([put("app", "a", "after", "mended")]);
    } finally {
      await this.scene.daemon.stop();
    }
  }

  /** Changes the frame of the n-th force from the end (1 is the last). */
  async flipForce(fromEnd: number): Promise<void> {
    const offsets = this.#forces();
    const offset = offsets.at(-fromEnd);
    if (offset === undefined) throw new Error(`The log has only ${offsets.length} forces`);
    const bytes = await Deno.readFile(this.segment);
    bytes[offset + 60] = (bytes[offset + 60] ?? 0) ^ 1;
    await Deno.writeFile(this.segment, bytes);
  }

  get #life(): string {
    return this.scene.path("life");
  }

  get #saved(): string {
    return this.scene.path("saved");
  }

  async #live(): Promise<void> {
    const { scene } = this;
    await makeRepository(this.repository);
    await scene.start({ repositories: { app: this.repository } });
    await this.#commit(create("app", "a"), put("app", "a", "f", "1"));
    await this.#commit(create("app", "b"), put("app", "b", "f", "1"));
    await this.#checkpoint();
    await this.#commit(put("app", "a", "f", "2"), put("app", "b", "f", "2"));
    await this.#checkpoint();
    await this.#commit(put("app", "a", "f", "3"));
    await this.#commit(create("app", "c"), put("app", "c", "f", "1"));
    // Killed, so that the log ends in commits and not in a checkpoint.
    await scene.daemon.kill();
    for (const layer of ["a", "b", "c"]) {
      this.tips.set(layer, await git(this.repository, ["rev-parse", `refs/layers/${layer}`]));
    }
    await this.#run("cp", "-a", this.stateDirectory, `${this.#life}/state`);
  }

  async #commit(...operations: Parameters<Scene["api"]["apply"]>[0]): Promise<void> {
    this.acknowledged.push((await this.scene.api.apply(operations)).id);
  }

  async #checkpoint(): Promise<void> {
    bodyOf(await this.scene.daemon.client.request("POST", "/v1/wal/checkpoint", {}));
  }

  #forces(): number[] {
    const [segment] = scanLog(new DenoFileSystem(), `${this.stateDirectory}/log`).segments;
    const count = (segment?.end ?? 0) / BLOCK;
    return Array.from({ length: Math.ceil(count) - 1 }, (_, index) => (index + 1) * BLOCK);
  }

  #examine(mode: "look" | "fix", repository: string | null): Promise<DoctorReport> {
    return examine({
      fileSystem: new DenoFileSystem(),
      clock: new DenoClock(),
      random: new DenoRandom(),
      stateDirectory: this.stateDirectory,
      repository,
      mode,
    });
  }

  async #run(program: string, ...args: string[]): Promise<void> {
    const { success, stderr } = await new Deno.Command(program, { args }).output();
    if (!success) throw new Error(`${program} ${args}: ${new TextDecoder().decode(stderr)}`);
  }
}

/** One clinic a file; each case begins with everything put back. */
export function cases(): (name: string, play: (clinic: Clinic) => Promise<void>) => void {
  let clinic: Clinic | null = null;
  Deno.test.beforeAll(async () => {
    clinic = await Clinic.open();
  });
  Deno.test.afterAll(async () => {
    await clinic?.close();
  });
  return (name, play) => {
    Deno.test(name, async () => {
      if (clinic === null) throw new Error("The clinic did not open");
      await clinic.reset();
      await play(clinic);
    });
  };
}

/** Follows a step of a remedy. */
export async function shell(command: string): Promise<void> {
  const { success, stderr } = await new Deno.Command("sh", { args: ["-ec", command] }).output();
  if (!success) throw new Error(`${command}: ${new TextDecoder().decode(stderr)}`);
}
