/** What an annotated tag leads to, for the peeled lines of packed-refs. */
import { LayerdError } from "../core/errors.ts";
import { isObjectId, type ObjectId } from "../core/ids.ts";
import type { ObjectStore } from "./repository.ts";

/** Tags of tags; git has no bound, a chain this long is no history. */
const TAG_DEPTH_MAX = 100;

/**
 * The object behind a tag and behind tags of tags; null for an object that is no tag, and
 * for a missing one (git's pack-refs writes no peeled line for it either).
 */
export async function peel(
  objects: Pick<ObjectStore, "read" | "header">,
  oid: ObjectId,
): Promise<ObjectId | null> {
  let current = oid;
  for (let depth = 0; depth < TAG_DEPTH_MAX; depth++) {
    const header = await objects.header(current);
    if (header === null) return null;
    if (header.type !== "tag") return current === oid ? null : current;
    const tag = await objects.read(current);
    if (tag === null) return null;
    current = targetOf(tag.body, current);
  }
  throw new LayerdError("git_error", `Tag ${oid} leads through more than ${TAG_DEPTH_MAX} tags`);
}

function targetOf(body: Uint8Array, tag: ObjectId): ObjectId {
  const line = new TextDecoder().decode(body.subarray(0, 48));
  const target = line.slice("object ".length, "object ".length + 40);
  if (line.startsWith("object ") && line[47] === "\n" && isObjectId(target)) return target;
  throw new LayerdError("git_error", `Tag ${tag} is damaged: it names no object`);
}
