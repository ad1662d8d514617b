/** `begin`, `commit`, `rollback`, `show`, `diff`, `wait` and `apply`. */
import type { Command } from "commander";
import type { BeginBody, TransactionDocument } from "../client/client.ts";
import {
  clientCommand,
  type ClientOptions,
  parseCount,
  repositoryOf,
  type RepositoryOption,
  type Session,
  transactionOf,
  withRepository,
  withSession,
} from "./client_command.ts";
import { documentIn } from "./document_file.ts";
import { AnsweredNo, UsageError } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";
import { counted, type Output } from "./output.ts";
import { namingHolders } from "./waiting.ts";

/** A person types slower than a program calls: ten minutes. */
const LEASE_MS_DEFAULT = 600_000;

export interface BeginOptions extends ClientOptions, RepositoryOption {
  readonly message?: string;
  readonly author?: string;
  readonly isolation?: "locking" | "optimistic";
  readonly lock: readonly string[];
  readonly share: readonly string[];
  readonly leaseMs: string;
  readonly lockTimeoutMs?: string;
  readonly tenant?: string;
  readonly label: readonly string[];
}

export function addTransactionCommands(program: Command, host: CliHost): void {
  addBegin(program, host);
  addEnding(program, host);
  addShowing(program, host);
  addApply(program, host);
}

function addBegin(program: Command, host: CliHost): void {
  withBeginOptions(withRepository(clientCommand(program, "begin")), LEASE_MS_DEFAULT)
    .description("open a transaction and print its id")
    .action((options: BeginOptions) =>
      withSession(host, options, async (session) => {
        const transaction = await begin(session, await beginBody(session, options));
        session.output.answer({ transaction }, [transaction.id]);
        session.output.note(
          `Open until ${transaction.lease_expires_at}; each call renews it. ` +
            `Stage with \`layerd put\`, then \`layerd commit\` or \`layerd rollback\``,
        );
      })
    );
}

/** Begins; while it waits for a lock, the holder is named. */
export function begin(session: Session, body: BeginBody): Promise<TransactionDocument> {
  return namingHolders(session, { locks: body.locks ?? [] }, () => session.client.begin(body));
}

/** Adds the options that {@link beginBody} reads. */
export function withBeginOptions(command: Command, leaseMs: number): Command {
  const collect = (value: string, all: readonly string[]) => [...all, value];
  return command
    .option("-m, --message <text>", "message of its commits")
    .option("--author <name-and-email>", "author of its commits: 'Ann <ann@example.org>'")
    .option("--isolation <mode>", "locking (default) or optimistic")
    .option("--lock <layer>", "lock a layer exclusively now; repeatable", collect, [])
    .option("--share <layer>", "lock a layer shared now; repeatable", collect, [])
    .option("--lease-ms <ms>", "how long it lives without a call", String(leaseMs))
    .option("--lock-timeout-ms <ms>", "how long a call waits for a lock")
    .option("--tenant <id>", "tenant that it is accounted to")
    .option("--label <name=value>", "label; repeatable", collect, []);
}

/** The request that the options say. */
export async function beginBody(session: Session, options: BeginOptions): Promise<BeginBody> {
  const wanted = [
    ...options.lock.map((layer) => ({ layer, mode: "exclusive" as const })),
    ...options.share.map((layer) => ({ layer, mode: "shared" as const })),
  ];
  const repository = wanted.length === 0 ? "" : await repositoryOf(session, options);
  return {
    ...(options.message === undefined ? {} : { message: options.message }),
    ...(options.author === undefined ? {} : { author: parseAuthor(options.author) }),
    ...(options.isolation === undefined ? {} : { isolation: options.isolation }),
    ...(options.lockTimeoutMs === undefined
      ? {}
      : { lock_timeout_ms: parseCount(options.lockTimeoutMs, "--lock-timeout-ms") }),
    ...(options.tenant === undefined ? {} : { tenant_id: options.tenant }),
    lease_ms: parseCount(options.leaseMs, "--lease-ms"),
    locks: wanted.map(({ layer, mode }) => ({ repository, layer, mode })),
    labels: Object.fromEntries(options.label.map(parseLabel)),
  };
}

function parseAuthor(text: string): { name: string; email: string } {
  const match = /^([^<>]+) <([^<>]+)>$/.exec(text);
  const [, name, email] = match ?? [];
  if (name === undefined || email === undefined) {
    throw new UsageError(`--author must look like 'Ann <ann@example.org>', not '${text}'`);
  }
  return { name, email };
}

