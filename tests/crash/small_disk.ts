/**
 * A disk that can be filled and freed again. A small tmpfs where this process may mount one;
 * elsewhere the daemon's writes to a directory fail as on a full disk, by strace. Each says
 * which it is: a test never passes without the disk having been full in one way or the other.
 */
import { run } from "./image.ts";
import { Strace } from "./strace.ts";

export interface SmallDisk {
  /** What stands on it. */
  readonly directory: string;
  /** For the report. */
  readonly kind: string;
  /** No byte is left. */
  fill(daemonPid: number): Promise<void>;
  free(): Promise<void>;
  remove(): Promise<void>;
}

/** Tried in that order; `directory` is made. */
export async function makeSmallDisk(directory: string, sizeMiB: number): Promise<SmallDisk> {
  await Deno.mkdir(directory);
  try {
    await run("mount", "-t", "tmpfs", "-o", `size=${sizeMiB}m,mode=0700`, "tmpfs", directory);
    return new MountedDisk(directory, sizeMiB);
  } catch (error) {
    return new InjectedDisk(directory, String(error));
  }
}

class MountedDisk implements SmallDisk {
  readonly kind: string;

  constructor(readonly directory: string, sizeMiB: number) {
    this.kind = `tmpfs of ${sizeMiB} MiB`;
  }

  async fill(): Promise<void> {
    const filler = await Deno.open(this.#filler, { write: true, create: true });
    try {
      // Ever smaller pieces, so that not a page is left.
      for (let bytes = 1 << 20; bytes >= 1; bytes >>= 1) await writeUntilFull(filler, bytes);
    } finally {
      filler.close();
    }
  }

  async free(): Promise<void> {
    await Deno.remove(this.#filler);
  }

  async remove(): Promise<void> {
    await run("umount", this.directory);
  }

  get #filler(): string {
    return `${this.directory}/filler`;
  }
}

async function writeUntilFull(file: Deno.FsFile, bytes: number): Promise<void> {
  const block = new Uint8Array(bytes);
  try {
    while (await file.write(block) === bytes);
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  }
}

class InjectedDisk implements SmallDisk {
  readonly kind: string;
  #strace: Strace | null = null;

  constructor(readonly directory: string, why: string) {
    this.kind = `renames and links that fail with ENOSPC by strace, since no tmpfs can be ` +
      `mounted here (${why})`;
  }

  async fill(daemonPid: number): Promise<void> {
    this.#strace = await Strace.attach(daemonPid, {
      call: "rename",
      fault: "FULL",
      at: 1,
      paths: [],
    });
  }

  async free(): Promise<void> {
    await this.#strace?.detach();
    this.#strace = null;
  }

  remove(): Promise<void> {
    return this.free();
  }
}
