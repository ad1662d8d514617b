/**
 * An ext4 file system in a file, mounted through a loop device. Copying the file while it is
 * mounted is what a power loss leaves: blocks that the kernel has written, and none that it
 * only holds in memory.
 */

export class Image {
  readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Null where this process may not mount; the reason is in `why`. */
  static async make(directory: string, sizeMiB: number): Promise<Image | { readonly why: string }> {
    const image = new Image(directory);
    try {
      await Deno.mkdir(image.mountPoint, { recursive: true });
      await run("truncate", "-s", `${sizeMiB}M`, image.file);
      // A short commit interval would hide missing syncs behind the journal's own.
      await run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0", image.file);
      await run("mount", "-o", "loop,commit=600", image.file, image.mountPoint);
      return image;
    } catch (error) {
      return { why: String(error) };
    }
  }

  get file(): string {
    return `${this.directory}/image`;
  }

  get mountPoint(): string {
    return `${this.directory}/mounted`;
  }

  /** The file as it stands now, without a sync, beside it. */
  async capture(): Promise<void> {
    await run("cp", "--sparse=always", this.file, `${this.directory}/captured`);
  }

  /** Mounts what was captured in the place of the live one, so that all paths stay. */
  async restore(): Promise<void> {
    await this.unmount();
    await Deno.rename(`${this.directory}/captured`, this.file);
    await run("mount", "-o", "loop,commit=600", this.file, this.mountPoint);
  }

  async unmount(): Promise<void> {
    await run("umount", this.mountPoint);
  }
}

export async function run(program: string, ...args: readonly string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args: [...args] }).output();
  if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr).trim()}`);
}
