import { assertEquals, assertNotEquals } from "@std/assert";
import { parseLogId } from "../../src/core/ids.ts";
import {
  checksumSeed,
  findFrames,
  type Frame,
  frameAfter,
  frameBytes,
  readFrame,
  writeFrame,
} from "../../src/wal/frame.ts";

const LOG = parseLogId("01JD0000000000000000000000");
const SEED = checksumSeed(LOG, 7);
const OFFSET = 4_096;

function frame(lsn: number, text: string): Frame {
  const payload = new TextEncoder().encode(text);
  return { type: 1, lsn, durableLsn: lsn - 1, incarnation: 3, payload };
}

function segmentWith(...frames: [offset: number, frame: Frame][]): Uint8Array {
  const bytes = new Uint8Array(16_384);
  for (const [offset, value] of frames) writeFrame(bytes, offset, SEED, offset, value);
  return bytes;
}

Deno.test("readFrame() reads what writeFrame() wrote, at every payload length", () => {
  for (let length = 0; length < 40; length += 1) {
    const written = frame(2 ** 40 + length, "x".repeat(length));
    const read = readFrame(segmentWith([OFFSET, written]), SEED, OFFSET);
    assertEquals(read, { ...written, offset: OFFSET, end: OFFSET + frameBytes(length) });
  }
});

Deno.test("readFrame() refuses a frame with any one bit flipped", () => {
  const whole = segmentWith([OFFSET, frame(9, "payload")]);
  for (let bit = 0; bit < (40 + "payload".length) * 8; bit += 1) {
    const bytes = whole.slice();
    const at = OFFSET + (bit >> 3);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (bit & 7));
    assertEquals(readFrame(bytes, SEED, OFFSET), null, `bit ${bit}`);
  }
});

Deno.test("readFrame() refuses a frame from another log, segment or offset", () => {
  const bytes = segmentWith([OFFSET, frame(9, "payload")]);
  const otherLog = parseLogId("01JD0000000000000000000001");
  assertEquals(readFrame(bytes, checksumSeed(otherLog, 7), OFFSET), null);
  assertEquals(readFrame(bytes, checksumSeed(LOG, 8), OFFSET), null);
  bytes.copyWithin(OFFSET + 4_096, OFFSET, OFFSET + 4_096);
  assertEquals(readFrame(bytes, SEED, OFFSET + 4_096), null);
  assertNotEquals(readFrame(bytes, SEED, OFFSET), null);
});

Deno.test("readFrame() bounds the length by what is left of the file", () => {
  const bytes = segmentWith([OFFSET, frame(9, "payload")]);
  new DataView(bytes.buffer).setUint32(OFFSET + 8, 0xffff_ffff, true);
  assertEquals(readFrame(bytes, SEED, OFFSET), null);
  const short = segmentWith([OFFSET, frame(9, "payload")]).slice(0, OFFSET + 20);
  assertEquals(readFrame(short, SEED, OFFSET), null);
});

Deno.test("frameAfter() finds the next LSN directly behind or on the next boundary", () => {
  const end = OFFSET + frameBytes(1);
  const behind = segmentWith([OFFSET, frame(1, "a")], [end, frame(2, "b")]);
  assertEquals(frameAfter(behind, SEED, end, 2)?.offset, end);
  assertEquals(frameAfter(behind, SEED, end, 3), null);
  const bytes = segmentWith([OFFSET, frame(1, "a")], [2 * OFFSET, frame(2, "b")]);
  bytes.fill(0x5a, end, 2 * OFFSET);
  assertEquals(frameAfter(bytes, SEED, end, 2)?.offset, 2 * OFFSET, "padding does not matter");
});

Deno.test("findFrames() finds the frames behind damage and tells zeros from bytes", () => {
  assertEquals(findFrames(new Uint8Array(8_192), SEED, OFFSET), { used: false, frames: [] });
  const end = OFFSET + frameBytes(1);
  const bytes = segmentWith([OFFSET, frame(1, "a")], [end, frame(2, "b")], [8_192, frame(3, "")]);
  bytes[OFFSET + 3] = 0;
  const found = findFrames(bytes, SEED, OFFSET);
  assertEquals(found.used, true);
  assertEquals(found.frames.map((f) => f.lsn), [2, 3]);
  const odd = new Uint8Array(8_195);
  odd[8_194] = 1;
  assertEquals(findFrames(odd, SEED, OFFSET).used, true);
});
