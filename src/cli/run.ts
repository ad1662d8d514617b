/**
 * The `layerd` command. `runCli` never throws and never exits the process: it answers the
 * exit code (API section 7), so that tests run it as main.ts does.
 */
import { Command, CommanderError } from "commander";
import { addChangeCommands } from "./change_commands.ts";
import { addCompletionCommand } from "./completion.ts";
import { addDaemonCommands } from "./daemon_commands.ts";
import { addDoctorCommand } from "./doctor_command.ts";
import { EXIT, exitCodeOf } from "./exit_codes.ts";
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
    // Commander has said what is wrong; --help and --version end here too.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.usage;
    outputFor(host, { json: argv.includes("--json") }).failure(error);
    return exitCodeOf(error);
  }
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
