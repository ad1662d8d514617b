/** `replica put|list|show|reconcile|remove`: layers kept convergent between repositories. */
import type { Command } from "commander";
import type { ReplicaBody, ReplicaDocument, ReplicaPlace } from "../client/replica_client.ts";
import { clientCommand, type ClientOptions, parseCount, withSession } from "./client_command.ts";
import { AnsweredNo, UsageError } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";

const STRATEGIES = ["last_write_wins", "source_wins", "manual"] as const;

interface PutOptions extends ClientOptions {
  readonly intervalMs?: string;
  readonly strategy: string;
}

export function addReplicaCommands(program: Command, host: CliHost): void {
  const replica = program.command("replica")
    .description("keep layers convergent between repositories");

  clientCommand(replica, "put <name> <source> <target...>")
    .description("define a replica; a place is REPOSITORY:LAYER")
    .option("--interval-ms <ms>", "reconcile at least so often")
    .option("--strategy <name>", STRATEGIES.join(", "), "last_write_wins")
    .action((name: string, source: string, targets: string[], options: PutOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const { intervalMs } = options;
        const document = await client.replicas.put(name, {
          source: parsePlace(source),
          targets: targets.map(parsePlace),
          conflict_resolution: parseStrategy(options.strategy),
          ...(intervalMs === undefined
            ? {}
            : { reconciliation_interval_ms: parseCount(intervalMs, "--interval-ms") }),
        });
        output.answer({ replica: document }, linesOf(document));
      })
    );

  clientCommand(replica, "list")
    .description("name the replicas, with lag and conflicts")
    .action((options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const replicas = await client.replicas.list();
        output.answer(
          { replicas },
          replicas.map((r) => `${r.name}\t${r.lag_ms} ms behind\t${r.conflicts} conflicts`),
        );
      })
    );

  clientCommand(replica, "show <name>")
    .description("say how each target stands")
    .action((name: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const document = await client.replicas.get(name);
        output.answer({ replica: document }, linesOf(document));
      })
    );

  clientCommand(replica, "reconcile <name>")
    .description("reconcile now; exit code 1 unless all is in sync then")
    .action((name: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const document = await client.replicas.reconcile(name);
        output.answer({ replica: document }, linesOf(document));
        const open = document.targets.filter(({ status }) => status !== "in_sync").length;
        if (open > 0) throw new AnsweredNo(`${open} targets are not in sync`);
      })
    );

  clientCommand(replica, "remove <name>")
    .description("stop reconciling; the layers stay as they are")
    .action((name: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        await client.replicas.remove(name);
        output.answer({ removed: name }, []);
        output.note(`${name} is no longer reconciled`);
      })
    );
}

function parsePlace(text: string): ReplicaPlace {
  const at = text.indexOf(":");
  if (at < 1) throw new UsageError(`A place must look like REPOSITORY:LAYER, not '${text}'`);
  return { repository: text.slice(0, at), layer: text.slice(at + 1) };
}

function parseStrategy(text: string): NonNullable<ReplicaBody["conflict_resolution"]> {
  const strategy = STRATEGIES.find((one) => one === text);
  if (strategy !== undefined) return strategy;
  throw new UsageError(`--strategy is one of ${STRATEGIES.join(", ")}, not ${text}`);
}

function linesOf({ source, source_commit, targets }: ReplicaDocument): string[] {
  return [
    `source\t${source.repository}:${source.layer}\t${source_commit ?? "-"}`,
    ...targets.map((t) =>
      [t.status, `${t.repository}:${t.layer}`, t.commit ?? "-", `${t.lag_ms} ms`, t.detail ?? ""]
        .join("\t").trimEnd()
    ),
  ];
}
