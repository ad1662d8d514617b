import type { LayerdClient } from "../../src/client/client.ts";

/** A participant that votes prepared and acknowledges nothing: what it votes for stays in doubt. */
export class SilentService {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    const options = { hostname: "127.0.0.1", port: 0, onListen: () => {} };
    this.#server = Deno.serve(
      options,
      ({ url }) =>
        new URL(url).pathname === "/prepare"
          ? Response.json({ vote: "prepared" })
          : new Response(null, { status: 503 }),
    );
  }

  /** `HOST:PORT`, as `--allow-participant` takes it. */
  get place(): string {
    return `127.0.0.1:${this.#server.addr.port}`;
  }

  /** A transaction that is in doubt with it, where it is registered as `flags`. */
  async inDoubt(client: LayerdClient): Promise<string> {
    const [known] = await client.inDoubt.list();
    if (known !== undefined) return known.transaction_id;
    const operations = [{ op: "http", participant: "flags", payload: {} } as const];
    return (await client.begin({ commit: true, operations })).id;
  }

  async close(): Promise<void> {
    await this.#server.shutdown();
  }
}
