/** The lock tables as the contract lists them. */
import { layerOfRef } from "../core/ids.ts";
import type { LockTables } from "../core/lock_table.ts";
import type { Repository } from "../git/repository.ts";
import type { RepositoryCatalog } from "./catalog.ts";
import type { LocksDocument } from "./manager.ts";

/** `repository` null: of all of them. */
export function locksDocument(
  tables: LockTables,
  repository: Repository | null,
  catalog: Pick<RepositoryCatalog, "byId">,
): LocksDocument {
  const locks = tables.list(repository?.id ?? null).map((entry) => ({
    repository: catalog.byId(entry.repositoryId)?.name ?? entry.repositoryId,
    layer: layerOfRef(entry.ref) ?? entry.ref,
    holders: entry.holders,
    waiters: entry.waiters,
  }));
  const waiting = new Set(
    locks.flatMap((lock) => lock.waiters.map(({ transaction_id }) => transaction_id)),
  );
  const edges = tables.waitsFor().filter(({ from }) => waiting.has(from));
  return { locks, waits_for: edges };
}
