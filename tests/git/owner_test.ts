import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { parseLogId } from "../../src/core/ids.ts";
import { resolveLayout } from "../../src/git/gate.ts";
import { claimRepository, type ClaimRequest, type OwnerClaim } from "../../src/git/owner.ts";
import { readPosition } from "../../src/git/position.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { FileSystemError } from "../../src/system/file_system.ts";
import { makeBareRepository } from "../harness/repositories.ts";
import { clock, fileSystem, inScene, random } from "./repository_scene.ts";

function claim(path: string, request: ClaimRequest): Promise<OwnerClaim> {
  return claimRepository(fileSystem, resolveLayout(fileSystem, path), request);
}

function daemon(changes: Partial<ClaimRequest> = {}): ClaimRequest {
  return {
    random,
    nowMs: clock.now(),
    logId: parseLogId(random.ulid(clock.now())),
    stateDirectory: "/var/lib/first",
    pid: 4711,
    incarnation: 1,
    lastLsn: 10,
    adopt: false,
    expected: null,
    ...changes,
  };
}

async function refusal(path: string, request: ClaimRequest): Promise<LayerdError> {
  const error = await assertRejects(async () => {
    await (await claim(path, request)).release();
  }, LayerdError);
  assertEquals(error.code, "repository_owned");
  return error;
}

/** Gives the lock up as a killed process does: without a word in `position`. */
function kill(path: string, owned: OwnerClaim): Promise<void> {
  const position = Deno.readFileSync(`${path}/layerd/position`);
  return owned.release().then(() => Deno.writeFile(`${path}/layerd/position`, position));
}

Deno.test("claimRepository() makes an owner file that the same log finds again", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    const request = daemon();
    const first = await claim(path, request);
    const info = fileSystem.lstat(first.path);
    assertEquals([info.inode, info.links], [first.inode, 1]);
    assertEquals(
      await Deno.readTextFile(first.path),
      `layerd owner 1\nlog ${request.logId}\nrepository ${first.repositoryId}\n`,
    );
    await kill(path, first);
    const second = await claim(path, { ...request, incarnation: 2, lastLsn: 12 });
    assertEquals([second.repositoryId, second.inode], [first.repositoryId, first.inode]);
    assertEquals(second.recordedPath, path);
    await second.release();
    assertEquals([...Deno.readDirSync(`${path}/layerd/tmp`)], []);
  });
});

Deno.test("claimRepository() names pid and state directory of the daemon that serves it", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    const owned = await claim(path, daemon());
    for (const adopt of [false, true]) {
      const error = await refusal(path, daemon({ adopt }));
      assertEquals(error.details.reason, "served");
      assert(error.message.includes("pid 4711") && error.message.includes("/var/lib/first"));
    }
    await owned.release();
  });
});

Deno.test("claimRepository() refuses another log's repository until it is released or adopted", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    const first = await claim(path, daemon());
    await kill(path, first);
    const error = await refusal(path, daemon());
    assertEquals(error.details.reason, "foreign_log");
    assert(error.message.includes("/var/lib/first"));
    const adopted = await claim(path, daemon({ adopt: true }));
    assertNotEquals(adopted.repositoryId, first.repositoryId);
    assertNotEquals(adopted.inode, first.inode);
    await adopted.release();
    const released = await claim(path, daemon());
    assertNotEquals(released.repositoryId, adopted.repositoryId);
    await released.release();
  });
});

Deno.test("claimRepository() removes a dead log's lock links, and no lock of anybody else", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    const first = await claim(path, daemon());
    const [ours, packed, native] = [
      `${path}/refs/heads/deep/main.lock`,
      `${path}/packed-refs.lock`,
      `${path}/refs/heads/native.lock`,
    ];
    await Deno.mkdir(`${path}/refs/heads/deep`);
    await Deno.link(first.path, ours);
    await Deno.link(first.path, packed);
    await Deno.writeTextFile(native, "");
    await kill(path, first);
    const second = await claim(path, daemon({ adopt: true }));
    const there = [ours, packed, native].map((lock) => fileSystem.lstatIfAny(lock) !== null);
    assertEquals(there, [false, false, true]);
    await second.release();
  });
});

Deno.test("OwnerClaim.release() keeps the repository with its log while a lock link stands", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    const first = await claim(path, daemon());
    await Deno.link(first.path, `${path}/refs/heads/promised.lock`);
    await first.release();
    assertEquals((await refusal(path, daemon())).details.reason, "foreign_log");
  });
});

