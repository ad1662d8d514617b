/**
 * A history as lanes, as `git log --graph` draws it: one line a commit, `*` in its lane, and
 * a line of branches where commits were merged or lanes come together.
 */
export interface GraphCommit {
  readonly oid: string;
  readonly parents: readonly string[];
}

/** Lines of the graph; `label` is what stands beside a commit. */
export function graphLines<C extends GraphCommit>(
  commits: readonly C[],
  label: (commit: C) => string,
): string[] {
  /** The commit that each lane leads to. */
  let lanes: string[] = [];
  const lines: string[] = [];
  for (const commit of commits) {
    if (!lanes.includes(commit.oid)) lanes.push(commit.oid);
    const at = lanes.indexOf(commit.oid);
    // Other lanes that lead here end in this one.
    const joined = lanes.filter((oid, index) => oid !== commit.oid || index === at);
    if (joined.length < lanes.length) lines.push(row(joined.length, lanes.length, "/"));
    lanes = joined;
    lines.push(`${lanes.map((_, index) => index === at ? "*" : "|").join(" ")} ${label(commit)}`);
    const [first, ...others] = commit.parents;
    const before = lanes.length;
    lanes.splice(at, 1, ...(first === undefined ? [] : [first]));
    lanes.push(...others.filter((oid) => !lanes.includes(oid)));
    if (lanes.length > before) lines.push(row(before, lanes.length, "\\"));
  }
  return lines;
}

/** `|` for the lanes that go on, and a stroke for each that begins or ends. */
function row(going: number, all: number, stroke: string): string {
  return `${Array(going).fill("|").join(" ")}${stroke}${` ${stroke}`.repeat(all - going - 1)}`;
}
