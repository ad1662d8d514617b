/** Writes two views in turn, for ever: the process that the crash test kills. */
import { objectId } from "../../src/git/object_codec.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { materialize } from "../../src/views/materialize.ts";

const [target = "", from = "0"] = Deno.args;
const files = new DenoFileSystem();

function viewOf(turn: number) {
  const contents = new Map<string, Uint8Array>();
  for (let n = 0; n < 20; n += 1) {
    // Half of the files change; some exist in one of the views only.
    if (n % 5 === 0 && turn % 2 === 0) continue;
    const text = n % 2 === 0 ? `unchanged ${n}` : `view ${turn % 2} file ${n}`;
    contents.set(`d${n % 3}/f${n}`, new TextEncoder().encode(text));
  }
  return {
    source: { turn },
    files: [...contents].map(([path, bytes]) => ({
      path,
      mode: "100644",
      oid: objectId("blob", bytes),
    })),
    content: (path: string) => Promise.resolve(contents.get(path) ?? new Uint8Array()),
  };
}

for (let turn = Number(from);; turn += 1) {
  const { kind } = await materialize(files, target, viewOf(turn));
  Deno.stdout.writeSync(new TextEncoder().encode(`${kind}\n`));
}
