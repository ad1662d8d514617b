/**
 * The repositories that this daemon serves. A registration lives in the log, so that it
 * survives a restart; one whose path is gone stays registered, answers why it cannot be
 * used, and keeps the log from forgetting what was never published in it.
 *
 * A repository is its common directory: it has one name here and one daemon anywhere.
 */
import { getLogger } from "@logtape/logtape";
import { invariant, LayerdError, messageOf } from "../core/errors.ts";
import type { RepositoryId, RepositoryName, TransactionId } from "../core/ids.ts";
import type { LogRecord } from "../core/log_record.ts";
import { resolveLayout } from "../git/gate.ts";
import type { Repository, RepositoryFinding } from "../git/repository.ts";
import type {
  CatalogParts,
  RepositoryCatalog,
  RepositoryDocument,
  RepositoryToOpen,
} from "./catalog.ts";
import { LayerWatches } from "./layer_watches.ts";
import { clearLeftovers } from "./leftovers.ts";
import { Quarantine } from "./quarantine.ts";
import { findingsOf, repositoryAround, repositoryDocument } from "./repository_document.ts";
import { keepObjects, requireRemovable } from "./removal.ts";
import { notFound, repositoryError } from "./repository_errors.ts";

const logger = getLogger(["layerd", "transactions"]);

/** A registration, with the repository or why it cannot be used now. */
interface Entry {
  readonly name: RepositoryName;
  readonly path: string;
  readonly repositoryId: RepositoryId;
  readonly repository: Repository | LayerdError;
  /** Open and not served: what the log holds for it could not be made good. */
  readonly aside?: Repository;
}

type Registration = Extract<LogRecord, { kind: "repository_added" }>;

