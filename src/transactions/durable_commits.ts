/**
 * Which commits are known to survive a power loss with everything they reach: those that
 * this log committed, and those that were synced once. Native git syncs neither objects nor
 * refs by default, so a commit of its own may be gone under a ref that we publish.
 *
 * D1. A commit is known only after the log or a completed sync vouches for it.
 */
import type { ObjectId, RepositoryId } from "../core/ids.ts";
import { parseTransactionId } from "../core/ids.ts";
import { readCommit } from "../git/history.ts";
import type { Repository } from "../git/repository.ts";
import type { Ledger } from "../ledger/ledger.ts";
import { transactionOf } from "./commit_message.ts";

/** About a megabyte of ids; a forgotten one is looked up or synced again. */
const KNOWN_MAX = 10_000;

export class DurableCommits {
  readonly #ledger: Pick<Ledger, "get">;
  /** `<repository id> <commit>`: what one repository has synced says nothing of another. */
  readonly #known = new Set<string>();

  constructor(ledger: Pick<Ledger, "get">) {
    this.#ledger = ledger;
  }

  note(repositoryId: RepositoryId, oid: ObjectId): void {
    const name = `${repositoryId} ${oid}`;
    this.#known.delete(name);
    this.#known.add(name);
    for (const oldest of this.#known) {
      if (this.#known.size <= KNOWN_MAX) break;
      this.#known.delete(oldest);
    }
  }

  /** Makes the objects of a repository durable where one of these is not known to be. */
  async ensure(repository: Repository, oids: readonly ObjectId[]): Promise<void> {
    const unknown: ObjectId[] = [];
    for (const oid of oids) {
      if (!this.#known.has(`${repository.id} ${oid}`) && !await this.#isOurs(repository, oid)) {
        unknown.push(oid);
      }
    }
    if (unknown.length > 0) await repository.objects.syncAll();
    for (const oid of oids) this.note(repository.id, oid);
  }

  /** Whether the log committed exactly this commit (after a restart the set is empty). */
  async #isOurs(repository: Repository, oid: ObjectId): Promise<boolean> {
    if ((await repository.objects.header(oid))?.type !== "commit") return false;
    const id = transactionOf((await readCommit(repository.objects, oid)).fields.message);
    if (id === null) return false;
    const results = this.#ledger.get(parseTransactionId(id))?.results ?? [];
    return results.some((result) => result.new === oid && result.repository === repository.name);
  }
}
