import { assertEquals, assertRejects } from "@std/assert";
import { SyncPace } from "../../src/system/sync_pace.ts";

/** A disk whose syncs in place take as long as told, and the list of how each was made. */
class Disk {
  nowMs = 0;
  readonly made: string[] = [];
  readonly pace = new SyncPace(() => this.nowMs);

  sync(bytes: number, tookMs: number): Promise<void> {
    return this.pace.run(bytes, () => {
      this.made.push("in place");
      this.nowMs += tookMs;
    }, () => {
      this.made.push("aside");
      this.nowMs += tookMs;
      return Promise.resolve();
    });
  }
}

Deno.test("SyncPace makes a little sync of a quick disk in place, a large one aside", async () => {
  const disk = new Disk();
  await disk.sync(4_096, 0.2);
  await disk.sync(1024 * 1024, 30);
  await disk.sync(4_096, 0.2);
  assertEquals(disk.made, ["in place", "aside", "in place"]);
});

Deno.test("SyncPace lets a slow disk hold the thread up for a tenth of the time", async () => {
  const disk = new Disk();
  let heldMs = 0;
  for (let count = 0; count < 1_000; count++) {
    await disk.sync(4_096, 20);
    if (disk.made.at(-1) === "in place") heldMs += 20;
  }
  assertEquals(heldMs > 0 && heldMs <= disk.nowMs / 10, true, `${heldMs} of ${disk.nowMs}`);
});

Deno.test("SyncPace rejects with what a sync in place throws, and waits after a slow one", async () => {
  const disk = new Disk();
  const failing = disk.pace.run(0, () => {
    disk.nowMs += 50;
    throw new Error("EIO");
  }, () => Promise.resolve());
  await assertRejects(() => failing, Error, "EIO");
  await disk.sync(0, 1);
  assertEquals(disk.made, ["aside"]);
});
