/** `put`, `rm`, `mv`, `cat` and `ls`: files of a layer. */
import type { Command } from "commander";
import { resolve } from "@std/path";
import type { OperationBody } from "../client/client.ts";
import {
  clientCommand,
  type ClientOptions,
  repositoryOf,
  type RepositoryOption,
  type Session,
  transactionIfAny,
  transactionOf,
  type TransactionOption,
  withRepository,
  withSession,
  withTransaction,
} from "./client_command.ts";
import { UsageError } from "./exit_codes.ts";
import { counted } from "./output.ts";
import type { CliHost } from "./host.ts";
import { namingHolders } from "./waiting.ts";

/** Larger content goes through an upload instead of JSON. */
const INLINE_BYTES_MAX = 1024 * 1024;

type FileOptions = ClientOptions & RepositoryOption & TransactionOption;
type ReadOptions = FileOptions & { readonly at?: string };

export function addFileCommands(program: Command, host: CliHost): void {
  addWriting(program, host);
  addReading(program, host);
}

function addWriting(program: Command, host: CliHost): void {
  withTransaction(withRepository(clientCommand(program, "put <layer> <path> [file]")))
    .description("stage a file's content, from FILE or standard input")
    .option("--executable", "mode 100755")
    .action(
      (
        layer: string,
        path: string,
        file: string | undefined,
        options: FileOptions & { executable?: true },
      ) =>
        stage(host, options, async (session, id, repository) => {
          const bytes = await contentOf(host, file);
          const content = await wireContent(session, id, bytes);
          return {
            op: "put_file",
            repository,
            layer,
            path,
            ...(options.executable === true ? { mode: "100755" as const } : {}),
            ...content,
          };
        }),
    );

  withTransaction(withRepository(clientCommand(program, "rm <layer> <path>")))
    .description("stage the removal of a file")
    .action((layer: string, path: string, options: FileOptions) =>
      stage(
        host,
        options,
        (_session, _id, repository) =>
          Promise.resolve({ op: "delete_file", repository, layer, path }),
      )
    );

  withTransaction(withRepository(clientCommand(program, "mv <layer> <from> <to>")))
    .description("stage the move of a file within a layer")
    .action((layer: string, from: string, to: string, options: FileOptions) =>
      stage(
        host,
        options,
        (_session, _id, repository) =>
          Promise.resolve({ op: "move_file", repository, layer, from, to }),
      )
    );
}

function addReading(program: Command, host: CliHost): void {
  const at = "commit to look at, instead of the layer's tip";

  withTransaction(withRepository(clientCommand(program, "cat <layer> <path>")))
    .description("print a file; inside a transaction as that sees it")
    .option("--at <commit>", at)
    .action((layer: string, path: string, options: ReadOptions) =>
      withSession(host, options, async (session) => {
        const repository = await repositoryOf(session, options);
        const point = readPoint(host, options);
        if (options.json === true) {
          session.output.answer(await session.client.file(repository, layer, path, point), []);
        } else {
          session.output.bytes(await session.client.fileBytes(repository, layer, path, point));
        }
      })
    );

  withTransaction(withRepository(clientCommand(program, "ls <layer>")))
    .description("name the files of a layer; inside a transaction as that sees it")
    .option("--at <commit>", at)
    .action((layer: string, options: ReadOptions) =>
      withSession(host, options, async (session) => {
        const repository = await repositoryOf(session, options);
        const tree = await session.client.tree(repository, layer, readPoint(host, options));
        session.output.answer(
          tree,
          tree.files.map((f) => `${f.mode} ${f.oid} ${f.size}\t${f.path}`),
        );
      })
    );
}

/** Stages one operation and says how many there are. */
export function stage(
  host: CliHost,
  options: FileOptions,
  operation: (session: Session, id: string, repository: string) => Promise<OperationBody>,
): Promise<void> {
  return withSession(host, options, async (session) => {
    const id = transactionOf(host, options.transaction);
    const repository = await repositoryOf(session, options);
    const operations = [await operation(session, id, repository)];
    const transaction = await namingHolders(
      session,
      { transaction: id },
      () => session.client.stage(id, operations),
    );
    session.output.answer({ transaction }, []);
    session.output.note(`Staged; ${counted(transaction.operations, "operation")} in ${id}`);
  });
}

function readPoint(host: CliHost, options: ReadOptions): { transaction?: string; at?: string } {
  if (options.at !== undefined) return { at: options.at };
  const transaction = transactionIfAny(host, options.transaction);
  return transaction === undefined ? {} : { transaction };
}

/** The bytes of FILE, or of standard input where it is `-` or not given. */
export async function contentOf(host: CliHost, file: string | undefined): Promise<Uint8Array> {
  if (file !== undefined && file !== "-") {
    try {
      return await host.readFile(resolve(host.cwd, file));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new UsageError(`Cannot read ${file}: ${reason}`, { cause: error });
    }
  }
  if (host.stdinIsTerminal && file === undefined) {
    throw new UsageError("Give the content: name a file, or pipe it in");
  }
  return await host.readStdin();
}

/** Text as it is, other bytes in base64, much of either as an upload. */
async function wireContent(
  session: Session,
  id: string,
  bytes: Uint8Array,
): Promise<{ content: string } | { content_base64: string } | { oid: string }> {
  if (bytes.length > INLINE_BYTES_MAX) {
    return { oid: (await session.client.putBlob(id, bytes)).oid };
  }
  try {
    // A byte-order mark belongs to the content.
    const content = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return { content };
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return { content_base64: bytes.toBase64() };
  }
}
