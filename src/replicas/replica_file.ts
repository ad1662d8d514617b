/** Definitions of replicas: one JSON file in the state directory, replaced as a whole. */
import { join } from "@std/path";
import { LayerdError, messageOf } from "../core/errors.ts";
import type { FileSystem } from "../system/file_system.ts";
import type { ReplicaDefinition } from "./replica.ts";

export class ReplicaFile {
  readonly #fileSystem: FileSystem;
  readonly #directory: string;

  constructor(fileSystem: FileSystem, directory: string) {
    this.#fileSystem = fileSystem;
    this.#directory = directory;
  }

  /** Throws `io_error` where the file is damaged: to forget replicas silently would be worse. */
  read(): Map<string, ReplicaDefinition> {
    if (this.#fileSystem.lstatIfAny(this.#path) === null) return new Map();
    const text = new TextDecoder().decode(this.#fileSystem.readFile(this.#path));
    try {
      return new Map(Object.entries(JSON.parse(text) as Record<string, ReplicaDefinition>));
    } catch (error) {
      throw new LayerdError(
        "io_error",
        `Replicas in ${this.#path} cannot be read: ${messageOf(error)}. Mend the file, or move ` +
          `it away and define the replicas anew`,
        {},
        error,
      );
    }
  }

  /** Durable when resolved. */
  async write(replicas: ReadonlyMap<string, ReplicaDefinition>): Promise<void> {
    const fresh = `${this.#path}.new`;
    if (this.#fileSystem.lstatIfAny(fresh) !== null) this.#fileSystem.unlink(fresh);
    const text = JSON.stringify(Object.fromEntries(replicas), null, 2);
    this.#fileSystem.writeNewFile(fresh, new TextEncoder().encode(text), 0o600);
    await this.#fileSystem.syncFile(fresh);
    this.#fileSystem.rename(fresh, this.#path);
    await this.#fileSystem.syncDirectory(this.#directory);
  }

  get #path(): string {
    return join(this.#directory, "replicas.json");
  }
}
