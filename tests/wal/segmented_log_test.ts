import { assert, assertEquals, assertThrows } from "@std/assert";
import { toLsn } from "../../src/core/ids.ts";
import {
  appendAndForce,
  applied,
  checkpoint,
  contents,
  large,
  LogFixture,
  small,
} from "./log_fixture.ts";

Deno.test("log.append() and force() keep every record in order over many segments", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  const expected: (number | string)[] = ["incarnation"];
  for (let n = 0; n < 60; n += 1) {
    const records = [small(n), large(n * 100), applied()];
    await appendAndForce(log, ...records);
    expected.push(n, "repository_added", "applied");
  }
  assert(log.status().segments > 3, `only ${log.status().segments} segments`);
  assertEquals(contents(log.read(toLsn(1))), expected);
  assertEquals(contents(log.read(toLsn(179))), expected.slice(178));
  await log.close();

  const again = await fixture.open();
  assertEquals(again.logId, log.logId);
  assertEquals(again.incarnation, 2);
  const recovered = [...again.recovered()];
  assertEquals(contents(recovered), expected);
  assertEquals(recovered.map((entry) => entry.lsn), expected.map((_, index) => toLsn(index + 1)));
  assertEquals(recovered[2]?.record, large(0));
  assertEquals(again.status().durableLsn, toLsn(182));
  await again.close();
});

Deno.test("log.force() calls that overlap share an fdatasync", async () => {
  using fixture = new LogFixture();
  fixture.sizes = { segmentBytes: 1024 * 1024, reserveBytes: 256 * 1024 };
  const log = await fixture.open();
  const { synced } = fixture.fileSystem;
  synced.length = 0;
  const first = Array.from({ length: 20 }, (_, n) => appendAndForce(log, small(n)));
  await Promise.all(first);
  assertEquals(synced.length, 1, "one synchronous run is one force");

  synced.length = 0;
  const flights: Promise<void>[] = [appendAndForce(log, small(100))];
  await Promise.resolve();
  await Promise.resolve();
  // The first force is under way; these gather for the second.
  for (let n = 0; n < 20; n += 1) flights.push(appendAndForce(log, small(n)));
  await Promise.all(flights);
  assertEquals(synced.length, 2);
  assertEquals(log.status().durableLsn, toLsn(42));
  await log.close();
});

Deno.test("log.force() resolves at once when nothing waits, and with the force in flight", async () => {
  using fixture = new LogFixture();
  fixture.sizes = { segmentBytes: 1024 * 1024, reserveBytes: 256 * 1024 };
  const log = await fixture.open();
  const { synced } = fixture.fileSystem;
  synced.length = 0;
  await log.force();
  assertEquals(synced.length, 0);
  const forced = appendAndForce(log, small(1));
  await Promise.resolve();
  await Promise.resolve();
  await log.force();
  assertEquals(log.status().durableLsn, toLsn(2));
  await forced;
  assertEquals(synced.length, 1);
  await log.close();
});

Deno.test("log.force() again and again from the completion of the one before", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  for (let n = 0; n < 50; n += 1) {
    log.append(small(n));
    await log.force().then(() => log.append(small(n)));
    await log.force();
  }
  assertEquals(log.status().durableLsn, toLsn(101));
  await log.close();
});

Deno.test("log.append() puts a record larger than a segment into one of its own", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  await appendAndForce(log, small(1), large(300_000), small(2));
  await appendAndForce(log, small(3));
  const expected = ["incarnation", 1, "repository_added", 2, 3];
  assertEquals(contents(log.read(toLsn(1))), expected);
  await log.close();
  const again = await fixture.open();
  assertEquals(contents(again.recovered()), expected);
  await again.close();
});

Deno.test("log.append() refuses a record above the limit", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  const error = assertThrows(() => log.append(large(64 * 1024 * 1024)));
  assert("code" in error && error.code === "payload_too_large");
  await appendAndForce(log, small(1));
  assertEquals(log.status().lastLsn, toLsn(2));
  await log.close();
});

Deno.test("log.releaseBefore() drops segments, and reopening starts at the redo position", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  for (let n = 0; n < 40; n += 1) await appendAndForce(log, small(n), large(6_000));
  const before = log.status();
  const redo = before.lastLsn + 1;
  await appendAndForce(log, small(1_000), checkpoint(redo), small(1_001));
  await log.releaseBefore(toLsn(redo));
  const after = log.status();
  assert(after.segments < before.segments && after.bytes < before.bytes);
  assertEquals(after.checkpointLsn, toLsn(redo));
  assertEquals(after.bytesSinceCheckpoint, 4_096);
  assertEquals(fixture.files().length, after.segments);
  await log.close();

  const again = await fixture.open();
  assertEquals(contents(again.recovered()), [1_000, "checkpoint", 1_001]);
  assertEquals(again.incarnation, 2, "also when the record of the first was released");
  assertEquals(again.status().checkpointLsn, toLsn(redo));
  await appendAndForce(again, small(1_002));
  await again.close();
  const third = await fixture.open();
  const expected = [1_000, "checkpoint", 1_001, "incarnation", 1_002];
  assertEquals(contents(third.recovered()), expected);
  await third.close();
});

Deno.test("log.releaseBefore() refuses to drop what the last checkpoint needs", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  await appendAndForce(log, small(1), checkpoint(2));
  let message = "";
  await log.releaseBefore(toLsn(3)).catch((error: Error) => message = error.message);
  assert(message.startsWith("BUG:"), message);
  await log.close();
});

Deno.test("log.bytesSinceCheckpoint counts from the redo position of the last checkpoint", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  assertEquals(log.status().bytesSinceCheckpoint, 4_096);
  await appendAndForce(log, small(1));
  await appendAndForce(log, small(2));
  assertEquals(log.status().bytesSinceCheckpoint, 3 * 4_096);
  await appendAndForce(log, checkpoint(3));
  assertEquals(log.status().bytesSinceCheckpoint, 2 * 4_096);
  await log.close();
});
