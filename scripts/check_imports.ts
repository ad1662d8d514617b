/**
 * Fails on an import that the rooms' table does not list, on a cycle, and on a file that is
 * too long. Looks at main.ts and at every module under src/, reachable or not.
 */
// deno-lint-ignore-file no-console -- a script: its output is for a person
import { checkEdges, checkLengths, checkStart, type Edge } from "./import_rules.ts";

const root = new URL("..", import.meta.url);

/** The part of `deno info --json` that is read here. */
interface ModuleGraph {
  readonly modules: readonly {
    readonly specifier: string;
    readonly error?: string;
    readonly dependencies?: readonly {
      readonly code?: { readonly specifier?: string };
      readonly type?: { readonly specifier?: string };
      readonly isDynamic?: boolean;
    }[];
  }[];
}

async function graphOf(entry: string): Promise<ModuleGraph> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["info", "--json", entry],
    cwd: root,
  }).output();
  if (!success) throw new Error(`deno info ${entry}: ${new TextDecoder().decode(stderr)}`);
  return JSON.parse(new TextDecoder().decode(stdout));
}

function relative(specifier: string): string {
  return specifier.startsWith(root.href) ? specifier.slice(root.href.length) : specifier;
}

async function* sourcesBelow(folder: string): AsyncGenerator<string> {
  for await (const entry of Deno.readDir(new URL(folder, root))) {
    if (entry.isDirectory) yield* sourcesBelow(`${folder}${entry.name}/`);
    else if (entry.name.endsWith(".ts")) yield `${folder}${entry.name}`;
  }
}

const sources = ["main.ts"];
for await (const path of sourcesBelow("src/")) sources.push(path);

const seen = new Set<string>();
const edges: Edge[] = [];
const problems: string[] = [];
for (const entry of sources) {
  if (seen.has(entry)) continue;
  for (const module of (await graphOf(entry)).modules) {
    const from = relative(module.specifier);
    if (seen.has(from)) continue;
    seen.add(from);
    if (module.error !== undefined) problems.push(`${from}: ${module.error}`);
    for (const { code, type, isDynamic } of module.dependencies ?? []) {
      if (code?.specifier !== undefined) {
        const kind = isDynamic === true ? "late" : "code";
        edges.push({ from, to: relative(code.specifier), kind });
      } else if (type?.specifier !== undefined) {
        edges.push({ from, to: relative(type.specifier), kind: "type" });
      }
    }
  }
}

const texts = new Map<string, string>();
for (const path of sources) texts.set(path, await Deno.readTextFile(new URL(path, root)));
problems.push(...checkEdges(edges), ...checkStart(edges), ...checkLengths(texts));

for (const problem of problems) console.error(problem);
if (problems.length > 0) Deno.exit(1);
console.log(`Import rules hold: ${sources.length} modules, ${edges.length} imports`);
