import { assert, assertEquals } from "@std/assert";
import { SizePad } from "../../src/git/size_pad.ts";
import type { Clock } from "../../src/system/clock.ts";
import type { FileInfo } from "../../src/system/file_system.ts";

/** Time that moves only when somebody sleeps. */
class StandingClock implements Clock {
  ms: number;
  slept = 0;
  constructor(ms: number) {
    this.ms = ms;
  }
  now(): number {
    return this.ms;
  }
  monotonic(): number {
    return this.ms;
  }
  after(): { cancel(): void } {
    throw new Error("no timers here");
  }
  sleep(delayMs: number): Promise<void> {
    assert(delayMs > 0, "a sleep of some length");
    this.ms += delayMs;
    this.slept += delayMs;
    return Promise.resolve();
  }
}

function file(size: number, modifiedMs: number): FileInfo {
  return {
    kind: "file",
    size,
    modifiedMs,
    mode: 0o644,
    uid: 0,
    gid: 0,
    device: 1,
    inode: 1,
    links: 1,
  };
}

async function sizeAfter(pad: SizePad, replaced: FileInfo, bare: number): Promise<number> {
  return bare + (await pad.next(replaced))(bare);
}

Deno.test("SizePad.next() makes the size modulo 1,024 one more than the replaced file's", async () => {
  const pad = new SizePad(new StandingClock(100_000));
  for (const [replaced, bare] of [[500, 500], [3_000, 120], [1_023, 5_000], [2_040, 2_040]]) {
    const before = file(replaced ?? 0, 1_000);
    const size = await sizeAfter(pad, before, bare ?? 0);
    assertEquals(size % 1024, (before.size + 1) % 1024);
    assert(size >= (bare ?? 0) && size < (bare ?? 0) + 1024, "a pad below 1,024");
  }
});

Deno.test("SizePad.next() avoids sizes published or seen within two seconds, then takes them again", async () => {
  const clock = new StandingClock(100_000);
  const pad = new SizePad(clock);
  pad.note(501);
  pad.note(1024 + 502);
  assertEquals(await sizeAfter(pad, file(500, 1_000), 100) % 1024, 503);
  assertEquals(await sizeAfter(pad, file(500, 1_000), 100) % 1024, 504);
  clock.ms += 2_001;
  assertEquals(await sizeAfter(pad, file(500, 1_000), 100) % 1024, 501);
});

Deno.test("SizePad.next() waits when all 1,024 sizes are taken", async () => {
  const clock = new StandingClock(100_000);
  const pad = new SizePad(clock);
  for (let size = 0; size < 1024; size++) pad.note(size);
  assertEquals(await sizeAfter(pad, file(7, 1_000), 7) % 1024, 8);
  assert(clock.slept > 2_000 && clock.slept < 2_100, `slept ${clock.slept}`);
});

Deno.test("SizePad.next() waits out the second of the file in place, once in a process", async () => {
  for (const offset of [0, 10, 500, 999]) {
    const clock = new StandingClock(100_000 + offset);
    const pad = new SizePad(clock);
    await pad.next(file(500, 100_000));
    assert(clock.ms >= 101_000, `${offset}: written at ${clock.ms}`);
    assert(clock.ms <= 101_020, `${offset}: written at ${clock.ms}`);
    const slept = clock.slept;
    await pad.next(file(501, clock.ms));
    assertEquals(clock.slept, slept);
  }
});

Deno.test("SizePad.next() waits for nothing over an old file, and at most a second over a future one", async () => {
  const clock = new StandingClock(100_500);
  await new SizePad(clock).next(file(500, 99_900));
  await new SizePad(clock).next(null);
  assertEquals(clock.slept, 0);
  await new SizePad(clock).next(file(500, 9_999_000));
  assert(clock.slept <= 1_020, `slept ${clock.slept}`);
});

Deno.test("SizePad.next() takes the kernel's late tick into account", async () => {
  // A file written now may still be stamped 99.99: the second in which it was replaced.
  const clock = new StandingClock(100_005);
  await new SizePad(clock).next(file(500, 99_990));
  assertEquals(clock.ms, 100_020);
});
