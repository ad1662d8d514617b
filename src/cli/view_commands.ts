/** `stack`, `view`, `explain` and `materialize`: layers put together. */
import type { Command } from "commander";
import { resolve } from "@std/path";
import type { OriginDocument, PlaceDocument, ViewOf } from "../client/client.ts";
import type { Materialized } from "../core/materialization.ts";
import {
  clientCommand,
  type ClientOptions,
  repositoryOf,
  type RepositoryOption,
  type Session,
  transactionIfAny,
  type TransactionOption,
  withRepository,
  withSession,
  withTransaction,
} from "./client_command.ts";
import { AnsweredNo, UsageError } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";
import { counted } from "./output.ts";

type StackOptions = ClientOptions & RepositoryOption;
type ViewOptions = StackOptions & TransactionOption;

const OF = "OF is a stack, or layers with commas between them, lowest first.";

export function addViewCommands(program: Command, host: CliHost): void {
  addStack(program, host);
  addView(program, host);
  addExplain(program, host);
  addMaterialize(program, host);
}

function addStack(program: Command, host: CliHost): void {
  const stack = program.command("stack").description("name lists of layers, and how they merge");
  const collect = (value: string, all: readonly string[]) => [...all, value];

  withRepository(clientCommand(stack, "put <name> <layers...>"))
    .description("make a stack, or make it anew; lowest layer first")
    .option("--deep <glob>", "merge these files by key; repeatable", collect, [])
    .option("--replace <glob>", "but not these; repeatable", collect, [])
    .addHelpText("after", "\n  layerd stack put editor global team/base user/ann --deep '*.json'")
    .action((
      name: string,
      layers: readonly string[],
      options: StackOptions & {
        readonly deep: readonly string[];
        readonly replace: readonly string[];
      },
    ) =>
      withSession(host, options, async (session) => {
        const repository = await repositoryOf(session, options);
        const merge = [
          ...options.replace.map((glob) => ({ glob, strategy: "replace" as const })),
          ...options.deep.map((glob) => ({ glob, strategy: "deep" as const })),
        ];
        const made = await session.client.views.putStack(repository, { name, layers, merge });
        session.output.answer({ stack: made }, []);
        session.output.note(`Stack ${name}: ${layers.join(" < ")}`);
      })
    );

  withRepository(clientCommand(stack, "show <name>"))
    .description("show a stack: its layers, lowest first, and its rules")
    .action((name: string, options: StackOptions) =>
      withSession(host, options, async (session) => {
        const repository = await repositoryOf(session, options);
        const found = await session.client.views.stack(repository, name);
        session.output.answer({ stack: found }, [
          ...found.layers.map((layer) => `layer\t${layer}`),
          ...found.merge.map(({ glob, strategy }) => `${strategy}\t${glob}`),
        ]);
      })
    );

  withRepository(clientCommand(stack, "list"))
    .description("name the stacks of a repository")
    .action((options: StackOptions) =>
      withSession(host, options, async (session) => {
        const stacks = await session.client.views.stacks(await repositoryOf(session, options));
        session.output.answer({ stacks }, stacks.map((s) => `${s.name}\t${s.layers.join(" < ")}`));
        if (stacks.length === 0) session.output.note("None yet: `layerd stack put NAME LAYER...`");
      })
    );

  withRepository(clientCommand(stack, "remove <name>"))
    .description("remove a stack; its layers stay")
    .action((name: string, options: StackOptions) =>
      withSession(host, options, async (session) => {
        await session.client.views.removeStack(await repositoryOf(session, options), name);
        session.output.answer({ removed: name }, []);
        session.output.note(`Removed stack ${name}; its layers stay`);
      })
    );
}

function addView(program: Command, host: CliHost): void {
  withTransaction(withRepository(clientCommand(program, "view <of> [path]")))
    .description("name the files of a view, or print one; inside a transaction as that sees it")
    .addHelpText("after", `\n${OF}\n\n  layerd view editor\n  layerd view editor settings.json`)
    .action((of: string, path: string | undefined, options: ViewOptions) =>
      withSession(host, options, async (session) => {
        const files = await look(session, options, of, path === undefined ? {} : { path });
        if (path === undefined || options.json === true) {
          session.output.answer({ files }, files.map((f) => `${f.mode} ${f.layer}\t${f.path}`));
          return;
        }
        for (const { content, content_base64 } of files) {
          session.output.bytes(
            content === undefined
              ? Uint8Array.fromBase64(content_base64 ?? "")
              : new TextEncoder().encode(content),
          );
        }
      })
    );
}

