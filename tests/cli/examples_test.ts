/**
 * Every command by the examples of its own help: its exit code, text and `--json`. The examples
 * are taken from `--help` as a person reads them, and run by bash where they need a shell, a
 * process of their own or the disk; the rest in this process, against the same daemon.
 *
 * A command without an example, or without a row in EXPECTED, fails the test by its name.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { LayerdClient } from "../../src/client/client.ts";
import { EXAMPLE_ID, EXAMPLE_SERVICE } from "../../src/cli/examples.ts";
import { SilentService } from "./silent_service.ts";
import { runCommand } from "./command_line.ts";
import { type Ended, Home } from "./launched.ts";
import { makeRepository } from "../harness/repositories.ts";

interface Expected {
  /** What standard output must look like, whole. */
  readonly text: RegExp;
  /** A member of the `--json` answer; null where the command has no such answer. */
  readonly json: string | null;
  readonly code?: number;
  /** Runs inside a fresh transaction of its own. */
  readonly in?: "transaction";
}

const NOTHING = /^$/;
const ID = /^[0-9A-Z]{26}\n$/;
const MOVED = /^app\trefs\/layers\/\S+\t\S+\t[0-9a-f]{40}\n/;

const EXPECTED: Readonly<Record<string, Expected>> = {
  "serve": { text: NOTHING, json: null },
  "start": { text: /^\d+\n$/, json: "pid" },
  "status": { text: /^running\tpid \d+/, json: "running" },
  "get-socket": { text: /layerd\.sock\n$|^\{"status":"ok"/, json: "socket" },
  "repo add": { text: NOTHING, json: "repository" },
  "repo list": { text: /^app\thealthy\t/m, json: "repositories" },
  "layer create": { text: NOTHING, json: "transaction", in: "transaction" },
  "layer delete": { text: NOTHING, json: "transaction", in: "transaction" },
  "layer list": { text: /^team\/base\t[0-9a-f]{40}$/m, json: "layers" },
  "begin": { text: /^$|^[0-9A-Z]{26}\n$/, json: "transaction" },
  "commit": { text: MOVED, json: "transaction", in: "transaction" },
  "rollback": { text: NOTHING, json: "transaction", in: "transaction" },
  "show": { text: /^transaction [0-9A-Z]{26}\nstate {7}committed\n/, json: "transaction" },
  "diff": { text: /^A\tapp\t/, json: "changes" },
  "wait": { text: /^committed\n$/, json: "transaction" },
  "apply": { text: MOVED, json: "transaction" },
  "put": { text: NOTHING, json: "transaction", in: "transaction" },
  "rm": { text: NOTHING, json: "transaction", in: "transaction" },
  "mv": { text: NOTHING, json: "transaction", in: "transaction" },
  "cat": { text: /^\{"files\.eol"/, json: "content" },
  "ls": { text: /^100644 [0-9a-f]{40} \d+\t/, json: "files" },
  "patch": { text: NOTHING, json: "transaction", in: "transaction" },
  "merge": { text: NOTHING, json: "transaction", in: "transaction" },
  "undo": { text: MOVED, json: "transaction" },
  "stack put": { text: NOTHING, json: "stack" },
  "stack show": { text: /^layer\tglobal\nlayer\tteam\/base\n/, json: "stack" },
  "stack list": { text: /^editor\tglobal < team\/base/, json: "stacks" },
  "view": { text: /settings\.json\n|"files\.eol"/, json: "files" },
  "explain": { text: /files\.eol.*\tfrom user\/ann:1 /, json: "origins" },
  "materialize": { text: NOTHING, json: "kind" },
  "stack remove": { text: NOTHING, json: "removed" },
  "log": { text: /[0-9A-Z]{26}/, json: null },
  "locks": { text: NOTHING, json: "locks" },
  "events": { text: /^(1-\d+\t.*\n){3}$/, json: null },
  "health": { text: /^ok\tlayerd /, json: "status" },
  "replica put": { text: /copy/, json: "replica" },
  "replica list": { text: /^mirror\t/, json: "replicas" },
  "replica reconcile": { text: /copy/, json: "replica" },
  "replica show": { text: /copy/, json: "replica" },
  "replica remove": { text: NOTHING, json: "removed" },
  "saga define": { text: /^train\t\d+\n$/, json: "definition" },
  "saga start": { text: ID, json: "saga" },
  "saga list": { text: /^$|completed/, json: "sagas" },
  "saga show": { text: /completed/, json: "saga" },
  "saga events": { text: /saga_completed/, json: "events" },
  "saga plan": { text: NOTHING, json: "compensation" },
  // A saga that has completed takes none of these: the answer is no.
  "saga cancel": { text: NOTHING, json: null, code: 1 },
  "saga pause": { text: NOTHING, json: null, code: 1 },
  "saga resume": { text: NOTHING, json: null, code: 1 },
  "saga retry": { text: NOTHING, json: null, code: 1 },
  "saga skip": { text: NOTHING, json: null, code: 1 },
  "saga compensate": { text: NOTHING, json: null, code: 1 },
  "participant add": { text: NOTHING, json: "participant" },
  "participant list": {
    text: /^flags\thttp\thttp:\/\/\S+\t(2000|10000) ms\n$/,
    json: "participants",
  },
  "plan": {
    text: /^pattern\t(two_phase_commit\nparticipants\tgit:app, flags\n|saga\n)/,
    json: "pattern",
  },
  "participant show": { text: /^flags\thttp\t/, json: "participant" },
  "in-doubt list": {
    text: /^[0-9A-Z]{26}\tflags\tcommitted\t.*\ttold .*\tAnswered 503 to commit\n$/,
    json: "in_doubt",
  },
  "in-doubt explain": {
    text: /^flags\n {2}decided {2}committed by layerd at /,
    json: "participants",
  },
  "in-doubt resolve": { text: NOTHING, json: "in_doubt" },
  "participant remove": { text: NOTHING, json: "removed" },
  "doctor": { text: /./, json: "findings" },
  "run": { text: /^(app\trefs\/layers\/team\/base\t.*\n)?$/, json: null },
  "completion": { text: /^$|complete/, json: null },
  "repo remove": { text: NOTHING, json: "removed" },
  "stop": { text: NOTHING, json: "pid" },
};

/** Those that need a shell, a process of their own or the disk. */
const BY_BASH = /[|<$~]|&&|^layerd (start|stop|serve|materialize|run|doctor)\b/;

const SETTINGS = '{"files.eol": "\\n", "old": 1}\n';

class Stage {
  committed = "";
  saga = "";

  constructor(
    readonly home: Home,
    readonly client: LayerdClient,
    readonly service: SilentService,
  ) {}

  async fill(): Promise<void> {
    const { directory, repository } = this.home;
    await makeRepository(`${directory}/copy`);
    await Deno.mkdir(`${directory}/.config`);
    await this.client.addRepository({ name: "copy", path: `${directory}/copy` });
    const layers = ["global", "team/base", "project/app", "user/ann"];
    const on = (layer: string) => ({ repository: "app", layer });
    const operations = layers.flatMap((layer) => [
      { op: "create_layer", ...on(layer) } as const,
      { op: "put_file", ...on(layer), path: "settings.json", content: SETTINGS } as const,
    ]);
    await this.client.begin({ commit: true, operations });
    this.committed = (await this.client.begin({
      commit: true,
      operations: [{ op: "put_file", ...on("global"), path: "n.txt", content: "n" }],
    })).id;
    const change = [{ op: "put_file", ...on("team/base"), path: "c.txt", content: "c" }];
    await Deno.writeTextFile(`${repository}/settings.json`, SETTINGS);
    // JSON is YAML.
    await Deno.writeTextFile(
      `${repository}/change.yaml`,
      `message: changed\noperations: ${JSON.stringify(change)}\n`,
    );
    const step = { step_id: "publish", service_name: "layers", action: "commit" };
    await Deno.writeTextFile(
      `${repository}/train.yaml`,
      JSON.stringify({
        services: { layers: { kind: "layer" } },
        steps: [{ ...step, input: { operations: change } }],
      }),
    );
  }

  /** Runs an example in a transaction of its own where its command wants one. */
  async run(path: string, example: string, format: readonly string[]): Promise<Ended> {
    await this.#prepare(path);
    const id = path.startsWith("saga")
      ? this.saga
      : path.startsWith("in-doubt")
      ? await this.service.inDoubt(this.client)
      : path === "rollback"
      ? await this.#begin(path)
      : this.committed;
    const line = example.replace(EXAMPLE_ID, id).replace(EXAMPLE_SERVICE, this.service.place);
    const env: Record<string, string> = { ...this.home.environment };
    const wants = EXPECTED[path]?.in === "transaction" && !line.includes(id);
    if (wants) env.LAYERD_TRANSACTION = await this.#begin(path);
    try {
      if (BY_BASH.test(line)) return await this.#byBash(path, line, format, env);
      const argv = [...wordsOf(line).slice(1), ...format];
      return await runCommand(argv, { env, cwd: this.home.repository, disk: true });
    } finally {
      await this.#endOpen(path);
    }
  }

  /** What an earlier run of the command has used up is there again. */
  async #prepare(path: string): Promise<void> {
    const { client, home } = this;
    if (path === "repo add") await client.removeRepository("app");
    if (path === "apply" || path === "saga start") {
      const put = { op: "put_file", repository: "app", layer: "team/base", path: "c.txt" } as const;
      await client.begin({ commit: true, operations: [{ ...put, content: crypto.randomUUID() }] });
    }
    if (path === "undo") {
      const put = { op: "put_file", repository: "app", layer: "global", path: "n.txt" } as const;
      const content = crypto.randomUUID();
      this.committed = (await client.begin({ commit: true, operations: [{ ...put, content }] })).id;
    }
    if (path === "stack remove") {
      await home.layerd(["stack", "put", "editor", "global", "team/base", "user/ann"]);
    }
    if (path === "replica remove") {
      await home.layerd(["replica", "put", "mirror", "app:team/base", "copy:team/base"]);
    }
    if (
      path === "repo remove" && (await client.repositories()).every(({ name }) => name !== "app")
    ) {
      await client.addRepository({ name: "app", path: home.repository });
    }
    if (path === "participant remove") {
      const base_url = `http://${this.service.place}`;
      await client.participants.add({ name: "flags", kind: "http", base_url });
    }
    if (path === "stop") await home.layerd(["start"]);
  }

  async #begin(path: string): Promise<string> {
    const { id } = await this.client.begin();
    const content = crypto.randomUUID();
    const put = { op: "put_file", repository: "app", layer: "global", path: "x", content } as const;
    if (path === "commit") await this.client.stage(id, [put]);
    return id;
  }

  async #endOpen(path: string): Promise<void> {
    if (path === "stop" || path === "start" || path === "status") return;
    const { transactions } = await this.client.transactions({ state: "active" });
    for (const { id } of transactions) await this.client.rollback(id);
  }

  async #byBash(
    path: string,
    line: string,
    format: readonly string[],
    env: Record<string, string>,
  ) {
    // The format belongs to layerd itself, not to what its output is piped to.
    const marked = line.replace(`layerd ${path}`, ["layerd", path, ...format].join(" "));
    const { code, stdout, stderr } = await new Deno.Command("bash", {
      args: ["-c", marked],
      cwd: this.home.repository,
      env: { ...env, PATH: `${Deno.cwd()}/scripts:${Deno.env.get("PATH")}` },
      stdin: "null",
      signal: AbortSignal.timeout(60_000),
    }).output();
    const decoder = new TextDecoder();
    return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
  }
}

