import { assertEquals } from "@std/assert";
import { create, put } from "../harness/api.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import { type Registered, type Scene, sharedScenarios } from "../harness/scene.ts";
import { inNeovim } from "./neovim.ts";

const LAYER = "team/base";
const scenario = sharedScenarios();

/** A repository with one layer and one file in it; `content` stands byte for byte. */
async function withFile(scene: Scene, path: string, content: string): Promise<Registered> {
  const repository = await scene.repository();
  await scene.api.apply([
    create(repository.name, LAYER),
    put(repository.name, LAYER, path, content),
  ]);
  return repository;
}

/** The file's bytes as native git sees them. */
async function content({ path: directory }: Registered, path: string): Promise<string> {
  const { stdout } = await new Deno.Command("git", {
    args: ["-C", directory, "cat-file", "blob", `refs/layers/team/base:${path}`],
  }).output();
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(stdout);
}

const edit = (repository: Registered, path: string) =>
  `vim.cmd("edit layerd://${repository.name}/team/base:${path}")`;

scenario(":w stages a buffer and :LayerdCommit publishes it", async (scene) => {
  const repository = await withFile(scene, "settings.json", '{\n  "a": 1\n}\n');
  await inNeovim(
    scene,
    `
    ${edit(repository, "settings.json")}
    expect("read", lines(), { "{", '  "a": 1', "}" })
    expect("file type", vim.bo.filetype, "json")
    set_lines({ "{", '  "a": 2', "}" })
    vim.cmd("write")
    expect("modified", vim.bo.modified, false)
    matches("statusline", layerd.statusline(), "^layerd %w+ %+1$")
    matches("status", table.concat(layerd.status_lines(), "\\n"), "modified +${repository.name}/team/base:settings.json")
    vim.cmd("LayerdCommit")
    matches("told", last_said(), "committed .*1 ref moved")
    expect("statusline", layerd.statusline(), "")
    `,
  );
  assertEquals(await content(repository, "settings.json"), '{\n  "a": 2\n}\n');
  await assertFsckClean(repository.path);
});

scenario(":LayerdRollback leaves the layer alone and the buffer modified", async (scene) => {
  const repository = await withFile(scene, "f", "one\n");
  await inNeovim(
    scene,
    `
    ${edit(repository, "f")}
    vim.cmd("LayerdBegin raise the timeout")
    set_lines({ "two" })
    vim.cmd("write")
    vim.cmd("LayerdRollback")
    expect("modified", vim.bo.modified, true)
    expect("kept", lines(), { "two" })
    `,
  );
  assertEquals(await content(repository, "f"), "one\n");
});

scenario("the words of :LayerdBegin are the commit's message", async (scene) => {
  const repository = await withFile(scene, "f", "one\n");
  await inNeovim(
    scene,
    `
    vim.cmd("LayerdBegin raise the timeout")
    ${edit(repository, "f")}
    set_lines({ "two" })
    vim.cmd("write")
    vim.cmd("LayerdCommit")
    `,
  );
  const subject = await git(repository.path, ["log", "-1", "--format=%s", "refs/layers/team/base"]);
  assertEquals(subject, "raise the timeout");
});

for (
  const [what, bytes, changed] of [
    ["CRLF", "a\r\nb\r\n", "a\r\nB\r\n"],
    ["a missing last newline", "a\nb", "a\nB"],
    ["a byte-order mark", "\uFEFFa\nb\n", "\uFEFFa\nB\n"],
    ["a mixture of line ends", "a\r\nb\n", "a\r\nB\n"],
  ] as const
) {
  scenario(`a buffer keeps ${what}`, async (scene) => {
    const repository = await withFile(scene, "f", bytes);
    await inNeovim(
      scene,
      `
      ${edit(repository, "f")}
      vim.api.nvim_buf_set_lines(0, 1, 2, false, { (lines()[2]:gsub("b", "B")) })
      vim.cmd("write")
      vim.cmd("LayerdCommit")
      `,
    );
    assertEquals(await content(repository, "f"), changed);
  });
}

scenario("an empty file stays empty when it is written unchanged", async (scene) => {
  const repository = await withFile(scene, "f", "");
  await inNeovim(scene, `${edit(repository, "f")} vim.cmd("write") vim.cmd("LayerdCommit")`);
  assertEquals(await content(repository, "f"), "");
});

