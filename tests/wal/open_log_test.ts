import { assert, assertEquals } from "@std/assert";
import { toLsn } from "../../src/core/ids.ts";
import { readFrame } from "../../src/wal/frame.ts";
import {
  appendAndForce,
  checkpoint,
  contents,
  large,
  logEndingIn,
  LogFixture,
  small,
} from "./log_fixture.ts";

const BLOCK = 4_096;

Deno.test("openLog() begins a log that has nothing but its first incarnation", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  assertEquals([...log.recovered()], []);
  assertEquals(log.incarnation, 1);
  const [first] = log.read(toLsn(1));
  assert(first?.record.kind === "incarnation");
  assertEquals(first.record.version, "1.2.3");
  await log.close();
  assertEquals(fixture.files(), ["0000000001.wal"]);
});

Deno.test("openLog() opens on a last force torn at every byte", async () => {
  using fixture = new LogFixture();
  await logEndingIn(fixture, 2, 3, 4);
  const whole = Deno.readFileSync(fixture.path(1));
  const from = 3 * BLOCK;
  const [segment] = fixture.scan().segments;
  assert(segment !== undefined);
  const ends: number[] = [];
  for (let at = from; at < segment.end;) {
    const frame = readFrame(whole, segment.seed, at);
    assert(frame !== null);
    // The padding behind the payload may be torn without harm.
    ends.push(frame.offset + 40 + frame.payload.length);
    at = frame.end;
  }
  assertEquals(ends.length, 3);
  for (let cut = from; cut <= segment.end; cut += 1) {
    Deno.writeFileSync(fixture.path(1), whole.slice().fill(0, cut));
    const expected = ["incarnation", 1, 2, 3, 4].slice(0, 2 + ends.filter((e) => e <= cut).length);
    const scan = fixture.scan();
    assertEquals(scan.lastLsn, toLsn(expected.length), `cut at ${cut}`);
    assert(["clean", "torn"].includes(scan.verdict.kind), `cut at ${cut}: ${scan.verdict.kind}`);
    if (cut % 13 !== 0) continue;
    const log = await fixture.open();
    assertEquals(contents(log.recovered()), expected, `cut at ${cut}`);
    await appendAndForce(log, small(9));
    await log.close();
    assertEquals(fixture.scan().verdict, { kind: "clean" });
  }
});

Deno.test("openLog() opens on a last force with any of its blocks missing", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  await appendAndForce(log, large(3_000), large(3_000), large(3_000));
  await log.close();
  const whole = Deno.readFileSync(fixture.path(1));
  for (let written = 0; written < 8; written += 1) {
    for (const name of fixture.files()) Deno.removeSync(`${fixture.directory}/${name}`);
    const bytes = whole.slice();
    for (const block of [0, 1, 2]) {
      if ((written & (1 << block)) !== 0) continue;
      bytes.fill(0, (2 + block) * BLOCK, (3 + block) * BLOCK);
    }
    Deno.writeFileSync(fixture.path(1), bytes);
    const again = await fixture.open();
    const found = contents(again.recovered());
    // The first frame fills most of block 0, the second reaches into 1, the third into 2.
    const complete = [0, 1, 0, 2, 0, 1, 0, 3][written] ?? 0;
    assertEquals(found.length, 1 + complete, `blocks ${written}`);
    const isKept = fixture.files().some((name) => name.endsWith(".broken"));
    assertEquals(isKept, ![0, 7].includes(written), "what was cut is kept");
    await again.close();
  }
});

Deno.test("openLog() keeps what a torn end held before it cuts it", async () => {
  using fixture = new LogFixture();
  await logEndingIn(fixture, 2);
  fixture.edit(1, (bytes) => bytes[3 * BLOCK + 44] = 0xff);
  const damaged = Deno.readFileSync(fixture.path(1));
  const log = await fixture.open();
  assertEquals(contents(log.recovered()), ["incarnation", 1]);
  await log.close();
  assert(fixture.files().includes("0000000001.wal.broken"));
  const kept = Deno.readFileSync(`${fixture.path(1)}.broken`);
  assertEquals(kept, damaged.subarray(0, kept.length));
  assert(kept.length > 3 * BLOCK + 44);

  fixture.edit(1, (bytes) => bytes[3 * BLOCK + 44] = 0xff);
  await (await fixture.open()).close();
  assert(fixture.files().includes("0000000001.wal.broken.2"));
});