export class LoggedRepositoryCatalog implements RepositoryCatalog {
  readonly #parts: CatalogParts;
  readonly #entries = new Map<RepositoryName, Entry>();
  readonly #byId = new Map<RepositoryId, Repository>();
  readonly #watches: LayerWatches;
  readonly #quarantine = new Quarantine((id, status) =>
    this.#parts.events.publish("health.changed", { repository: this.byId(id)?.name ?? id, status })
  );
  /** Registrations change one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  constructor(parts: CatalogParts) {
    this.#parts = parts;
    this.#watches = new LayerWatches(parts.events, parts.clock);
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

  absence(id: RepositoryId, name: RepositoryName): LayerdError {
    const entry = [...this.#entries.values()].find(({ repositoryId }) => repositoryId === id);
    return entry?.repository instanceof LayerdError ? entry.repository : notFound(name);
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
    this.#quarantine.requireWritable(repository);
  }

  quarantine(id: RepositoryId, transactionId: TransactionId): void {
    this.#quarantine.set(id, transactionId);
  }

  liftQuarantine(id: RepositoryId, transactionId: TransactionId): void {
    this.#quarantine.resolve(id, transactionId);
  }

  /** Opens a repository that the log names; it stays registered whatever comes of it. */
  async restore(id: RepositoryId, name: RepositoryName, path: string): Promise<void> {
    this.#enter({
      name,
      path,
      repositoryId: id,
      repository: await this.#openKnown(id, name, path),
    });
  }

  /** Tries a registered repository that was away; false where it still is. */
  reopen(name: RepositoryName): Promise<boolean> {
    return this.#inTurn(async () => {
      const entry = this.#entries.get(name);
      if (!entry || !(entry.repository instanceof LayerdError)) return false;
      const repository = entry.aside ??
        await this.#openKnown(entry.repositoryId, name, entry.path);
      if (repository instanceof LayerdError) {
        this.#entries.set(name, { ...entry, repository });
        return false;
      }
      try {
        const { aside: _, ...rest } = entry;
        await this.#parts.welcomeBack(repository, () => this.#enter({ ...rest, repository }));
      } catch (error) {
        this.setAside(repository, repositoryError(error, name));
        throw error;
      }
      this.#parts.events.publish("health.changed", { repository: name, status: "healthy" });
      return true;
    });
  }

  /**
   * Serves it no longer: what the log holds for it could not be made good. It stays ours, and
   * is tried again like one that is away.
   */
  setAside(repository: Repository, problem: LayerdError): void {
    const entry = this.#entries.get(repository.name);
    invariant(entry !== undefined, `${repository.name} is set aside and not registered`);
    this.#entries.set(entry.name, { ...entry, repository: problem, aside: repository });
    this.#byId.delete(entry.repositoryId);
    this.#watches.stop(entry.repositoryId);
  }

  async #openKnown(
    expected: RepositoryId,
    name: RepositoryName,
    path: string,
  ): Promise<Repository | LayerdError> {
    try {
      return await this.#parts.open({ name, path, adopt: false, expected });
    } catch (error) {
      return repositoryError(error, name);
    }
  }

  add(request: Omit<RepositoryToOpen, "expected">): Promise<RepositoryDocument> {
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

  /**
   * For `--repository`: the same name and repository again is no error, nor is one that is
   * registered under this path and away now: it is served when it comes back.
   */
  ensure(request: Omit<RepositoryToOpen, "expected">): Promise<void> {
    return this.#inTurn(async () => {
      const entry = this.#entries.get(request.name);
      if (!entry) {
        await this.#register(request);
        return;
      }
      if (entry.repository instanceof LayerdError) {
        if (entry.path === request.path) return;
      } else {
        const { commonDir } = resolveLayout(this.#parts.fileSystem, request.path);
        if (entry.repository.commonDir === commonDir) return;
      }
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
      const unfinished = this.#parts.hasUnfinished(id) || this.#quarantine.of(id) !== null;
      requireRemovable(name, {
        isTouched: this.#parts.isTouched(id),
        unfinished,
        lacking: entry.aside ? messageOf(entry.repository) : null,
      }, options);
      // From here on nothing new finds it; the checks above and this are one synchronous run.
      this.#entries.delete(name);
      try {
        if (unfinished) await this.#parts.abandon(id);
        await keepObjects(entry.repository);
        this.#parts.log.append({ kind: "repository_removed", repositoryId: id });
        await this.#parts.log.force();
      } catch (error) {
        this.#entries.set(name, entry);
        throw error;
      }
      this.#byId.delete(id);
      this.#quarantine.lift(id);
      this.#watches.stop(id);
      const repository = entry.aside ?? entry.repository;
      if (repository instanceof LayerdError) return;
      await this.#leave(repository, () => repository.forget());
    });
  }

  async document(repository: Repository): Promise<RepositoryDocument> {
    return repositoryDocument(repository, await this.findings(repository));
  }

  /** What a quick look finds; a repository that cannot be looked at is a finding too. */
  findings(repository: Repository): Promise<readonly RepositoryFinding[]> {
    return findingsOf(repository, this.#quarantine.of(repository.id));
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
      this.#watches.stop(repository.id);
      await this.#leave(repository, () => repository.close());
    }
    for (const { aside } of this.#entries.values()) {
      if (aside) await this.#leave(aside, () => aside.closeUnreleased());
    }
  }

  async #register(request: Omit<RepositoryToOpen, "expected">): Promise<Repository> {
    const { commonDir } = resolveLayout(this.#parts.fileSystem, request.path);
    const same = this.all().find((other) => other.commonDir === commonDir);
    if (same) {
      throw new LayerdError(
        "repository_exists",
        `${request.path} is registered already as ${same.name}`,
      );
    }
    const repository = await this.#parts.open({ ...request, expected: null });
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
    // Git syncs nothing of a fresh repository: without its HEAD no commit in it would survive a
    // power loss.
    await this.#parts.fileSystem.syncFileSystem(repository.commonDir);
    const { name, path } = request;
    try {
      clearLeftovers(repository);
      this.#parts.log.append({
        kind: "repository_added",
        repositoryId: repository.id,
        repository: name,
        path,
      });
      await this.#parts.log.force();
    } catch (error) {
      await this.#leave(repository, () => repository.close());
      throw error;
    }
    this.#enter({ name, path, repositoryId: repository.id, repository });
    return repository;
  }

  #enter(entry: Entry): void {
    this.#entries.set(entry.name, entry);
    const { repository } = entry;
    if (repository instanceof LayerdError) return;
    this.#byId.set(entry.repositoryId, repository);
    this.#watches.start(repository);
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
