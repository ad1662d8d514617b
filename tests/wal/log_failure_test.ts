import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { toLsn } from "../../src/core/ids.ts";
import type { LogRecord } from "../../src/core/log_record.ts";
import { LogFailedError } from "../../src/wal/write_ahead_log.ts";
import {
  appendAndForce,
  applied,
  checkpoint,
  contents,
  large,
  LogFixture,
  small,
} from "./log_fixture.ts";

Deno.test("log.force() without space takes the records back, and the log lives on", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  await appendAndForce(log, small(1));
  fixture.fileSystem.faults = { write: unlessZeros };
  const first = appendAndForce(log, small(666));
  await Promise.resolve();
  await Promise.resolve();
  const second = appendAndForce(log, small(667));
  for (const refused of [first, second]) {
    assertEquals((await assertRejects(() => refused, LayerdError)).code, "no_space");
  }
  assertEquals(log.status().lastLsn, toLsn(2));
  fixture.fileSystem.faults = {};
  // What the failed write left must not come back, not even after a crash right here.
  assertEquals(fixture.scan().verdict, { kind: "clean" });
  assertEquals(fixture.scan().lastLsn, toLsn(2));
  await appendAndForce(log, small(2));
  assertEquals(contents(log.read(toLsn(1))), ["incarnation", 1, 2]);
  await log.close();
  const again = await fixture.open();
  assertEquals(contents(again.recovered()), ["incarnation", 1, 2]);
  await again.close();
});

Deno.test("log.force() fails for good when a record that nobody forces would be taken back", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  fixture.fileSystem.faults = { write: unlessZeros };
  const forced = appendAndForce(log, small(1));
  log.append(small(2));
  await assertRejects(() => forced, LogFailedError);
  await assertRejects(() => log.force(), LogFailedError);
  await assertRejects(() => log.close(), LogFailedError);
});

for (const call of ["write", "sync"] as const) {
  Deno.test(`log.force() after an EIO of ${call} is final, and the next open copies the end`, async () => {
    using fixture = new LogFixture();
    const log = await fixture.open();
    await appendAndForce(log, small(1));
    const inode = Deno.statSync(fixture.path(1)).ino;
    fixture.fileSystem.faults = { [call]: () => "EIO" };
    await assertRejects(() => appendAndForce(log, small(2)), LogFailedError, "EIO");
    fixture.fileSystem.faults = {};
    await assertRejects(() => log.force(), LogFailedError);
    assertThrows(() => log.append(small(3)), LogFailedError);
    await assertRejects(() => log.close(), LogFailedError);

    const again = await fixture.open();
    assert(Deno.statSync(fixture.path(1)).ino !== inode, "the end stands in a new file");
    // Nobody was told what became of record 2; its frame is whole in the page cache.
    const expected = ["incarnation", 1, 2];
    assertEquals(contents(again.recovered()), expected);
    await appendAndForce(again, small(4));
    await again.close();
    const third = await fixture.open();
    assertEquals(contents(third.recovered()), [...expected, "incarnation", 4]);
    await third.close();
  });
}

Deno.test("openLog() copies every segment that holds records nobody vouches for", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  await appendAndForce(log, small(1), large(40_000), large(40_000));
  await log.close();
  const inodes = () => [1, 2].map((number) => Deno.statSync(fixture.path(number)).ino);
  const before = inodes();
  const again = await fixture.open();
  const after = inodes();
  assert(after[0] !== before[0] && after[1] !== before[1]);
  await again.close();
  // The new incarnation vouches for them; only its own segment is copied the next time.
  await (await fixture.open()).close();
  assertEquals(inodes()[0], after[0]);
  assert(inodes()[1] !== after[1]);
});

Deno.test("openLog() syncs the copy of the end before it renames it", async () => {
  using fixture = new LogFixture();
  await (await fixture.open()).close();
  fixture.fileSystem.faults = { sync: (path) => path.endsWith(".tmp") ? "EIO" : null };
  await assertRejects(() => fixture.open(), Error, "EIO");
  assertEquals(fixture.files(), ["0000000001.wal"]);
  fixture.fileSystem.faults = {};
  const log = await fixture.open();
  assertEquals(contents(log.recovered()), ["incarnation"]);
  await log.close();
});