Deno.test("openLog() takes no harm from damage in the padding between forces", async () => {
  using fixture = new LogFixture();
  await logEndingIn(fixture, 2);
  const end = 2 * BLOCK + 200;
  fixture.edit(1, (bytes) => bytes.fill(0xa5, end, 3 * BLOCK));
  const log = await fixture.open();
  assertEquals(contents(log.recovered()), ["incarnation", 1, 2]);
  await log.close();
});

Deno.test("openLog() cuts a torn force that reached over into the next segment", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  const before = ["incarnation", 7];
  await appendAndForce(log, small(7));
  await appendAndForce(log, large(40_000), large(40_000), small(8));
  await log.close();
  fixture.edit(1, (bytes) => bytes[3 * BLOCK + 100] = 0);
  assertEquals(fixture.scan().verdict.kind, "torn");
  const again = await fixture.open();
  assertEquals(contents(again.recovered()), before);
  const broken = fixture.files().filter((name) => name.endsWith(".broken"));
  assertEquals(broken, ["0000000001.wal.broken", "0000000002.wal.broken"]);
  await appendAndForce(again, small(9));
  await again.close();
  const third = await fixture.open();
  assertEquals(contents(third.recovered()), [...before, "incarnation", 9]);
  await third.close();
});

Deno.test("openLog() writes a short segment, and the log goes on in a whole one", async () => {
  using fixture = new LogFixture();
  fixture.sizes = { segmentBytes: 256 * 1024, reserveBytes: 8 * 1024 };
  const sizes = () =>
    fixture.files().map((name) => Deno.statSync(fixture.directory + `/${name}`).size);
  let log = await fixture.open();
  assertEquals(sizes(), [32 * 1024]);
  for (let n = 0; n < 20; n += 1) await appendAndForce(log, large(4_000), small(n));
  await log.close();
  assertEquals(sizes().slice(0, 2), [32 * 1024, 256 * 1024]);
  for (let start = 0; start < 2; start++) {
    log = await fixture.open();
    assertEquals(contents(log.recovered()).filter((one) => typeof one === "number").length, 20);
    await log.close();
  }
});

Deno.test("openLog() accepts a segment that was prepared and never used", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  let count = 0;
  while (log.status().segments < 2 && count < 12) await appendAndForce(log, small(count++));
  await log.close();
  const unused = fixture.scan().segments.filter((segment) => segment.frames === 0);
  assertEquals(unused.length, 1, "one was prepared ahead");
  const again = await fixture.open();
  for (let n = count; n < 20; n += 1) await appendAndForce(again, small(n));
  await again.close();
  const third = await fixture.open();
  assertEquals(contents(third.recovered()).filter((c) => c !== "incarnation").length, 20);
  await third.close();
});

Deno.test("openLog() removes what interrupted work left: unfinished and released segments", async () => {
  using fixture = new LogFixture();
  const log = await fixture.open();
  for (let n = 0; n < 25; n += 1) await appendAndForce(log, small(n), large(6_000));
  const redo = log.status().lastLsn + 1;
  await appendAndForce(log, checkpoint(redo));
  // Of the segments that are not needed any more, one in the middle went first.
  Deno.removeSync(fixture.path(2));
  await log.close();
  Deno.writeFileSync(`${fixture.path(9)}.tmp`, new Uint8Array(5));
  const again = await fixture.open();
  assertEquals(contents(again.recovered()), ["checkpoint"]);
  assert(!fixture.files().includes("0000000001.wal"));
  // Another one may be in the making: that of the segment that comes next.
  assert(!fixture.files().includes("0000000009.wal.tmp"));
  await again.close();
});

Deno.test("openLog() raises the incarnation each time, also in a log torn to nothing", async () => {
  using fixture = new LogFixture();
  await (await fixture.open()).close();
  fixture.edit(1, (bytes) => bytes.fill(0, BLOCK));
  for (const expected of [1, 2, 3]) {
    const log = await fixture.open();
    assertEquals(log.incarnation, expected);
    await log.close();
  }
});