function parseLabel(text: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw new UsageError(`--label must look like name=value, not '${text}'`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

function addEnding(program: Command, host: CliHost): void {
  clientCommand(program, "commit [id]")
    .description("commit: every ref of the transaction moves, or none does")
    .action((given: string | undefined, options: ClientOptions) =>
      withSession(host, options, async (session) => {
        const id = transactionOf(host, given);
        const commit = () => session.client.commit(id);
        reportCommit(session.output, await namingHolders(session, { transaction: id }, commit));
      })
    );

  clientCommand(program, "rollback [id]")
    .description("roll back: nothing of the transaction is left")
    .action((given: string | undefined, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const transaction = await client.rollback(transactionOf(host, given));
        output.answer({ transaction }, []);
        output.note(`Rolled back ${transaction.id}`);
      })
    );
}

/** Says what a commit moved. */
export function reportCommit(output: Output, transaction: TransactionDocument): void {
  output.answer(
    { transaction },
    transaction.results.map((r) => `${r.repository}\t${r.ref}\t${r.old ?? "-"}\t${r.new ?? "-"}`),
  );
  if (transaction.state === "failed") {
    const { id, problem } = transaction;
    throw new AnsweredNo(
      `Transaction ${id} was decided and has failed: ${
        problem?.detail ?? "a side contradicts it"
      }` +
        `; \`layerd in-doubt explain ${id}\` says what each side has`,
    );
  }
  if (transaction.state === "committing") {
    output.note(
      `Decided, and nothing can undo it, but publication lags: ` +
        `\`layerd wait ${transaction.id}\` tells when it is done`,
    );
  } else {
    output.note(
      `Committed ${transaction.id} (${counted(transaction.results.length, "ref")} moved)`,
    );
  }
}

function addShowing(program: Command, host: CliHost): void {
  clientCommand(program, "show [id]")
    .description("show a transaction, also one that has ended")
    .action((given: string | undefined, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const id = transactionOf(host, given);
        const transaction = await client.transaction(id);
        const ended = transaction.state === "rolled_back" || transaction.state === "failed";
        const changes = ended ? [] : await client.diff(id);
        output.answer({ transaction, changes }, [
          ...describe(transaction),
          ...changes.map((c) => `${c.status.padEnd(11)} ${c.repository} ${c.layer} ${c.path}`),
        ]);
      })
    );

  clientCommand(program, "diff [id]")
    .description("name the files that a transaction changes or changed")
    .action((given: string | undefined, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const changes = await client.diff(transactionOf(host, given));
        output.answer(
          { changes },
          changes.map((c) =>
            `${c.status.charAt(0).toUpperCase()}\t${c.repository}\t${c.layer}\t${c.path}`
          ),
        );
      })
    );

  clientCommand(program, "wait [id]")
    .description("wait until a transaction has ended")
    .option("--for <state>", "state to wait for, instead of any end", "terminal")
    .option("--timeout-ms <ms>", "how long", "30000")
    .action((
      given: string | undefined,
      options: ClientOptions & {
        readonly for: TransactionDocument["state"] | "terminal";
        readonly timeoutMs: string;
      },
    ) =>
      withSession(host, options, async ({ client, output }) => {
        const transaction = await client.waitFor(
          transactionOf(host, given),
          options.for,
          parseCount(options.timeoutMs, "--timeout-ms"),
        );
        output.answer({ transaction }, [transaction.state]);
        const wanted = options.for === "terminal" ? "committed" : options.for;
        if (transaction.state !== wanted) {
          throw new AnsweredNo(`${transaction.id} is ${transaction.state}`);
        }
      })
    );
}

function describe(transaction: TransactionDocument): string[] {
  const { author, problem } = transaction;
  return [
    `transaction ${transaction.id}`,
    `state       ${transaction.state}`,
    `message     ${transaction.message}`,
    ...(author === null ? [] : [`author      ${author.name} <${author.email}>`]),
    `begun       ${transaction.created_at}`,
    `isolation   ${transaction.isolation}`,
    `operations  ${transaction.operations}`,
    ...(transaction.lease_expires_at === null
      ? []
      : [`lease until ${transaction.lease_expires_at}`]),
    ...transaction.locks.map((l) => `lock        ${l.repository} ${l.layer} ${l.mode}`),
    ...transaction.results.map((r) =>
      `moved       ${r.repository} ${r.ref} ${r.old ?? "-"} -> ${r.new ?? "-"}`
    ),
    ...(problem === null ? [] : [`problem     ${problem.code}: ${problem.detail}`]),
  ];
}

function addApply(program: Command, host: CliHost): void {
  clientCommand(program, "apply <file>")
    .description("perform and commit the transaction that a JSON or YAML file (or -) describes")
    .option("--idempotency-key <key>", "makes a repeat answer with the first outcome")
    .action((file: string, options: ClientOptions & { idempotencyKey?: string }) =>
      withSession(host, options, async (session) => {
        const body = await readApplyFile(host, file);
        const locks = (body.operations ?? []).flatMap((operation) =>
          "layer" in operation ? [operation] : []
        );
        const { idempotencyKey } = options;
        const apply = () =>
          session.client.begin(
            { ...body, commit: true },
            idempotencyKey === undefined ? {} : { idempotencyKey },
          );
        reportCommit(session.output, await namingHolders(session, { locks }, apply));
      })
    );
}

async function readApplyFile(host: CliHost, file: string): Promise<BeginBody> {
  const body: unknown = await documentIn(host, file);
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new UsageError(`${file} must hold an object with "operations"`);
  }
  // The daemon checks the fields; it knows more of them than this command does.
  return body;
}