function addExplain(program: Command, host: CliHost): void {
  withTransaction(withRepository(clientCommand(program, "explain <of> <path> [key]")))
    .description("say which layer, line and commit a file and each of its keys comes from")
    .addHelpText(
      "after",
      `\n${OF} KEY is written as this command prints it.\n\n` +
        "  layerd explain editor settings.json\n" +
        "  layerd explain editor settings.json files.eol",
    )
    .action((of: string, path: string, key: string | undefined, options: ViewOptions) =>
      withSession(host, options, async (session) => {
        const [file] = await look(session, options, of, { path, explain: true });
        // A key with dots in it may be given as it stands in the file.
        const named = key === undefined ? [] : [key, JSON.stringify(key)];
        const origins = (file?.origins ?? []).filter((origin) =>
          key === undefined ||
          named.some((one) => origin.key === one || origin.key?.startsWith(`${one}.`) === true)
        );
        if (origins.length === 0) {
          throw new AnsweredNo(
            `${path} has no key ${key}: \`layerd explain ${of} ${path}\` lists them`,
          );
        }
        session.output.answer({ origins }, origins.map(explained));
      })
    );
}

function explained(origin: OriginDocument): string {
  const verb = origin.removed ? "removed by" : "from";
  const hides = origin.hides.map(placeText);
  const hidden = hides.length === 0 ? "" : `, hides ${hides.join(", ")}`;
  return `${origin.key ?? "(file)"}\t${verb} ${placeText(origin)}${hidden}`;
}

function placeText({ layer, line, commit }: PlaceDocument): string {
  const at = commit === null ? "not committed" : commit.slice(0, 7);
  return line === null ? `${layer} (${at})` : `${layer}:${line} (${at})`;
}

type MaterializeOptions = StackOptions & { readonly follow?: true };

function addMaterialize(program: Command, host: CliHost): void {
  withRepository(clientCommand(program, "materialize <of> <directory>"))
    .description("write a view to a directory, atomically; DIRECTORY becomes a symbolic link")
    .option("--follow", "stay, and write it anew whenever a layer changes")
    .addHelpText(
      "after",
      `\n${OF} Files that were changed by hand are named and stop it: nothing is overwritten.\n` +
        "Put them into a layer, or delete them, and run it again.\n\n" +
        "  layerd materialize editor ~/.config/editor",
    )
    .action((of: string, directory: string, options: MaterializeOptions) =>
      withSession(host, options, async (session) => {
        const repository = await repositoryOf(session, options);
        const target = resolve(host.cwd, directory);
        const write = () => writeView(session, repository, of, target);
        if (options.follow !== true) return await write();
        // The stream first: a change between the two is written once more, never missed.
        const events = session.client.events();
        let next = events.next();
        await write();
        for (;;) {
          const { value, done } = await next;
          if (done) throw new AnsweredNo("The daemon ended the stream of events");
          next = events.next();
          const changed = value.type === "layer.changed" && value.data["repository"] === repository;
          if (changed) await write();
        }
      })
    );
}

/** Writes what the view is at one moment: an optimistic transaction is that moment. */
async function writeView(
  session: Session,
  repository: string,
  of: string,
  target: string,
): Promise<void> {
  const { client, host, output } = session;
  const source = viewOf(of);
  const { id } = await client.begin({ isolation: "optimistic", message: "materialize" });
  const inside = { transaction: id };
  try {
    const files = await client.views.view(repository, source, inside);
    const commits = Object.fromEntries(files.map(({ layer, commit }) => [layer, commit]));
    const result = await host.materialize(target, {
      source: { repository, ...source, commits },
      files: files.map(({ path, mode, oid }) => ({ path, mode, oid })),
      content: async (path) => {
        const [file] = await client.views.view(repository, source, { ...inside, path });
        const { content, content_base64 } = file ?? {};
        return content === undefined
          ? Uint8Array.fromBase64(content_base64 ?? "")
          : new TextEncoder().encode(content);
      },
    });
    tell(output, target, result);
  } finally {
    await client.rollback(id);
  }
}

function tell(output: Session["output"], target: string, result: Materialized): void {
  switch (result.kind) {
    case "written": {
      output.answer(result, []);
      const { written, linked, removed, restored } = result;
      output.note(
        `${target}: ${counted(written, "file")} written, ${linked} unchanged, ${removed} removed`,
      );
      for (const path of restored) output.note(`  put back: ${path}`);
      return;
    }
    case "unchanged":
      output.answer(result, []);
      return output.note(`${target} is up to date`);
    case "edited":
      output.answer(result, result.edits.map(({ path, change }) => `${change}\t${path}`));
      throw new AnsweredNo(
        `${target} was edited by hand and nothing was written: put these files into a layer ` +
          "(`layerd put`), or delete them, and run it again",
      );
    case "refused":
      throw new AnsweredNo(result.reason);
  }
}

async function look(
  session: Session,
  options: ViewOptions,
  of: string,
  wanted: { readonly path?: string; readonly explain?: true },
) {
  const repository = await repositoryOf(session, options);
  const transaction = transactionIfAny(session.host, options.transaction);
  return await session.client.views.view(repository, viewOf(of), {
    ...wanted,
    ...(transaction === undefined ? {} : { transaction }),
  });
}

/** No name has a comma, so a comma says that these are layers. */
function viewOf(text: string): ViewOf {
  if (!text.includes(",")) return { stack: text };
  const layers = text.split(",");
  if (layers.some((layer) => layer === "")) {
    throw new UsageError(`Layers must have one comma between them, not '${text}'`);
  }
  return { layers };
}
