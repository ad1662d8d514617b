/**
 * Two Git repositories together, as the participant of somebody else's coordinator, through
 * the suite that every participant passes: a coordinator's adapter over `begin`, `prepare`,
 * `commit` and `rollback` of a daemon process.
 */
import type { Json } from "../../src/core/structured_value.ts";
import type {
  Acknowledgement,
  BranchCall,
  BranchStatus,
  Participant,
  ParticipantWork,
  TellCall,
  Vote,
} from "../../src/participants/participant.ts";
import { parseParticipantName, type ParticipantName } from "../../src/core/ids.ts";
import { type Api, create, put, transactionIn } from "../harness/api.ts";
import { makeHome, removeHome } from "../harness/daemon.ts";
import { Scene } from "../harness/scene.ts";
import { conformance } from "../participants/conformance.ts";

/** What is set where: a layer of that name, in both repositories. */
type Places = Readonly<Record<string, string>>;

const work = (places: Places): ParticipantWork => ({ kind: "http", payload: { ...places } });

class GitParticipant implements Participant {
  readonly name: ParticipantName = parseParticipantName("subject");
  readonly kind = "http";
  readonly #scene: Scene;
  readonly #repositories: readonly string[];
  readonly #books: Map<string, string>;

  /** `books`: transactions by branch, as the outer coordinator keeps them over its restarts. */
  constructor(scene: Scene, repositories: readonly string[], books: Map<string, string>) {
    this.#scene = scene;
    this.#repositories = repositories;
    this.#books = books;
  }

  get #api(): Api {
    return this.#scene.api;
  }

  async prepare(call: BranchCall, asked: ParticipantWork): Promise<Vote> {
    const payload = asked.kind === "http" ? asked.payload : null;
    const vote = await inTime(call.timeoutMs, async (isLate): Promise<Vote> => {
      const known = this.#books.get(call.key);
      if (known !== undefined) {
        const { state } = await this.#api.transaction(known);
        return { vote: "abort", reason: `It is ${state}` };
      }
      const reply = await this.#api.tryBegin(this.#work(payload));
      if (reply.status >= 400) return { vote: "abort", reason: reply.text };
      const { id, operations } = transactionIn(reply, reply.status);
      // Nobody waits for the vote any more, and its abort has been told.
      if (operations === 0 || isLate()) {
        await this.#api.rollback(id);
        return { vote: "read_only" };
      }
      this.#books.set(call.key, id);
      const { locks } = transactionIn(await this.#api.tryVerb(id, "prepare"), 200);
      return { vote: "prepared", resourceLocks: locks.map(({ layer }) => layer ?? "") };
    });
    return vote ?? { vote: "unknown", reason: "Did not answer" };
  }

  commit(call: TellCall): Promise<Acknowledgement> {
    return this.#end(call, "commit", "committed");
  }

  abort(call: TellCall): Promise<Acknowledgement> {
    return this.#end(call, "rollback", "rolled_back");
  }

  inquire(): Promise<BranchStatus> {
    return Promise.resolve(null);
  }

  prepared(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  forget(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async #end(call: TellCall, verb: string, wanted: string): Promise<Acknowledgement> {
    const told = await inTime(call.timeoutMs, async (): Promise<Acknowledgement> => {
      const id = this.#books.get(call.key) ?? (await this.#api.begin()).id;
      this.#books.set(call.key, id);
      const { state } = await this.#api.transaction(id);
      if (state === wanted) return { kind: "done" };
      if (state === "committed" || state === "rolled_back") {
        return { kind: "contradicted", reason: `It is ${state}` };
      }
      const reply = await this.#api.tryVerb(id, verb);
      if (reply.status === 200) return { kind: "done" };
      return { kind: "again", reason: reply.text };
    });
    return told ?? { kind: "again", reason: "Did not answer" };
  }

  #work(payload: Json) {
    const operations = this.#repositories.flatMap((repository) =>
      Object.entries(payload ?? {}).flatMap(([place, value]) => [
        create(repository, place),
        put(repository, place, "value", String(value)),
      ])
    );
    return { operations, lock_timeout_ms: 100 };
  }
}

/** What the work answers, or null where it takes longer. */
async function inTime<T>(
  timeoutMs: number,
  run: (isLate: () => boolean) => Promise<T>,
): Promise<T | null> {
  const { promise: late, resolve } = Promise.withResolvers<null>();
  let over = false;
  const timer = setTimeout(() => {
    over = true;
    resolve(null);
  }, timeoutMs);
  try {
    return await Promise.race([run(() => over), late]);
  } finally {
    clearTimeout(timer);
  }
}

conformance("two Git repositories", async () => {
  const scene = new Scene(await makeHome());
  await scene.start();
  const repositories = [await scene.repository(), await scene.repository()];
  const names = repositories.map(({ name }) => name);
  const books = new Map<string, string>();
  let last = "";
  return {
    connect: () => new GitParticipant(scene, names, books),
    set: (place, value) => work({ [last = place]: value }),
    look: () => work({}),
    refused: () => work({ [last]: "2" }),
    value: async (place) => {
      const values = await Promise.all(names.map((name) => scene.api.read(name, place, "value")));
      const [first = null, second = null] = values;
      if (first !== second) throw new Error(`${place} is ${first} and ${second}`);
      return first;
    },
    restart: async () => {
      await scene.killAndRestart();
    },
    freeze: () => {
      scene.daemon.signal("SIGSTOP");
      return () => scene.daemon.signal("SIGCONT");
    },
    prepared: async () => {
      const { transactions } = await scene.api.get<{ transactions: { id: string }[] }>(
        "/v1/transactions?state=prepared",
      );
      const ids = transactions.map(({ id }) => id);
      return [...books].flatMap(([key, id]) => ids.includes(id) ? [key] : []);
    },
    close: async () => {
      await scene.daemon.kill();
      await removeHome(scene.home);
    },
  };
});
