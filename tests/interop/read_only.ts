/**
 * Makes a directory read-only for a daemon of this user. The superuser minds no mode bits, so
 * that its directory is mounted over itself, read-only; where it may not mount either (a
 * container without the right), the directory is made immutable.
 */
import { report } from "../harness/scale.ts";

/** Answers what makes it writable again. */
export async function readOnly(path: string): Promise<() => Promise<void>> {
  if (Deno.uid() !== 0) {
    await run("chmod", "-R", "a-w", path);
    return () => run("chmod", "-R", "u+w", path);
  }
  try {
    await run("mount", "--bind", path, path);
  } catch (error) {
    report(`no mount rights (${String(error)}): chattr +i instead`);
    await run("chattr", "-R", "+i", path);
    return () => run("chattr", "-R", "-i", path);
  }
  await run("mount", "-o", "remount,ro,bind", path);
  return () => run("umount", path);
}

async function run(program: string, ...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(program, { args }).output();
  if (!success) throw new Error(`${program}: ${new TextDecoder().decode(stderr).trim()}`);
}
