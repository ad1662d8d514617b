import { assert, assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { PackedRefsFile } from "../../src/git/packed_refs_file.ts";
import { SizePad } from "../../src/git/size_pad.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";

const A = "a".repeat(40);
const B = "b".repeat(40);

async function withFile(test: (file: PackedRefsFile, path: string) => void): Promise<void> {
  const directory = await Deno.makeTempDir({ prefix: "layerd-refs-" });
  try {
    const clock = new DenoClock();
    const pad = new SizePad(clock);
    test(
      new PackedRefsFile(new DenoFileSystem(), clock, directory, pad),
      `${directory}/packed-refs`,
    );
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("PackedRefsFile.current() sees an equal stat of this second through", async () => {
  await withFile((file, path) => {
    const now = Math.floor(Date.now() / 1000);
    Deno.writeTextFileSync(path, `${A} refs/heads/a\n`);
    Deno.utimeSync(path, now, now);
    assertEquals(file.current().packed.get("refs/heads/a")?.oid as string, A);
    // In place, so that inode, size and time all stay.
    Deno.writeTextFileSync(path, `${B} refs/heads/a\n`);
    Deno.utimeSync(path, now, now);
    assertEquals(file.current().packed.get("refs/heads/a")?.oid as string, B);
  });
});

Deno.test("PackedRefsFile.current() reads an old file once, reread() always", async () => {
  await withFile((file, path) => {
    Deno.writeTextFileSync(path, `${A} refs/heads/a\n`);
    Deno.utimeSync(path, 1_000, 1_000);
    const first = file.current();
    assert(file.current() === first, "believed by its stat");
    assert(file.reread().packed === first.packed, "equal bytes stay the same object");
    Deno.writeTextFileSync(path, `${B} refs/heads/a\n`);
    Deno.utimeSync(path, 1_000, 1_000);
    assertEquals(file.current().packed.get("refs/heads/a")?.oid as string, A);
    assertEquals(file.reread().packed.get("refs/heads/a")?.oid as string, B);
  });
});

Deno.test("PackedRefsFile.current() goes on believing what we published after a reread()", async () => {
  await withFile((file, path) => {
    Deno.writeTextFileSync(path, `${A} refs/heads/a\n`);
    const read = file.reread();
    assert(file.current() !== file.current(), "a file of this second may have had a successor");
    file.published(read);
    const again = file.reread();
    assert(file.current() === again, "unchanged since it was published");
    Deno.writeTextFileSync(`${path}.x`, `${A} refs/heads/b\n`);
    Deno.renameSync(`${path}.x`, path);
    file.reread();
    assert(file.current() !== file.current(), "somebody else's file of this second");
  });
});

Deno.test("PackedRefsFile.current() notices that the file came, was replaced, went", async () => {
  await withFile((file, path) => {
    assertEquals(file.current().info, null);
    Deno.writeTextFileSync(path, `${A} refs/heads/a\n`);
    Deno.utimeSync(path, 1_000, 1_000);
    assertEquals(file.current().packed.has("refs/heads/a"), true);
    Deno.writeTextFileSync(`${path}.x`, `${A} refs/heads/b\n`);
    Deno.utimeSync(`${path}.x`, 1_000, 1_000);
    Deno.renameSync(`${path}.x`, path);
    assertEquals(file.current().packed.has("refs/heads/b"), true);
    Deno.removeSync(path);
    assertEquals(file.current().packed.has("refs/heads/b"), false);
  });
});

Deno.test("PackedRefsFile.current() throws on damage each time, also after good reads", async () => {
  await withFile((file, path) => {
    Deno.writeTextFileSync(path, `${A} refs/heads/a\n`);
    file.current();
    Deno.writeTextFileSync(path, `${A} refs/heads/a`);
    assertThrows(() => file.current(), LayerdError, "is damaged");
    assertThrows(() => file.current(), LayerdError, "is damaged");
  });
});
