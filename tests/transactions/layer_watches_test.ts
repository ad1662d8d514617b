import { assert, assertEquals } from "@std/assert";
import {
  parseObjectId,
  parseRefName,
  parseRepositoryId,
  parseRepositoryName,
} from "../../src/core/ids.ts";
import type { RefEdit } from "../../src/core/ref_edit.ts";
import type { Timer } from "../../src/system/clock.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { RingEventBus } from "../../src/transactions/event_bus.ts";
import { LayerWatches } from "../../src/transactions/layer_watches.ts";

/** Rounds begin, and time passes, when the test says so. */
class HandClock extends DenoClock {
  time = 0;
  #due: (() => void) | null = null;
  override monotonic(): number {
    return this.time;
  }
  override after(_delayMs: number, callback: () => void): Timer {
    this.#due = callback;
    return { cancel: () => this.#due = null };
  }
  round(): void {
    const due = this.#due;
    this.#due = null;
    due?.();
  }
}

const CHANGE: RefEdit = {
  ref: parseRefName("refs/layers/a"),
  old: null,
  new: parseObjectId("1".repeat(40)),
};

/** So many repositories, and which of them each round looks at. */
function watched(count: number) {
  const clock = new HandClock();
  const watches = new LayerWatches(new RingEventBus({ clock, incarnation: 1 }), clock);
  let looked: number[] = [];
  const reports: ((change: RefEdit) => void)[] = [];
  const repositories = Array.from({ length: count }, (_, number) => ({
    id: parseRepositoryId(`01ARZ3NDEKTSV4RRFFQ69G${String(number).padStart(4, "0")}`),
    name: parseRepositoryName(`r${number}`),
    watchLayers: (report: (change: RefEdit) => void) => {
      reports.push(report);
      return { look: () => void looked.push(number), close: () => {} };
    },
  }));
  for (const repository of repositories) watches.start(repository);
  const round = () => {
    looked = [];
    clock.round();
    return looked;
  };
  return { clock, watches, repositories, round, changed: (at: number) => reports[at]?.(CHANGE) };
}

Deno.test("layerWatches looks at few repositories in every round, at many in turn", () => {
  const few = watched(64);
  assertEquals(few.round().length, 64);
  assertEquals(few.round().length, 64);

  const many = watched(200);
  const rounds = Array.from({ length: 4 }, () => many.round());
  assert(rounds.every((looked) => looked.length === 64));
  assertEquals(new Set(rounds.flat()).size, 200);
});

Deno.test("layerWatches looks at repositories that changed lately in each of many rounds", () => {
  const { clock, round, changed } = watched(500);
  for (let at = 100; at < 200; at++) changed(at);
  const rounds = Array.from({ length: 16 }, () => round());
  assertEquals(new Set(rounds.flat()).size, 500);
  const often = rounds.flat().filter((at) => at >= 100 && at < 200).length / 100;
  const seldom = rounds.flat().filter((at) => at < 100).length / 100;
  assert(often > seldom * 2, `${often} looks at what changed, ${seldom} at what did not`);
  clock.time = 60_000;
  assertEquals(new Set(Array.from({ length: 8 }, () => round()).flat()).size, 500);
});

Deno.test("layerWatches ends its rounds with the last repository", () => {
  const { watches, repositories, round } = watched(2);
  for (const { id } of repositories) watches.stop(id);
  assertEquals(round(), []);
});
