/** Repositories that the daemon serves, by name. */
import type { LayerdError } from "../core/errors.ts";
import type { RepositoryId, RepositoryName, TransactionId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import type { Repository } from "../git/repository.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { WriteAheadLog } from "../wal/write_ahead_log.ts";
import type { EventBus } from "./events.ts";

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
  /** Why byId() has none: away for now, or not registered. */
  absence(id: RepositoryId, name: RepositoryName): LayerdError;
  all(): readonly Repository[];
  /** Every registration, as the record that made it. */
  registrations(): readonly Extract<LogRecord, { kind: "repository_added" }>[];
  /** Throws `repository_quarantined` where an unfinished publication stands against it. */
  requireWritable(repository: Repository): void;
  /** Stops writing to a repository in which a transaction's publication was contradicted. */
  quarantine(id: RepositoryId, transactionId: TransactionId): void;
  /** An operator closed that transaction there; writing goes on where no other one stands. */
  liftQuarantine(id: RepositoryId, transactionId: TransactionId): void;
  add(
    request: { readonly name: RepositoryName; readonly path: string; readonly adopt: boolean },
  ): Promise<RepositoryDocument>;
  remove(name: RepositoryName, options: { readonly abandon: boolean }): Promise<void>;
  document(repository: Repository): Promise<RepositoryDocument>;
  /** The repository whose work tree (or git directory) holds the path, or null. */
  findByPath(path: string): Repository | null;
}

export interface RepositoryToOpen {
  readonly name: RepositoryName;
  readonly path: string;
  readonly adopt: boolean;
  /** The id that it must have: the log knows the repository; null where any will do. */
  readonly expected: RepositoryId | null;
}

export interface CatalogParts {
  readonly log: WriteAheadLog;
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  readonly events: EventBus;
  readonly open: (request: RepositoryToOpen) => Promise<Repository>;
  /**
   * Makes good what the log holds for a repository that was away, and calls `enter` when it
   * can be served.
   */
  readonly welcomeBack: (repository: Repository, enter: () => void) => Promise<void>;
  /** Whether an open transaction touches the repository. */
  readonly isTouched: (id: RepositoryId) => boolean;
  /** Records every unfinished publication in the repository as failed. */
  readonly abandon: (id: RepositoryId) => Promise<void>;
  readonly hasUnfinished: (id: RepositoryId) => boolean;
}
