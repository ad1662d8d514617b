import { assert, assertEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import type { Materialized, WantedView } from "../../src/core/materialization.ts";
import { objectId } from "../../src/git/object_codec.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { materialize } from "../../src/views/materialize.ts";

const fileSystem = new DenoFileSystem();

type Wanted = Readonly<Record<string, string | { readonly text: string; readonly mode: string }>>;

function view(wanted: Wanted): WantedView {
  const files = Object.entries(wanted).map(([path, file]) => {
    const { text, mode } = typeof file === "string" ? { text: file, mode: "100644" } : file;
    const bytes = new TextEncoder().encode(text);
    return { path, mode, bytes, oid: objectId("blob", bytes) };
  });
  return {
    source: { stack: "s" },
    files,
    content: (path) => {
      const found = files.find((file) => file.path === path);
      return found ? Promise.resolve(found.bytes) : Promise.reject(new Error(path));
    },
  };
}

class Place {
  constructor(readonly directory: string) {}

  get target(): string {
    return `${this.directory}/config`;
  }

  write(wanted: Wanted): Promise<Materialized> {
    return materialize(fileSystem, this.target, view(wanted));
  }

  text(path: string): Promise<string> {
    return Deno.readTextFile(`${this.target}/${path}`);
  }

  async store(): Promise<string[]> {
    const names = [];
    for await (const { name } of Deno.readDir(`${this.directory}/.config.layerd`)) names.push(name);
    return names.sort();
  }
}

/** ~/.config is missing on a new machine. */
Deno.test("materialize() makes the directories above the target", async () => {
  const directory = await Deno.makeTempDir({ prefix: "layerd-view-" });
  try {
    const place = new Place(`${directory}/not/yet`);
    assertEquals((await place.write({ a: "1" })).kind, "written");
    assertEquals(await place.text("a"), "1");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

function test(name: string, play: (place: Place) => Promise<void>): void {
  Deno.test(`materialize() ${name}`, async () => {
    const directory = await Deno.makeTempDir({ prefix: "layerd-view-" });
    try {
      await play(new Place(directory));
    } finally {
      await Deno.remove(directory, { recursive: true });
    }
  });
}

test("writes files, modes and links, and switches by one link", async (place) => {
  const first = {
    "a": "1",
    "d/e/b": { text: "#!", mode: "100755" },
    "l": { text: "a", mode: "120000" },
  };
  const done = await place.write(first);
  assertEquals([done.kind, "written" in done && done.written], ["written", 3]);
  assertEquals(await place.text("l"), "1");
  assertEquals((await Deno.stat(`${place.target}/d/e/b`)).mode ?? 0 & 0o111, 0o100755);
  assertEquals(await Deno.readLink(place.target), ".config.layerd/v1");
  assertEquals((await place.write(first)).kind, "unchanged");
  assertEquals(await place.store(), ["lock", "v1", "v1.json"]);
});

test("shares unchanged files and keeps one version before", async (place) => {
  await place.write({ a: "1", b: "1" });
  const inode = async () => (await Deno.stat(`${place.target}/a`)).ino;
  const before = await inode();
  const done = await place.write({ a: "1", b: "2", c: "3" });
  assert(done.kind === "written");
  assertEquals([done.written, done.linked, done.removed], [2, 1, 0]);
  assertEquals(await inode(), before);
  await place.write({ a: "1" });
  assertEquals(await place.store(), ["lock", "v2", "v2.json", "v3", "v3.json"]);
});

test("reports edits by hand and overwrites none", async (place) => {
  await place.write({ a: "1", b: "1", c: "1", gone: "1" });
  await Deno.writeTextFile(`${place.target}/a`, "mine");
  await Deno.writeTextFile(`${place.target}/new`, "mine");
  await Deno.remove(`${place.target}/c`);
  const done = await place.write({ a: "2", b: "2", c: "1" });
  assertEquals(done, {
    kind: "edited",
    edits: [
      { path: "a", change: "modified" },
      { path: "c", change: "deleted" },
      { path: "new", change: "added" },
    ],
  });
  assertEquals([await place.text("a"), await place.text("b")], ["mine", "1"]);
  // Taken into a layer, the edits are what is wanted; what was deleted is put back.
  const merged = await place.write({ a: "mine", b: "2", c: "1", new: "mine" });
  assert(merged.kind === "written");
  assertEquals(merged.restored, ["c"]);
  assertEquals([await place.text("a"), await place.text("c")], ["mine", "1"]);
});

test("refuses a target that it did not write, and a marker that it cannot read", async (place) => {
  await Deno.mkdir(place.target);
  assertEquals((await place.write({ a: "1" })).kind, "refused");
  await Deno.remove(place.target);
  await Deno.symlink("/etc", place.target);
  assertEquals((await place.write({ a: "1" })).kind, "refused");
  await Deno.remove(place.target);
  await place.write({ a: "1" });
  await Deno.writeTextFile(`${place.directory}/.config.layerd/v1.json`, "{}");
  assertEquals((await place.write({ a: "2" })).kind, "refused");
  assertEquals(await place.text("a"), "1");
});

test("refuses paths that lead out and writes nothing", async (place) => {
  for (const path of ["../x", "a/../../x", "/x", ".git/config"]) {
    await assertRejects(() => place.write({ [path]: "1" }), LayerdError);
  }
  assertEquals([...Deno.readDirSync(place.directory)], []);
});

test("clears what a killed run left", async (place) => {
  await place.write({ a: "1" });
  const store = `${place.directory}/.config.layerd`;
  await Deno.mkdir(`${store}/v2.tmp/d`, { recursive: true });
  await Deno.writeTextFile(`${store}/v2.tmp/d/half`, "");
  await Deno.writeTextFile(`${store}/v2.json`, "half");
  await Deno.symlink(".config.layerd/v9", `${store}/next`);
  await place.write({ a: "2" });
  assertEquals(await place.text("a"), "2");
  assertEquals((await place.store()).filter((name) => /tmp|next/.test(name)), []);
});

test("is refused while another one writes", async (place) => {
  await place.write({ a: "1" });
  const lock = await Deno.open(`${place.directory}/.config.layerd/lock`, { write: true });
  try {
    await lock.lock(true);
    assertEquals((await place.write({ a: "2" })).kind, "refused");
  } finally {
    lock.close();
  }
});
