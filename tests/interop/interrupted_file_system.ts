/**
 * The real file system, which lets something else happen before its n-th change below a
 * directory: another program, at exactly that point of ours.
 */
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import type { FileHandle, OpenOptions } from "../../src/system/file_system.ts";

interface Interruption {
  readonly below: string;
  readonly act: () => void;
  left: number;
}

export class InterruptedFileSystem extends DenoFileSystem {
  #armed: Interruption | null = null;

  /** `act` runs before the `at`-th change (1 is the next) below the directory. */
  interrupt(below: string, at: number, act: () => void): void {
    this.#armed = { below: `${below}/`, act, left: at };
  }

  /** Whether it ran. */
  disarm(): boolean {
    const ran = this.#armed === null;
    this.#armed = null;
    return ran;
  }

  #change(path: string): void {
    const armed = this.#armed;
    if (armed === null || !`${path}/`.startsWith(armed.below)) return;
    armed.left -= 1;
    if (armed.left > 0) return;
    this.#armed = null;
    armed.act();
  }

  override open(path: string, options: OpenOptions): FileHandle {
    if (options.write === true) this.#change(path);
    return super.open(path, options);
  }
  override writeNewFile(path: string, bytes: Uint8Array, mode?: number): void {
    this.#change(path);
    super.writeNewFile(path, bytes, mode);
  }
  override makeDirectory(path: string, mode?: number): void {
    this.#change(path);
    super.makeDirectory(path, mode);
  }
  override removeDirectory(path: string): void {
    this.#change(path);
    super.removeDirectory(path);
  }
  override link(existing: string, path: string): void {
    this.#change(path);
    super.link(existing, path);
  }
  override rename(from: string, to: string): void {
    this.#change(to);
    super.rename(from, to);
  }
  override unlink(path: string): void {
    this.#change(path);
    super.unlink(path);
  }
  override async syncDirectory(path: string): Promise<void> {
    this.#change(path);
    await super.syncDirectory(path);
  }
  override async syncFile(path: string): Promise<void> {
    this.#change(path);
    await super.syncFile(path);
  }
}
