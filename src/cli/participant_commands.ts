/** `participant add|list|show|remove`: who takes part in two-phase commit beside Git. */
import type { Command } from "commander";
import type { InDoubtDocument, ParticipantBody, ParticipantDocument } from "../client/client.ts";
import { clientCommand, type ClientOptions, parseCount, withSession } from "./client_command.ts";
import { UsageError } from "./exit_codes.ts";
import { contentOf } from "./file_commands.ts";
import type { CliHost } from "./host.ts";

interface AddOptions extends ClientOptions {
  readonly timeoutMs?: string;
}

export function addParticipantCommands(program: Command, host: CliHost): void {
  const participant = program.command("participant")
    .description("PostgreSQL and HTTP services that take part in transactions");
  addAdd(participant, host);
  addList(participant, host);
  addShow(participant, host);
  addRemove(participant, host);
}

function addAdd(participant: Command, host: CliHost): void {
  clientCommand(participant, "add <name> <url>")
    .description(
      "register one by its URL: postgres://USER:PASSWORD@HOST/DATABASE, http(s)://HOST:PORT or " +
        "http+unix://%2FPATH; - reads the URL from standard input, where nobody sees a password",
    )
    .option("--timeout-ms <ms>", "how long a call of an HTTP service may take")
    .action((name: string, url: string, options: AddOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const address = url === "-" ? new TextDecoder().decode(await contentOf(host, url)) : url;
        const participant = await client.participants.add(bodyOf(name, address.trim(), options));
        output.answer({ participant }, []);
        output.note(`${name} takes part by operations with "participant":"${name}"`);
      })
    );
}

function addList(participant: Command, host: CliHost): void {
  clientCommand(participant, "list")
    .description("name the registered participants")
    .action((options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const participants = await client.participants.list();
        output.answer({ participants }, participants.map(lineOf));
        if (participants.length === 0) output.note("None: `layerd participant add` registers one");
      })
    );
}

function addShow(participant: Command, host: CliHost): void {
  clientCommand(participant, "show <name>")
    .description("say where one is, and what is in doubt with it")
    .action((name: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const participant = await client.participants.get(name);
        const all = await client.inDoubt.list();
        const in_doubt = all.filter((one) => one.participant === name);
        output.answer({ participant, in_doubt }, [lineOf(participant), ...in_doubt.map(doubtOf)]);
      })
    );
}

function addRemove(participant: Command, host: CliHost): void {
  clientCommand(participant, "remove <name>")
    .description("forget one that no transaction waits for; nothing is deleted there")
    .action((name: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        await client.participants.remove(name);
        output.answer({ removed: name }, []);
        output.note(`${name} takes part no longer`);
      })
    );
}

/** The kind follows from the URL. */
function bodyOf(name: string, url: string, { timeoutMs }: AddOptions): ParticipantBody {
  const scheme = /^([a-z+]+):\/\//.exec(url)?.[1];
  if (scheme === "postgres" || scheme === "postgresql") {
    if (timeoutMs !== undefined) throw new UsageError("--timeout-ms goes with an HTTP service");
    return { name, kind: "postgres", url };
  }
  if (scheme === "http" || scheme === "https" || scheme === "http+unix") {
    const timeout = timeoutMs === undefined
      ? {}
      : { timeout_ms: parseCount(timeoutMs, "--timeout-ms") };
    return { name, kind: "http", base_url: url, ...timeout };
  }
  // Not quoted: it may hold a password.
  throw new UsageError("The URL must begin with postgres://, http://, https:// or http+unix://");
}

function lineOf(participant: ParticipantDocument): string {
  const { name, kind } = participant;
  return kind === "postgres"
    ? `${name}\t${kind}\t${participant.url}`
    : `${name}\t${kind}\t${participant.base_url}\t${participant.timeout_ms} ms`;
}

function doubtOf({ transaction_id, decision, since, last_error }: InDoubtDocument): string {
  return `in doubt\t${transaction_id}\t${decision}\t${since}\t${last_error ?? "-"}`;
}