scenario(":w refuses to write over what somebody else changed; :w! does it", async (scene) => {
  const repository = await withFile(scene, "f", "one\n");
  const other = JSON.stringify({
    commit: true,
    operations: [put(repository.name, LAYER, "f", "theirs\n")],
  });
  await inNeovim(
    scene,
    `
    ${edit(repository, "f")}
    set_lines({ "mine" })
    local _, problem = require("layerd.api").await("POST", "/v1/transactions", vim.json.decode([[${other}]]))
    expect("other's commit", problem, nil)
    vim.cmd("write")
    expect("modified", vim.bo.modified, true)
    matches("told", last_said(), "has changed since it was read")
    local list = vim.fn.getqflist()
    expect("quickfix", #list, 1)
    expect("its file", vim.fn.bufname(list[1].bufnr), vim.fn.bufname())
    vim.cmd("write!")
    vim.cmd("LayerdCommit")
    `,
  );
  assertEquals(await content(repository, "f"), "mine\n");
});

scenario("a commit that meets a conflict fills the quickfix list", async (scene) => {
  const repository = await withFile(scene, "f", "one\n");
  const other = JSON.stringify({
    commit: true,
    operations: [put(repository.name, LAYER, "g", "theirs\n")],
  });
  await inNeovim(
    scene,
    `
    ${edit(repository, "f")}
    set_lines({ "mine" })
    vim.cmd("write")
    local _, problem = require("layerd.api").await("POST", "/v1/transactions", vim.json.decode([[${other}]]))
    expect("other's commit", problem, nil)
    vim.cmd("LayerdCommit")
    matches("told", last_said(), "write_conflict")
    local list = vim.fn.getqflist()
    expect("quickfix", #list, 1)
    expect("its file", vim.fn.bufname(list[1].bufnr), vim.fn.bufname())
    matches("its text", list[1].text, "^team/base: expected %x+, found %x+$")
    expect("modified", vim.bo.modified, true)
    expect("open", layerd.statusline(), "")
    vim.cmd("write")
    vim.cmd("LayerdCommit")
    `,
  );
  assertEquals([await content(repository, "f"), await content(repository, "g")], [
    "mine\n",
    "theirs\n",
  ]);
});

scenario(":w! creates a layer and a file that are not there", async (scene) => {
  const repository = await scene.repository();
  await inNeovim(
    scene,
    `
    ${edit(repository, "new.txt")}
    matches("told", last_said(), "is new")
    set_lines({ "hello" })
    vim.cmd("write")
    matches("told", last_said(), ":w! creates it")
    vim.cmd("write!")
    vim.cmd("LayerdCommit")
    `,
  );
  assertEquals(await content(repository, "new.txt"), "hello\n");
});

scenario(
  "a change of a layer raises User LayerdChanged and reads its buffers again",
  async (scene) => {
    const repository = await withFile(scene, "f", "one\n");
    await inNeovim(
      scene,
      `
    ${edit(repository, "f")}
    local heard = {}
    vim.api.nvim_create_autocmd("User", { pattern = "LayerdChanged", callback = function()
      if layerd.changed.repository == "${repository.name}" then heard[#heard + 1] = layerd.changed.layer end
    end })
    layerd.follow()
    local created = require("layerd.api").await("POST", "/v1/transactions", {
      commit = true, operations = { { op = "put_file", repository = "${repository.name}",
        layer = "team/base", path = "f", content = "two\\n" } } })
    expect("committed", created.transaction.state, "committed")
    eventually("the event", function() return heard[1] == "team/base" end)
    eventually("the new text", function() return lines()[1] == "two" end)
    expect("modified", vim.bo.modified, false)
    set_lines({ "mine" })
    vim.fn.system({ "git", "-C", "${repository.path}", "update-ref", "refs/layers/team/base", "refs/layers/team/base~1" })
    expect("native git", vim.v.shell_error, 0)
    eventually("a native change", function() return #heard > 1 end)
    eventually("told", function() return last_said():find("changed by somebody else") end)
    expect("kept", lines(), { "mine" })
    `,
    );
  },
);

scenario("leaving Neovim rolls its transaction back", async (scene) => {
  const repository = await withFile(scene, "f", "one\n");
  const rolledBack = async () =>
    (await scene.api.get<{ transactions: unknown[] }>("/v1/transactions?state=rolled_back"))
      .transactions.length;
  const before = await rolledBack();
  await inNeovim(
    scene,
    `
    layerd.setup({ follow = false, isolation = "locking" })
    ${edit(repository, "f")}
    set_lines({ "two" })
    vim.cmd("write")
    `,
  );
  assertEquals(await rolledBack(), before + 1);
  assertEquals((await scene.api.locks(repository.name)).locks, []);
});

