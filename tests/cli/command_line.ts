/** The command run inside the test's process, with everything that it prints kept. */
import type { CliHost, ServeOptions } from "../../src/cli/host.ts";
import { runCli } from "../../src/cli/run.ts";

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** What `serve` was started with, where it was. */
  readonly served: ServeOptions | null;
}

export interface CliSetting {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly stdin?: string;
  /** Whether output goes to a terminal. */
  readonly terminal?: boolean;
  /** Whether files are read from the disk, instead of `files`. */
  readonly disk?: true;
  readonly files?: Readonly<Record<string, string>>;
}

export async function runCommand(
  argv: readonly string[],
  setting: CliSetting = {},
): Promise<CliRun> {
  const encoder = new TextEncoder();
  const printed = { stdout: "", stderr: "" };
  const decode = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  let served: ServeOptions | null = null;
  const host: CliHost = {
    serve: (options) => {
      served = options;
      return Promise.resolve(0);
    },
    materialize: () => Promise.resolve({ kind: "refused", reason: "no disk here" }),
    examine: () => Promise.resolve({ status: "ok", findings: [] }),
    env: (name) => setting.env?.[name],
    argv,
    cwd: setting.cwd ?? "/home/ann/project",
    uid: 1000,
    launcher: "/nowhere/layerd",
    processAlive: "/nowhere/process_alive",
    version: "9.9.9",
    readFile: (path) => {
      if (setting.disk === true) return Deno.readFile(path);
      const text = setting.files?.[path];
      return text === undefined
        ? Promise.reject(new Error(`No such file: ${path}`))
        : Promise.resolve(encoder.encode(text));
    },
    readStdin: () => Promise.resolve(encoder.encode(setting.stdin ?? "")),
    stdinIsTerminal: setting.stdin === undefined,
    stdoutIsTerminal: setting.terminal === true,
    stderrIsTerminal: setting.terminal === true,
    stdout: (bytes) => printed.stdout += decode(bytes),
    stderr: (bytes) => printed.stderr += decode(bytes),
  };
  const code = await runCli(argv, host);
  return { code, ...printed, served };
}
