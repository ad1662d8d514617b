/**
 * The refs that a replica keeps beside its layers, in the repository that they are about:
 *
 * `refs/layers-sync/<replica>/<pair>/base`      the commit at which the pair last agreed, so
 *                                               that a deletion can be told from a layer that
 *                                               never was; moves with the layers, in one
 *                                               transaction
 * `refs/layers-sync/<replica>/<pair>/incoming`  what was fetched, so that no `git gc` takes it
 *                                               before the layer moves; goes with that move
 * `refs/layers-lost/<replica>/<layer>/<commit>` what lost; never removed here
 *
 * A pair is named by the identities of both repositories: one that was made anew under the same
 * name has no base, and its empty layers delete nothing elsewhere.
 */
import { createHash } from "node:crypto";
import { type ObjectId, parseRefName, type RefName } from "../core/ids.ts";
import type { Repository } from "../git/repository.ts";
import type { ReplicaPlace } from "./replica.ts";

/** A layer of a pair as it was looked at. */
export interface Side {
  readonly place: ReplicaPlace;
  readonly repository: Repository;
  readonly commit: ObjectId | null;
}

export interface SyncRefs {
  /** In the target's repository. */
  readonly base: RefName;
  readonly incoming: RefName;
}

export function syncRefs(
  replica: string,
  source: Pick<Side, "place" | "repository">,
  target: Pick<Side, "place" | "repository">,
): SyncRefs {
  const names = [source, target].flatMap(({ place, repository }) => [repository.id, place.layer]);
  const pair = createHash("sha256").update(names.join("\n")).digest("hex").slice(0, 32);
  const prefix = `refs/layers-sync/${replica}/${pair}`;
  return { base: parseRefName(`${prefix}/base`), incoming: parseRefName(`${prefix}/incoming`) };
}

export function lostRef(replica: string, { place, commit }: Side): RefName {
  return parseRefName(`refs/layers-lost/${replica}/${place.layer}/${commit}`);
}
