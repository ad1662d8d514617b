/**
 * Checks histories of transactions that append values to lists and read them (the idea is
 * Elle's: Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental
 * Observations", 2020). A list shows the order of its writers, so that who came before whom
 * can be read off; a cycle among them is an anomaly. Names are Adya's.
 *
 *   lost write           an acknowledged value is not in the list
 *   torn transaction     of one transaction some values are there, others are not
 *   G1a                  a value of a transaction that was rolled back, or that nobody wrote
 *   G1b                  a read between two appends of one transaction
 *   internal             a transaction does not see its own appends
 *   incompatible orders  two reads of a list that are no prefixes of one order
 *   G0, G1c              cycles of writes; of writes and reads
 *   G-single, G2         cycles with one anti-dependency (read skew, lost update); with several
 *                        (write skew)
 *
 * Real time counts: who began after another was answered comes after it.
 */

export type HistoryOperation =
  | { readonly kind: "append"; readonly key: string; readonly value: string }
  | { readonly kind: "read"; readonly key: string; readonly list: readonly string[] };

export interface HistoryTransaction {
  readonly id: string;
  readonly outcome: "committed" | "rolled_back" | "unknown";
  /** Positions in one order of all begins and ends; an unknown outcome never ended. */
  readonly began: number;
  readonly ended: number;
  readonly operations: readonly HistoryOperation[];
}

/** `snapshot` allows write skew. */
export type Level = "serializable" | "snapshot";

type EdgeKind = "ww" | "wr" | "rw" | "time";

interface Edge {
  readonly from: string;
  readonly to: string;
  readonly kind: EdgeKind;
}

/** What is wrong with a history, given the lists as they are at its end; empty when nothing is. */
export function checkHistory(
  transactions: readonly HistoryTransaction[],
  finals: ReadonlyMap<string, readonly string[]>,
  level: Level,
): string[] {
  const problems: string[] = [];
  const writers = new Map<string, HistoryTransaction>();
  for (const one of transactions) {
    for (const { value } of appendsOf(one)) writers.set(value, one);
  }
  const happened = transactions.filter((one) => decide(one, finals, problems));
  checkFinals(finals, writers, problems);
  for (const one of happened) checkReads(one, finals, writers, problems);
  if (problems.length > 0) return problems;
  return checkCycles(edgesOf(happened, finals, writers), level);
}

function appendsOf({ operations }: HistoryTransaction) {
  return operations.filter((one) => one.kind === "append");
}

/** Whether a transaction took effect. */
function decide(
  transaction: HistoryTransaction,
  finals: ReadonlyMap<string, readonly string[]>,
  problems: string[],
): boolean {
  const { id, outcome } = transaction;
  if (outcome === "rolled_back") return false;
  const appends = appendsOf(transaction);
  const missing = appends.filter(({ key, value }) => !finals.get(key)?.includes(value));
  if (missing.length === 0) return outcome === "committed" || appends.length > 0;
  if (outcome === "committed") {
    problems.push(`lost write: ${id} appended ${missing.map(({ value }) => value)}`);
  } else if (missing.length < appends.length) {
    problems.push(`torn transaction: of ${id} ${missing.map(({ value }) => value)} is missing`);
  }
  return false;
}

function checkFinals(
  finals: ReadonlyMap<string, readonly string[]>,
  writers: ReadonlyMap<string, HistoryTransaction>,
  problems: string[],
): void {
  for (const [key, list] of finals) {
    if (new Set(list).size < list.length) problems.push(`duplicate: ${key} holds ${list}`);
    for (const value of list) {
      const writer = writers.get(value);
      if (writer === undefined) problems.push(`G1a: nobody wrote ${value} in ${key}`);
      else if (writer.outcome === "rolled_back") {
        problems.push(`G1a: ${key} holds ${value} of ${writer.id}, which was rolled back`);
      }
    }
  }
}