Deno.test("log.append() on a full disk keeps the reserve for records that finish things", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  // Nothing new can be allocated; what was preallocated can be written.
  fixture.fileSystem.faults = { write: inNewSegment };
  const refusal = await fill(() => appendAndForce(log, large(1_000)));
  assertEquals(refusal.code, "no_space");
  const { lastLsn } = log.status();
  assert(lastLsn > 5);
  // 16 KiB of reserve are four forces of a small record.
  for (let n = 0; n < 4; n += 1) await appendAndForce(log, applied());
  assertEquals((await fill(() => appendAndForce(log, applied()))).code, "no_space");
  assertThrows(() => log.append(small(1)), LayerdError);
  assertEquals(log.status().isFull, true);
  assertEquals(fixture.files(), ["0000000001.wal"], "no unfinished segment stays behind");
  await log.close();

  fixture.fileSystem.faults = {};
  const again = await fixture.open();
  await appendAndForce(again, large(1_000));
  assert(again.status().segments === 2);
  assertEquals(again.status().isFull, false);
  await again.close();
});

Deno.test("log.appendAll() keeps the reserve from what rides with an ordinary record", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  fixture.fileSystem.faults = { write: inNewSegment };
  const ended: LogRecord = { kind: "ended", keys: ["x".repeat(45_000)] };
  assertThrows(() => log.appendAll([small(1), ended]), LayerdError, "No space");
  assertEquals(log.appendAll([small(1)]), [toLsn(2)]);
  await appendAndForce(log, ended);
  await log.close();
});

Deno.test("log.append() gives a checkpoint the reserve only where it releases a segment", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  fixture.fileSystem.faults = { write: (path) => /[12]\.wal/.test(path) ? null : "ENOSPC" };
  await appendAndForce(log, large(36_000), large(36_000));
  await fill(() => appendAndForce(log, large(1_000)));
  const redo = toLsn(log.status().durableLsn + 1);
  await appendAndForce(log, checkpoint(redo));
  await log.releaseBefore(redo);
  // What is left can release nothing, however often it is tried.
  assertThrows(() => log.append(checkpoint(redo)), LayerdError, "No space");
  for (let n = 0; n < 3; n += 1) await appendAndForce(log, applied());
  await log.close();
});

Deno.test("log.appendAll() appends all records or none", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  fixture.fileSystem.faults = { write: inNewSegment };
  assertThrows(() => log.appendAll([small(1), large(30_000), large(30_000)]), LayerdError);
  assertEquals(log.status().lastLsn, toLsn(1));
  assertEquals(log.appendAll([small(1), small(2)]), [toLsn(2), toLsn(3)]);
  await log.force();
  assertEquals(contents(log.read(toLsn(1))), ["incarnation", 1, 2]);
  await log.close();
});

Deno.test("log.force() refuses with no_space when the next segment cannot be made durable", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  fixture.fileSystem.faults = { sync: inNewSegment };
  const refused = await assertRejects(
    () => appendAndForce(log, small(1), large(50_000), large(50_000)),
    LayerdError,
  );
  assertEquals(refused.code, "no_space");
  fixture.fileSystem.faults = {};
  await appendAndForce(log, small(2));
  assertEquals(contents(log.read(toLsn(1))), ["incarnation", 2]);
  assertEquals(fixture.files(), ["0000000001.wal"]);
  await log.close();
});

/** ENOSPC for frames, but not for the zeros that take them back. */
function unlessZeros(_path: string, bytes: Uint8Array): string | null {
  return bytes.some((byte) => byte !== 0) ? "ENOSPC" : null;
}

/** ENOSPC for every segment but the first. */
function inNewSegment(path: string): string | null {
  return path.includes("0000000001.wal") ? null : "ENOSPC";
}

async function fill(step: () => Promise<void>): Promise<LayerdError> {
  for (let n = 0; n < 1_000; n += 1) {
    try {
      await step();
    } catch (error) {
      if (error instanceof LayerdError) return error;
      throw error;
    }
  }
  throw new Error("The log never filled up");
}
