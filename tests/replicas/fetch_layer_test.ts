/** What a replica brings over stays, and runs nothing. */
import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseRefName, parseRepositoryId, parseRepositoryName } from "../../src/core/ids.ts";
import { fetchLayer } from "../../src/replicas/fetch_layer.ts";
import { ReplicaFile } from "../../src/replicas/replica_file.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { git } from "../harness/git.ts";
import { makeRepository } from "../harness/repositories.ts";

Deno.test("fetchLayer() brings what a git gc beside it does not take, and runs no hook", async () => {
  const home = await Deno.realPath(await Deno.makeTempDir({ prefix: "layerd-test-" }));
  try {
    const place = async (name: string, id: string) => ({
      id: parseRepositoryId(id),
      name: parseRepositoryName(name),
      commonDir: `${await makeRepository(`${home}/${name}`)}/.git`,
    });
    const [from, to] = [
      await place("from", "01ARZ3NDEKTSV4RRFFQ69G0001"),
      await place("to", "01ARZ3NDEKTSV4RRFFQ69G0002"),
    ];
    const tree = await git(`${home}/from`, ["mktree"]);
    const made = await git(`${home}/from`, ["commit-tree", "-m", "only here", tree]);
    await git(`${home}/from`, ["update-ref", "refs/layers/l", made]);
    const hook = `${to.commonDir}/hooks/reference-transaction`;
    await Deno.mkdir(`${to.commonDir}/hooks`, { recursive: true });
    await Deno.writeTextFile(hook, `#!/bin/sh\ntouch ${home}/ran\n`, { mode: 0o755 });
    const incoming = parseRefName("refs/layers-sync/r/p/incoming");
    await fetchLayer(from, parseRefName("refs/layers/l"), to, incoming);
    await Deno.remove(hook);
    await git(`${home}/to`, ["gc", "-q", "--prune=now"]);
    assertEquals(await git(`${home}/to`, ["cat-file", "-t", made]), "commit");
    const names = [...Deno.readDirSync(home)].map(({ name }) => name).sort();
    assertEquals(names, ["from", "to"]);
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});

Deno.test("replicaFile.read() names a damaged file and what to do", async () => {
  const home = await Deno.makeTempDir({ prefix: "layerd-test-" });
  try {
    await Deno.writeTextFile(`${home}/replicas.json`, '{"r": ');
    const file = new ReplicaFile(new DenoFileSystem(), home);
    const error = assertThrows(() => file.read(), LayerdError, "move it away");
    assertEquals(error.code, "io_error");
  } finally {
    await Deno.remove(home, { recursive: true });
  }
});