/** Fails as often as told where `layerd/` is synced. */
class FailingSync extends DenoFileSystem {
  failures = 0;

  override syncDirectory(path: string): Promise<void> {
    if (!path.endsWith("/layerd") || this.failures === 0) return super.syncDirectory(path);
    this.failures -= 1;
    return Promise.reject(new FileSystemError("EIO", "fsync", path));
  }
}

Deno.test("claimRepository() succeeds after a claim of the same start that a failed sync ended", () =>
  inScene(async (directory) => {
    const failing = new FailingSync();
    for (const failures of [1, 2]) {
      for (const before of ["none", "killed"]) {
        const path = await makeBareRepository(`${directory}/${before}${failures}.git`);
        const request = daemon({ incarnation: 2 });
        if (before === "killed") {
          await kill(path, await claim(path, { ...request, incarnation: 1 }));
        }
        const layout = resolveLayout(failing, path);
        failing.failures = failures;
        while (failing.failures > 0) {
          await assertRejects(() => claimRepository(failing, layout, request), FileSystemError);
        }
        await (await claimRepository(failing, layout, request)).release();
      }
    }
  }));

Deno.test("claimRepository() refuses a log that ends before the position it wrote", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    const request = daemon({ incarnation: 3 });
    const first = await claim(path, request);
    await first.recordPosition(50);
    await first.recordPosition(20);
    assertEquals(readPosition(fileSystem, `${path}/layerd`)?.lsn, 50);
    await first.release();
    const behind = await refusal(path, { ...request, lastLsn: 49 });
    assertEquals(behind.details.reason, "log_behind");
    const earlier = await refusal(path, { ...request, lastLsn: 60, incarnation: 2 });
    assertEquals(earlier.details.reason, "log_behind");
    // A daemon that was killed had incarnation 3: a log that comes to it anew is older.
    const file = `${path}/layerd/position`;
    const killed = (await Deno.readTextFile(file)).replace(
      /"released":\s*true/,
      '"released":false',
    );
    await Deno.writeTextFile(file, killed);
    const again = await refusal(path, { ...request, lastLsn: 60 });
    assertEquals(again.details.reason, "log_behind");
    const adopted = await claim(path, { ...request, lastLsn: 49, adopt: true });
    assertEquals(adopted.repositoryId, first.repositoryId);
    await adopted.release();
  });
});

Deno.test("claimRepository() takes a moved repository and refuses a copied one", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    const request = daemon();
    const first = await claim(path, request);
    await first.release();
    const moved = `${directory}/moved.git`;
    await Deno.rename(path, moved);
    const second = await claim(moved, request);
    assertEquals([second.repositoryId, second.recordedPath], [first.repositoryId, path]);
    await second.release();
    const copied = `${directory}/copy.git`;
    await new Deno.Command("cp", { args: ["-a", moved, copied] }).output();
    const error = await refusal(copied, request);
    assertEquals(error.details.reason, "copy");
    assert(error.message.includes(moved));
    const adopted = await claim(copied, { ...request, adopt: true });
    assertNotEquals(adopted.repositoryId, first.repositoryId);
    await adopted.release();
    await (await claim(moved, request)).release();
  });
});

Deno.test("claimRepository() does not guess at an owner file that it cannot read", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    await Deno.mkdir(`${path}/layerd`);
    await Deno.writeTextFile(`${path}/layerd/owner`, "layerd owner 2\n");
    assertEquals((await refusal(path, daemon({ adopt: true }))).details.reason, "foreign_log");
  });
});

Deno.test("OwnerClaim.forget() leaves nothing of layerd in the repository", async () => {
  await inScene(async (directory) => {
    const path = await makeBareRepository(`${directory}/r.git`);
    const owned = await claim(path, daemon());
    await Deno.writeTextFile(`${path}/layerd/pending/pack-x.pack`, "");
    await Deno.link(owned.path, `${path}/refs/heads/main.lock`);
    await owned.forget();
    assertEquals(fileSystem.lstatIfAny(`${path}/layerd`), null);
    assertEquals(fileSystem.lstatIfAny(`${path}/refs/heads/main.lock`), null);
  });
});

Deno.test("readPosition() takes an unreadable position for none", async () => {
  await inScene(async (directory) => {
    assertEquals(readPosition(fileSystem, directory), null);
    for (const text of ["", "{", "null", "{}"]) {
      await Deno.writeTextFile(`${directory}/position`, text);
      assertEquals(readPosition(fileSystem, directory), null);
    }
  });
});
