/** `repo add|list|remove` and `layer create|delete|list`. */
import type { Command } from "commander";
import { resolve } from "@std/path";
import type { OperationBody } from "../client/client.ts";
import {
  clientCommand,
  type ClientOptions,
  parseCount,
  repositoryOf,
  type RepositoryOption,
  type TransactionOption,
  withRepository,
  withSession,
  withTransaction,
} from "./client_command.ts";
import { stage } from "./file_commands.ts";
import type { CliHost } from "./host.ts";

export function addRepositoryCommands(program: Command, host: CliHost): void {
  const repo = program.command("repo").description("register repositories with the daemon");

  clientCommand(repo, "add <name> [path]")
    .description("register the repository at PATH (here, where none is given) under NAME")
    .option("--adopt", "take over a repository that another daemon's log owns, or a copy")
    .action((name: string, path: string | undefined, options: ClientOptions & { adopt?: true }) =>
      withSession(host, options, async ({ client, output }) => {
        const repository = await client.addRepository({
          name,
          path: resolve(host.cwd, path ?? "."),
          ...(options.adopt === undefined ? {} : { adopt: true }),
        });
        output.answer({ repository }, []);
        output.note(`Serving ${repository.common_dir} as ${name} (${repository.layers} layers)`);
      })
    );

  clientCommand(repo, "list")
    .description("name the registered repositories")
    .action((options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const repositories = await client.repositories();
        output.answer(
          { repositories },
          repositories.map((r) => `${r.name}\t${r.status}\t${r.layers} layers\t${r.path}`),
        );
        if (repositories.length === 0) output.note("None yet: `layerd repo add NAME PATH`");
      })
    );

  clientCommand(repo, "remove <name>")
    .description("stop serving a repository; what is in it stays")
    .option("--abandon", "also where unfinished publications stand against it")
    .action((name: string, options: ClientOptions & { abandon?: true }) =>
      withSession(host, options, async ({ client, output }) => {
        await client.removeRepository(name, options.abandon === true ? { abandon: true } : {});
        output.answer({ removed: name }, []);
        output.note(`${name} is no longer served; nothing in the repository was deleted`);
      })
    );
}

type LayerOptions = ClientOptions & RepositoryOption & TransactionOption;

export function addLayerCommands(program: Command, host: CliHost): void {
  const layer = program.command("layer").description("create, delete and list layers");

  const stageHere = (options: LayerOptions, operation: (repository: string) => OperationBody) =>
    stage(host, options, (_session, _id, repository) => Promise.resolve(operation(repository)));

  withTransaction(withRepository(clientCommand(layer, "create <layer>")))
    .description("stage the creation of a layer")
    .option("--from <origin>", "layer, full ref or commit id to start from")
    .action((name: string, options: LayerOptions & { from?: string }) =>
      stageHere(options, (repository) => ({
        op: "create_layer",
        repository,
        layer: name,
        ...(options.from === undefined ? {} : { from: options.from }),
      }))
    );

  withTransaction(withRepository(clientCommand(layer, "delete <layer>")))
    .description("stage the deletion of a layer")
    .action((name: string, options: LayerOptions) =>
      stageHere(options, (repository) => ({ op: "delete_layer", repository, layer: name }))
    );

  withRepository(clientCommand(layer, "list"))
    .description("name the layers of a repository")
    .option("--prefix <prefix>", "only layers whose name begins so", "")
    .option("--limit <count>", "at most so many", "1000")
    .action((options: LayerOptions & { prefix: string; limit: string }) =>
      withSession(host, options, async (session) => {
        const answer = await session.client.layers(await repositoryOf(session, options), {
          prefix: options.prefix,
          limit: parseCount(options.limit, "--limit"),
        });
        session.output.answer(answer, answer.layers.map((l) => `${l.name}\t${l.commit}`));
        if (answer.next_cursor !== null) session.output.note("There are more: raise --limit");
      })
    );
}
