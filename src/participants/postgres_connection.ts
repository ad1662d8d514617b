/**
 * One connection to PostgreSQL, and a pool of them with a bound.
 *
 * C1. A connection that ended is never made again underneath: a statement that belongs to a
 *     transaction must not run outside it on a new one. It is thrown away instead.
 * C2. Statements of clients go through the extended protocol, one each, so that the server
 *     refuses several in one text.
 * C3. Values come and go as text: no type of the client library is guessed from them.
 * C4. A connection is handed on with nothing of its last user's session left in it.
 * C5. use() answers within its time wherever the server falls silent, also half-way through
 *     the opening of a connection: what connect_timeout bounds ends with the greeting.
 */
import postgres from "postgres";
import type { Clock, Timer } from "../system/clock.ts";
import type { PostgresAddress } from "./addresses.ts";

/** Type ids whose text the library would otherwise convert. */
const TEXT_TYPES = [16, 17, 20, 21, 23, 25, 26, 114, 700, 701, 1082, 1114, 1184, 3802];

/** Also without parameters; the library's types do not know the second field. */
const EXTENDED = { prepare: false, simple: false };

/** Named, so that the library does not ask the environment; its types do not know the first. */
const UNASKED = { sslnegotiation: null, target_session_attrs: undefined, max_pipeline: 100 };

/** A row by column names; every value is text or null. */
export type Row = Readonly<Record<string, string | null>>;

export class PostgresConnection {
  readonly #client: postgres.Sql;
  #reserved: postgres.ReservedSql | null = null;
  #ended = false;

  /** Reaches nobody before {@link open}. */
  constructor(address: PostgresAddress, timeoutMs: number) {
    this.#client = postgres({
      ...(address.socketPath === null
        ? { host: address.host, port: address.port }
        : { host: address.host, port: address.port, path: address.socketPath }),
      user: address.user,
      pass: address.password,
      database: address.database,
      ssl: address.tls === "disable" ? false : address.tls,
      ...UNASKED,
      max: 1,
      idle_timeout: 0,
      connect_timeout: Math.max(1, Math.ceil(timeoutMs / 1_000)),
      max_lifetime: null,
      backoff: false,
      keep_alive: 60,
      prepare: false,
      debug: false,
      fetch_types: false,
      publications: "none",
      connection: { application_name: "layerd" },
      onnotice: () => {},
      onclose: () => {
        this.#ended = true;
      },
      types: {
        text: {
          to: 25,
          from: TEXT_TYPES,
          serialize: (value: unknown) => String(value),
          parse: (text: string) => text,
        },
      },
    });
  }

  /** Connects, once; whoever calls it bounds it. Rejects where the server does not let us in. */
  async open(): Promise<void> {
    if (this.#reserved !== null) return;
    // The library (3.4.9) never answers a reserve() that has to open the connection itself.
    await this.#client.unsafe("SELECT 1");
    this.#reserved = await this.#client.reserve();
  }

  get usable(): boolean {
    return !this.#ended;
  }

  /** One statement with parameters. */
  async query(text: string, params: readonly (string | null)[] = []): Promise<readonly Row[]> {
    return await this.#live().unsafe<Row[]>(text, [...params], EXTENDED);
  }

  /** The same where nobody wants the rows: they are dropped as they come, however many. */
  async execute(text: string, params: readonly (string | null)[]): Promise<void> {
    await this.#live().unsafe(text, [...params], EXTENDED).forEach(() => {});
  }

  /** Commands of our own, several in one text, in one exchange. */
  async run(text: string): Promise<void> {
    await this.#live().unsafe(text).simple();
  }

  /** Ends at once, whatever is under way. */
  destroy(): void {
    this.#ended = true;
    this.#client.end({ timeout: 0 }).catch(() => {
      // It is being thrown away because it does not work; that it says so again is no news.
    });
  }

  #live(): postgres.ReservedSql {
    if (this.#ended || this.#reserved === null) throw new Error("The connection has ended");
    return this.#reserved;
  }
}

interface Waiting {
  readonly grant: (slot: PostgresConnection | null) => void;
  readonly timer: Timer;
}

/** At most so many connections; who waits is served in order, until it has waited too long. */
export class PostgresPool {
  readonly #address: PostgresAddress;
  readonly #clock: Clock;
  readonly #connectionsMax: number;
  readonly #idle: PostgresConnection[] = [];
  readonly #waiting: Waiting[] = [];
  #used = 0;
  #closed = false;

  constructor(address: PostgresAddress, clock: Clock, connectionsMax: number) {
    this.#address = address;
    this.#clock = clock;
    this.#connectionsMax = connectionsMax;
  }

  /**
   * Runs work on a connection. Past `timeoutMs` the connection is thrown away and the work
   * counts as failed, whether or not the server did it.
   */
  async use<T>(
    timeoutMs: number,
    work: (connection: PostgresConnection) => Promise<T>,
  ): Promise<T> {
    const endMs = this.#clock.monotonic() + timeoutMs;
    const connection = await this.#take(timeoutMs);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = this.#clock.after(Math.max(1, endMs - this.#clock.monotonic()), () => {
      connection.destroy();
      reject(new Error(`PostgreSQL did not answer within ${timeoutMs} ms`));
    });
    try {
      const result = await Promise.race([connection.open().then(() => work(connection)), late]);
      this.#giveBack(connection);
      return result;
    } catch (error) {
      // Whatever state the session is in, nobody else gets it.
      connection.destroy();
      this.#giveBack(connection);
      throw error;
    } finally {
      timer.cancel();
    }
  }

  close(): void {
    this.#closed = true;
    this.closeIdle();
  }

  /** Gives the server back what nobody uses now. */
  closeIdle(): void {
    for (const connection of this.#idle.splice(0)) connection.destroy();
  }

  async #take(timeoutMs: number): Promise<PostgresConnection> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.usable) continue;
      this.#used++;
      return idle;
    }
    const granted = this.#used < this.#connectionsMax ? null : await this.#wait(timeoutMs);
    if (granted === null) this.#used++;
    else if (granted.usable) return granted;
    return new PostgresConnection(this.#address, timeoutMs);
  }

  #wait(timeoutMs: number): Promise<PostgresConnection | null> {
    const { promise, resolve, reject } = Promise.withResolvers<PostgresConnection | null>();
    const timer = this.#clock.after(timeoutMs, () => {
      const at = this.#waiting.findIndex((waiting) => waiting.timer === timer);
      if (at >= 0) this.#waiting.splice(at, 1);
      reject(new Error(`All ${this.#connectionsMax} connections were busy for ${timeoutMs} ms`));
    });
    this.#waiting.push({ grant: resolve, timer });
    return promise;
  }

  #giveBack(connection: PostgresConnection): void {
    if (this.#closed) connection.destroy();
    this.#free(connection.usable ? connection : null);
  }

  #free(connection: PostgresConnection | null): void {
    this.#used--;
    const next = this.#waiting.shift();
    if (next !== undefined) {
      next.timer.cancel();
      // The slot goes with it: a null is leave to open a connection.
      if (connection !== null) this.#used++;
      next.grant(connection);
    } else if (connection !== null) this.#idle.push(connection);
  }
}
