/** What isomorphic-git wants of a file system, and how it is handed over. */
import type { FsClient, PromiseFsClient } from "isomorphic-git";
import { FileSystem } from "isomorphic-git/models";

export { readObject } from "isomorphic-git";

/**
 * Wraps a file system once: isomorphic-git probes a bare one again at each call. Its own
 * types do not say that it takes its wrapper for a client; it does (`new FileSystem(fs)`
 * answers a wrapper as it is).
 */
export function isomorphicClient(promises: PromiseFsClient["promises"]): FsClient {
  const client: unknown = new FileSystem({ promises });
  return client as FsClient;
}
