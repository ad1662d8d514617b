/**
 * The `layerd` command. `runCli` never throws and never exits the process: it answers the
 * exit code (API section 7), so that tests run it as main.ts does.
 */
import { Command, CommanderError } from "commander";
import { addChangeCommands } from "./change_commands.ts";
import { addCompletionCommand } from "./completion.ts";
import { addDaemonCommands } from "./daemon_commands.ts";
import { addDoctorCommand } from "./doctor_command.ts";
import { EXIT, exitCodeOf, UsageError } from "./exit_codes.ts";
import { addExamples } from "./examples.ts";
import { addFileCommands } from "./file_commands.ts";
import type { CliHost } from "./host.ts";
import { addInDoubtCommands } from "./in_doubt_commands.ts";
import { addParticipantCommands } from "./participant_commands.ts";
import { addPlanCommand } from "./plan_command.ts";
import { addRunCommand } from "./run_command.ts";
import { outputFor } from "./client_command.ts";
import { addLayerCommands, addRepositoryCommands } from "./repository_commands.ts";
import { addReplicaCommands } from "./replica_commands.ts";
import { addSagaCommands } from "./saga_commands.ts";
import { wantsColour } from "./output.ts";
import { addTransactionCommands } from "./transaction_commands.ts";
import { addViewCommands } from "./view_commands.ts";
import { addWatchingCommands } from "./watching_commands.ts";

export async function runCli(argv: readonly string[], host: CliHost): Promise<number> {
  let exitCode: number = EXIT.done;
  const program = buildProgram(host, (code) => exitCode = code);
  try {
    await program.parseAsync([...argv], { from: "user" });
    return exitCode;
  } catch (error) {
    // --help and --version end here too.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done;
    // A group of commands without one of them: its help was printed instead.
    if (error instanceof CommanderError && error.code === "commander.help") return EXIT.usage;
    const output = outputFor(host, { json: wantsJson(argv) });
    const failure = error instanceof CommanderError ? usageErrorOf(error) : error;
    output.failure(failure);
    if (failure instanceof UsageError && !wantsJson(argv)) {
      output.note(`  \`${commandNamed(program, argv)} --help\` says how it is used`);
    }
    return exitCodeOf(failure);
  }
}

/** What stands behind `--` is another command's. */
function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end < 0 ? argv : argv.slice(0, end)).includes("--json");
}

function usageErrorOf({ message }: CommanderError): UsageError {
  return new UsageError(message.replace(/^error: /, ""));
}

/** The command that the arguments name, as far as they name one. */
function commandNamed(program: Command, argv: readonly string[]): string {
  let [command, name] = [program, program.name()];
  for (const word of argv) {
    const next = command.commands.find((one) => one.name() === word);
    if (next === undefined) break;
    [command, name] = [next, `${name} ${word}`];
  }
  return name;
}

function buildProgram(host: CliHost, exitWith: (code: number) => void): Command {
  const encoder = new TextEncoder();
  const program = new Command("layerd")
    .description("ACID transactions over the layers of Git repositories")
    .version(host.version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => host.stdout(encoder.encode(text)),
      writeErr: (text) => host.stderr(encoder.encode(text)),
      // runCli() says it, in the form that was asked for.
      outputError: () => {},
      getOutHasColors: () => wantsColour(host, host.stdoutIsTerminal),
      getErrHasColors: () => wantsColour(host, host.stderrIsTerminal),
    })
    .configureHelp({ styleTitle: (text) => `\x1b[1m${text}\x1b[22m` })
    .addHelpText(
      "after",
      "\nA first transaction:\n" +
        "  layerd start --repository app=/path/to/repository\n" +
        "  export LAYERD_TRANSACTION=$(layerd begin -m 'first')\n" +
        "  layerd layer create -r app team/base\n" +
        "  echo hello | layerd put -r app team/base greeting.txt\n" +
        "  layerd commit",
    );
  addDaemonCommands(program, host, exitWith);
  addRepositoryCommands(program, host);
  addLayerCommands(program, host);
  addTransactionCommands(program, host);
  addFileCommands(program, host);
  addChangeCommands(program, host);
  addViewCommands(program, host);
  addWatchingCommands(program, host);
  addReplicaCommands(program, host);
  addSagaCommands(program, host);
  addPlanCommand(program, host);
  addParticipantCommands(program, host);
  addInDoubtCommands(program, host);
  addDoctorCommand(program, host);
  addRunCommand(program, host, exitWith);
  addCompletionCommand(program, host);
  addExamples(program);
  return program;
}
