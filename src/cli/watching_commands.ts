/** `log`, `locks`, `events` and `health`: what happened and what is going on. */
import type { Command } from "commander";
import {
  clientCommand,
  type ClientOptions,
  parseCount,
  repositoryOf,
  type RepositoryOption,
  withRepository,
  withRunningDaemon,
  withSession,
} from "./client_command.ts";
import { eventLine } from "./event_line.ts";
import { AnsweredNo } from "./exit_codes.ts";
import { graphLines } from "./graph.ts";
import type { CliHost } from "./host.ts";

export function addWatchingCommands(program: Command, host: CliHost): void {
  addLog(program, host);
  addLocks(program, host);
  addEvents(program, host);
  addHealth(program, host);
}

function addLog(program: Command, host: CliHost): void {
  withRepository(clientCommand(program, "log [layer]"))
    .description("name the commits of a layer, or without one the daemon's transactions")
    .option("-n, --limit <count>", "at most so many", "20")
    .option("--graph", "draw what was merged into the layer")
    .action((
      layer: string | undefined,
      options: ClientOptions & RepositoryOption & {
        readonly limit: string;
        readonly graph?: true;
      },
    ) =>
      withSession(host, options, async (session) => {
        const { client, output } = session;
        const limit = parseCount(options.limit, "--limit");
        if (layer === undefined) {
          const repository = options.repository;
          const answer = await client.transactions({
            limit,
            ...(repository === undefined ? {} : { repository }),
          });
          output.answer(
            answer,
            answer.transactions.map((t) =>
              `${t.id}\t${t.state}\t${t.created_at}\t${firstLine(t.message)}`
            ),
          );
          return;
        }
        const commits = await client.log(await repositoryOf(session, options), layer, { limit });
        output.answer(
          { commits },
          options.graph === true
            ? graphLines(commits, (c) =>
              `${c.oid.slice(0, 7)} ${firstLine(c.message)} ` +
              `(${c.author.name}, ${c.committed_at.slice(0, 10)})`)
            : commits.map((c) =>
              `${c.oid}\t${c.committed_at}\t${c.transaction_id ?? "-"}\t${firstLine(c.message)}`
            ),
        );
      })
    );
}

function addLocks(program: Command, host: CliHost): void {
  clientCommand(program, "locks")
    .description("name the layers that transactions hold or wait for")
    .option("-r, --repository <name>", "only of this repository")
    .action((options: ClientOptions & RepositoryOption) =>
      withSession(host, options, async ({ client, output }) => {
        const { repository } = options;
        const answer = await client.locks(repository === undefined ? {} : { repository });
        output.answer(
          answer,
          answer.locks.flatMap((lock) => [
            ...lock.holders.map((h) =>
              `${lock.repository}\t${lock.layer}\t${h.mode}\theld\t${h.transaction_id}\t${h.since}`
            ),
            ...lock.waiters.map((w) =>
              `${lock.repository}\t${lock.layer}\t${w.mode}\twaits\t${w.transaction_id}\t${w.since}`
            ),
          ]),
        );
      })
    );
}

function addEvents(program: Command, host: CliHost): void {
  clientCommand(program, "events")
    .description("print what happens, until interrupted")
    .option("--after <cursor>", "resume after this event id")
    .action((options: ClientOptions & { readonly after?: string }) =>
      withSession(host, options, async ({ client, output }) => {
        const { after } = options;
        for await (const event of client.events(after === undefined ? {} : { after })) {
          output.item(event, eventLine(event));
        }
        output.note("The daemon ended the stream");
      })
    );
}

function addHealth(program: Command, host: CliHost): void {
  clientCommand(program, "health")
    .description("say how the daemon and its repositories are")
    .action((options: ClientOptions) =>
      withRunningDaemon(host, options, async ({ client, output }) => {
        const health = await client.health();
        const { transactions } = health;
        output.answer(health, [
          `${health.status}\tlayerd ${health.version}, pid ${health.pid}`,
          `${transactions.active} active, ${transactions.in_doubt} in doubt, ` +
          `${transactions.failed} failed transactions`,
          ...health.repositories.map((r) => `${r.status}\t${r.name}`),
        ]);
        if (health.status === "failing") throw new AnsweredNo("The daemon is failing");
      })
    );
}

function firstLine(message: string): string {
  return message.split("\n", 1)[0] ?? "";
}
