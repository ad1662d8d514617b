/**
 * The repositories that this daemon serves. A registration lives in the log, so that it
 * survives a restart; one whose path is gone stays registered, answers why it cannot be
 * used, and keeps the log from forgetting what was never published in it.
 *
 * A repository is its common directory: it has one name here and one daemon anywhere.
 */
import { getLogger } from "@logtape/logtape";
import { LayerdError, messageOf } from "../core/errors.ts";
import { layerOfRef, quote } from "../core/ids.ts";
import type { RepositoryId, RepositoryName, TransactionId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import { resolveLayout } from "../git/gate.ts";
import type { Repository, RepositoryFinding } from "../git/repository.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { WriteAheadLog } from "../wal/write_ahead_log.ts";
import type { RepositoryCatalog, RepositoryDocument } from "./catalog.ts";
import type { EventBus } from "./events.ts";
import { findingsOf, repositoryAround, repositoryDocument } from "./repository_document.ts";
import { repositoryError } from "./repository_errors.ts";

const logger = getLogger(["layerd", "transactions"]);

/** A registration, with the repository or why it cannot be used now. */
interface Entry {
  readonly name: RepositoryName;
  readonly path: string;
  readonly repositoryId: RepositoryId;
  readonly repository: Repository | LayerdError;
}

export interface RepositoryToOpen {
  readonly name: RepositoryName;
  readonly path: string;
  readonly adopt: boolean;
}

export interface CatalogParts {
  readonly log: WriteAheadLog;
  readonly fileSystem: FileSystem;
  readonly events: EventBus;
  readonly open: (request: RepositoryToOpen) => Promise<Repository>;
  /** Whether an open transaction touches the repository. */
  readonly isTouched: (id: RepositoryId) => boolean;
  /** Records every unfinished publication in the repository as failed. */
  readonly abandon: (id: RepositoryId) => Promise<void>;
  readonly hasUnfinished: (id: RepositoryId) => boolean;
}

type Registration = Extract<LogRecord, { kind: "repository_added" }>;

export class LoggedRepositoryCatalog implements RepositoryCatalog {
  readonly #parts: CatalogParts;
  readonly #entries = new Map<RepositoryName, Entry>();
  readonly #byId = new Map<RepositoryId, Repository>();
  readonly #watches = new Map<RepositoryId, { close(): void }>();
  readonly #quarantined = new Map<RepositoryId, TransactionId>();
  /** Registrations change one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(parts: CatalogParts) {
    this.#parts = parts;
  }

  get(name: RepositoryName): Repository {
    const entry = this.#entries.get(name);
    if (!entry) throw notFound(name);
    if (entry.repository instanceof LayerdError) throw entry.repository;
    return entry.repository;
  }

  byId(id: RepositoryId): Repository | null {
    return this.#byId.get(id) ?? null;
  }

  all(): readonly Repository[] {
    return [...this.#byId.values()];
  }

  registrations(): readonly Registration[] {
    return [...this.#entries.values()].map((entry) => ({
      kind: "repository_added",
      repositoryId: entry.repositoryId,
      repository: entry.name,
      path: entry.path,
    }));
  }

  requireWritable(repository: Repository): void {
    const transactionId = this.#quarantined.get(repository.id);
    if (transactionId === undefined) return;
    throw new LayerdError(
      "repository_quarantined",
      `Writing to repository ${repository.name} is stopped: transaction ${transactionId} was ` +
        `decided and a ref contradicts it; look at GET /v1/transactions/${transactionId}`,
      { transaction_id: transactionId },
    );
  }

  quarantine(id: RepositoryId, transactionId: TransactionId): void {
    this.#quarantined.set(id, transactionId);
    const repository = this.byId(id)?.name ?? id;
    this.#parts.events.publish("health.changed", { repository, status: "quarantined" });
  }

  /** Opens a repository that the log names; it stays registered whatever comes of it. */
  async restore(id: RepositoryId, name: RepositoryName, path: string): Promise<void> {
    let repository: Repository | LayerdError;
    try {
      repository = await this.#parts.open({ name, path, adopt: false });
      if (repository.id !== id) {
        await repository.close();
        repository = new LayerdError(
          "repository_owned",
          `Another repository stands at ${path} than the one registered as ${name}; ` +
            `remove the registration, or put the old one back and restart`,
          { reason: "replaced" },
        );
      }
    } catch (error) {
      repository = repositoryError(error, name);
    }
    this.#enter({ name, path, repositoryId: id, repository });
  }

  add(request: RepositoryToOpen): Promise<RepositoryDocument> {
    return this.#inTurn(async () => {
      const entry = this.#entries.get(request.name);
      if (entry) {
        throw new LayerdError(
          "repository_exists",
          `A repository is registered as ${request.name}: ${entry.path}`,
        );
      }
      return this.document(await this.#register(request));
    });
  }

  /** For `--repository`: the same name and repository again is no error. */
  ensure(request: RepositoryToOpen): Promise<Repository> {
    return this.#inTurn(async () => {
      const entry = this.#entries.get(request.name);
      if (!entry) return await this.#register(request);
      if (entry.repository instanceof LayerdError) throw entry.repository;
      const { commonDir } = resolveLayout(this.#parts.fileSystem, request.path);
      if (entry.repository.commonDir === commonDir) return entry.repository;
      throw new LayerdError(
        "repository_exists",
        `A repository is registered as ${request.name}: ${entry.path}`,
      );
    });
  }

  remove(name: RepositoryName, options: { readonly abandon: boolean }): Promise<void> {
    return this.#inTurn(async () => {
      const entry = this.#entries.get(name);
      if (!entry) throw notFound(name);
      const id = entry.repositoryId;
      const unfinished = this.#parts.hasUnfinished(id) || this.#quarantined.has(id);
      if (this.#parts.isTouched(id) && !(unfinished && options.abandon)) {
        throw new LayerdError(
          "repository_busy",
          `Open transactions touch repository ${name}; end them first`,
        );
      }
      if (unfinished && !options.abandon) {
        throw new LayerdError(
          "repository_busy",
          `Decided transactions are not published in repository ${name}; ` +
            `repeat with ?abandon=true to record them as failed`,
        );
      }
      // From here on nothing new finds it; the checks above and this are one synchronous run.
      this.#entries.delete(name);
      try {
        if (unfinished) await this.#parts.abandon(id);
        this.#parts.log.append({ kind: "repository_removed", repositoryId: id });
        await this.#parts.log.force();
      } catch (error) {
        this.#entries.set(name, entry);
        throw error;
      }
      this.#byId.delete(id);
      this.#quarantined.delete(id);
      this.#unwatch(id);
      const { repository } = entry;
      if (repository instanceof LayerdError) return;
      await this.#leave(repository, () => repository.forget());
    });
  }

  async document(repository: Repository): Promise<RepositoryDocument> {
    return repositoryDocument(repository, await this.findings(repository));
  }

  /** What a quick look finds; a repository that cannot be looked at is a finding too. */
  findings(repository: Repository): Promise<readonly RepositoryFinding[]> {
    return findingsOf(repository, this.#quarantined.get(repository.id) ?? null);
  }

  /** Registrations whose repository cannot be used now, and why. */
  unavailable(): readonly { readonly name: RepositoryName; readonly problem: LayerdError }[] {
    return [...this.#entries.values()].flatMap(({ name, repository }) =>
      repository instanceof LayerdError ? [{ name, problem: repository }] : []
    );
  }

  findByPath(path: string): Repository | null {
    return repositoryAround(this.#parts.fileSystem, this.all(), path);
  }

  async close(): Promise<void> {
    await this.#tail.catch(() => undefined);
    for (const repository of this.all()) {
      this.#unwatch(repository.id);
      await this.#leave(repository, () => repository.close());
    }
  }

  async #register(request: RepositoryToOpen): Promise<Repository> {
    const { commonDir } = resolveLayout(this.#parts.fileSystem, request.path);
    const same = this.all().find((other) => other.commonDir === commonDir);
    if (same) {
      throw new LayerdError(
        "repository_exists",
        `${request.path} is registered already as ${same.name}`,
      );
    }
    const repository = await this.#parts.open(request);
    const twin = this.byId(repository.id);
    if (twin) {
      await repository.close();
      throw new LayerdError(
        "repository_owned",
        `${request.path} is a copy of repository ${twin.name} (${twin.path}); ` +
          `register it with "adopt": true to give it an identity of its own`,
        { reason: "copy" },
      );
    }
    const { name, path } = request;
    this.#parts.log.append({
      kind: "repository_added",
      repositoryId: repository.id,
      repository: name,
      path,
    });
    await this.#parts.log.force();
    this.#enter({ name, path, repositoryId: repository.id, repository });
    return repository;
  }

  #enter(entry: Entry): void {
    this.#entries.set(entry.name, entry);
    const { repository } = entry;
    if (repository instanceof LayerdError) return;
    this.#byId.set(entry.repositoryId, repository);
    try {
      this.#watches.set(entry.repositoryId, this.#watch(repository));
    } catch (error) {
      logger.warn("Native changes of layers in {repository} are not reported: {error}", {
        repository: repository.name,
        error: messageOf(error),
      });
    }
  }

  #watch(repository: Repository): { close(): void } {
    return repository.watchLayers((change) => {
      this.#parts.events.publish("layer.changed", {
        repository: repository.name,
        layer: layerOfRef(change.ref),
        ref: change.ref,
        old: change.old,
        new: change.new,
        transaction_id: null,
      });
    });
  }

  #unwatch(id: RepositoryId): void {
    this.#watches.get(id)?.close();
    this.#watches.delete(id);
  }

  /** A repository that is gone from the disk has nothing to give back. */
  async #leave(repository: Repository, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      logger.warn("Repository {repository} was not released cleanly: {error}", {
        repository: repository.name,
        error: messageOf(error),
      });
    }
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work, work);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

function notFound(name: RepositoryName): LayerdError {
  return new LayerdError("repository_not_found", `No repository is registered as ${quote(name)}`);
}
