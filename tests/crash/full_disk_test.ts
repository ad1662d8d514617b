/**
 * A disk that is full: commits are refused with `no_space`, nothing that was acknowledged is
 * lost, health names what is full, and once there is room everything goes on by itself.
 */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { create, type Problem, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean, makeRepository } from "../harness/repositories.ts";
import { report } from "../harness/scale.ts";
import { isolated, Scene } from "../harness/scene.ts";
import { makeSmallDisk, type SmallDisk } from "./small_disk.ts";

const DISK_MIB = 48;
const ROUNDS_BEFORE = 3;

interface Health {
  readonly status: string;
  readonly repositories: readonly {
    readonly name: string;
    readonly status: string;
    readonly findings: readonly { readonly code: string; readonly detail: string }[];
  }[];
}

isolated(
  "the full disk of one repository refuses its commits, shows in health, and loses nothing",
  async (scene) => {
    await onSmallDisk(scene, async (disk) => {
      await scene.start();
      const path = await makeRepository(`${disk.directory}/small`);
      await scene.register("small", path, `${path}/.git`);
      const healthy = await scene.repository();
      await scene.api.apply([create("small", "a"), create(healthy.name, "a")]);
      for (let n = 1; n <= ROUNDS_BEFORE; n++) {
        await scene.api.apply([put("small", "a", "n", `${n}`)]);
      }
      assertEquals((await health(scene)).status, "ok");

      await disk.fill(scene.daemon.pid);
      await refusedForSpace(scene, "small");
      const { status, repositories } = await health(scene);
      assertEquals(status, "degraded");
      const small = repositories.find(({ name }) => name === "small");
      assertEquals([small?.status, small?.findings.map(({ code }) => code)], [
        "suspicious",
        ["no_space"],
      ]);
      assertStringIncludes(small?.findings[0]?.detail ?? "", "Commits are refused");

      assertEquals(await scene.api.read("small", "a", "n"), `${ROUNDS_BEFORE}`);

      await disk.free();
      assertEquals((await health(scene)).status, "ok");
      await scene.api.apply([put("small", "a", "n", "after")]);
      assertEquals(await git(path, ["show", "refs/layers/a:n"]), "after");
      await assertFsckClean(path);
      assertEquals(await scene.daemon.stop(), 0);
    });
  },
);

isolated(
  "a disk that is full under state directory and repository loses nothing, through SIGKILL too",
  async (scene) => {
    const small = new Scene({ ...scene.home, stateDirectory: `${scene.path("disk")}/state` });
    await onSmallDisk(small, async (disk) => {
      await small.start();
      const path = await makeRepository(`${disk.directory}/small`);
      await small.register("small", path, `${path}/.git`);
      await small.api.apply([create("small", "a")]);
      for (let n = 1; n <= ROUNDS_BEFORE; n++) {
        await small.api.apply([put("small", "a", "n", `${n}`)]);
      }

      await disk.fill(small.daemon.pid);
      await refusedForSpace(small, "small");
      assertEquals((await health(small)).status, "degraded");
      await small.daemon.kill();
      await disk.free();
      await small.start();
      assertEquals(await small.api.read("small", "a", "n"), `${ROUNDS_BEFORE}`);
      await small.api.apply([put("small", "a", "n", "after")]);
      assertEquals(await git(path, ["show", "refs/layers/a:n"]), "after");
      assertEquals(
        await git(path, ["rev-list", "--count", "refs/layers/a"]),
        `${ROUNDS_BEFORE + 2}`,
      );
      await assertFsckClean(path);
      assertEquals(await small.daemon.stop(), 0);
    });
  },
);

/** Plays on a small disk, and ends the daemon on it. */
async function onSmallDisk(scene: Scene, play: (disk: SmallDisk) => Promise<void>): Promise<void> {
  const disk = await makeSmallDisk(scene.path("disk"), DISK_MIB);
  report(`full disk: ${disk.kind}`);
  try {
    await play(disk);
  } finally {
    await scene.kill();
    await disk.remove();
  }
}

/** Commits until one is refused; each says the same, and none is half there. */
async function refusedForSpace(scene: Scene, repository: string): Promise<void> {
  for (let n = 0; n < 3; n++) {
    const reply = await scene.api.tryApply([put(repository, "a", "n", `refused ${n}`)]);
    assert(reply.status !== 200, "a commit went through on a full disk");
    assertEquals((reply.json as Problem).code, "no_space", reply.text);
  }
}

function health(scene: Scene): Promise<Health> {
  return scene.api.get<Health>("/v1/health");
}
