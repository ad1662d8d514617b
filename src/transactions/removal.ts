/** When a registration may go: what of it is still owed must be given up in so many words. */
import { LayerdError } from "../core/errors.ts";
import type { RepositoryName } from "../core/ids.ts";
import type { Repository } from "../git/repository.ts";

export interface Owed {
  /** Open transactions touch the repository. */
  readonly isTouched: boolean;
  /** Decided transactions are not published in it, or one was contradicted. */
  readonly unfinished: boolean;
  /** Why it lacks objects that only the log has, or null. */
  readonly lacking: string | null;
}

/** Throws `repository_busy`. */
export function requireRemovable(
  name: RepositoryName,
  { isTouched, unfinished, lacking }: Owed,
  { abandon }: { readonly abandon: boolean },
): void {
  const busy = (text: string) => new LayerdError("repository_busy", text);
  if (isTouched && !(unfinished && abandon)) {
    throw busy(`Open transactions touch repository ${name}; end them first`);
  }
  if (abandon) return;
  if (unfinished) {
    throw busy(
      `Decided transactions are not published in repository ${name}; ` +
        `repeat with ?abandon=true to record them as failed`,
    );
  }
  if (lacking !== null) {
    throw busy(
      `The log holds objects of committed transactions that repository ${name} lacks ` +
        `(${lacking}); repeat with ?abandon=true to give them up`,
    );
  }
}

/** Objects may be in the page cache and the log only, and the log is about to forget them. */
export async function keepObjects(repository: Repository | LayerdError): Promise<void> {
  if (!(repository instanceof LayerdError)) await repository.objects.surrender();
}
