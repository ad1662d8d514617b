/** Loose objects, which git writes and layerd only reads. */
import { Buffer } from "node:buffer";
import { deflateSync } from "node:zlib";
import { tryGit } from "./git.ts";

/** A loose object's file as git writes it. */
export function encodeLoose(type: string, body: Uint8Array): Uint8Array {
  const header = new TextEncoder().encode(`${type} ${body.length}\0`);
  return new Uint8Array(deflateSync(Buffer.concat([header, body]), { level: 1 }));
}

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
