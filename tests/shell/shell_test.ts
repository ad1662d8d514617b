/** scripts/layerd.sh and the scripts of examples/shell beside a real daemon, under bash and dash. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { fileURLToPath } from "node:url";
import { create, put } from "../harness/api.ts";
import { git, GIT_ENVIRONMENT } from "../harness/git.ts";
import { type Registered, type Scene, sharedScenarios } from "../harness/scene.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const LIBRARY = `${ROOT}scripts/layerd.sh`;
const SHELLS: readonly (readonly string[])[] = [["bash", "--posix"], ["dash"]];
const scenario = sharedScenarios();

interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function run(
  scene: Scene,
  [program = "", ...args]: readonly string[],
  options: { readonly env?: Record<string, string>; readonly cwd?: string } = {},
): Promise<Ran> {
  const { code, stdout, stderr } = await new Deno.Command(program, {
    args,
    cwd: options.cwd ?? scene.home.directory,
    env: {
      ...GIT_ENVIRONMENT,
      LAYERD_SOCKET: scene.home.socket,
      LAYERD_TRANSACTION: "",
      LAYERD_SH: LIBRARY,
      ...options.env,
    },
    stdin: "null",
    signal: AbortSignal.timeout(60_000),
  }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

const show = ({ path }: Registered, at: string) => git(path, ["show", at]);

for (const shell of SHELLS) {
  const [name = ""] = shell;
  const script = (scene: Scene, text: string) =>
    run(scene, [...shell, "-c", `set -eu\n. ${LIBRARY}\n${text}`]);

  scenario(`${name}: a transaction from begin to commit, any bytes and names`, async (scene) => {
    const repository = await scene.repository();
    const r = repository.name;
    const { code, stdout, stderr } = await script(
      scene,
      `
      layerd_begin 'it'"'"'s "quoted" $(not run)'
      layerd_create_layer ${r} team/base
      printf 'a\\0b\\377' | layerd_put ${r} team/base 'a "b" & ü.bin' 100755
      printf 'text\\n\\n' | layerd_put ${r} team/base t.txt
      layerd_cat ${r} team/base t.txt
      layerd_put ${r} team/base gone </dev/null
      layerd_rm ${r} team/base gone
      layerd_commit
      echo "open: \${LAYERD_TRANSACTION:-none}"
      layerd_cat ${r} team/base t.txt
      `,
    );
    assertEquals([code, stdout, stderr], [0, "text\n\nopen: none\ntext\n\n", ""]);
    const tree = await git(repository.path, ["ls-tree", "-z", "refs/layers/team/base"]);
    assertStringIncludes(tree, "100755 blob ");
    assertStringIncludes(tree, '\ta "b" & ü.bin');
    assert(!tree.includes("gone"));
    const subject = await git(repository.path, [
      "log",
      "-1",
      "--format=%s",
      "refs/layers/team/base",
    ]);
    assertEquals(subject, `it's "quoted" $(not run)`);
    const size = await git(repository.path, [
      "cat-file",
      "-s",
      'refs/layers/team/base:a "b" & ü.bin',
    ]);
    assertEquals(size, "4");
  });

  scenario(`${name}: refusals are exit codes, messages and LAYERD_PROBLEM`, async (scene) => {
    const repository = await scene.repository();
    const r = repository.name;
    const answered = await script(
      scene,
      `
      code() { c=0; "$@" </dev/null || c=$?; echo "$c $LAYERD_PROBLEM"; }
      code layerd_commit
      layerd_begin
      code layerd_cat nowhere base a
      code layerd_put ${r} base a
      code layerd_put ${r} base ../a
      code layerd_rollback
      code layerd_call GET /v1/transactions/nonsense
      LAYERD_SOCKET=/nowhere/s.sock
      code layerd_begin
      `,
    );
    assertEquals(answered.code, 0, answered.stderr);
    assertEquals(answered.stdout.split("\n").slice(0, -1), [
      "64 ",
      "1 repository_not_found",
      "1 layer_not_found",
      "64 invalid_request",
      "0 ",
      "1 transaction_not_found",
      "69 ",
    ]);
    assertStringIncludes(answered.stderr, "layerd: invalid_request: ");
    assertStringIncludes(answered.stderr, "`layerd start`");
  });

  scenario(
    `${name}: layerd_transact repeats after a conflict, and rolls back else`,
    async (scene) => {
      const repository = await scene.repository();
      const r = repository.name;
      await scene.api.apply([create(r, "base"), put(r, "base", "a", "0\n")]);
      const tree = await git(repository.path, ["rev-parse", "refs/layers/base^{tree}"]);
      const native = await git(repository.path, ["commit-tree", "-m", "by hand", tree]);
      const { code, stderr } = await script(
        scene,
        `
      sleep() { :; }
      calls=0
      change() {
        calls=$((calls + 1))
        echo "$calls" | layerd_put ${r} base a
        if [ $calls -eq 1 ]; then git -C ${repository.path} update-ref refs/layers/base ${native}; fi
      }
      layerd_transact change change
      fail() { layerd_put ${r} base a </dev/null; return 9; }
      code=0; layerd_transact fail fail || code=$?
      [ $code -eq 9 ] && [ -z "\${LAYERD_TRANSACTION:-}" ]
      `,
      );
      assertEquals(code, 0, stderr);
      assertEquals(await show(repository, "refs/layers/base:a"), "2");
      assertStringIncludes(stderr, "attempt 2 of 5");
      assertEquals((await scene.api.locks(r)).locks, []);
    },
  );

  scenario(`${name}: examples/shell: hook, sync and deploy`, async (scene) => {
    const repository = await scene.repository();
    const r = repository.name;
    const example = (file: string) => `${ROOT}examples/shell/${file}`;
    const dotfiles = scene.path(`dotfiles-${r}`);
    await Deno.mkdir(`${dotfiles}/a b`, { recursive: true });
    await Deno.writeTextFile(`${dotfiles}/a b/rc`, "one\n");
    const sync = () => run(scene, [...shell, example("sync-dotfiles"), dotfiles, r, "user/ann"]);
    assertEquals((await sync()).code, 0);
    await Deno.writeTextFile(`${dotfiles}/a b/rc`, "two\n");
    const both = await Promise.all([sync(), sync()]);
    assertEquals(both.map((one) => one.code), [0, 0], both[0]?.stderr);
    assertEquals(await show(repository, "refs/layers/user/ann:a b/rc"), "two");

    await Deno.writeTextFile(scene.path("s.json"), "{}\n");
    await scene.api.apply([create(r, "one"), create(r, "two")]);
    const deploy = (...layers: string[]) =>
      run(scene, [...shell, example("deploy-settings"), scene.path("s.json"), r, ...layers]);
    const refused = await deploy("one", "missing");
    assertEquals(refused.code, 1, refused.stderr);
    assertEquals(await git(repository.path, ["ls-tree", "refs/layers/one"]), "");
    assertEquals((await deploy("one", "two")).code, 0);
    assertEquals(await show(repository, "refs/layers/two:settings.json"), "{}");

    const work = repository.path;
    await Deno.writeTextFile(
      `${work}/.git/hooks/post-commit`,
      `#!/bin/sh\nexec ${shell.join(" ")} ${example("post-commit")}\n`,
      { mode: 0o755 },
    );
    await Deno.mkdir(`${work}/config`);
    await Deno.writeTextFile(`${work}/config/app.json`, "{}\n");
    const identity = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"];
    await git(work, ["add", "config"]);
    const commit = (env: Record<string, string>) =>
      run(scene, ["git", "-C", work, ...identity, "commit", "--allow-empty", "-qm", "c"], { env });
    const hooked = await commit({ LAYERD_REPOSITORY: r });
    assertEquals(hooked.code, 0, hooked.stderr);
    const branch = await git(work, ["symbolic-ref", "--short", "HEAD"]);
    assertEquals(await show(repository, `refs/layers/project/${branch}:config/app.json`), "{}");
    const alone = await commit({ LAYERD_REPOSITORY: r, LAYERD_SOCKET: "/nowhere/s.sock" });
    assertEquals(alone.code, 0);
    assertStringIncludes(alone.stderr, "the commit stands");
  });
}

Deno.test("the shell library, its examples and the launcher's parts are clean by shellcheck", async () => {
  const examples: string[] = [];
  for await (const { name } of Deno.readDir(`${ROOT}examples/shell`)) {
    if (!name.endsWith(".md")) examples.push(`examples/shell/${name}`);
  }
  const { code, stdout } = await new Deno.Command("shellcheck", {
    args: ["-x", "scripts/layerd.sh", ...examples],
    cwd: ROOT,
  }).output();
  assertEquals(code, 0, new TextDecoder().decode(stdout));
});

scenario("the README's shell lines run as they stand there", async (scene) => {
  const readme = await Deno.readTextFile(`${ROOT}README.md`);
  const [, example] = /^## From shell scripts$.*?^```sh$\n(.*?)^```$/ms.exec(readme) ?? [];
  assert(example !== undefined, "the README has no shell example");
  const repository = await scene.repository();
  await scene.api.apply([create(repository.name, "team/base")]);
  const lines = example.replace(" app ", ` ${repository.name} `);
  const { code, stderr } = await run(scene, ["sh", "-euc", lines], { cwd: ROOT });
  assertEquals(code, 0, stderr);
  assertEquals(await show(repository, "refs/layers/team/base:settings.json"), '{"timeout":30}');
});
