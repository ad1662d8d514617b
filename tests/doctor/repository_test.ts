/** Damage in a repository: each kind is named, mended where provable, and else left, with a way out. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { git, tryGit } from "../harness/git.ts";
import { loosenPacks } from "../harness/loose_objects.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import { cases, Clinic, shell } from "./clinic.ts";

const doctor = cases();

async function tear(clinic: Clinic, oid: string): Promise<string> {
  const path = `${clinic.gitDirectory}/objects/${oid.slice(0, 2)}/${oid.slice(2)}`;
  await Deno.chmod(path, 0o644);
  await Deno.truncate(path, 3);
  return path;
}

/** A blob that native git wrote and a tag keeps; the log knows nothing of it. */
async function nativeBlob(clinic: Clinic): Promise<string> {
  const oid = await git(clinic.repository, ["hash-object", "-w", "--stdin"], { input: "native\n" });
  await git(clinic.repository, ["tag", "kept", oid]);
  return oid;
}

doctor("examine() writes a torn or missing object again from the log", async (clinic) => {
  await loosenPacks(clinic.repository, clinic.gitDirectory);
  const tree = await git(clinic.repository, ["rev-parse", "refs/layers/c^{tree}"]);
  const commit = clinic.tips.get("a") ?? "";
  const path = await tear(clinic, tree);
  await Deno.remove(
    `${clinic.gitDirectory}/objects/${commit.slice(0, 2)}/${commit.slice(2)}`,
  );
  const report = await clinic.look();
  assertEquals(report.status, "corrupted");
  assertStringIncludes(Clinic.only(report, "object_damaged").detail, path);
  const mended = await clinic.fix();
  assertEquals(mended.status, "ok", JSON.stringify(mended));
  await assertFsckClean(clinic.repository);
  await clinic.assertServes();
});

doctor("examine() writes the objects of a torn kept pack again from the log", async (clinic) => {
  const directory = `${clinic.gitDirectory}/objects/pack`;
  const keep = [...Deno.readDirSync(directory)].find(({ name }) => name.endsWith(".keep"));
  assert(keep !== undefined, "the daemon was killed before a checkpoint");
  const pack = `${directory}/${keep.name.replace(/keep$/, "pack")}`;
  await Deno.chmod(pack, 0o644);
  await Deno.truncate(pack, 30);
  assertEquals((await clinic.look()).status, "corrupted");
  const mended = await clinic.fix();
  assertEquals(mended.status, "ok", JSON.stringify(mended));
  await assertFsckClean(clinic.repository);
  await clinic.assertServes();
});

doctor(
  "examine() sets an object aside that nothing can bring back, and its way out works",
  async (clinic) => {
    const oid = await nativeBlob(clinic);
    const path = await tear(clinic, oid);
    const finding = Clinic.only(await clinic.fix(), "object_damaged");
    assertEquals(finding.outcome, "set_aside");
    assert((await tryGit(clinic.repository, ["cat-file", "-e", oid])).code !== 0);
    assertEquals((await Deno.stat(`${clinic.gitDirectory}/layerd/quarantine/${oid}`)).size, 3);
    const clone = `${clinic.repository}.clone`;
    await git(clinic.scene.home.directory, ["init", "-q", clone]);
    await git(clone, ["hash-object", "-w", "--stdin"], { input: "native\n" });
    const step = finding.remedy.find((one) => one.includes("hash-object")) ?? "";
    await shell(step.replace("CLONE", clone).replaceAll("TYPE", "blob"));
    assert((await Deno.stat(path)).size > 3);
    assertEquals((await clinic.look()).status, "ok");
  },
);

doctor("examine() sets a torn object aside where a pack makes up for it", async (clinic) => {
  const oid = await nativeBlob(clinic);
  await git(clinic.repository, ["repack", "-a", "-q"]);
  await tear(clinic, oid);
  const finding = Clinic.only(await clinic.fix(), "object_damaged");
  assertEquals(finding.outcome, "mended");
  assertEquals(await git(clinic.repository, ["cat-file", "blob", oid]), "native");
});

doctor("examine() names a damaged pack by what git fsck says", async (clinic) => {
  await git(clinic.repository, ["repack", "-ad", "-q"]);
  const directory = `${clinic.gitDirectory}/objects/pack`;
  for await (const { name } of Deno.readDir(directory)) {
    if (!name.endsWith(".pack")) continue;
    await Deno.chmod(`${directory}/${name}`, 0o644);
    const bytes = await Deno.readFile(`${directory}/${name}`);
    bytes.fill(0x55, 40, 60);
    await Deno.writeFile(`${directory}/${name}`, bytes);
  }
  const report = await clinic.look();
  assertEquals(report.status, "corrupted");
  assert(report.findings.some(({ code, detail }) => code === "fsck" && detail.includes("pack")));
});

doctor(
  "examine() never guesses at an emptied ref: the values it names, set by hand, mend it",
  async (clinic) => {
    const before = clinic.tips.get("b") ?? "";
    const path = `${clinic.gitDirectory}/refs/layers/b`;
    await Deno.mkdir(`${clinic.gitDirectory}/refs/layers`, { recursive: true });
    await Deno.writeTextFile(path, "");
    const finding = Clinic.only(await clinic.fix(), "ref_damaged");
    assertEquals([finding.outcome, (await Deno.stat(path)).size], ["found", 0]);
    const step = finding.remedy.find((one) => one.includes(before)) ?? "";
    assertStringIncludes(step, "last commit of layerd");
    await shell(step.replace(/ {2}\(.*\)$/, ""));
    await clinic.assertServes();
  },
);

