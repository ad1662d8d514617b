/**
 * A machine whose process dies before its n-th change to the file system: that call and all
 * later ones fail, and nothing that the program does afterwards (its own clean-up included)
 * reaches the disk.
 */
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import {
  type FileHandle,
  FileSystemError,
  type OpenOptions,
} from "../../src/system/file_system.ts";

export class DyingFileSystem extends DenoFileSystem {
  /** Changes made (or refused) so far. */
  changes = 0;
  readonly #diesAt: number;

  constructor(diesAt: number) {
    super();
    this.#diesAt = diesAt;
  }

  get dead(): boolean {
    return this.changes >= this.#diesAt;
  }

  #change(call: string, path: string): void {
    this.changes++;
    if (this.dead) throw new FileSystemError("EIO", call, path);
  }

  override open(path: string, options: OpenOptions): FileHandle {
    if (!options.write) return super.open(path, options);
    this.#change("open", path);
    const handle = super.open(path, options);
    const change = (call: string) => this.#change(call, path);
    return {
      readAt: (buffer, position) => handle.readAt(buffer, position),
      writeAt: (bytes, position) => {
        change("write");
        handle.writeAt(bytes, position);
      },
      truncate: (size) => {
        change("truncate");
        handle.truncate(size);
      },
      info: () => handle.info(),
      sync: async () => {
        change("sync");
        await handle.sync();
      },
      syncData: async () => {
        change("sync");
        await handle.syncData();
      },
      tryLock: () => handle.tryLock(),
      close: () => handle.close(),
    };
  }

  override makeDirectory(path: string, mode?: number): void {
    this.#change("mkdir", path);
    super.makeDirectory(path, mode);
  }
  override removeDirectory(path: string): void {
    this.#change("rmdir", path);
    super.removeDirectory(path);
  }
  override link(existing: string, path: string): void {
    this.#change("link", path);
    super.link(existing, path);
  }
  override rename(from: string, to: string): void {
    this.#change("rename", to);
    super.rename(from, to);
  }
  override unlink(path: string): void {
    this.#change("unlink", path);
    super.unlink(path);
  }
  override chmod(path: string, mode: number): void {
    this.#change("chmod", path);
    super.chmod(path, mode);
  }
  override chown(path: string, uid: number | null, gid: number | null): void {
    this.#change("chown", path);
    super.chown(path, uid, gid);
  }
  override async syncDirectory(path: string): Promise<void> {
    this.#change("sync", path);
    await super.syncDirectory(path);
  }
}
