/** isomorphic-git called directly: REPOSITORY SECONDS; microseconds of each commit. Not durable. */
// deno-lint-ignore-file no-console -- a script: its output is for rivals.ts
import fs from "node:fs";
import git from "isomorphic-git";

const [repository = "", seconds = "1"] = Deno.args;
const gitdir = `${repository}/.git`;
const ref = "refs/layers/bench";
const who = { name: "bench", email: "bench@localhost", timezoneOffset: 0 };
let parent = await git.resolveRef({ fs, gitdir, ref }).catch(() => null);
const end = performance.now() + Number(seconds) * 1_000;
const lines: number[] = [];
for (let number = 0;; number++) {
  const before = performance.now();
  if (before >= end) break;
  const blob = await git.writeBlob({
    fs,
    gitdir,
    blob: new TextEncoder().encode(`value ${before} ${number}`),
  });
  const entry = { mode: "100644", path: "file.txt", oid: blob, type: "blob" as const };
  const tree = await git.writeTree({ fs, gitdir, tree: [entry] });
  const at = { ...who, timestamp: Math.floor(Date.now() / 1_000) };
  const commit = { message: "bench\n", tree, parent: parent === null ? [] : [parent] };
  parent = await git.writeCommit({
    fs,
    gitdir,
    commit: { ...commit, author: at, committer: at },
  });
  await git.writeRef({ fs, gitdir, ref, value: parent, force: true });
  lines.push(Math.round((performance.now() - before) * 1_000));
}
console.log(lines.join("\n"));
