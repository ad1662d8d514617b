/**
 * A service that says what a test wants and notes what it was asked, over real HTTP. For the
 * coordinator's tests; it keeps no books of its own.
 */
export interface Heard {
  readonly verb: string;
  readonly key: string;
}

/** What is answered, or null for the answer of a service that agrees. */
export type Script = (heard: Heard) => Response | Promise<Response> | null;

export class ScriptedService {
  readonly heard: Heard[] = [];
  answer: Script = () => null;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

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

  get verbs(): string[] {
    return this.heard.map(({ verb }) => verb);
  }

  async #serve(request: Request): Promise<Response> {
    const verb = new URL(request.url).pathname.slice(1);
    const { idempotency_key: key } = await request.json();
    const heard = { verb, key };
    this.heard.push(heard);
    return await this.answer(heard) ?? Response.json({ vote: "prepared" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
  }
}
