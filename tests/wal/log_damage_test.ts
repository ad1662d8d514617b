import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { toLsn } from "../../src/core/ids.ts";
import { readFrame, writeFrame } from "../../src/wal/frame.ts";
import { listFrames } from "../../src/wal/list_frames.ts";
import { appendAndForce, contents, large, logEndingIn, LogFixture, small } from "./log_fixture.ts";

const BLOCK = 4_096;

async function refusal(fixture: LogFixture): Promise<string> {
  const before = fixture.files();
  const error = await assertRejects(() => fixture.open(), LayerdError);
  assertEquals(error.code, "io_error");
  assertEquals(fixture.files(), before, "a refused open changes nothing");
  return error.message;
}

Deno.test("openLog() refuses a flipped bit in a record that was durable, and names the place", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  for (let n = 1; n <= 4; n += 1) await appendAndForce(log, small(n), small(n * 10));
  await log.close();
  // The third force but one: every byte of its first frame, up to the payload's end.
  const offset = 3 * BLOCK;
  const [segment] = fixture.scan().segments;
  const frame = readFrame(Deno.readFileSync(fixture.path(1)), segment?.seed ?? 0, offset);
  assert(frame !== null);
  for (let at = offset; at < offset + 40 + frame.payload.length; at += 1) {
    const flip = (bytes: Uint8Array) => bytes[at] = (bytes[at] ?? 0) ^ 0x10;
    fixture.edit(1, flip);
    const { verdict } = fixture.scan();
    assert(verdict.kind === "damaged", `byte ${at}: ${verdict.kind}`);
    assertEquals(verdict.at.path, fixture.path(1));
    // The scan says where the last good frame ended.
    assert(verdict.at.offset > 2 * BLOCK && verdict.at.offset <= offset);
    fixture.edit(1, flip);
  }
  fixture.edit(1, (bytes) => bytes[offset + 20] = 0xee);
  const message = await refusal(fixture);
  assertStringIncludes(message, fixture.path(1));
  assertStringIncludes(message, "at offset");
  assertStringIncludes(message, "layerd doctor");
  const saved = Array.from(listFrames(fixture.fileSystem, fixture.scan()), (f) => f.lsn);
  assertEquals(saved, [1, 2, 3, 5, 6, 7, 8, 9], "everything but the damaged record");
});

Deno.test("openLog() refuses damage to the last force that a single later one vouches for", async () => {
  using fixture = new LogFixture();
  await logEndingIn(fixture, 2);
  const log = await fixture.open();
  await appendAndForce(log, small(3));
  await log.close();
  // Blocks 1 to 5: incarnation, 1, 2, incarnation, 3.
  fixture.edit(1, (bytes) => bytes.fill(0, 4 * BLOCK, 5 * BLOCK));
  assertStringIncludes(await refusal(fixture), "record 4 is missing");
});

/** Fills three segments and a bit. */
async function longLog(fixture: LogFixture): Promise<(number | string)[]> {
  const log = await fixture.open();
  for (let n = 0; n < 25; n += 1) await appendAndForce(log, small(n), large(6_000));
  assert(log.status().segments >= 4);
  const all = contents(log.read(toLsn(1)));
  await log.close();
  return all;
}

Deno.test("openLog() refuses a flipped bit in an older segment", async () => {
  using fixture = new LogFixture();
  await longLog(fixture);
  fixture.edit(2, (bytes) => bytes[5 * BLOCK + 60] = 0x77);
  assertStringIncludes(await refusal(fixture), "0000000002.wal");
});

Deno.test("openLog() refuses a missing middle segment", async () => {
  using fixture = new LogFixture();
  await longLog(fixture);
  Deno.removeSync(fixture.path(2));
  assertStringIncludes(await refusal(fixture), "missing");
});

Deno.test("openLog() refuses a missing first segment", async () => {
  using fixture = new LogFixture();
  await longLog(fixture);
  Deno.removeSync(fixture.path(1));
  assertStringIncludes(await refusal(fixture), "segment 1");
});

Deno.test("openLog() refuses swapped segments", async () => {
  using fixture = new LogFixture();
  await longLog(fixture);
  Deno.renameSync(fixture.path(2), `${fixture.directory}/x`);
  Deno.renameSync(fixture.path(3), fixture.path(2));
  Deno.renameSync(`${fixture.directory}/x`, fixture.path(3));
  assertStringIncludes(await refusal(fixture), "its header says that it is segment 3");
});

Deno.test("openLog() refuses an old copy of a segment that went on since", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  await appendAndForce(log, small(1));
  const old = Deno.readFileSync(fixture.path(1));
  for (let n = 0; n < 25; n += 1) await appendAndForce(log, small(n), large(6_000));
  await log.close();
  Deno.writeFileSync(fixture.path(1), old);
  assertStringIncludes(await refusal(fixture), "0000000001.wal is damaged at offset");
});

Deno.test("openLog() refuses a segment of another log", async () => {
  using fixture = new LogFixture();
  using other = new LogFixture();
  await longLog(fixture);
  await longLog(other);
  Deno.copyFileSync(other.path(3), fixture.path(3));
  assertStringIncludes(await refusal(fixture), "it belongs to log");
});

Deno.test("openLog() refuses a header with any byte changed", async () => {
  using fixture = new LogFixture();
  await logEndingIn(fixture, 2);
  for (let at = 0; at < 64; at += 1) {
    const flip = (bytes: Uint8Array) => bytes[at] = (bytes[at] ?? 0) ^ 1;
    fixture.edit(1, flip);
    assertEquals(fixture.scan().verdict.kind, "damaged", `byte ${at}`);
    fixture.edit(1, flip);
  }
  assertEquals(fixture.scan().verdict.kind, "clean");
});

Deno.test("openLog() names a log format version that it cannot read", async () => {
  using fixture = new LogFixture();
  await logEndingIn(fixture, 2);
  const { crc32 } = await import("node:zlib");
  fixture.edit(1, (bytes) => {
    const view = new DataView(bytes.buffer);
    view.setUint32(8, 2, true);
    view.setUint32(12, crc32(bytes.subarray(16, 64), crc32(bytes.subarray(0, 12))), true);
  });
  assertStringIncludes(await refusal(fixture), "log format version 2");
});

Deno.test("openLog() names a record type that it cannot read", async () => {
  using fixture = new LogFixture();
  await logEndingIn(fixture, 2);
  const [segment] = fixture.scan().segments;
  const payload = new TextEncoder().encode("from the future");
  const frame = { type: 9, lsn: 4, durableLsn: 3, incarnation: 1, payload };
  fixture.edit(1, (bytes) => writeFrame(bytes, 4 * BLOCK, segment?.seed ?? 0, 4 * BLOCK, frame));
  assertStringIncludes(await refusal(fixture), "type 9");
});
