/**
 * What transactions have placed in the repositories' object stores, from before their locks
 * are taken until they are over (git/kept_packs.ts). Placing twice is safe at every point.
 */
import { getLogger } from "@logtape/logtape";
import { messageOf } from "../core/errors.ts";
import type { RepositoryId } from "../core/ids.ts";
import type { RepositoryPart } from "../core/log_record.ts";
import type { Repository } from "../git/repository.ts";
import type { RepositoryCatalog } from "./catalog.ts";

const logger = getLogger(["layerd", "transactions"]);

type Catalog = Pick<RepositoryCatalog, "byId">;

/** A transaction's parts and its id. */
export interface Placing {
  readonly holder: string;
  readonly parts: readonly RepositoryPart[];
}

export function placingOf(
  { transactionId, parts }: { transactionId: string; parts: readonly RepositoryPart[] },
): Placing {
  return { holder: transactionId, parts };
}

/** Places what these transactions wrote in one repository, in one pack where it is small. */
export function placeObjects(repository: Repository, all: readonly Placing[]): void {
  repository.objects.place(
    all.flatMap(({ holder, parts }) =>
      parts.filter((part) => part.repositoryId === repository.id)
        .map(({ objects }) => ({ holder, written: objects }))
    ),
  );
}

/** The refs have moved, or never will: the next checkpoint may give the objects to git. */
export function releaseObjects(catalog: Catalog, { holder, parts }: Placing): void {
  for (const { repositoryId } of parts) catalog.byId(repositoryId)?.objects.release(holder);
}

/** The transaction ended without a decision. What cannot be removed goes at the next start. */
export function discardObjects(catalog: Catalog, placing: Placing): void {
  for (const { repositoryId, repository, objects } of placing.parts) {
    try {
      catalog.byId(repositoryId)?.objects.discard(objects);
    } catch (error) {
      logger.warn("A pack of a transaction that is over stays in {repository}: {error}", {
        repository,
        error: messageOf(error),
      });
    }
  }
  releaseObjects(catalog, placing);
}

/** One that fails is tried again after the next group: it only spares git some packs. */
export function tidyPacks(catalog: Catalog, ids: ReadonlySet<RepositoryId>): void {
  for (const id of ids) {
    const repository = catalog.byId(id);
    try {
      repository?.objects.tidyPacks();
    } catch (error) {
      logger.warn("Small packs of {repository} could not be folded: {error}", {
        repository: repository?.name ?? id,
        error: messageOf(error),
      });
    }
  }
}
