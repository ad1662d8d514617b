/** Everything that the example needs, in a directory of its own: repository, services, daemon. */
import { LayerdClient } from "../../src/client/client.ts";
import { LAYER, trainingSaga } from "./definition.ts";
import { ServiceProcesses } from "./service_processes.ts";

const LAUNCHER = `${import.meta.dirname}/../../scripts/layerd`;
const REPOSITORY = "models";

export class Stage {
  private constructor(
    readonly directory: string,
    readonly services: ServiceProcesses,
    readonly client: LayerdClient,
    private readonly daemon: Deno.ChildProcess,
  ) {}

  /** Starts all of it and defines the saga `train`. */
  static async open(): Promise<Stage> {
    const directory = await Deno.makeTempDir({ prefix: "layerd-ml-" });
    const repository = `${directory}/models`;
    await new Deno.Command("git", { args: ["init", "-q", repository] }).output();
    const services = await ServiceProcesses.start(directory);
    await Deno.mkdir(`${directory}/run`, { mode: 0o700 });
    const socket = `${directory}/run/layerd.sock`;
    const daemon = new Deno.Command(LAUNCHER, {
      args: [
        "serve",
        `--socket=${socket}`,
        `--state-dir=${directory}/state`,
        `--repository=${REPOSITORY}=${repository}`,
        ...services.allow,
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    // Its one line says that it is ready.
    for await (const _line of daemon.stdout) break;
    const client = new LayerdClient({ socketPath: socket });
    await client.begin({
      operations: [{ op: "create_layer", repository: REPOSITORY, layer: LAYER }],
      commit: true,
    });
    await client.sagas.define("train", trainingSaga(services.urls, REPOSITORY));
    return new Stage(directory, services, client, daemon);
  }

  /** Files of the layer in which the model lands, as git shows them. */
  async landed(): Promise<string[]> {
    const { stdout } = await new Deno.Command("git", {
      args: ["-C", `${this.directory}/models`, "ls-tree", "--name-only", `refs/layers/${LAYER}`],
    }).output();
    return new TextDecoder().decode(stdout).split("\n").filter((name) => name !== "");
  }

  async close(): Promise<void> {
    this.client.close();
    this.daemon.kill("SIGTERM");
    await this.daemon.status;
    await this.services.stop();
    await Deno.remove(this.directory, { recursive: true });
  }
}
