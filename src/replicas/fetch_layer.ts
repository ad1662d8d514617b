/**
 * Objects of one repository to another, by native git: it sends what is missing and checks what
 * it gets. A ref of the replica's own keeps them until a layer does: the transaction that
 * follows makes them durable, and removes it. No hook runs.
 */
import { LayerdError } from "../core/errors.ts";
import type { RefName } from "../core/ids.ts";
import type { Repository } from "../git/repository.ts";

type Place = Pick<Repository, "id" | "name" | "commonDir">;

const FETCH_MS_MAX = 600_000;

/** Everything that the ref reaches, kept by `incoming`. Throws `git_error`. */
export async function fetchLayer(
  from: Place,
  ref: RefName,
  to: Place,
  incoming: RefName,
): Promise<void> {
  if (from.id === to.id) return;
  const options = [
    "core.hooksPath=/dev/null",
    "gc.auto=0",
    "maintenance.auto=false",
    "transfer.fsckObjects=true",
  ];
  const { success, stderr } = await new Deno.Command("git", {
    args: [
      ...options.flatMap((option) => ["-c", option]),
      `--git-dir=${to.commonDir}`,
      "fetch",
      "--quiet",
      "--no-tags",
      "--no-write-fetch-head",
      from.commonDir,
      `+${ref}:${incoming}`,
    ],
    env: { LC_ALL: "C", GIT_TERMINAL_PROMPT: "0" },
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    signal: AbortSignal.timeout(FETCH_MS_MAX),
  }).output();
  if (success) return;
  const text = new TextDecoder().decode(stderr).trim();
  throw new LayerdError(
    "git_error",
    `git fetch of ${ref} from ${from.name} to ${to.name} failed: ${text}`,
  );
}
