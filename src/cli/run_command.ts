/**
 * `run -- CMD`: a transaction around a command.
 *
 * U1. The command sees LAYERD_TRANSACTION and LAYERD_SOCKET and this process's streams.
 * U2. Exit 0 of the command commits; everything else, also its death by a signal or a command
 *     that cannot be started, rolls back. Its code (128 + n for signal n) is passed on.
 * U3. Signals that ask this process to end go on to the command, which decides. Those that a
 *     terminal's keys make have reached it already: a terminal signals the whole group.
 * U4. A lease that could not be kept is said as soon as the command is done; where this
 *     process dies without a word, the lease ends the transaction.
 */
import type { Command } from "commander";
import type { LayerdClient, TransactionDocument } from "../client/client.ts";
import { clientCommand, type Session, withRepository, withSession } from "./client_command.ts";
import { EXIT, exitCodeOf, UsageError } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";
import { keepLease } from "./lease.ts";
import { socketPath } from "./locations.ts";
import {
  begin,
  beginBody,
  type BeginOptions,
  reportCommit,
  withBeginOptions,
} from "./transaction_commands.ts";
import { namingHolders } from "./waiting.ts";

/** Kept alive while the command runs, and short, so that a killed `run` holds nothing long. */
const LEASE_MS_DEFAULT = 30_000;
/** What shells answer for a command that is not there, and one that cannot be run. */
const NOT_FOUND = 127;
const NOT_RUNNABLE = 126;
const SIGNALLED = 128;

type Ended = { readonly code: number; readonly problem: string | null };

export function addRunCommand(
  program: Command,
  host: CliHost,
  exitWith: (code: number) => void,
): void {
  withBeginOptions(withRepository(clientCommand(program, "run <command...>")), LEASE_MS_DEFAULT)
    .description("run a command in a transaction: commit on exit 0, else roll back")
    .usage("[options] -- CMD [ARG...]")
    .action((command: readonly string[], options: BeginOptions) => {
      if (!host.argv.includes("--")) {
        throw new UsageError("Put `--` before the command: `layerd run -- make deploy`");
      }
      return withSession(host, options, async (session) => {
        const body = await beginBody(session, options);
        const transaction = await begin(session, body);
        exitWith(
          await runIn(session, transaction, command, {
            leaseMs: body.lease_ms ?? LEASE_MS_DEFAULT,
            socket: socketPath(options.socket, host),
          }),
        );
      });
    });
}

async function runIn(
  session: Session,
  transaction: TransactionDocument,
  command: readonly string[],
  setting: { readonly leaseMs: number; readonly socket: string },
): Promise<number> {
  const { client, output } = session;
  const lease = keepLease(client, transaction.id, setting.leaseMs);
  const ended = await runCommand(session.host, command, {
    LAYERD_TRANSACTION: transaction.id,
    LAYERD_SOCKET: setting.socket,
  });
  const lost = await lease.stop();
  if (ended.problem !== null) output.note(`layerd: ${ended.problem}`);
  if (ended.code !== 0) {
    await rollBack(client, transaction.id, lost !== null);
    output.note(`Rolled back ${transaction.id}: the command ended with ${ended.code}`);
    return ended.code;
  }
  try {
    const id = transaction.id;
    reportCommit(
      output,
      await namingHolders(session, { transaction: id }, () => client.commit(id)),
    );
    return EXIT.done;
  } catch (error) {
    output.failure(error);
    await rollBack(client, transaction.id, lost !== null);
    return exitCodeOf(error);
  }
}

/** Best effort where the daemon has ended it already; the first problem was told. */
async function rollBack(client: LayerdClient, id: string, isOver: boolean): Promise<void> {
  if (isOver) return;
  const { state } = await client.transaction(id);
  if (state === "active") await client.rollback(id);
}

async function runCommand(
  host: CliHost,
  [program = "", ...args]: readonly string[],
  env: Record<string, string>,
): Promise<Ended> {
  // Before there is a command: one that says at once that it is up may be asked to end at once.
  const signals = new PassedSignals(isAtTerminal(host));
  try {
    const child = new Deno.Command(program, {
      args,
      env,
      stdin: "inherit",
      stdout: "inherit",
      stderr: "inherit",
    }).spawn();
    signals.passTo(child);
    const { code, signal } = await child.status;
    return { code: signal === null ? code : Math.max(code, SIGNALLED), problem: null };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof Deno.errors.NotFound ? NOT_FOUND : NOT_RUNNABLE;
    return { code, problem: `${program} cannot be run: ${message}` };
  } finally {
    signals.stop();
  }
}

function isAtTerminal(host: CliHost): boolean {
  return host.stdinIsTerminal || host.stdoutIsTerminal || host.stderrIsTerminal;
}

/** Catches signals from its making on, and passes them to a command once there is one (U3). */
class PassedSignals {
  readonly #listeners: readonly (readonly [Deno.Signal, () => void])[];
  readonly #early: Deno.Signal[] = [];
  #child: Deno.ChildProcess | null = null;

  constructor(reachedByKeys: boolean) {
    const passed: readonly Deno.Signal[] = ["SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2"];
    const ofKeys: readonly Deno.Signal[] = ["SIGINT", "SIGQUIT"];
    this.#listeners = [
      ...passed.map((signal) => [signal, () => this.#pass(signal)] as const),
      ...ofKeys.map((signal) =>
        [signal, reachedByKeys ? () => {} : () => this.#pass(signal)] as const
      ),
    ];
    for (const [signal, listener] of this.#listeners) Deno.addSignalListener(signal, listener);
  }

  passTo(child: Deno.ChildProcess): void {
    this.#child = child;
    for (const signal of this.#early.splice(0)) child.kill(signal);
  }

  stop(): void {
    for (const [signal, listener] of this.#listeners) Deno.removeSignalListener(signal, listener);
  }

  #pass(signal: Deno.Signal): void {
    if (this.#child === null) this.#early.push(signal);
    else this.#child.kill(signal);
  }
}
