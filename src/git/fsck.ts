/** `git fsck` over one repository: what git itself calls damage. */
import type { RepositoryLayout } from "./gate.ts";

export type FsckOutcome =
  /** Lines about damage; what git only finds ugly is left out. */
  | { readonly kind: "checked"; readonly damage: readonly string[] }
  | { readonly kind: "unavailable"; readonly reason: string };

const DAMAGE = /^(missing|broken link|error|fatal|bad |unreadable|dangling bad)/;

/** Checks all objects, packs too, and that every ref reaches what it needs. Writes nothing. */
export async function fsck(layout: RepositoryLayout): Promise<FsckOutcome> {
  let output: Deno.CommandOutput;
  try {
    output = await new Deno.Command("git", {
      // As in cat_file.ts: the operator has asked for this repository.
      args: [
        "-c",
        "safe.directory=*",
        `--git-dir=${layout.commonDir}`,
        "fsck",
        "--full",
        "--no-dangling",
        "--no-progress",
      ],
      cwd: layout.commonDir,
      env: { GIT_NO_REPLACE_OBJECTS: "1", GIT_NO_LAZY_FETCH: "1", LC_ALL: "C" },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).output();
  } catch (error) {
    const { NotCapable, NotFound, PermissionDenied } = Deno.errors;
    if ([NotCapable, NotFound, PermissionDenied].some((kind) => error instanceof kind)) {
      return { kind: "unavailable", reason: "git cannot be run" };
    }
    throw error;
  }
  const decoder = new TextDecoder();
  const lines = `${decoder.decode(output.stdout)}\n${decoder.decode(output.stderr)}`.split("\n");
  return { kind: "checked", damage: lines.filter((line) => DAMAGE.test(line)) };
}
