/**
 * isomorphic-git asks the platform for hashes, which are computed on another thread and come
 * when they come. In the simulation nothing may happen out of order: the same hash is
 * computed at once. Nor may a module come from the disk when it comes: what the daemon loads at
 * its first use is loaded before. Imported for its effect, in processes that run simulations.
 */
import { createHash } from "node:crypto";
import "../../src/git/isomorphic_client.ts";

const platform = crypto.subtle.digest.bind(crypto.subtle);

crypto.subtle.digest = async (algorithm, data) => {
  if (algorithm !== "SHA-1") return await platform(algorithm, data);
  const bytes = ArrayBuffer.isView(data)
    ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    : new Uint8Array(data);
  return Uint8Array.from(createHash("sha1").update(bytes).digest()).buffer;
};
