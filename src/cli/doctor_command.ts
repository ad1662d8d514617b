/**
 * `doctor`: names damage and what to do about it. It reads the files itself, so that it works
 * where the daemon cannot start; where one answers at the socket, its word is added.
 */
import type { Command } from "commander";
import { resolve } from "@std/path";
import { DaemonUnreachable, type HealthDocument } from "../client/client.ts";
import { type Diagnosis, doctorReport, found } from "../core/diagnosis.ts";
import { clientCommand, type ClientOptions, withRunningDaemon } from "./client_command.ts";
import { AnsweredNo } from "./exit_codes.ts";
import type { CliHost } from "./host.ts";
import { stateDirectory } from "./locations.ts";

interface DoctorArguments extends ClientOptions {
  readonly stateDir?: string;
  readonly repo?: string;
  readonly fix?: true;
}

export function addDoctorCommand(program: Command, host: CliHost): void {
  clientCommand(program, "doctor")
    .description("look for damage in log, ledger and repositories, with or without a daemon")
    .option("--state-dir <dir>", "where the log and the ledger are")
    .option("--repo <path>", "look at this repository alone")
    .option("--fix", "mend what is provably right, with the daemon stopped")
    .action((options: DoctorArguments) =>
      withRunningDaemon(host, options, async ({ client, output }) => {
        const health = await healthIfRunning(client);
        if (options.fix === true && health !== null && options.repo === undefined) {
          throw new AnsweredNo(
            `The daemon with pid ${health.pid} runs: \`layerd stop\` it, then run this again ` +
              "(a repository that it does not serve can be mended now, with --repo)",
          );
        }
        const examined = await host.examine({
          stateDirectory: stateDirectory(options.stateDir, host),
          repository: options.repo === undefined ? null : resolve(host.cwd, options.repo),
          mode: options.fix === true ? "fix" : "look",
        });
        const own = health === null || options.repo !== undefined ? [] : findingsOf(health);
        const report = doctorReport([...own, ...examined.findings]);
        output.answer(report, report.findings.flatMap(linesOf));
        output.note(summary(report.findings));
        if (report.status !== "ok") throw new AnsweredNo(`Not all is well: ${report.status}`);
      })
    );
}

async function healthIfRunning(
  client: { health(): Promise<HealthDocument> },
): Promise<HealthDocument | null> {
  try {
    return await client.health();
  } catch (error) {
    if (error instanceof DaemonUnreachable && !error.permissionDenied) return null;
    throw error;
  }
}

/** What the daemon says of its repositories, beside what the files say. */
function findingsOf(health: HealthDocument): Diagnosis[] {
  return health.repositories.flatMap(({ name, status, findings }) =>
    findings.map(({ code, detail }) =>
      found(
        status === "healthy" ? "note" : status,
        code,
        name,
        `The daemon (pid ${health.pid}) says: ${detail}`,
      )
    )
  );
}

function linesOf({ code, severity, outcome, detail, remedy }: Diagnosis): string[] {
  const mark = outcome === "found" ? severity : outcome === "mended" ? "mended" : "set aside";
  return [`${mark}\t${code}\t${detail}`, ...remedy.map((step) => `\t\t${step}`)];
}

function summary(findings: readonly Diagnosis[]): string {
  const left = findings.filter(({ outcome, severity }) =>
    outcome !== "mended" && severity !== "note"
  );
  const done = findings.filter(({ outcome }) => outcome === "mended").length;
  if (left.length === 0) return done === 0 ? "No damage was found" : `${done} mended, none is left`;
  return `${left.length} to look at` + (done === 0 ? "" : `, ${done} mended`);
}
