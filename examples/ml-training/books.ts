/**
 * A service with books: what each of the example's four processes is.
 *
 * B1. One idempotency key does its work once; a repeat is answered from the books, also while
 *     the work is still under way.
 * B2. An action and its effect enter the books in one step of SQLite, before the answer.
 * B3. A compensation marks its key's action as undone. Where there was none, the key itself is
 *     marked, and an action that comes later is refused with 409.
 */
import { DatabaseSync } from "node:sqlite";

export interface StepRequest {
  readonly saga_id: string;
  readonly idempotency_key: string;
  // deno-lint-ignore no-explicit-any -- a service knows what its own saga sends
  readonly input: any;
}

/** Works an action's output out; its effect is the entry in the books. */
export type Work = (request: StepRequest) => unknown | Promise<unknown>;

/** One line of the books. */
export interface BookEntry {
  readonly key: string;
  readonly saga_id: string;
  readonly action: string;
  /** `never`: undone before it was ever done. */
  readonly state: "done" | "undone" | "never";
  readonly output: string;
  /** How often the work was really done. */
  readonly effects: number;
  readonly entered: number;
}

const COMPENSATION_SUFFIX = "_comp";

/**
 * Serves `POST /<action>` on a free port of the loopback, and prints `{"port"}`. The file
 * `fail` in the directory names an action that is refused: how the example breaks a step.
 */
export function serveBooks(
  directory: string,
  actions: Readonly<Record<string, Work>>,
  compensations: readonly string[],
): void {
  const books = new Books(`${directory}/books.sqlite`);
  Deno.serve({
    hostname: "127.0.0.1",
    port: 0,
    // deno-lint-ignore no-console -- its parent reads the port
    onListen: ({ port }) => console.log(JSON.stringify({ port })),
  }, async (request) => {
    const action = new URL(request.url).pathname.slice(1);
    const body: StepRequest = await request.json();
    if (failing(directory) === action) {
      return new Response(`${action} was told to fail`, { status: 422 });
    }
    if (compensations.includes(action)) return books.undo(action, body);
    const work = actions[action];
    if (work === undefined) return new Response(`No action ${action}`, { status: 404 });
    return await books.do(action, body, work);
  });
}

function failing(directory: string): string | null {
  try {
    return Deno.readTextFileSync(`${directory}/fail`).trim();
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

class Books {
  readonly #database: DatabaseSync;
  readonly #underWay = new Map<string, Promise<unknown>>();

  constructor(path: string) {
    this.#database = new DatabaseSync(path);
    this.#database.exec(`
      PRAGMA journal_mode = WAL;
      PRAGMA synchronous = FULL;
      CREATE TABLE IF NOT EXISTS books (
        key TEXT PRIMARY KEY, saga_id TEXT, action TEXT, state TEXT, output TEXT,
        effects INTEGER, entered INTEGER
      );
      CREATE TABLE IF NOT EXISTS undone (
        key TEXT, action TEXT, entered INTEGER
      );`);
  }

  async do(action: string, request: StepRequest, work: Work): Promise<Response> {
    const key = request.idempotency_key;
    const known = this.#entry(key);
    if (known !== undefined && known["state"] !== "done") {
      return new Response(`${key} was compensated before`, { status: 409 });
    }
    if (known !== undefined) return answer(String(known["output"]));
    const underWay = this.#underWay.get(key) ?? Promise.resolve(work(request));
    this.#underWay.set(key, underWay);
    const output = JSON.stringify(await underWay);
    this.#underWay.delete(key);
    // Whoever was first has entered it; a compensation may have come meanwhile.
    this.#database.prepare(
      `INSERT INTO books VALUES (?, ?, ?, 'done', ?, 1, ?) ON CONFLICT (key) DO NOTHING`,
    ).run(key, request.saga_id, action, output, Date.now());
    if (this.#entry(key)?.["state"] === "done") return answer(output);
    return new Response(`${key} was compensated before`, { status: 409 });
  }

  undo(action: string, request: StepRequest): Response {
    const key = request.idempotency_key.slice(0, -COMPENSATION_SUFFIX.length);
    const state = this.#entry(key)?.["state"];
    if (state === undefined) {
      this.#database.prepare("INSERT INTO books VALUES (?, ?, ?, 'never', 'null', 0, ?)")
        .run(key, request.saga_id, action, Date.now());
    } else if (state === "done") {
      this.#database.exec("BEGIN IMMEDIATE");
      this.#database.prepare("UPDATE books SET state = 'undone' WHERE key = ?").run(key);
      this.#database.prepare("INSERT INTO undone VALUES (?, ?, ?)").run(key, action, Date.now());
      this.#database.exec("COMMIT");
    }
    return answer(JSON.stringify({ undone: state === "done" || state === "undone" }));
  }

  #entry(key: string): Record<string, unknown> | undefined {
    return this.#database.prepare("SELECT * FROM books WHERE key = ?").get(key);
  }
}

function answer(json: string): Response {
  return new Response(json, { headers: { "content-type": "application/json" } });
}
