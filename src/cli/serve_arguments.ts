/** What `serve` is given: its arguments, and what they come to. */
import { isAbsolute, resolve } from "@std/path";
import { UsageError } from "./exit_codes.ts";
import type { ServeOptions } from "./host.ts";
import { socketPath, stateDirectory, type Surroundings } from "./locations.ts";

/** Arguments as the command line parses them. */
export interface ServeArguments {
  readonly socket?: string;
  readonly stateDir?: string;
  readonly repository: readonly string[];
  readonly allowParticipant: readonly string[];
  readonly allowCommand: readonly string[];
  readonly sagaStore?: string;
}

/** Throws {@link UsageError}. */
export function serveOptions(around: Surroundings, options: ServeArguments): ServeOptions {
  return {
    socket: socketPath(options.socket, around),
    stateDir: stateDirectory(options.stateDir, around),
    repositories: options.repository.map((text) => parseRepository(text, around.cwd)),
    allowParticipants: options.allowParticipant,
    allowCommands: options.allowCommand,
    sagaStore: options.sagaStore ?? null,
  };
}

/**
 * Options of a plain `serve --option value ...`, or null for every other command line, wrong
 * ones too: those are for the whole parser, which a daemon's start need not wait for.
 */
export function plainServe(around: Surroundings, argv: readonly string[]): ServeOptions | null {
  const [command, ...rest] = argv;
  if (command !== "serve" || rest.length % 2 !== 0) return null;
  const single = new Map<string, string>();
  const lists: Record<string, string[]> = {
    "--repository": [],
    "--allow-participant": [],
    "--allow-command": [],
  };
  for (let at = 0; at < rest.length; at += 2) {
    const [name = "", value = ""] = rest.slice(at, at + 2);
    if (value.startsWith("-")) return null;
    if (lists[name] !== undefined) lists[name].push(value);
    else if (["--socket", "--state-dir", "--saga-store"].includes(name)) single.set(name, value);
    else return null;
  }
  const [socket, stateDir, sagaStore] = ["--socket", "--state-dir", "--saga-store"]
    .map((name) => single.get(name));
  try {
    return serveOptions(around, {
      ...(socket === undefined ? {} : { socket }),
      ...(stateDir === undefined ? {} : { stateDir }),
      ...(sagaStore === undefined ? {} : { sagaStore }),
      repository: lists["--repository"] ?? [],
      allowParticipant: lists["--allow-participant"] ?? [],
      allowCommand: lists["--allow-command"] ?? [],
    });
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}

function parseRepository(text: string, cwd: string): { name: string; path: string } {
  const equals = text.indexOf("=");
  if (equals < 1 || equals === text.length - 1) {
    throw new UsageError(`--repository must look like NAME=PATH, not '${text}'`);
  }
  const path = text.slice(equals + 1);
  return { name: text.slice(0, equals), path: isAbsolute(path) ? path : resolve(cwd, path) };
}
