/** Large repositories, made in seconds. */
import { git } from "../harness/git.ts";

/** Adds packed branches `refs/heads/many/<n>` by writing the file as git does. */
export async function writePackedRefs(path: string, count: number): Promise<void> {
  const tip = await git(path, ["rev-parse", "main"]);
  const lines = ["# pack-refs with: peeled fully-peeled sorted "];
  for (let n = 0; n < count; n++) {
    lines.push(`${tip} refs/heads/many/${String(n).padStart(6, "0")}`);
  }
  await Deno.writeTextFile(`${path}/.git/packed-refs`, lines.join("\n") + "\n");
}

/** Incompressible: the pack is larger than what is read in memory (core/limits.ts). */
const LARGE_FILE_BYTES = 9 * 1024 * 1024;

/**
 * One commit on `main` with files `d<i>/f<j>`, all in one pack, and a large one; each begins
 * with `<i><j>`.
 */
export async function fastImportFiles(path: string, count: number): Promise<void> {
  const perDirectory = 200;
  const parts = [
    "commit refs/heads/main\ncommitter Native <native@example.org> 1700000000 +0000\ndata 4\nmany\n",
  ];
  for (let n = 0; n < count; n++) {
    const [i, j] = [Math.floor(n / perDirectory), n % perDirectory];
    const text = `${i}${j}\n`;
    // Not all alike, or they would be one object.
    const body = i === j ? text : `${text}${n}\n`;
    parts.push(`M 100644 inline d${i}/f${j}\ndata ${body.length}\n${body}`);
  }
  const block = crypto.getRandomValues(new Uint8Array(65_536));
  const head = new TextEncoder().encode(
    `${parts.join("")}M 100644 inline large\ndata ${LARGE_FILE_BYTES}\n`,
  );
  const input = new Uint8Array(head.length + LARGE_FILE_BYTES + 1);
  input.set(head);
  for (let at = 0; at < LARGE_FILE_BYTES; at += block.length) input.set(block, head.length + at);
  input[input.length - 1] = 0x0a;
  const settings = ["-c", "core.compression=0", "-c", "fastimport.unpackLimit=0"];
  await git(path, [...settings, "fast-import", "--quiet", "--depth=0"], {
    input,
    // Else each object grows the heap and gives it back: 200,000 system calls, four seconds.
    environment: { MALLOC_TOP_PAD_: "67108864", MALLOC_TRIM_THRESHOLD_: "268435456" },
  });
}
