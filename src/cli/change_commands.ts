/** `patch`, `merge` and `undo`: changes that are more than a file put in place. */
import type { Command } from "commander";
import {
  clientCommand,
  type ClientOptions,
  type RepositoryOption,
  type TransactionOption,
  withRepository,
  withSession,
  withTransaction,
} from "./client_command.ts";
import { UsageError } from "./exit_codes.ts";
import { contentOf, stage } from "./file_commands.ts";
import type { CliHost } from "./host.ts";
import { namingHolders } from "./waiting.ts";

type ChangeOptions = ClientOptions & RepositoryOption & TransactionOption;

export function addChangeCommands(program: Command, host: CliHost): void {
  addPatch(program, host);
  addMerge(program, host);
  addUndo(program, host);
}

function addPatch(program: Command, host: CliHost): void {
  withTransaction(withRepository(clientCommand(program, "patch <layer> <path> [patch]")))
    .description("stage a change of some keys of a JSON, JSONC, YAML, TOML or INI file")
    .addHelpText(
      "after",
      "\nPATCH is a JSON merge patch (RFC 7386), or standard input where it is - or not given.\n" +
        "null removes a key. Comments and order outside the change stay.\n\n" +
        '  layerd patch team/base settings.json \'{"editor.tabSize": 2, "old": null}\'',
    )
    .action((layer: string, path: string, given: string | undefined, options: ChangeOptions) =>
      stage(host, options, async (_session, _id, repository) => {
        const text = given === undefined || given === "-"
          ? new TextDecoder().decode(await contentOf(host, undefined))
          : given;
        return { op: "patch_file", repository, layer, path, merge_patch: parsePatch(text) };
      })
    );
}

function parsePatch(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`The patch is not JSON: ${reason}`, { cause: error });
  }
}

function addMerge(program: Command, host: CliHost): void {
  withTransaction(withRepository(clientCommand(program, "merge <layer> <from>")))
    .description("stage a three-way merge of another layer, full ref or commit into a layer")
    .addHelpText(
      "after",
      "\nStructured files merge key by key. A conflict names each path and key, and stages nothing.\n\n" +
        "  layerd merge project/app team/base",
    )
    .action((layer: string, from: string, options: ChangeOptions) =>
      stage(
        host,
        options,
        (_session, _id, repository) =>
          Promise.resolve({ op: "merge_layer", repository, layer, from }),
      )
    );
}

function addUndo(program: Command, host: CliHost): void {
  clientCommand(program, "undo <id>")
    .description("restore what a committed transaction changed, by a new one")
    .option("-m, --message <text>", "message of its commits")
    .addHelpText(
      "after",
      "\nExit code 1 where any of it has changed since (in structured files, the same keys); " +
        "then nothing is undone. " +
        "`layerd log` names the transactions.\n\n" +
        "  layerd undo 01JZ8Y6S3K8Q4T2W5X7Y9Z1A3B",
    )
    .action((id: string, options: ClientOptions & { readonly message?: string }) =>
      withSession(host, options, async (session) => {
        const { client, output } = session;
        const { message } = options;
        const locks = (await client.transaction(id)).results;
        const undo = () => client.undo(id, message === undefined ? {} : { message });
        const transaction = await namingHolders(session, { locks }, undo);
        output.answer(
          { transaction },
          transaction.results.map((r) =>
            `${r.repository}\t${r.ref}\t${r.old ?? "-"}\t${r.new ?? "-"}`
          ),
        );
        output.note(
          transaction.results.length === 0
            ? `Everything that ${id} changed is as it was before`
            : `Undone by ${transaction.id}, which can be undone too`,
        );
      })
    );
}