/** Words of a line without substitutions: quotes are all that is left to a shell. */
function wordsOf(line: string): string[] {
  return [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map((m) => m[1] ?? m[2] ?? m[3] ?? "");
}

/** The paths of all commands, and their examples as `--help` prints them. */
async function commandsWithExamples(): Promise<Map<string, readonly string[]>> {
  const script: string =
    JSON.parse((await runCommand(["completion", "bash", "--json"])).stdout).script;
  const paths = [...script.matchAll(/^ {4}'(.+)'\) words=/gm)].map((match) => match[1] ?? "");
  const found = new Map<string, readonly string[]>();
  for (const path of paths) {
    if (paths.some((other) => other.startsWith(`${path} `))) continue;
    const { stdout } = await runCommand([...path.split(" "), "--help"]);
    const lines = [...stdout.matchAll(/^ {2}(\S.*\blayerd\b.*|layerd .*)$/gm)];
    const from = stdout.indexOf("display help for command");
    const examples = lines.filter((match) => (match.index ?? 0) > from).map((m) => m[1] ?? "");
    found.set(path, examples);
  }
  return found;
}

Deno.test("every command has an example in its help, and a row here", async () => {
  const commands = await commandsWithExamples();
  const bare = [...commands].filter(([, examples]) => examples.length === 0).map(([path]) => path);
  assertEquals(bare, [], "commands without an example");
  assertEquals([...commands.keys()].filter((path) => !(path in EXPECTED)), [], "no row");
});

