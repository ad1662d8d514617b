/** Repositories that the daemon serves, by name. */
import type { RepositoryId, RepositoryName, TransactionId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import type { Repository } from "../git/repository.ts";

export interface RepositoryDocument {
  readonly name: string;
  readonly path: string;
  readonly git_dir: string;
  readonly common_dir: string;
  readonly head: string | null;
  readonly layers: number;
  readonly status: "healthy" | "suspicious" | "corrupted" | "unknown";
}

export interface RepositoryCatalog {
  /** Throws `repository_not_found`. */
  get(name: RepositoryName): Repository;
  byId(id: RepositoryId): Repository | null;
  all(): readonly Repository[];
  /** Every registration, as the record that made it. */
  registrations(): readonly Extract<LogRecord, { kind: "repository_added" }>[];
  /** Throws `repository_quarantined` where an unfinished publication stands against it. */
  requireWritable(repository: Repository): void;
  /** Stops writing to a repository in which a transaction's publication was contradicted. */
  quarantine(id: RepositoryId, transactionId: TransactionId): void;
  add(
    request: { readonly name: RepositoryName; readonly path: string; readonly adopt: boolean },
  ): Promise<RepositoryDocument>;
  remove(name: RepositoryName, options: { readonly abandon: boolean }): Promise<void>;
  document(repository: Repository): Promise<RepositoryDocument>;
  /** The repository whose work tree (or git directory) holds the path, or null. */
  findByPath(path: string): Repository | null;
}
