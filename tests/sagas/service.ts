/**
 * A reference service: what a well-behaved participant of a saga does, with books that tests
 * look into.
 *
 * V1. An idempotency key does its work once; a repeat gets the first answer.
 * V2. A compensation undoes what its key's action did, or remembers that there was nothing to
 *     undo; an action that comes after its compensation is refused.
 */
export interface Entry {
  readonly key: string;
  readonly action: string;
  readonly what: "done" | "undone" | "refused_late";
}

export interface Received {
  readonly action: string;
  readonly key: string;
  readonly body: Readonly<Record<string, unknown>>;
}

/** What a test wants of one call: an answer instead of the work, or beside it. */
export type Misbehaviour =
  /** Answers so and does nothing. */
  | { readonly kind: "answer"; readonly status: number; readonly body?: string }
  /** Does the work and answers so. */
  | { readonly kind: "done_but"; readonly status: number }
  /** Does the work and never answers. */
  | { readonly kind: "done_silent" }
  /** Answers so when `until` resolves, and does nothing. */
  | { readonly kind: "late_answer"; readonly until: Promise<void>; readonly status: number }
  /** Does the work when `until` resolves, and never answers. */
  | { readonly kind: "late"; readonly until: Promise<void> };

export class ReferenceService {
  readonly books: Entry[] = [];
  readonly received: Received[] = [];
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #answers = new Map<string, unknown>();
  readonly #undone = new Set<string>();
  readonly #hanging: PromiseWithResolvers<void> = Promise.withResolvers();
  /** Decides about a call; null lets it be served. */
  misbehave: (call: Received) => Misbehaviour | null = () => null;

  constructor() {
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      (request) => this.#serve(request),
    );
  }

  /** `HOST:PORT`, as `--allow-participant` takes it. */
  get host(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  get url(): string {
    return `http://${this.host}`;
  }

  /** Keys whose work is done and not undone. */
  standing(): string[] {
    const undone = new Set(this.books.filter((e) => e.what === "undone").map((e) => e.key));
    return this.books.filter((e) => e.what === "done" && !undone.has(e.key)).map((e) => e.key);
  }

  /** How often a key's work was done. */
  count(key: string, what: Entry["what"] = "done"): number {
    return this.books.filter((entry) => entry.key === key && entry.what === what).length;
  }

  async #serve(request: Request): Promise<Response> {
    const action = new URL(request.url).pathname.slice(1);
    const key = request.headers.get("idempotency-key") ?? "";
    const call = { action, key, body: await request.json() };
    this.received.push(call);
    const odd = this.misbehave(call);
    if (odd === null) return this.#do(call);
    if (odd.kind === "answer") return new Response(odd.body ?? "no", { status: odd.status });
    if (odd.kind === "late_answer") {
      await Promise.race([odd.until, this.#hanging.promise]);
      return new Response("no", { status: odd.status });
    }
    if (odd.kind === "late") {
      await Promise.race([odd.until, this.#hanging.promise]);
      return this.#do(call);
    }
    this.#do(call);
    if (odd.kind === "done_but") return new Response("odd", { status: odd.status });
    await this.#hanging.promise;
    return new Response("too late", { status: 500 });
  }

  #do({ action, key }: Received): Response {
    if (this.#answers.has(key)) return Response.json(this.#answers.get(key));
    const answer = key.endsWith("_comp")
      ? this.#undo(action, key.slice(0, -"_comp".length))
      : this.#work(action, key);
    if (answer === null) return new Response("compensated before", { status: 409 });
    this.#answers.set(key, answer);
    return Response.json(answer);
  }

  #work(action: string, key: string): unknown {
    if (this.#undone.has(key)) {
      this.books.push({ key, action, what: "refused_late" });
      return null;
    }
    this.books.push({ key, action, what: "done" });
    return { id: `${action}-${this.books.length}` };
  }

  #undo(action: string, key: string): unknown {
    this.#undone.add(key);
    const was = this.#answers.has(key);
    if (was) this.books.push({ key, action, what: "undone" });
    return { undone: was };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#hanging.resolve();
    await this.#server.shutdown();
  }
}