function checkReads(
  transaction: HistoryTransaction,
  finals: ReadonlyMap<string, readonly string[]>,
  writers: ReadonlyMap<string, HistoryTransaction>,
  problems: string[],
): void {
  const own = new Map<string, string[]>();
  for (const operation of transaction.operations) {
    const mine = own.get(operation.key) ?? [];
    if (operation.kind === "append") {
      own.set(operation.key, [...mine, operation.value]);
      continue;
    }
    const where = `${transaction.id} read ${operation.key} as ${operation.list}`;
    const split = operation.list.length - mine.length;
    if (split < 0 || mine.some((value, index) => operation.list[split + index] !== value)) {
      problems.push(`internal: ${where} after appending ${mine}`);
      continue;
    }
    const foreign = operation.list.slice(0, split);
    const final = finals.get(operation.key) ?? [];
    const wrong = foreign.find((value) =>
      (writers.get(value)?.outcome ?? "rolled_back") === "rolled_back"
    );
    if (wrong !== undefined) problems.push(`G1a: ${where}: ${wrong} was rolled back`);
    else if (foreign.some((value, index) => final[index] !== value)) {
      problems.push(`incompatible orders: ${where}, the list is ${final}`);
    } else checkIntermediate(foreign, operation.key, writers, where, problems);
  }
}

function checkIntermediate(
  list: readonly string[],
  key: string,
  writers: ReadonlyMap<string, HistoryTransaction>,
  where: string,
  problems: string[],
): void {
  const last = list.at(-1);
  const writer = last === undefined ? undefined : writers.get(last);
  if (writer === undefined) return;
  const appended = appendsOf(writer).filter((one) => one.key === key).at(-1);
  if (appended?.value !== last) problems.push(`G1b: ${where}, between two appends of ${writer.id}`);
}

function edgesOf(
  transactions: readonly HistoryTransaction[],
  finals: ReadonlyMap<string, readonly string[]>,
  writers: ReadonlyMap<string, HistoryTransaction>,
): Edge[] {
  const edges: Edge[] = [];
  const add = (from: string | undefined, to: string | undefined, kind: EdgeKind) => {
    if (from !== undefined && to !== undefined && from !== to) edges.push({ from, to, kind });
  };
  const writerOf = (value: string | undefined) =>
    value === undefined ? undefined : writers.get(value)?.id;
  for (const list of finals.values()) {
    for (const [index, value] of list.entries()) {
      add(writerOf(list[index - 1]), writerOf(value), "ww");
    }
  }
  for (const { id, operations } of transactions) {
    for (const operation of operations) {
      if (operation.kind === "append") continue;
      const foreign = operation.list.filter((value) => writerOf(value) !== id);
      add(writerOf(foreign.at(-1)), id, "wr");
      const final = finals.get(operation.key) ?? [];
      const next = final.slice(foreign.length).find((value) => writerOf(value) !== id);
      // What it appended itself right behind its read is no anti-dependency.
      if (final[foreign.length] === next) add(id, writerOf(next), "rw");
    }
  }
  for (const before of transactions) {
    if (before.outcome === "unknown") continue;
    for (const after of transactions) {
      if (before.ended < after.began) add(before.id, after.id, "time");
    }
  }
  return edges;
}

function checkCycles(edges: readonly Edge[], level: Level): string[] {
  const stages: readonly (readonly [string, readonly EdgeKind[]])[] = [
    ["G0", ["ww"]],
    ["G1c", ["ww", "wr"]],
    ["G1c in real time", ["ww", "wr", "time"]],
  ];
  for (const [name, kinds] of stages) {
    const cycle = findCycle(edges.filter((edge) => kinds.includes(edge.kind)));
    if (cycle !== null) return [`${name}: ${cycle}`];
  }
  const forward = edges.filter((edge) => edge.kind !== "rw");
  for (const edge of edges) {
    if (edge.kind !== "rw") continue;
    const back = findPath(forward, edge.to, edge.from);
    if (back !== null) return [`G-single: ${edge.from} -rw-> ${back}`];
  }
  const cycle = level === "serializable" ? findCycle(edges) : null;
  return cycle === null ? [] : [`G2: ${cycle}`];
}

/** A cycle in words, or null. */
function findCycle(edges: readonly Edge[]): string | null {
  for (const edge of edges) {
    const back = findPath(edges, edge.to, edge.from);
    if (back !== null) return `${edge.from} -${edge.kind}-> ${back}`;
  }
  return null;
}

/** A way from one transaction to another in words, or null. */
function findPath(edges: readonly Edge[], from: string, to: string): string | null {
  const outgoing = Map.groupBy(edges, (edge) => edge.from);
  const reached = new Map<string, string>([[from, from]]);
  const open = [from];
  for (let at = open.shift(); at !== undefined; at = open.shift()) {
    const way = reached.get(at) ?? at;
    if (at === to) return way;
    for (const edge of outgoing.get(at) ?? []) {
      if (reached.has(edge.to)) continue;
      reached.set(edge.to, `${way} -${edge.kind}-> ${edge.to}`);
      open.push(edge.to);
    }
  }
  return null;
}
