/**
 * A PostgreSQL of a test file's own: initialised in a temporary directory, reached by a Unix
 * socket only. As root it runs as the system's user `postgres`, because the server refuses
 * to be root.
 *
 * It syncs nothing: what is tested kills processes, and the page cache outlives those. A
 * cluster costs a second, so that a file makes one and empties it between its tests.
 */
import { report } from "../harness/scale.ts";

const decoder = new TextDecoder();

/** Where distributions put the server's programs when they are not on the PATH. */
async function program(name: string): Promise<string> {
  const found = await new Deno.Command("sh", { args: ["-c", `command -v ${name}`] }).output();
  if (found.success) return decoder.decode(found.stdout).trim();
  const places = [...Deno.readDirSync("/usr/lib/postgresql")]
    .map((entry) => `/usr/lib/postgresql/${entry.name}/bin/${name}`);
  const place = places.sort().at(-1);
  if (place === undefined) throw new Error(`${name} is not installed (apt: postgresql)`);
  return place;
}

const userOf = async () => {
  if (Deno.uid() !== 0) return {};
  const id = async (flag: string) =>
    Number(
      decoder.decode((await new Deno.Command("id", { args: [flag, "postgres"] }).output()).stdout),
    );
  return { uid: await id("-u"), gid: await id("-g") };
};

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** SIGKILL to what may have ended in this moment. */
function killIfAny(pid: number): void {
  try {
    Deno.kill(pid, "SIGKILL");
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

export class PostgresServer {
  #process: Deno.ChildProcess | null = null;

  private constructor(readonly directory: string) {}

  /** Makes a cluster and starts it. */
  static async make(): Promise<PostgresServer> {
    const directory = await Deno.makeTempDir({ prefix: "layerd-pg-" });
    const user = await userOf();
    if (user.uid !== undefined) await Deno.chown(directory, user.uid, user.gid);
    const init = await new Deno.Command(await program("initdb"), {
      args: ["-D", `${directory}/data`, "-U", "layerd", "--auth=trust", "-E", "UTF8"]
        .concat(["--locale=C", "--no-sync", "--no-instructions", "--wal-segsize=1"]),
      cwd: "/",
      ...user,
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!init.success) throw new Error(`initdb failed: ${decoder.decode(init.stderr)}`);
    const server = new PostgresServer(directory);
    await server.start();
    return server;
  }

  /** Directory of its socket. */
  get socketDirectory(): string {
    return this.directory;
  }

  get pid(): number {
    if (this.#process === null) throw new Error("PostgreSQL is not running");
    return this.#process.pid;
  }

  get socketPath(): string {
    return `${this.directory}/.s.PGSQL.5432`;
  }

  /** URL of a database, through another directory's socket where a proxy listens there. */
  url(directory = this.directory): string {
    return `postgres://layerd:secret-of-the-test@/postgres?host=${encodeURIComponent(directory)}`;
  }

  /** Starts it again. `changed` settings as `name=value`. */
  async start(...changed: string[]): Promise<void> {
    const settings = [
      "listen_addresses=",
      `unix_socket_directories=${this.directory}`,
      "max_prepared_transactions=200",
      "max_connections=120",
      "shared_buffers=2MB",
      "fsync=off",
      "wal_level=minimal",
      "max_wal_senders=0",
      "autovacuum=off",
      ...changed,
    ];
    const user = await userOf();
    this.#process = new Deno.Command(await program("postgres"), {
      args: ["-D", `${this.directory}/data`, ...settings.flatMap((one) => ["-c", one])],
      cwd: "/",
      ...user,
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).spawn();
    await this.#ready(this.#process, changed);
  }

  /** SIGKILL of the server and all its processes, awaited. */
  async kill(): Promise<void> {
    const children = this.#children();
    await this.#end("SIGKILL");
    // A server process that has not noticed yet would still prepare a transaction.
    for (const child of children) {
      if (isAlive(child)) killIfAny(child);
    }
    while (children.some(isAlive)) await new Promise((again) => setTimeout(again, 2));
  }

  /** Stops the server and all its processes where they are; the answer lets them go on. */
  freeze(): () => void {
    const all = [this.pid, ...this.#children()];
    for (const one of all) Deno.kill(one, "SIGSTOP");
    return () => {
      for (const one of all) {
        // A child that was about to end may be gone.
        if (isAlive(one)) Deno.kill(one, "SIGCONT");
      }
    };
  }

  /** Runs a script and answers what it prints, unaligned, one row a line. */
  async psql(sql: string): Promise<string> {
    const result = await new Deno.Command("psql", {
      args: [
        "-XqAt",
        "-v",
        "ON_ERROR_STOP=1",
        "-h",
        this.directory,
        "-U",
        "layerd",
        "-d",
        "postgres",
      ]
        .concat(["-c", sql]),
      stdout: "piped",
      stderr: "piped",
    }).output();
    if (!result.success) throw new Error(`psql failed: ${decoder.decode(result.stderr)}`);
    return decoder.decode(result.stdout).trimEnd();
  }

  /** Takes away what a test left: prepared transactions, tables, the daemon's schema. */
  async clear(): Promise<void> {
    const held = await this.psql("SELECT gid FROM pg_prepared_xacts");
    for (const key of held.split("\n").filter((line) => line !== "")) {
      await this.psql(`ROLLBACK PREPARED '${key}'`);
    }
    await this.psql("DROP SCHEMA IF EXISTS layerd CASCADE");
    await this.psql("DROP SCHEMA public CASCADE; CREATE SCHEMA public");
  }

  /** Stops it in good order. */
  async stop(): Promise<void> {
    await this.#end("SIGINT");
  }

  async remove(): Promise<void> {
    await this.#end("SIGQUIT");
    await Deno.remove(this.directory, { recursive: true });
  }

  #children(): number[] {
    const { pid } = this;
    return Deno.readTextFileSync(`/proc/${pid}/task/${pid}/children`)
      .split(" ").filter((text) => text !== "").map(Number);
  }

  async #end(signal: Deno.Signal): Promise<void> {
    const process = this.#process;
    if (process === null) return;
    this.#process = null;
    process.kill(signal);
    await process.status;
    // Its children notice the postmaster's death by themselves; the next start waits for them.
  }

  async #ready(process: Deno.ChildProcess, changed: readonly string[]): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    let said = "";
    (async () => {
      for await (const text of process.stderr.pipeThrough(new TextDecoderStream())) {
        if (text.includes("ready to accept connections")) resolve();
        said = (said + text).slice(-4_000);
      }
      reject(new Error(`PostgreSQL ended: ${said}`));
    })();
    try {
      await promise;
    } catch (error) {
      if (!said.includes("pre-existing shared memory block")) throw error;
      // Killed hard: a child of the last one is about to notice.
      report("PostgreSQL waits for the children of the one that was killed");
      await new Promise((again) => setTimeout(again, 100));
      await this.start(...changed);
    }
  }
}
