/**
 * What `git fsck` calls an error in a `.gitmodules`: names, URLs and paths that have run
 * commands or written outside the work tree of whoever cloned (fsck.c of git 2.39, messages
 * gitmodulesName, gitmodulesUrl, gitmodulesPath, gitmodulesUpdate). What it only warns of,
 * such as a file that does not parse, passes here too.
 */
import { parseConfigUntilDamage } from "./git_config.ts";

const PATTERN = /(^|\/)\.gitmodules$/i;

/** Whether git reads the file at this path as a `.gitmodules`, in whatever directory. */
export function isGitmodules(path: string): boolean {
  return PATTERN.test(path);
}

/** What git would refuse, in words, or null. */
export function gitmodulesFault(bytes: Uint8Array): string | null {
  for (const { key, value } of parseConfigUntilDamage(new TextDecoder().decode(bytes))) {
    const match = /^submodule\.(.*)\.([^.]+)$/s.exec(key);
    if (match === null) continue;
    const [name = "", field = ""] = match.slice(1);
    if (name === "" || name.split(/[/\\]/).includes("..")) {
      return `the submodule name ${quoted(name)}`;
    }
    if (value === null) continue;
    if (field === "url" && isHarmfulUrl(value)) return `the url ${quoted(value)}`;
    if (field === "path" && value.startsWith("-")) return `the path ${quoted(value)}`;
    if (field === "update" && value.startsWith("!")) return `the update command ${quoted(value)}`;
  }
  return null;
}

function isHarmfulUrl(url: string): boolean {
  if (url.startsWith("-")) return true;
  if (/^\.\.?\//.test(url)) {
    // A relative URL that climbs out of its root turns into one with another host.
    const [, climbs = "", rest = ""] = /^((?:\.\.?\/)+)(.*)$/s.exec(url) ?? [];
    return hasNewline(url) || (climbs.includes("../") && /^[:/]/.test(rest));
  }
  const curl = /^(?:(?:https?|ftps?)::)?((?:https?|ftps?):\/\/.*)$/s.exec(url)?.[1] ??
    /^(?:https?|ftps?)::(.*)$/s.exec(url)?.[1];
  if (curl === undefined) return false;
  const host = /^[a-z]+:\/\/(?:[^@/?#]*@)?([^/?#]*)/s.exec(curl)?.[1];
  return hasNewline(curl) || host === undefined || host === "";
}

function hasNewline(url: string): boolean {
  return url.includes("\n") || /%0a/i.test(url);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
