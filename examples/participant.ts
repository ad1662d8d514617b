/**
 * A reference participant for layerd's two-phase commit, in TypeScript: feature flags that
 * change together with Git layers. Copy it and replace "flags" by what your service keeps.
 *
 *   deno run --allow-net --allow-read --allow-write examples/participant.ts JOURNAL [PORT]
 *
 * It prints the port it listens on. A transaction's payload is {"set": {"flag": value, ...}}.
 *
 * What makes a participant correct:
 *
 *   1. A vote of "prepared" is durable before it is answered: from then on only commit or
 *      abort ends the branch, also after a restart, however long that takes.
 *   2. What the branch will change is locked until then; who asks for it is refused.
 *   3. commit and abort can come twice. The second time they are acknowledged and do nothing.
 *   4. abort can come before its prepare (the network reorders): remember it, and refuse the
 *      prepare when it comes.
 *   5. commit of an aborted or unknown branch, and abort of a committed one, answer 409:
 *      somebody has decided otherwise, and a person must look.
 */

type Flags = Record<string, unknown>;
type Branch =
  | { state: "prepared"; set: Flags }
  | { state: "committed" }
  | { state: "aborted" };
type Entry = { key: string; branch: Branch };

const [journalPath = "participant.journal", port = "0"] = Deno.args;
const journal = Deno.openSync(journalPath, { create: true, read: true, append: true });
const flags: Flags = Object.create(null);
const branches = new Map<string, Branch>();
const lockedBy = new Map<string, string>();

/** Takes a step of a branch into memory: at the start from the journal, later after it. */
function apply({ key, branch }: Entry): void {
  const before = branches.get(key);
  if (before?.state === "prepared") {
    for (const flag of Object.keys(before.set)) lockedBy.delete(flag);
    if (branch.state === "committed") Object.assign(flags, before.set);
  }
  branches.set(key, branch);
  if (branch.state === "prepared") {
    for (const flag of Object.keys(branch.set)) lockedBy.set(flag, key);
  }
}

/** Durable first, then in memory: rule 1. */
function record(entry: Entry): void {
  const bytes = new TextEncoder().encode(JSON.stringify(entry) + "\n");
  for (let rest = bytes; rest.length > 0;) rest = rest.subarray(journal.writeSync(rest));
  journal.syncSync();
  apply(entry);
}

/** A line that a crash cut off was never answered: it is taken out again. */
function replay(): void {
  const text = new TextDecoder().decode(Deno.readFileSync(journalPath));
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  if (whole.length < text.length) journal.truncateSync(new TextEncoder().encode(whole).length);
  for (const line of whole.split("\n")) if (line !== "") apply(JSON.parse(line));
}

function prepare(key: string, payload: unknown): Response {
  const branch = branches.get(key);
  if (branch?.state === "aborted") return vote({ vote: "abort", reason: "It was aborted before" });
  if (branch !== undefined) return prepared(Object.keys("set" in branch ? branch.set : {}));
  const set = (payload as { set?: Flags } | null)?.set ?? {};
  const names = Object.keys(set);
  if (names.length === 0) return vote({ vote: "read_only" });
  const locked = names.find((flag) => lockedBy.has(flag));
  if (locked !== undefined) {
    return vote({ vote: "abort", reason: `Flag ${locked} is locked by ${lockedBy.get(locked)}` });
  }
  record({ key, branch: { state: "prepared", set } });
  return prepared(names);
}

const vote = (body: unknown) => Response.json(body);
const prepared = (locks: string[]) => vote({ vote: "prepared", resource_locks: locks });

function commit(key: string): Response {
  const branch = branches.get(key);
  if (branch === undefined || branch.state === "aborted") {
    return Response.json({ error: `The branch is ${branch?.state ?? "unknown"}` }, { status: 409 });
  }
  if (branch.state === "committed") return Response.json({ resources_updated: [] });
  record({ key, branch: { state: "committed" } });
  return Response.json({ resources_updated: Object.keys(branch.set) });
}

function abort(key: string): Response {
  const branch = branches.get(key);
  if (branch?.state === "committed") {
    return Response.json({ error: "The branch is committed" }, { status: 409 });
  }
  const released = branch?.state === "prepared" ? Object.keys(branch.set) : [];
  if (branch?.state !== "aborted") record({ key, branch: { state: "aborted" } });
  return Response.json({ resources_released: released });
}

async function handle(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url);
  if (request.method === "GET" && pathname === "/flags") return Response.json(flags);
  if (request.method === "GET" && pathname === "/branches") {
    const open = [...branches].filter(([, branch]) => branch.state === "prepared");
    return Response.json({ prepared: open.map(([key]) => key) });
  }
  if (request.method !== "POST") return new Response(null, { status: 404 });
  const { idempotency_key: key, payload } = await request.json();
  if (typeof key !== "string") return new Response(null, { status: 400 });
  if (pathname === "/prepare") return prepare(key, payload);
  if (pathname === "/commit") return commit(key);
  if (pathname === "/abort") return abort(key);
  return new Response(null, { status: 404 });
}

replay();
Deno.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  onListen: ({ port }) => {
    Deno.stdout.writeSync(new TextEncoder().encode(`${port}\n`));
  },
}, handle);
