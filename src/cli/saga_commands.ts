/** `saga define|start|list|show|events|plan` and the operator's verbs. */
import type { Command } from "commander";
import type { UncheckedDefinition } from "../client/saga_client.ts";
import type { Json, SagaVerb } from "../client/saga_documents.ts";
import { clientCommand, type ClientOptions, parseCount, withSession } from "./client_command.ts";
import { AnsweredNo, UsageError } from "./exit_codes.ts";
import { documentIn } from "./document_file.ts";
import type { CliHost } from "./host.ts";
import { drawTimeline } from "./saga_timeline.ts";

export function addSagaCommands(program: Command, host: CliHost): void {
  const saga = program.command("saga").description(
    "work that lasts: steps and their compensations",
  );
  addDefine(saga, host);
  addStart(saga, host);
  addList(saga, host);
  addShow(saga, host);
  addEvents(saga, host);
  addPlan(saga, host);
  addVerbs(saga, host);
}

function addDefine(saga: Command, host: CliHost): void {
  clientCommand(saga, "define <name> <file>")
    .description("put the definition in a YAML or JSON file (or -)")
    .action((name: string, file: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const body = await documentIn(host, file);
        const definition = await client.sagas.define(name, definitionIn(body, name, file));
        output.answer({ definition }, [`${name}\t${definition.version}`]);
      })
    );
}

/** The file may say its name; the daemon hears it from the path. */
function definitionIn(body: Json, name: string, file: string): UncheckedDefinition {
  if (typeof body !== "object" || body === null || Array.isArray(body)) {
    throw new UsageError(`${file} must hold an object with "services" and "steps"`);
  }
  const { name: own = name, ...rest } = body as Record<string, Json>;
  if (own !== name) throw new UsageError(`${file} defines ${String(own)}, not ${name}`);
  return rest;
}

interface StartOptions extends ClientOptions {
  readonly input?: string;
  readonly tenant?: string;
  readonly idempotencyKey?: string;
  readonly wait?: string;
}

function addStart(saga: Command, host: CliHost): void {
  clientCommand(saga, "start <definition>")
    .description("start a saga and print its id")
    .option("--input <file>", "YAML or JSON file (or -) with its input")
    .option("--tenant <id>", "tenant that it belongs to")
    .option("--idempotency-key <key>", "makes a repeat answer with the first saga")
    .option("--wait <ms>", "wait so long for its end; exit code 1 unless it completes")
    .action((definition: string, options: StartOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const { input, tenant, idempotencyKey, wait } = options;
        const started = await client.sagas.start({
          definition,
          ...(input === undefined ? {} : { input: await documentIn(host, input) }),
          ...(tenant === undefined ? {} : { tenant_id: tenant }),
        }, idempotencyKey === undefined ? {} : { idempotencyKey });
        const document = wait === undefined
          ? started
          : await client.sagas.waitForEnd(started.id, parseCount(wait, "--wait"));
        output.answer({ saga: document }, [document.id]);
        if (wait !== undefined && document.state !== "completed") {
          throw new AnsweredNo(`${document.id} is ${document.state}`);
        }
      })
    );
}

interface ListOptions extends ClientOptions {
  readonly state?: string;
  readonly needsOperator?: true;
  readonly definition?: string;
  readonly tenant?: string;
  readonly limit: string;
}

function addList(saga: Command, host: CliHost): void {
  clientCommand(saga, "list")
    .description("name the sagas, newest first")
    .option("--state <state>", "only those in this state")
    .option("--needs-operator", "only those that wait for an operator")
    .option("--definition <name>", "only those of this definition")
    .option("--tenant <id>", "only those of this tenant")
    .option("-n, --limit <count>", "at most so many", "20")
    .action((options: ListOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const { state, needsOperator, definition, tenant } = options;
        const answer = await client.sagas.list({
          limit: parseCount(options.limit, "--limit"),
          ...(state === undefined ? {} : { state }),
          ...(needsOperator === undefined ? {} : { condition: "needs_operator" }),
          ...(definition === undefined ? {} : { definition }),
          ...(tenant === undefined ? {} : { tenant_id: tenant }),
        });
        output.answer(
          answer,
          answer.sagas.map((s) =>
            [s.id, s.definition, s.state, s.condition ?? "-", s.current_step ?? "-", s.created_at]
              .join("\t")
          ),
        );
        if (answer.next_cursor !== null) output.note("There are more: raise --limit");
      })
    );
}

function addShow(saga: Command, host: CliHost): void {
  clientCommand(saga, "show <id>")
    .description("draw the timeline of a saga")
    .action((id: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const [document, events] = [await client.sagas.get(id), await client.sagas.events(id)];
        output.answer({ saga: document }, drawTimeline(document, events));
        if (document.condition === "needs_operator") {
          output.note(`It waits for you: layerd saga retry ${id}, or skip with a --reason`);
        }
      })
    );
}

function addEvents(saga: Command, host: CliHost): void {
  clientCommand(saga, "events <id>")
    .description("print everything that happened in a saga")
    .action((id: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const events = await client.sagas.events(id);
        output.answer(
          { events },
          events.map((e) =>
            [e.sequence, e.at, e.type, e.step_id ?? "-", e.attempt ?? "-", JSON.stringify(e.data)]
              .join("\t")
          ),
        );
      })
    );
}

function addPlan(saga: Command, host: CliHost): void {
  clientCommand(saga, "plan <id>")
    .description("say what `compensate` would do, and do nothing")
    .action((id: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const compensation = await client.sagas.compensationPlan(id);
        output.answer(
          { compensation },
          compensation.map((c) =>
            `${c.plan}\t${c.step_id}\t${c.service_name}\t${c.compensation_action ?? "-"}`
          ),
        );
        if (compensation.length === 0) output.note("There is nothing to undo");
      })
    );
}

const VERBS: Readonly<Record<SagaVerb, string>> = {
  cancel: "stop before the pivot and compensate",
  pause: "begin no further call",
  resume: "go on after a pause, or again where an operator was needed",
  retry: "call again now, with a new budget of calls",
  skip: "leave the step that does not succeed as it is and go on",
  compensate: "undo what can be undone (`saga plan` says what that is)",
};

function addVerbs(saga: Command, host: CliHost): void {
  for (const verb of Object.keys(VERBS) as SagaVerb[]) {
    const command = clientCommand(saga, `${verb} <id>`).description(VERBS[verb]);
    const reason: readonly [string, string] = ["--reason <text>", "why, for the saga's events"];
    if (verb === "skip") command.requiredOption(...reason);
    else command.option(...reason);
    command.action((id: string, options: ClientOptions & { readonly reason?: string }) =>
      withSession(host, options, async ({ client, output }) => {
        const document = await client.sagas.tell(id, verb, options.reason);
        output.answer({ saga: document }, [`${document.state}\t${document.condition ?? "-"}`]);
      })
    );
  }
}
