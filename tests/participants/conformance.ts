/** What every participant does, whatever it is (src/participants/participant.ts, A1 to A4). */
import { assertEquals } from "@std/assert";
import { branchKey } from "../../src/core/branch.ts";
import { parseLogId, parseParticipantName, parseTransactionId } from "../../src/core/ids.ts";
import { DenoRandom } from "../../src/system/deno_random.ts";
import type {
  BranchCall,
  Participant,
  ParticipantWork,
  TellCall,
} from "../../src/participants/participant.ts";

/** A participant under test, with its other side in the test's hands. */
export interface Stand {
  /** A fresh object of ours, as after a restart of the daemon. */
  connect(): Participant;
  /** Work that sets `place` to `value`. */
  set(place: string, value: string): ParticipantWork;
  /** Work that changes nothing. */
  look(): ParticipantWork;
  /** Work that the participant refuses. */
  refused(): ParticipantWork;
  value(place: string): Promise<string | null>;
  /** SIGKILL and start of the other side. */
  restart(): Promise<void>;
  /** Holds the other side still, until the answer is called. */
  freeze(): () => void;
  /** Keys that stand prepared. */
  prepared(): Promise<readonly string[]>;
  close(): Promise<void>;
}

const random = new DenoRandom();
const log = parseLogId(random.ulid(Date.now()));
const name = parseParticipantName("subject");
const TIMEOUT_MS = 5_000;

/** A call of a branch of its own. */
export function newCall(timeoutMs = TIMEOUT_MS): BranchCall {
  const transactionId = parseTransactionId(random.ulid(Date.now()));
  return {
    key: branchKey(log, transactionId, name, 1),
    context: { transactionId, tenantId: "acme", operationType: "deploy", fencingToken: 7 },
    timeoutMs,
  };
}

function telling(call: BranchCall, work: ParticipantWork): TellCall {
  return { ...call, timeoutMs: TIMEOUT_MS, payload: work.kind === "http" ? work.payload : null };
}

type Case = (stand: Stand, subject: Participant, place: string) => Promise<void>;

const CASES: Readonly<Record<string, Case>> = {
  "commit makes the work visible, and can be repeated": async (stand, subject, place) => {
    const [call, work] = [newCall(), stand.set(place, "1")];
    assertEquals((await subject.prepare(call, work)).vote, "prepared");
    assertEquals(await stand.value(place), null);
    assertEquals(await stand.prepared(), [call.key]);
    assertEquals(await subject.commit(telling(call, work)), { kind: "done" });
    assertEquals(await subject.commit(telling(call, work)), { kind: "done" });
    assertEquals(await stand.value(place), "1");
    assertEquals(await stand.prepared(), []);
  },

  "abort takes the work back, and can be repeated": async (stand, subject, place) => {
    const [call, work] = [newCall(), stand.set(place, "1")];
    await subject.prepare(call, work);
    assertEquals(await subject.abort(telling(call, work)), { kind: "done" });
    assertEquals(await subject.abort(telling(call, work)), { kind: "done" });
    assertEquals([await stand.value(place), await stand.prepared()], [null, []]);
  },

  "a prepare that comes after its abort is refused": async (stand, subject, place) => {
    const [call, work] = [newCall(), stand.set(place, "1")];
    assertEquals(await subject.abort(telling(call, work)), { kind: "done" });
    assertEquals((await subject.prepare(call, work)).vote, "abort");
    assertEquals([await stand.value(place), await stand.prepared()], [null, []]);
  },

  "commit after a restart of both sides": async (stand, subject, place) => {
    const [call, work] = [newCall(), stand.set(place, "1")];
    assertEquals((await subject.prepare(call, work)).vote, "prepared");
    await subject.close();
    await stand.restart();
    const later = stand.connect();
    try {
      assertEquals(await later.commit(telling(call, work)), { kind: "done" });
      assertEquals(await stand.value(place), "1");
      await stand.restart();
      const again = stand.connect();
      assertEquals(await again.commit(telling(call, work)), { kind: "done" });
      await again.close();
    } finally {
      await later.close();
    }
  },

  "a prepare that answers late is unknown, and its abort leaves nothing": async (
    stand,
    subject,
    place,
  ) => {
    const [call, work] = [newCall(300), stand.set(place, "1")];
    const thaw = stand.freeze();
    const vote = await subject.prepare(call, work);
    thaw();
    assertEquals(["unknown", "abort"].includes(vote.vote), true, vote.vote);
    assertEquals(await subject.abort(telling(call, work)), { kind: "done" });
    assertEquals((await subject.prepare({ ...call, timeoutMs: TIMEOUT_MS }, work)).vote, "abort");
    assertEquals([await stand.value(place), await stand.prepared()], [null, []]);
  },

  "work that changes nothing leaves before phase two": async (stand, subject) => {
    assertEquals(await subject.prepare(newCall(), stand.look()), { vote: "read_only" });
    assertEquals(await stand.prepared(), []);
  },

  "a refusal has a reason and leaves nothing": async (stand, subject, place) => {
    const holder = newCall();
    await subject.prepare(holder, stand.set(place, "1"));
    const vote = await subject.prepare(newCall(400), stand.refused());
    assertEquals(vote.vote, "abort");
    assertEquals("reason" in vote && vote.reason.length > 0, true);
    assertEquals(await stand.prepared(), [holder.key]);
    await subject.abort(telling(holder, stand.look()));
  },

  "a decision that the branch contradicts is said so": async (stand, subject, place) => {
    const [call, work] = [newCall(), stand.set(place, "1")];
    await subject.prepare(call, work);
    await subject.commit(telling(call, work));
    assertEquals((await subject.abort(telling(call, work))).kind, "contradicted");
    const other = newCall();
    await subject.abort(telling(other, work));
    assertEquals((await subject.commit(telling(other, work))).kind, "contradicted");
    assertEquals(await stand.value(place), "1");
  },

  "calls on a participant that is away say so and do not reject": async (stand, subject, place) => {
    const thaw = stand.freeze();
    const call = { ...newCall(), timeoutMs: 100 };
    const work = stand.set(place, "1");
    assertEquals((await subject.commit({ ...telling(call, work), timeoutMs: 100 })).kind, "again");
    assertEquals((await subject.abort({ ...telling(call, work), timeoutMs: 100 })).kind, "again");
    thaw();
  },
};

/** Declares the suite's tests for one kind of participant. */
export function conformance(subjectName: string, open: () => Promise<Stand>): void {
  let stand: Stand | null = null;
  Deno.test.beforeAll(async () => {
    stand = await open();
  });
  Deno.test.afterAll(async () => {
    await stand?.close();
  });
  let places = 0;
  for (const [title, run] of Object.entries(CASES)) {
    // The other side's process and connections belong to the file, not to one test.
    const options = { sanitizeOps: false, sanitizeResources: false };
    Deno.test({ name: `${subjectName}: ${title}`, ...options }, async () => {
      if (stand === null) throw new Error("The participant did not start");
      const subject = stand.connect();
      try {
        await run(stand, subject, `place-${++places}`);
      } finally {
        await subject.close();
      }
    });
  }
}
