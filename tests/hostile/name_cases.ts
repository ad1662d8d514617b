/** Names of layers, paths, refs, objects and repositories that must not get in. */
import { PATH_BYTES_MAX } from "../../src/core/limits.ts";
import { type HostileCase, LAYER, REPOSITORY, stage } from "./hostile_case.ts";

const on = { repository: REPOSITORY, layer: LAYER };
const NO_SUCH_OBJECT = "0123456789012345678901234567890123456789";

const BAD_PATHS: readonly unknown[] = [
  "",
  ".",
  "..",
  "/abs",
  "a//b",
  "a/",
  "./a",
  "../a",
  "a/../b",
  "a/./b",
  "../../etc/passwd",
  ".git",
  ".git/config",
  "a/.git/hooks/post-checkout",
  ".GIT/config",
  ".Git",
  "git~1/config",
  "GIT~1",
  ".git./config",
  ".git /config",
  ".git...",
  ".git::$INDEX_ALLOCATION/config",
  ".g\u200cit/config",
  ".git\u200d",
  "\ufeff.git/config",
  ".G\u202eIT",
  "a\\.git\\config",
  "a\u0000b",
  "p".repeat(PATH_BYTES_MAX + 1),
  "\ud800",
  5,
  null,
  ["a"],
  {},
];

const BAD_LAYERS: readonly unknown[] = [
  "",
  "/",
  "/a",
  "a/",
  "a//b",
  "a b",
  "a:b",
  "a..b",
  "..",
  "../heads/main",
  ".a",
  "a/.b",
  "a.",
  "a.lock",
  "a.lock/b",
  "a@{b",
  "a~1",
  "a^",
  "a?b",
  "a*",
  "a[b",
  "a\\b",
  "ä",
  "a\n",
  "a\u0000",
  "x".repeat(101),
  Array.from({ length: 5 }, () => "y".repeat(50)).join("/"),
  "a/b/c/d/e/f/g/h/i",
  7,
  null,
];

const BAD_REFS: readonly unknown[] = [
  "",
  "HEAD",
  "main",
  "heads/main",
  "refs/heads",
  "refs/heads/",
  "refs/heads/a..b",
  "refs/heads/a.lock",
  "refs/heads/../../config",
  "refs/heads/a b",
  "refs/heads/a\nb",
  "refs/heads/.a",
  "refs/heads/@{",
  "refs/remotes/origin/main",
  "refs/stash",
  "refs/worktree/x",
  "refs/bisect/bad",
  "packed-refs",
  `refs/heads/${"r".repeat(1_000)}`,
  1,
  null,
];

const BAD_IDS: readonly unknown[] = [
  "",
  "main",
  "0123",
  "g".repeat(40),
  "A".repeat(40),
  "a".repeat(64),
  `${"a".repeat(40)}\n`,
  40,
];

const FIELDS: readonly HostileCase[] = [
  stage("put without content", { op: "put_file", ...on, path: "x" }),
  stage("put with two contents", {
    op: "put_file",
    ...on,
    path: "x",
    content: "a",
    content_base64: "YQ==",
  }),
  stage("put with content and oid", {
    op: "put_file",
    ...on,
    path: "x",
    content: "a",
    oid: NO_SUCH_OBJECT,
  }),
  stage("put content number", { op: "put_file", ...on, path: "x", content: 1 }),
  stage("put lone surrogate", { op: "put_file", ...on, path: "x", content: "\udfff" }),
  stage("put no base64", { op: "put_file", ...on, path: "x", content_base64: "!!!" }),
  stage("put base64 number", { op: "put_file", ...on, path: "x", content_base64: 1 }),
  stage("put unknown field", { op: "put_file", ...on, path: "x", content: "a", encoding: "utf8" }),
  ...["100600", "040000", "160000", "644", "", 33188].map((mode) =>
    stage(`put mode ${JSON.stringify(mode)}`, {
      op: "put_file",
      ...on,
      path: "x",
      content: "a",
      mode,
    })
  ),
  ...[{}, "x", { commit: "x" }, { commit: 1 }, { commit: null, x: 1 }, []].map((expect) =>
    stage(`expect ${JSON.stringify(expect)}`, {
      op: "put_file",
      ...on,
      path: "x",
      content: "a",
      expect,
    })
  ),
  stage("verify of nothing", { op: "verify", repository: REPOSITORY, commit: null }),
  stage("verify of two", { op: "verify", ...on, ref: "refs/heads/main", commit: null }),
  stage("verify without commit", { op: "verify", ...on }),
  stage("update_ref without new", { op: "update_ref", repository: REPOSITORY, ref: "refs/tags/x" }),
  stage("move without to", { op: "move_file", ...on, from: "f" }),
  stage("move with path", { op: "move_file", ...on, from: "f", to: "h", path: "f" }),
  stage("create from a bad name", { op: "create_layer", ...on, layer: "new", from: "a..b" }),
  stage("create from a number", { op: "create_layer", ...on, layer: "new", from: 1 }),
];

