/**
 * A real headless Neovim with this project's plugin and nothing of the user's. A script is
 * Lua on top of `preamble.lua`; an error in it, or a Neovim that hangs, fails the test.
 */
import { fileURLToPath } from "node:url";
import type { Scene } from "../harness/scene.ts";

const PLUGIN = fileURLToPath(new URL("../../editors/nvim", import.meta.url));
const PREAMBLE = fileURLToPath(new URL("./preamble.lua", import.meta.url));
const NEOVIM_MS_MAX = 60_000;

/** Environment of a Neovim that talks to the scene's daemon and knows nothing else. */
export function editorEnvironment(scene: Scene): Record<string, string> {
  return {
    PATH: Deno.env.get("PATH") ?? "",
    HOME: scene.home.directory,
    XDG_CONFIG_HOME: scene.path("config"),
    XDG_DATA_HOME: scene.path("data"),
    XDG_STATE_HOME: scene.path("state"),
    LAYERD_SOCKET: scene.home.socket,
    TERM: "dumb",
    LANG: "C.UTF-8",
  };
}

/** Runs a script in Neovim to its end; answers what it printed. */
export async function inNeovim(
  scene: Scene,
  script: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const path = await Deno.makeTempFile({ dir: scene.home.directory, suffix: ".lua" });
  await Deno.writeTextFile(path, guarded(script));
  const { success, stdout, stderr } = await new Deno.Command("nvim", {
    args: [
      "--headless",
      "-u",
      "NONE",
      "-i",
      "NONE",
      "-n",
      "--cmd",
      `set rtp^=${PLUGIN}`,
      "-S",
      path,
    ],
    cwd: scene.home.directory,
    env: { ...editorEnvironment(scene), ...environment },
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(NEOVIM_MS_MAX),
  }).output();
  const decoder = new TextDecoder();
  const said = decoder.decode(stdout) + decoder.decode(stderr);
  if (!success || said.includes("FAILED")) throw new Error(`Neovim said: ${said}`);
  return said;
}

/** Ends with the script, whatever it does; what went wrong is printed. */
function guarded(script: string): string {
  return [
    "local ok, problem = xpcall(function()",
    `dofile(${JSON.stringify(PREAMBLE)})`,
    script,
    "end, debug.traceback)",
    "if not ok then",
    '  io.stderr:write("FAILED: " .. tostring(problem) .. "\\n")',
    '  vim.cmd("cquit 1")',
    "end",
    'vim.cmd("qall!")',
  ].join("\n");
}
