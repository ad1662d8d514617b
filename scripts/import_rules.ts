/**
 * Which room may import which (DESIGN section 1), as a table and a check over the module
 * graph. `scripts/check_imports.ts` feeds it what `deno info --json` says.
 *
 * I1. A module imports its own room and the rooms that its row names, nothing else of ours.
 * I2. A room under `types` may be imported by `import type` alone: nothing of it runs.
 * I3. `core` imports nothing from outside: no I/O, no clock, no randomness can get in.
 * I4. No module is on a cycle, type imports included.
 * I5. The daemon starts without the packages that only some requests need: between it and each
 *     of them stands an `import()`.
 */

/** One import: from one module of ours to another, or to something from outside. */
export interface Edge {
  readonly from: string;
  readonly to: string;
  /** `late`: by `import()`, when it is needed. */
  readonly kind: "code" | "late" | "type";
}

interface Row {
  readonly code: readonly string[];
  readonly types?: readonly string[];
}

/** By room: the first folder under `src/`, or the file's name at the top. */
export const ROOMS: Readonly<Record<string, Row>> = {
  core: { code: [] },
  system: { code: ["core"] },
  protocol: { code: ["core"] },
  wal: { code: ["core", "system"] },
  git: { code: ["core", "system"] },
  structured: { code: ["core"] },
  ledger: { code: ["core", "system"] },
  participants: { code: ["core", "system"] },
  transactions: { code: ["core", "system", "wal", "git", "ledger", "structured", "participants"] },
  views: { code: ["core", "system", "structured", "git", "transactions"] },
  replicas: { code: ["core", "system", "git", "transactions"] },
  sagas: { code: ["core", "system", "ledger", "participants", "transactions"] },
  http: {
    code: [
      "core",
      "system",
      "protocol",
      "transactions",
      "views",
      "sagas",
      "replicas",
      "participants",
    ],
    types: ["wal", "ledger", "participants"],
  },
  doctor: { code: ["core", "system", "wal", "git", "ledger", "transactions"] },
  client: { code: ["core", "protocol"] },
  cli: { code: ["core", "client"] },
  "main.ts": {
    code: [
      "deno.json",
      "core",
      "system",
      "protocol",
      "wal",
      "git",
      "ledger",
      "structured",
      "transactions",
      "views",
      "http",
      "doctor",
      "cli",
    ],
  },
};

/** Longest file that is still one room of thought. */
export const LINES_MAX = 320;

/** Every edge that the table does not list, and every cycle; empty when all is well. */
export function checkEdges(edges: readonly Edge[]): string[] {
  return [...edges.flatMap(checkEdge), ...findCycles(edges)];
}

const DAEMON = "src/http/serve.ts";
const LATE_PACKAGES = [
  "commander",
  "isomorphic-git",
  "jsonata",
  "jsonc-parser",
  "node-diff3",
  "postgres",
  "toml-eslint-parser",
  "yaml",
];

/** I5: what a start of the daemon loads and should not, with the modules that lead there. */
export function checkStart(edges: readonly Edge[]): string[] {
  const targets = Map.groupBy(edges.filter(({ kind }) => kind === "code"), ({ from }) => from);
  const ways = new Map([[DAEMON, [DAEMON]]]);
  const problems: string[] = [];
  for (const [module, way] of ways) {
    for (const { to } of targets.get(module) ?? []) {
      const name = /^npm:\/?(@?[^@]+)@/.exec(to)?.[1];
      if (name !== undefined && LATE_PACKAGES.includes(name)) {
        problems.push(`A start loads ${name}: ${way.join(" -> ")}`);
      } else if (!ways.has(to)) ways.set(to, [...way, to]);
    }
  }
  return problems;
}

/** The files that are over {@link LINES_MAX}. */
export function checkLengths(files: ReadonlyMap<string, string>): string[] {
  return [...files].flatMap(([path, text]) => {
    const lines = text.split("\n").length - 1;
    return lines > LINES_MAX ? [`${path} has ${lines} lines; ${LINES_MAX} are allowed`] : [];
  });
}

/** The room of a path that is relative to the project. */
export function roomOf(path: string): string {
  const [top, room] = path.split("/");
  return top === "src" && room !== undefined ? room : path;
}

function checkEdge({ from, to, kind }: Edge): string[] {
  const room = roomOf(from);
  const row = ROOMS[room];
  if (row === undefined) return [`${from} is in no room of the table`];
  if (isOutside(to)) {
    return room === "core" ? [`${from} imports ${to}; core imports nothing from outside`] : [];
  }
  const target = roomOf(to);
  if (target === room || row.code.includes(target)) return [];
  if (row.types?.includes(target)) {
    return kind === "type" ? [] : [`${from} imports ${to}; ${room} may import only its types`];
  }
  return [`${from} imports ${to}; ${room} may not import ${target}`];
}

function isOutside(specifier: string): boolean {
  return /^[a-z]+:/.test(specifier);
}

/** Each cycle once, by depth-first search. */
function findCycles(edges: readonly Edge[]): string[] {
  const targets = Map.groupBy(edges, (edge) => edge.from);
  const state = new Map<string, "open" | "done">();
  const path: string[] = [];
  const cycles: string[] = [];
  const visit = (module: string) => {
    state.set(module, "open");
    path.push(module);
    for (const { to } of targets.get(module) ?? []) {
      if (state.get(to) === "open") {
        cycles.push(`Cycle: ${[...path.slice(path.indexOf(to)), to].join(" -> ")}`);
      } else if (!state.has(to)) visit(to);
    }
    path.pop();
    state.set(module, "done");
  };
  for (const module of targets.keys()) if (!state.has(module)) visit(module);
  return cycles;
}