const REPOSITORIES: readonly HostileCase[] = [
  ...["", "../x", "a/b", "a b", "x".repeat(101), 1, null].map((repository) =>
    stage(`repository ${JSON.stringify(repository)}`.slice(0, 60), {
      op: "delete_file",
      repository,
      layer: LAYER,
      path: "f",
    })
  ),
  stage("repository unknown", {
    op: "delete_file",
    repository: "nowhere",
    layer: LAYER,
    path: "f",
  }, "repository_not_found"),
];

const CONFLICTS: readonly HostileCase[] = [
  stage("layer that is not there", {
    op: "put_file",
    repository: REPOSITORY,
    layer: "absent",
    path: "x",
    content: "a",
  }, "layer_not_found"),
  stage("file that is not there", { op: "delete_file", ...on, path: "absent" }, "file_not_found"),
  stage("delete of a directory", { op: "delete_file", ...on, path: "d" }, "file_not_found"),
  stage("move of nothing", { op: "move_file", ...on, from: "absent", to: "h" }, "file_not_found"),
  stage("move onto a file", { op: "move_file", ...on, from: "f", to: "d/g" }, "name_conflict"),
  stage("file below a file", {
    op: "put_file",
    ...on,
    path: "f/x",
    content: "a",
  }, "name_conflict"),
  stage("file over a directory", {
    op: "put_file",
    ...on,
    path: "d",
    content: "a",
  }, "name_conflict"),
  stage("layer that exists", { op: "create_layer", ...on }, "layer_exists"),
  stage("layer below a layer", {
    op: "create_layer",
    repository: REPOSITORY,
    layer: `${LAYER}/below`,
  }, "name_conflict"),
  stage("create from an absent layer", {
    op: "create_layer",
    repository: REPOSITORY,
    layer: "new",
    from: "absent",
  }, "layer_not_found"),
  stage("delete of an absent layer", {
    op: "delete_layer",
    repository: REPOSITORY,
    layer: "absent",
  }, "layer_not_found"),
];

/** Everything above. */
export const NAME_CASES: readonly HostileCase[] = [
  ...BAD_PATHS.flatMap((path) => [
    stage(shown("put path", path), { op: "put_file", ...on, path, content: "x" }),
    stage(shown("delete path", path), { op: "delete_file", ...on, path }),
    stage(shown("move to", path), { op: "move_file", ...on, from: "f", to: path }),
  ]),
  ...BAD_LAYERS.flatMap((layer) => [
    stage(shown("create layer", layer), { op: "create_layer", repository: REPOSITORY, layer }),
    stage(shown("put in layer", layer), {
      op: "put_file",
      repository: REPOSITORY,
      layer,
      path: "x",
      content: "x",
    }),
  ]),
  ...BAD_REFS.map((ref) =>
    stage(shown("update_ref", ref), { op: "update_ref", repository: REPOSITORY, ref, new: null })
  ),
  ...BAD_IDS.flatMap((id) => [
    stage(shown("update_ref to", id), {
      op: "update_ref",
      repository: REPOSITORY,
      ref: "refs/tags/x",
      new: id,
    }),
    stage(shown("verify", id), { op: "verify", ...on, commit: id }),
    stage(shown("put oid", id), { op: "put_file", ...on, path: "x", oid: id }),
  ]),
  ...FIELDS,
  ...REPOSITORIES,
  ...CONFLICTS,
];

function shown(what: string, value: unknown): string {
  return `${what} ${JSON.stringify(value)}`.slice(0, 80);
}