Deno.test("every example of every --help runs, as text and with --json", async () => {
  const commands = await commandsWithExamples();
  const home = await Home.make();
  const socketPath = `${home.environment.XDG_RUNTIME_DIR}/layerd/layerd.sock`;
  const service = new SilentService();
  const stage = new Stage(home, new LayerdClient({ socketPath }), service);
  const wrong: string[] = [];
  try {
    for (const [path, expected] of Object.entries(EXPECTED)) {
      for (const example of commands.get(path) ?? []) {
        if (path === "serve") {
          const argv = wordsOf(example.replace("$HOME", home.directory)).slice(1);
          const served = await runCommand(argv, { env: home.environment });
          assertEquals([served.code, served.served?.repositories[0]?.name], [0, "app"]);
          continue;
        }
        try {
          await runBoth(stage, path, example, expected);
        } catch (error) {
          wrong.push(error instanceof Error ? error.message : String(error));
        }
      }
      if (path === "start") await stage.fill();
      if (path === "saga start") stage.saga = (await stage.client.sagas.list()).sagas[0]?.id ?? "";
    }
    assertEquals(wrong, []);
  } finally {
    stage.client.close();
    await home.remove();
    await service.close();
  }
});

async function runBoth(stage: Stage, path: string, example: string, expected: Expected) {
  const text = await stage.run(path, example, []);
  assertEquals(text.code, expected.code ?? 0, `${example}: ${text.stderr}`);
  assertMatch(text.stdout, expected.text, example);
  assertEquals(text.stderr.includes("\x1b["), false);
  if (expected.json === null || !example.startsWith("layerd ")) return;
  const json = await stage.run(path, example, ["--json"]);
  assertEquals(json.code, expected.code ?? 0, `${example} --json: ${json.stderr}`);
  const document = JSON.parse(json.stdout);
  assert(expected.json in document, `${example} --json: ${json.stdout}`);
}
