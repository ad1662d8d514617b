/** What the command line needs of the process that it runs in; `main.ts` gives the real one. */
import type { Materialized, WantedView } from "../core/materialization.ts";
import type { DoctorReport } from "../core/diagnosis.ts";

/** Options of `serve`, complete: paths are absolute, defaults are worked out. */
export interface ServeOptions {
  readonly socket: string;
  readonly stateDir: string;
  readonly repositories: readonly { readonly name: string; readonly path: string }[];
  /** `HOST:PORT` each. */
  readonly allowParticipants: readonly string[];
  /** URL of a PostgreSQL in which sagas are kept, or null for a file in the state directory. */
  readonly sagaStore: string | null;
  /** Programs that saga steps may run, absolute. */
  readonly allowCommands: readonly string[];
}

/** Options of `doctor`, complete. */
export interface ExamineOptions {
  readonly stateDirectory: string;
  /** Absolute path of the one repository to look at, or null for all that the log names. */
  readonly repository: string | null;
  readonly mode: "look" | "fix";
}

export interface CliHost {
  /** Looks at the files of a state directory and its repositories. */
  examine(options: ExamineOptions): Promise<DoctorReport>;
  /** Runs the daemon to its end; answers the exit code. */
  serve(options: ServeOptions): Promise<number>;
  /** Writes a view to a directory (absolute path), atomically. */
  materialize(target: string, view: WantedView): Promise<Materialized>;
  env(name: string): string | undefined;
  /** The arguments as they were given. */
  readonly argv: readonly string[];
  readonly cwd: string;
  /** User id, or null where the system has none. */
  readonly uid: number | null;
  /** `scripts/layerd`, absolute: `start` runs it. */
  readonly launcher: string;
  /** `scripts/process_alive`, absolute: `stop` asks it. */
  readonly processAlive: string;
  readonly version: string;
  readFile(path: string): Promise<Uint8Array>;
  readStdin(): Promise<Uint8Array>;
  /** Whether standard input is a terminal: then nobody is piping content in. */
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  stdout(bytes: Uint8Array): void;
  stderr(bytes: Uint8Array): void;
}
