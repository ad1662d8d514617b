/** What every command that talks to the daemon shares: its options, its session, its end. */
import type { Command } from "commander";
import { LayerdClient } from "../client/client.ts";
import { ensureDaemon, startsDaemon } from "./autostart.ts";
import { UsageError } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";
import { socketPath } from "./locations.ts";
import { Output } from "./output.ts";

/** Options of every client command, as commander parses them. */
export interface ClientOptions {
  readonly socket?: string;
  readonly json?: boolean;
}

export interface RepositoryOption {
  readonly repository?: string;
}

export interface TransactionOption {
  readonly transaction?: string;
}

/** One run of a client command. */
export interface Session {
  readonly host: CliHost;
  readonly client: LayerdClient;
  readonly output: Output;
}

/** Adds `--socket` and `--json`. */
export function clientCommand(parent: Command, nameAndArguments: string): Command {
  return parent.command(nameAndArguments)
    .option("--socket <path>", "socket of the daemon")
    .option("--json", "answer in JSON");
}

export function withRepository(command: Command): Command {
  return command.option(
    "-r, --repository <name>",
    "repository; else $LAYERD_REPOSITORY, else the registered one around this directory",
  );
}

export function withTransaction(command: Command): Command {
  return command.option("-t, --transaction <id>", "transaction; else $LAYERD_TRANSACTION");
}

/** Runs `act` with a client and closes it; starts the daemon where there is none. */
export async function withSession(
  host: CliHost,
  options: ClientOptions,
  act: (session: Session) => Promise<void>,
): Promise<void> {
  if (startsDaemon(host, options.socket)) {
    await ensureDaemon(host, socketPath(options.socket, host), outputFor(host, options));
  }
  await withRunningDaemon(host, options, act);
}

/** Runs `act` with a client and closes it, whether a daemon runs or not. */
export async function withRunningDaemon(
  host: CliHost,
  options: ClientOptions,
  act: (session: Session) => Promise<void>,
): Promise<void> {
  const client = new LayerdClient({ socketPath: socketPath(options.socket, host) });
  try {
    await act({ host, client, output: outputFor(host, options) });
  } finally {
    client.close();
  }
}

export function outputFor(host: CliHost, options: ClientOptions): Output {
  return new Output(host, options.json === true ? "json" : "text");
}

/** The repository that the command is about. */
export async function repositoryOf(session: Session, options: RepositoryOption): Promise<string> {
  const named = options.repository ?? variable(session.host, "LAYERD_REPOSITORY");
  if (named !== undefined) return named;
  const [around] = await session.client.repositories({ path: session.host.cwd });
  if (around === undefined) {
    throw new UsageError(
      `No registered repository holds ${session.host.cwd}: register it with ` +
        "`layerd repo add NAME`, or name one with --repository",
    );
  }
  return around.name;
}

/** The transaction that the command is about, or undefined where none is named. */
export function transactionIfAny(
  host: CliHost,
  given: string | undefined,
): string | undefined {
  return given ?? variable(host, "LAYERD_TRANSACTION");
}

/** The transaction that the command is about; it must be named. */
export function transactionOf(host: CliHost, given: string | undefined): string {
  const id = transactionIfAny(host, given);
  if (id === undefined) {
    throw new UsageError(
      "No transaction is named: begin one with `export LAYERD_TRANSACTION=$(layerd begin)`, " +
        "or give its id",
    );
  }
  return id;
}

/** A count that a person typed. */
export function parseCount(text: string, option: string): number {
  const count = Number(text);
  if (!Number.isSafeInteger(count) || count < 0) {
    throw new UsageError(`${option} must be a whole number, not ${text}`);
  }
  return count;
}

function variable(host: CliHost, name: string): string | undefined {
  const value = host.env(name);
  return value === "" ? undefined : value;
}
