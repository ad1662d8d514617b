/** `in-doubt list|explain|resolve`: what is decided and not acknowledged, and its way out. */
import type { Command } from "commander";
import type { Decision, InDoubtDocument, InDoubtExplanation } from "../client/client.ts";
import { clientCommand, type ClientOptions, withSession } from "./client_command.ts";
import { UsageError } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";

type Explained = InDoubtExplanation["participants"][number];

const OUTCOMES: readonly Decision[] = ["committed", "rolled_back"];

interface ResolveOptions extends ClientOptions {
  readonly reason: string;
}

export function addInDoubtCommands(program: Command, host: CliHost): void {
  const inDoubt = program.command("in-doubt")
    .description("what is decided and not acknowledged, and what an operator does about it");
  addList(inDoubt, host);
  addExplain(inDoubt, host);
  addResolve(inDoubt, host);
}

function addList(inDoubt: Command, host: CliHost): void {
  clientCommand(inDoubt, "list")
    .description("name what is in doubt, and why")
    .action((options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const in_doubt = await client.inDoubt.list();
        output.answer({ in_doubt }, in_doubt.map(lineOf));
        if (in_doubt.length === 0) output.note("Nothing is in doubt");
        else output.note("`layerd in-doubt explain ID` asks each side what it says now");
      })
    );
}

function addExplain(inDoubt: Command, host: CliHost): void {
  clientCommand(inDoubt, "explain <id>")
    .description("say who decided what and when, and what each side says now")
    .action((id: string, options: ClientOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const explanation = await client.inDoubt.explain(id);
        output.answer(explanation, explanation.participants.flatMap(paragraphOf));
        for (const one of explanation.participants) output.note(adviceOn(one));
      })
    );
}

function addResolve(inDoubt: Command, host: CliHost): void {
  clientCommand(inDoubt, "resolve <id> <participant> <outcome>")
    .description("record how it ended at a participant: committed or rolled_back")
    .requiredOption("--reason <text>", "how you know; it is kept in the log")
    .action((transactionId: string, participant: string, word: string, options: ResolveOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const outcome = OUTCOMES.find((one) => one === word);
        if (outcome === undefined) {
          throw new UsageError(`The outcome is one of ${OUTCOMES.join(", ")}, not ${word}`);
        }
        const { reason } = options;
        const left = await client.inDoubt.resolve(transactionId, { participant, outcome, reason });
        output.answer({ in_doubt: left }, []);
        // What it may hold prepared is the operator's to end: the word was that it has ended.
        const still = left.filter((one) => one.transaction_id === transactionId);
        output.note(
          still.length === 0
            ? `Nothing of ${transactionId} is in doubt any more; ${participant} is told nothing more`
            : `Still in doubt with ${still.map((one) => one.participant).join(", ")}`,
        );
      })
    );
}

function lineOf(one: InDoubtDocument): string {
  const { transaction_id, participant, decision, since, attempts, last_error } = one;
  const told = attempts === 1 ? "told once" : `told ${attempts} times`;
  return [transaction_id, participant, decision, since, told, last_error ?? "-"].join("\t");
}

function paragraphOf(one: Explained): string[] {
  return [
    one.participant,
    `  decided  ${one.decision} by layerd at ${one.since}`,
    `  told     ${one.attempts === 1 ? "once" : `${one.attempts} times`}`,
    `  answered ${one.last_error ?? "nothing yet"}`,
    `  says now ${one.says ?? "nothing: it cannot be asked"}`,
    ...one.conflicts.map(({ ref, expected, actual }) =>
      `  conflict ${ref}: expected ${expected ?? "nothing"}, found ${actual ?? "nothing"}`
    ),
  ];
}

/** What the operator should do, where what the participant says leaves no doubt about it. */
function adviceOn(one: Explained): string {
  const { transaction_id: id, participant, decision, says } = one;
  const verb = `layerd in-doubt resolve ${id} ${participant}`;
  if (participant.startsWith("git:")) return adviceOnGit(one, verb);
  if (says === "prepared") {
    return `${participant}: still prepared, so layerd ends it as soon as it answers; nothing to do`;
  }
  if (says === decision) return `${participant}: agrees; layerd hears it at its next attempt`;
  if (says === "committed" || says === "rolled_back") {
    return `${participant}: contradicts the decision. Mend its data by hand, then ` +
      `${verb} ${says} --reason TEXT`;
  }
  return `${participant}: bring it back and layerd ends it; or, where you know how it ended, ` +
    `${verb} OUTCOME --reason TEXT`;
}

function adviceOnGit({ participant, conflicts }: Explained, verb: string): string {
  if (conflicts.length === 0) {
    return `${participant}: publishes by itself as soon as the repository allows; or give it up ` +
      `with the repository: DELETE /v1/repositories/${participant.slice(4)}?abandon=true`;
  }
  return `${participant}: nothing was published there and writing is stopped. Bring its refs to ` +
    `where you want them with git, then ${verb} OUTCOME --reason TEXT lets it be written again`;
}
