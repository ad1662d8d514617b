/**
 * A message that somebody between two sides holds on to: before it is delivered (`before`), or
 * delivered with its answer kept back (`after`).
 */
export type Point = "before" | "after";

type Fate = "deliver" | "drop";

export class HeldMessage {
  readonly #reached: PromiseWithResolvers<void> = Promise.withResolvers();
  readonly #fate: PromiseWithResolvers<Fate> = Promise.withResolvers();

  /** `subject` begins the text of a statement, or is the verb of a call. */
  constructor(readonly subject: string, readonly point: Point) {}

  /** Resolves once it is held. */
  get reached(): Promise<void> {
    return this.#reached.promise;
  }

  /** What is held goes on its way, if somebody is there. */
  release(): void {
    this.#fate.resolve("deliver");
  }

  /** What is held is lost, and the connection with it. */
  drop(): void {
    this.#fate.resolve("drop");
  }

  /** For whoever holds it: says so and waits; whether to deliver. */
  async holds(): Promise<boolean> {
    this.#reached.resolve();
    return await this.#fate.promise === "deliver";
  }
}

/** Which messages are to be held, each once; and who waits for an answer to have passed. */
export class Holds {
  #armed: HeldMessage[] = [];
  readonly #passing: { readonly subject: string; readonly resolve: () => void }[] = [];

  /** The next message with this subject. */
  arm(subject: string, point: Point): HeldMessage {
    const held = new HeldMessage(subject, point);
    this.#armed.push(held);
    return held;
  }

  /** Resolves when an answer to such a message was delivered. */
  passed(subject: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#passing.push({ subject, resolve });
    return promise;
  }

  take(text: string): HeldMessage | null {
    const held = this.#armed.find(({ subject }) => text.startsWith(subject)) ?? null;
    this.#armed = this.#armed.filter((one) => one !== held);
    return held;
  }

  notePassed(text: string): void {
    for (const { subject, resolve } of this.#passing) if (text.startsWith(subject)) resolve();
  }

  /** Nothing is held any more, nor will be. */
  clear(): void {
    for (const held of this.#armed) held.release();
    this.#armed = [];
  }
}
