/** `plan`: which pattern suits a piece of work. */
import type { Command } from "commander";
import type { PlanBody, PlanDocument } from "../client/client.ts";
import { clientCommand, type ClientOptions, parseCount, withSession } from "./client_command.ts";
import { AnsweredNo, UsageError } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";

const CONSISTENCIES = ["strong", "eventual"] as const;

interface PlanOptions extends ClientOptions {
  readonly consistency: string;
  readonly durationMs: string;
  readonly type?: string;
}

export function addPlanCommand(program: Command, host: CliHost): void {
  clientCommand(program, "plan [participant...]")
    .description(
      "say whether two-phase commit, a saga or replicas suit work on these participants; a " +
        "repository is git:NAME. Exit code 1 where the answer is weaker than what was asked for",
    )
    .option("--consistency <level>", CONSISTENCIES.join(" or "), "strong")
    .requiredOption("--duration-ms <ms>", "how long the work takes, as you estimate it")
    .option("--type <name>", "what the work is called")
    .action((participants: string[], options: PlanOptions) =>
      withSession(host, options, async ({ client, output }) => {
        const body = bodyOf(participants, options);
        const plan = await client.plan(body);
        output.answer(plan, linesOf(plan));
        if (body.consistency === "strong" && plan.pattern !== "two_phase_commit") {
          throw new AnsweredNo("Strong consistency is not to be had for this; see the warnings");
        }
      })
    );
}

function bodyOf(participants: readonly string[], options: PlanOptions): PlanBody {
  const consistency = CONSISTENCIES.find((one) => one === options.consistency);
  if (consistency === undefined) {
    throw new UsageError(
      `--consistency is one of ${CONSISTENCIES.join(", ")}, not ${options.consistency}`,
    );
  }
  return {
    participants,
    consistency,
    duration_estimate_ms: parseCount(options.durationMs, "--duration-ms"),
    ...(options.type === undefined ? {} : { operation_type: options.type }),
  };
}

/** A member a line; each warning on one of its own. */
function linesOf({ warnings, ...plan }: PlanDocument): string[] {
  const members = Object.entries(plan).map(([name, value]) =>
    `${name}\t${Array.isArray(value) ? value.join(", ") : value}`
  );
  return [...members, ...warnings.map((warning) => `warning\t${warning}`)];
}
