/** Packs taken apart, for tests that damage single objects. */
import { tryGit } from "./git.ts";

/** Makes every object of the repository's packs a loose one; the packs and their keeps go. */
export async function loosenPacks(repository: string, gitDirectory: string): Promise<void> {
  const directory = `${gitDirectory}/objects/pack`;
  const packs: Uint8Array[] = [];
  for (const { name } of [...Deno.readDirSync(directory)]) {
    if (name.endsWith(".pack")) packs.push(await Deno.readFile(`${directory}/${name}`));
    await Deno.remove(`${directory}/${name}`);
  }
  for (const input of packs) {
    const { code, stderr } = await tryGit(repository, ["unpack-objects", "-q"], { input });
    if (code !== 0) throw new Error(`git unpack-objects: ${stderr}`);
  }
}
