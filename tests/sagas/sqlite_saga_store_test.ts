import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import type { SagaStore } from "../../src/sagas/saga_store.ts";
import { openSqliteSagaStore } from "../../src/sagas/sqlite_saga_store.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { testSagaStore } from "./store_conformance.ts";

const clock = new DenoClock();

testSagaStore("SqliteSagaStore", async () => {
  const directory = await Deno.makeTempDir({ prefix: "layerd-test-" });
  const stores: SagaStore[] = [];
  return {
    open: () => {
      const store = openSqliteSagaStore(`${directory}/sagas.sqlite`, clock);
      stores.push(store);
      return Promise.resolve(store);
    },
    letDie: () => Promise.resolve(),
    [Symbol.asyncDispose]: async () => {
      for (const store of stores) await store.close();
      await Deno.remove(directory, { recursive: true });
    },
  };
});

Deno.test("openSqliteSagaStore() refuses a damaged file and leaves it as it is", async () => {
  const directory = await Deno.makeTempDir({ prefix: "layerd-test-" });
  try {
    const path = `${directory}/sagas.sqlite`;
    const text = "no database at all, ".repeat(1_000);
    await Deno.writeTextFile(path, text);
    const error = assertThrows(() => openSqliteSagaStore(path, clock), LayerdError);
    assertEquals(error.code, "io_error");
    assertEquals(await Deno.readTextFile(path), text);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});
