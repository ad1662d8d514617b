/** What a failure in a repository or in the log means to a client. */
import { LayerdError, messageOf } from "../core/errors.ts";
import { quote, type RepositoryName } from "../core/ids.ts";
import type { LockOutcome } from "../git/repository.ts";
import { errorCode } from "../system/file_system.ts";

/** A failure while working on a repository, as a problem of the contract. */
export function repositoryError(error: unknown, repository: string): LayerdError {
  if (error instanceof LayerdError) return error;
  const code = errorCode(error);
  const text = `Repository ${repository}: ${messageOf(error)}`;
  if (code === "ENOSPC" || code === "EDQUOT") return new LayerdError("no_space", text, {}, error);
  if (code !== null) return new LayerdError("io_error", text, { reason: code }, error);
  return new LayerdError("internal", text, {}, error);
}

/** The problem of a lock that could not be taken. */
export function lockRefusal(
  outcome: Exclude<LockOutcome, { kind: "locked" }>,
  repository: string,
): LayerdError {
  if (outcome.kind === "name_conflict") {
    return new LayerdError(
      "name_conflict",
      `${outcome.ref} cannot exist beside ${outcome.other} in repository ${repository}`,
    );
  }
  const age = `${Math.round(outcome.ageMs / 1000)} s old`;
  const owner = outcome.holder === null
    ? "another program holds it; if none is running any more, remove the file"
    : `transaction ${outcome.holder} holds it`;
  return new LayerdError(
    "repository_locked",
    `${outcome.path} is in the way (${age}): ${owner}`,
    { reason: outcome.path },
  );
}

export function notFound(name: RepositoryName): LayerdError {
  return new LayerdError("repository_not_found", `No repository is registered as ${quote(name)}`);
}