doctor(
  "examine() proposes a packed-refs for one that was cut, and changes nothing by itself",
  async (clinic) => {
    const path = `${clinic.gitDirectory}/packed-refs`;
    const size = (await Deno.stat(path)).size;
    await Deno.truncate(path, size - 60);
    const report = await clinic.fix();
    const finding = Clinic.only(report, "packed_refs_damaged");
    assertEquals([finding.severity, finding.outcome], ["corrupted", "found"]);
    assertEquals((await Deno.stat(path)).size, size - 60);
    await shell(finding.remedy.find((one) => one.startsWith("mv ")) ?? "");
    await assertFsckClean(clinic.repository);
    await clinic.assertServes();
  },
);

doctor(
  "examine() suspects an empty packed-refs, and proposes what the log knows",
  async (clinic) => {
    const path = `${clinic.gitDirectory}/packed-refs`;
    await Deno.truncate(path, 0);
    const finding = Clinic.only(await clinic.fix(), "packed_refs_damaged");
    assertEquals(finding.severity, "suspicious");
    await shell(finding.remedy.find((one) => one.startsWith("mv ")) ?? "");
    await clinic.assertServes();
  },
);

doctor("examine() notes a layer that vanished without layerd", async (clinic) => {
  await git(clinic.repository, ["update-ref", "-d", "refs/layers/c"]);
  const report = await clinic.look();
  assertEquals(report.status, "ok");
  await shell(
    (Clinic.only(report, "ref_gone").remedy[0] ?? "").replace("If git did not delete it: ", ""),
  );
  await clinic.assertServes();
});

doctor("examine() removes dead copies of our locks, and never anybody else's", async (clinic) => {
  const { repository, gitDirectory } = clinic;
  await Deno.mkdir(`${gitDirectory}/refs/layers`, { recursive: true });
  for (const name of ["refs/layers/a.lock", "packed-refs.lock"]) {
    await Deno.link(`${gitDirectory}/layerd/owner`, `${gitDirectory}/${name}`);
  }
  const copy = `${repository}.copy`;
  await shell(`cp -a --no-preserve=links '${repository}' '${copy}'`);
  const foreign = `${copy}/.git/refs/layers/b.lock`;
  await Deno.writeTextFile(foreign, "");
  await Deno.utime(foreign, 1_000, 1_000);
  const report = await clinic.fix(copy);
  const dead = report.findings.filter(({ code }) => code === "dead_lock");
  assertEquals(dead.map(({ outcome }) => outcome), ["mended", "mended"]);
  assertEquals(Clinic.only(report, "foreign_lock").severity, "suspicious");
  assertEquals((await Deno.stat(foreign)).size, 0);
  // The original's own: its daemon's next start knows what they were for.
  const own = (await clinic.fix()).findings.filter(({ code }) => code === "own_lock");
  assertEquals(own.length, 2);
  assertEquals((await Deno.stat(`${gitDirectory}/packed-refs.lock`)).nlink, 3);
  await clinic.assertServes();
});

doctor("examine() leaves a copied lock alone whose daemon lives", async (clinic) => {
  const { repository, gitDirectory } = clinic;
  await clinic.scene.start();
  const copy = `${repository}.linked`;
  await Deno.mkdir(`${gitDirectory}/refs/layers`, { recursive: true });
  await Deno.link(`${gitDirectory}/layerd/owner`, `${gitDirectory}/refs/layers/x.lock`);
  await shell(`cp -al '${repository}' '${copy}'`);
  await Deno.remove(`${gitDirectory}/refs/layers/x.lock`);
  await Deno.remove(`${copy}/.git/layerd/owner`);
  const report = await clinic.fix(copy);
  assertEquals(Clinic.only(report, "live_lock").outcome, "found");
  assert((await Deno.stat(`${copy}/.git/refs/layers/x.lock`)).isFile);
  await clinic.scene.daemon.stop();
});

doctor("examine() writes a torn owner file again where log and position agree", async (clinic) => {
  const owner = `${clinic.gitDirectory}/layerd/owner`;
  const text = await Deno.readTextFile(owner);
  await Deno.writeTextFile(owner, "");
  assertEquals(Clinic.only(await clinic.fix(), "owner_damaged").outcome, "mended");
  assertEquals(await Deno.readTextFile(owner), text);
  await clinic.assertServes();
});

doctor("examine() does not take a stranger for a registered repository", async (clinic) => {
  await Deno.remove(`${clinic.gitDirectory}/layerd`, { recursive: true });
  const finding = Clinic.only(await clinic.fix(), "owner_missing");
  assertEquals(finding.outcome, "found");
  assertStringIncludes(finding.remedy.join("\n"), "layerd repo remove app");
});

doctor("examine() tells an old copy of the log by what the repository has seen", async (clinic) => {
  const old = await Deno.readFile(clinic.segment);
  await clinic.scene.start();
  await clinic.scene.daemon.stop();
  await Deno.writeFile(clinic.segment, old);
  assertEquals(Clinic.only(await clinic.look(), "log_behind").severity, "corrupted");
});

doctor("examine() says that a repository is gone, or no longer one to serve", async (clinic) => {
  await git(clinic.repository, ["config", "core.repositoryFormatVersion", "1"]);
  await git(clinic.repository, ["config", "extensions.somethingNew", "true"]);
  assertEquals(Clinic.only(await clinic.look(), "unknown_extension").severity, "corrupted");
  await Deno.rename(clinic.repository, `${clinic.repository}.away`);
  assertEquals(Clinic.only(await clinic.look(), "path_missing").severity, "suspicious");
});