scenario("LAYERD_TRANSACTION is taken up, and left to whoever began it", async (scene) => {
  const repository = await withFile(scene, "f", "one\n");
  const { id } = await scene.api.begin();
  await inNeovim(
    scene,
    `${edit(repository, "f")} set_lines({ "two" }) vim.cmd("write")`,
    { LAYERD_TRANSACTION: id },
  );
  await scene.api.commit(id);
  assertEquals(await content(repository, "f"), "two\n");
});

scenario("a lease outlives its length while Neovim runs, and a lost one is told", async (scene) => {
  const repository = await withFile(scene, "f", "one\n");
  await inNeovim(
    scene,
    `
    layerd.setup({ follow = false, lease_ms = 300 })
    ${edit(repository, "f")}
    set_lines({ "two" })
    vim.cmd("write")
    local transaction = require("layerd.transaction")
    local id, first = transaction.id(), transaction.document().lease_expires_at
    eventually("renewed past its first end", function()
      local kept = transaction.document()
      return kept and kept.lease_expires_at > first
    end)
    local _, problem = require("layerd.api").rollback(id)
    expect("ended behind its back", problem, nil)
    eventually("told", function() return last_said():find("the transaction is over") end)
    expect("modified", vim.bo.modified, true)
    `,
  );
});

scenario("LayerdEdit completes layers and files and opens one", async (scene) => {
  const repository = await withFile(scene, "dir/f.lua", "return 1\n");
  await inNeovim(
    scene,
    `
    expect("layers", vim.fn.getcompletion("LayerdEdit te", "cmdline"), { "team/base:" })
    expect("files", vim.fn.getcompletion("LayerdEdit team/base:d", "cmdline"), { "team/base:dir/f.lua" })
    vim.cmd("LayerdEdit team/base:dir/f.lua")
    expect("read", lines(), { "return 1" })
    `,
    { LAYERD_REPOSITORY: repository.name },
  );
});

scenario("the key under the cursor tells where its value comes from", async (scene) => {
  const repository = await withFile(
    scene,
    "s.jsonc",
    '{\n  // two\n  "tab": 2,\n  "wrap": true\n}\n',
  );
  const { name } = repository;
  await scene.api.apply([
    create(name, "user/ann"),
    put(name, "user/ann", "s.jsonc", '{\n  "tab": 4\n}\n'),
  ]);
  const stack = {
    layers: [LAYER, "user/ann"],
    merge: [{ glob: "*.jsonc", strategy: "deep" }],
  };
  const path = `/v1/repositories/${name}/stacks/editor`;
  assertEquals((await scene.daemon.client.request("PUT", path, stack)).status, 200);
  const tip = async (layer: string) =>
    (await git(repository.path, ["rev-parse", `refs/layers/${layer}`])).slice(0, 8);
  await inNeovim(
    scene,
    `
    local provenance = require("layerd.provenance")
    local function shown(line)
      vim.api.nvim_win_set_cursor(0, { line, 0 })
      provenance.hide(0)
      said = {}
      vim.cmd("LayerdExplain")
      eventually("an answer", function() return provenance.shown(0) or said[1] end)
      return provenance.shown(0) or table.remove(said)
    end
    ${edit(repository, "s.jsonc")}
    expect("hidden", shown(3), "tab: hidden by user/ann line 2 @${await tip("user/ann")}")
    expect("alone", shown(4), "wrap: set here alone")
    matches("nothing", shown(5), "nothing .* begins on this line")
    vim.cmd("edit layerd://${name}/user/ann:s.jsonc")
    expect("hides", shown(2), "tab: set here, hides ${LAYER} line 3 @${await tip(LAYER)}")
    set_lines({ "{", '  "tab": 8', "}" })
    matches("modified", shown(2), "write the buffer first")
    vim.cmd("write")
    expect("staged", shown(2), "tab: set here, hides ${LAYER} line 3 @${await tip(LAYER)}")
    vim.api.nvim_win_set_cursor(0, { 2, 0 })
    provenance.hide(0)
    vim.cmd("doautocmd CursorHold")
    eventually("shown on CursorHold", function() return provenance.shown(0) end)
    vim.cmd("doautocmd CursorMoved")
    expect("hidden when the cursor moves", provenance.shown(0), nil)
    `,
  );
});

scenario("without a daemon every command says so and how to start one", async (scene) => {
  await inNeovim(
    scene,
    `
    vim.cmd("LayerdBegin")
    matches("begin", last_said(), "no daemon answers at .*layerd start")
    vim.cmd("edit layerd://app/team/base:f")
    matches("edit", last_said(), "no daemon answers")
    vim.cmd("edit layerd://nonsense")
    matches("name", last_said(), "layerd://REPOSITORY/LAYER:PATH")
    `,
    { LAYERD_SOCKET: scene.path("nobody.sock") },
  );
});
