/**
 * Composition root: the real parts are wired here and nowhere else. The daemon's rooms are
 * loaded by `serve`, `doctor` and `materialize` alone, so that a client command starts without them.
 */
import type { CliHost, ExamineOptions, ServeOptions } from "./src/cli/host.ts";
import { plainServe } from "./src/cli/serve_arguments.ts";
import type { DoctorReport } from "./src/core/diagnosis.ts";
import type { Materialized, WantedView } from "./src/core/materialization.ts";
import config from "./deno.json" with { type: "json" };

async function serve(options: ServeOptions): Promise<number> {
  const { serveDaemon } = await import("./src/http/serve.ts");
  return await serveDaemon({
    ...options,
    version: config.version,
    uid: Deno.uid() ?? 0,
    announce: (line) => writeAll(Deno.stdout, new TextEncoder().encode(line)),
  });
}

async function examineFiles(options: ExamineOptions): Promise<DoctorReport> {
  const [{ examine }, { DenoFileSystem }, { DenoClock }, { DenoRandom }] = await Promise.all([
    import("./src/doctor/doctor.ts"),
    import("./src/system/deno_file_system.ts"),
    import("./src/system/deno_clock.ts"),
    import("./src/system/deno_random.ts"),
  ]);
  return await examine({
    ...options,
    fileSystem: new DenoFileSystem(),
    clock: new DenoClock(),
    random: new DenoRandom(),
  });
}

async function writeView(target: string, view: WantedView): Promise<Materialized> {
  const [{ materialize }, { DenoFileSystem }] = await Promise.all([
    import("./src/views/materialize.ts"),
    import("./src/system/deno_file_system.ts"),
  ]);
  return await materialize(new DenoFileSystem(), target, view);
}

/** Writes all of it; a reader that went away (`layerd events | head`) ends the command. */
function writeAll(
  stream: { writeSync(bytes: Uint8Array): number },
  bytes: Uint8Array,
): void {
  let rest = bytes;
  try {
    while (rest.length > 0) rest = rest.subarray(stream.writeSync(rest));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) Deno.exit(0);
    throw error;
  }
}

const host: CliHost = {
  serve,
  examine: examineFiles,
  materialize: writeView,
  env: (name) => Deno.env.get(name),
  argv: Deno.args,
  cwd: Deno.cwd(),
  uid: Deno.uid(),
  launcher: `${import.meta.dirname}/scripts/layerd`,
  processAlive: `${import.meta.dirname}/scripts/process_alive`,
  version: config.version,
  readFile: (path) => Deno.readFile(path),
  readStdin: async () => new Uint8Array(await new Response(Deno.stdin.readable).arrayBuffer()),
  stdinIsTerminal: Deno.stdin.isTerminal(),
  stdoutIsTerminal: Deno.stdout.isTerminal(),
  stderrIsTerminal: Deno.stderr.isTerminal(),
  stdout: (bytes) => writeAll(Deno.stdout, bytes),
  stderr: (bytes) => writeAll(Deno.stderr, bytes),
};

/** The command line is loaded for everything but a plain `serve`, which starts sooner without. */
async function run(): Promise<number> {
  const options = plainServe(host, Deno.args);
  if (options !== null) return await serve(options);
  const { runCli } = await import("./src/cli/run.ts");
  return await runCli(Deno.args, host);
}

if (import.meta.main) Deno.exit(await run());
