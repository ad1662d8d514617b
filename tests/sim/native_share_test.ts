import { assert, assertEquals } from "@std/assert";
import { parseTransactionId } from "../../src/core/ids.ts";
import { create, put } from "./model.ts";
import { BEGIN, freshImage, Stage } from "./stage.ts";

const LAYERS = ["a", "b", "c", "d", "e", "f"];

Deno.test("prepares leave native git its share of packed-refs.lock, as commits do", async () => {
  const stage = new Stage(await freshImage("journaled", ["app"]), { seed: 1 });
  const { machine } = stage;
  await machine.boot();
  await stage.register("app");
  await stage.commit(...LAYERS.map((name) => create("app", name)));
  const { manager } = machine.engine;
  const begun = await stage.wait(
    Promise.all(
      LAYERS.map((name) =>
        manager.begin({ ...BEGIN, operations: [put("app", name, "f", name).operation] })
      ),
    ),
  );
  const holds: { from: number; to: number }[] = [];
  machine.beforeCall = ({ name, path }) => {
    if (path !== "/app/packed-refs.lock") return;
    const now = machine.clock.now();
    if (name === "link") holds.push({ from: now, to: now });
    const last = holds.at(-1);
    if (name === "unlink" && last) last.to = now;
  };
  await stage.wait(Promise.all(begun.map(({ id }) => manager.prepare(parseTransactionId(id)))));
  assertEquals(holds.length, LAYERS.length);
  holds.reduce((one, next) => {
    const [held, free] = [one.to - one.from, next.from - one.to];
    assert(held > 0 && free >= held / 2, `held ${held} ms, then free for ${free} ms`);
    return next;
  });
  await machine.stop();
});
