import { assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import {
  checkFormat,
  checkLayout,
  findWorkTrees,
  type RepositoryLayout,
  resolveLayout,
} from "../../src/git/gate.ts";
import { type FileInfo, FileSystemError } from "../../src/system/file_system.ts";
import { DenoFileSystem } from "../../src/system/deno_file_system.ts";
import { git } from "../harness/git.ts";
import { makeBareRepository, makeRepository } from "../harness/repositories.ts";
import { fileSystem, inScene, random } from "./repository_scene.ts";

function layoutOf(path: string): RepositoryLayout {
  return resolveLayout(fileSystem, path);
}

function refusal(action: () => unknown): string | undefined {
  const error = assertThrows(action, LayerdError);
  return error.code === "unsupported_repository" ? error.details.reason : error.code;
}

function accepted(path: string): string | undefined {
  return refusal(() => checkLayout(fileSystem, layoutOf(path), random));
}

Deno.test("resolveLayout() finds a work tree's, a git directory's and a bare repository's parts", async () => {
  await inScene(async (directory) => {
    const app = await makeRepository(`${directory}/app`);
    const bare = await makeBareRepository(`${directory}/bare.git`);
    const layout = layoutOf(app);
    assertEquals(
      [layout.gitDir, layout.commonDir, layout.objectsDir, layout.bare, layout.workTree],
      [`${app}/.git`, `${app}/.git`, `${app}/.git/objects`, false, app],
    );
    assertEquals({ ...layoutOf(`${app}/.git`), path: app }, layout);
    assertEquals([layoutOf(bare).commonDir, layoutOf(bare).bare, layoutOf(bare).workTree], [
      bare,
      true,
      null,
    ]);
  });
});

Deno.test("resolveLayout() leads a linked work tree to the common directory", async () => {
  await inScene(async (directory) => {
    const app = await makeRepository(`${directory}/app`);
    await git(app, ["worktree", "add", "-q", `${directory}/linked`]);
    const layout = layoutOf(`${directory}/linked`);
    assertEquals([layout.gitDir, layout.commonDir, layout.workTree, layout.bare], [
      `${app}/.git/worktrees/linked`,
      `${app}/.git`,
      `${directory}/linked`,
      false,
    ]);
    assertEquals(findWorkTrees(fileSystem, layout), [app, `${directory}/linked`]);
    await Deno.remove(`${directory}/linked`, { recursive: true });
    assertEquals(findWorkTrees(fileSystem, layout), [app]);
  });
});

Deno.test("resolveLayout() says that a linked work tree of a bare repository has no main one", async () => {
  await inScene(async (directory) => {
    const app = await makeRepository(`${directory}/app`);
    await git(directory, ["clone", "-q", "--bare", app, "bare.git"]);
    await git(`${directory}/bare.git`, ["worktree", "add", "-q", `${directory}/linked`]);
    const layout = layoutOf(`${directory}/linked`);
    assertEquals([layout.bare, layout.workTree], [true, `${directory}/linked`]);
    assertEquals(findWorkTrees(fileSystem, layout), [`${directory}/linked`]);
  });
});

Deno.test("resolveLayout() follows symbolic links and a submodule's .git file", async () => {
  await inScene(async (directory) => {
    const app = await makeRepository(`${directory}/app`);
    await Deno.symlink(app, `${directory}/link`);
    assertEquals(layoutOf(`${directory}/link`).commonDir, `${app}/.git`);
    await git(directory, ["init", "-q", "--separate-git-dir", `${directory}/kept`, "work"]);
    assertEquals(layoutOf(`${directory}/work`).commonDir, `${directory}/kept`);
  });
});

Deno.test("resolveLayout() collects alternates of alternates and survives a cycle", async () => {
  await inScene(async (directory) => {
    const first = await makeRepository(`${directory}/first`);
    await git(directory, ["clone", "-q", "--shared", "first", "second"]);
    await git(directory, ["clone", "-q", "--shared", "second", "third"]);
    await Deno.writeTextFile(
      `${first}/.git/objects/info/alternates`,
      `# back\n../../../third/.git/objects\n${directory}/nowhere\n`,
    );
    assertEquals(layoutOf(`${directory}/third`).alternates, [
      `${directory}/second/.git/objects`,
      `${directory}/first/.git/objects`,
    ]);
  });
});

Deno.test("resolveLayout() refuses what is no repository, with the reason", async () => {
  await inScene(async (directory) => {
    await Deno.mkdir(`${directory}/plain`);
    await Deno.mkdir(`${directory}/broken`);
    await Deno.writeTextFile(`${directory}/broken/.git`, "gitdir: ../gone\n");
    await Deno.writeTextFile(`${directory}/file`, "");
    assertEquals(refusal(() => layoutOf(`${directory}/none`)), "path_missing");
    assertEquals(refusal(() => layoutOf(`${directory}/file/below`)), "path_missing");
    assertEquals(refusal(() => layoutOf(`${directory}/plain`)), "not_a_repository");
    assertEquals(refusal(() => layoutOf(`${directory}/file`)), "not_a_repository");
    assertEquals(refusal(() => layoutOf(`${directory}/broken`)), "not_a_repository");
    assertEquals(refusal(() => layoutOf("relative/path")), "invalid_request");
  });
});

Deno.test("checkLayout() accepts a repository and leaves nothing but empty directories", async () => {
  await inScene(async (directory) => {
    const app = await makeRepository(`${directory}/app`);
    await git(app, ["config", "extensions.worktreeConfig", "true"]);
    await git(app, ["config", "core.repositoryformatversion", "1"]);
    checkLayout(fileSystem, layoutOf(app), random);
    const left = [...Deno.readDirSync(`${app}/.git/layerd`)].map((entry) => entry.name).sort();
    assertEquals(left, ["pending", "tmp"]);
    assertEquals([...Deno.readDirSync(`${app}/.git/layerd/tmp`)], []);
  });
});

Deno.test("checkLayout() refuses formats that would be misread, and makes nothing in them", async () => {
  await inScene(async (directory) => {
    await git(directory, ["init", "-q", "--object-format=sha256", "sha256"]);
    assertEquals(accepted(`${directory}/sha256`), "sha256");
    const settings = [
      ["extensions", "refStorage = reftable", "reftable"],
      ["extensions", "partialClone = origin", "promisor"],
      ['remote "origin"', "promisor", "promisor"],
      ["extensions", "fancy", "unknown_extension"],
      ["extensions", "compatObjectFormat = sha256", "unknown_extension"],
      ["core", "repositoryFormatVersion = 2", "format_version"],
    ] as const;
    for (const [section, setting, reason] of settings) {
      const path = await makeBareRepository(`${directory}/${setting}`);
      const text = `[${section}]\n\t${setting}\n`;
      await Deno.writeTextFile(`${path}/config`, text, { append: true });
      assertEquals(accepted(path), reason, setting);
      assertEquals(fileSystem.lstatIfAny(`${path}/layerd`), null, setting);
    }
    const broken = await makeBareRepository(`${directory}/broken`);
    await Deno.writeTextFile(`${broken}/config`, "[core\n", { append: true });
    assertEquals(accepted(broken), "bad_config");
  });
});

Deno.test("checkLayout() refuses a real partial clone", async () => {
  await inScene(async (directory) => {
    const app = await makeRepository(`${directory}/app`);
    await git(app, ["config", "uploadpack.allowFilter", "true"]);
    await git(directory, ["clone", "-q", "--filter=blob:none", `file://${app}`, "partial"]);
    assertEquals(accepted(`${directory}/partial`), "promisor");
  });
});

Deno.test("checkFormat() refuses refs and packed-refs that are symbolic links", async () => {
  await inScene(async (directory) => {
    const app = await makeRepository(`${directory}/app`);
    const layout = layoutOf(app);
    await git(app, ["pack-refs", "--all"]);
    await Deno.rename(`${app}/.git/packed-refs`, `${directory}/packed-refs`);
    await Deno.symlink(`${directory}/packed-refs`, `${app}/.git/packed-refs`);
    assertEquals(refusal(() => checkFormat(fileSystem, layout)), "symbolic_link");
    await Deno.remove(`${app}/.git/packed-refs`);
    checkFormat(fileSystem, layout);
    await Deno.rename(`${app}/.git/refs`, `${directory}/refs`);
    await Deno.symlink(`${directory}/refs`, `${app}/.git/refs`);
    assertEquals(refusal(() => checkFormat(fileSystem, layout)), "symbolic_link");
  });
});

/** File systems that lack what layerd needs, as the real ones report it. */
class WithoutLinks extends DenoFileSystem {
  override link(_existing: string, path: string): void {
    throw new FileSystemError("EPERM", "link", path);
  }
}
class WithoutLinkCounts extends DenoFileSystem {
  override lstat(path: string): FileInfo {
    return { ...super.lstat(path), links: 1 };
  }
}
class IgnoringCase extends DenoFileSystem {
  override lstatIfAny(path: string): FileInfo | null {
    return super.lstatIfAny(path.replace(/PROBE-[0-9A-F]+$/, (name) => name.toLowerCase()));
  }
}

Deno.test("checkLayout() refuses file systems that lack what it needs, and cleans up", async () => {
  await inScene(async (directory) => {
    const layout = layoutOf(await makeRepository(`${directory}/app`));
    const cases = [
      [new WithoutLinks(), "no_hard_links"],
      [new WithoutLinkCounts(), "no_link_counts"],
      [new IgnoringCase(), "case_insensitive"],
    ] as const;
    for (const [poor, reason] of cases) {
      assertEquals(refusal(() => checkLayout(poor, layout, random)), reason);
      assertEquals(fileSystem.lstatIfAny(`${layout.commonDir}/layerd`), null);
    }
  });
});

Deno.test("checkLayout() makes directories as core.sharedRepository says", async () => {
  await inScene(async (directory) => {
    const path = `${directory}/shared.git`;
    await git(directory, ["init", "-q", "--bare", "--shared=group", path]);
    checkLayout(fileSystem, layoutOf(path), random);
    const mode = fileSystem.lstat(`${path}/layerd/tmp`).mode;
    assertEquals(mode, fileSystem.lstat(`${path}/objects`).mode);
    assertEquals(mode & 0o2070, 0o2070);
  });
});
