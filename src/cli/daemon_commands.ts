/** `serve`, `start`, `stop`, `status` and `get-socket`: the daemon as a process. */
import type { Command } from "commander";
import { DaemonUnreachable, LayerdClient } from "../client/client.ts";
import { startInBackground, waitForEnd } from "./background.ts";
import {
  clientCommand,
  type ClientOptions,
  outputFor,
  withRunningDaemon,
} from "./client_command.ts";
import { AnsweredNo } from "./exit_codes.ts";
import type { CliHost, ServeOptions } from "./host.ts";
import { logFile, socketPath } from "./locations.ts";
import { type ServeArguments, serveOptions } from "./serve_arguments.ts";

/** Takes the exit code of `serve`: it is not an error, and not always 0. */
export function addDaemonCommands(
  program: Command,
  host: CliHost,
  exitWith: (code: number) => void,
): void {
  withServeOptions(program.command("serve"))
    .description("run the daemon in the foreground")
    .action(async (options: ServeArguments) => {
      exitWith(await host.serve(serveOptions(host, options)));
    });

  addStart(program, host);
  addStop(program, host);
  addStatus(program, host);

  clientCommand(program, "get-socket")
    .description("print the path of the socket")
    .action((options: ClientOptions) => {
      const socket = socketPath(options.socket, host);
      outputFor(host, options).answer({ socket }, [socket]);
    });
}

function withServeOptions(command: Command): Command {
  const collect = (value: string, all: readonly string[]) => [...all, value];
  return command
    .option("--socket <path>", "socket to listen on")
    .option("--state-dir <dir>", "where the log and the ledger are")
    .option("--repository <name=path>", "repository to serve; repeatable", collect, [])
    .option(
      "--allow-participant <host:port>",
      "service that transactions and sagas may reach; repeatable",
      collect,
      [],
    )
    .option("--saga-store <url>", "PostgreSQL in which daemons share their sagas; else a file")
    .option(
      "--allow-command <program>",
      "program that saga steps may run; repeatable",
      collect,
      [],
    );
}

function addStart(program: Command, host: CliHost): void {
  withServeOptions(program.command("start"))
    .description("run the daemon in the background")
    .option("--json", "answer in JSON")
    .action(async (options: ServeArguments & ClientOptions) => {
      const serve = serveOptions(host, options);
      const output = outputFor(host, options);
      const log = logFile(serve.stateDir);
      const client = new LayerdClient({ socketPath: serve.socket });
      try {
        const running = await pidIfRunning(client);
        const pid = running ?? await startInBackground(host, client, serve, log);
        output.answer({ pid, socket: serve.socket, log }, [String(pid)]);
        if (running !== null) {
          output.note(`Already running at ${serve.socket}`);
          await ensureRepositories(client, serve.repositories);
        } else output.note(`Serving at ${serve.socket}; logs to ${log}`);
      } finally {
        client.close();
      }
    });
}

function addStop(program: Command, host: CliHost): void {
  clientCommand(program, "stop")
    .description("let the daemon drain and end, and wait for that")
    .action((options: ClientOptions) =>
      withRunningDaemon(host, options, async ({ client, output }) => {
        const pid = await pidIfRunning(client);
        if (pid === null) throw notRunning(host, options);
        await client.shutdown();
        client.close();
        output.note(`Waiting for ${pid} to drain and end`);
        await waitForEnd(host, pid);
        output.answer({ pid, stopped: true }, []);
        output.note("Stopped");
      })
    );
}

function addStatus(program: Command, host: CliHost): void {
  clientCommand(program, "status")
    .description("say whether the daemon runs; exit code 1 if not")
    .action((options: ClientOptions) =>
      withRunningDaemon(host, options, async ({ client, output }) => {
        const socket = socketPath(options.socket, host);
        if (await pidIfRunning(client) === null) {
          if (options.json === true) output.answer({ running: false, socket }, []);
          throw notRunning(host, options);
        }
        const health = await client.health();
        output.answer({ running: true, socket, ...health }, [
          `running\tpid ${health.pid}, layerd ${health.version}, ${health.status}`,
          `socket\t${socket}`,
        ]);
      })
    );
}

function notRunning(host: CliHost, options: ClientOptions): AnsweredNo {
  return new AnsweredNo(
    `No daemon runs at ${socketPath(options.socket, host)}: \`layerd start\` starts one`,
  );
}

/** The daemon's pid, or null where none answers. Any other trouble is thrown. */
/** What `--repository` asks of a daemon that runs already: the same again is no error. */
async function ensureRepositories(
  client: LayerdClient,
  repositories: ServeOptions["repositories"],
): Promise<void> {
  const served = await client.repositories();
  for (const repository of repositories) {
    const same = (other: { readonly name: string; readonly path: string }) =>
      other.name === repository.name && other.path === repository.path;
    if (!served.some(same)) await client.addRepository(repository);
  }
}

async function pidIfRunning(client: LayerdClient): Promise<number | null> {
  try {
    return (await client.health()).pid;
  } catch (error) {
    if (error instanceof DaemonUnreachable && !error.permissionDenied) return null;
    throw error;
  }
}
