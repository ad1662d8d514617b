/**
 * Git's configuration format, as far as a daemon needs it: sections, subsections, quoted
 * and continued values, `include.path`. Conditional includes (`includeIf`) and paths that
 * begin with `~` are passed over: they depend on who runs git.
 *
 * What decides about the format of a repository (`core`, `extensions`) is read without
 * includes, as git itself does.
 */
import { dirname, resolve } from "@std/path";
import { LayerdError } from "../core/errors.ts";
import { errorCode, type FileSystem } from "../system/file_system.ts";

/** Git follows ten includes in a row and no more. */
const INCLUDE_DEPTH_MAX = 10;

/** One setting. The section and the last part of the key are lower case, a subsection as written. */
export interface ConfigEntry {
  readonly key: string;
  /** null for a name without `=`, which git takes for true. */
  readonly value: string | null;
}

/** Settings in the order of their files; of several values the last one counts. */
export class GitConfig {
  constructor(readonly entries: readonly ConfigEntry[]) {}

  /** The last value of a key, or null where it is not set (or has no value). */
  get(key: string): string | null {
    return this.entries.findLast((entry) => entry.key === key)?.value ?? null;
  }

  /** Whether the last value of a key is one that git takes for true. */
  isTrue(key: string): boolean {
    const entry = this.entries.findLast((candidate) => candidate.key === key);
    return entry !== undefined && isTrueValue(entry.value);
  }
}

/** Whether git reads the value of a boolean setting as true; a name alone is true. */
export function isTrueValue(value: string | null): boolean {
  if (value === null) return true;
  const text = value.toLowerCase();
  if (text === "true" || text === "yes" || text === "on") return true;
  return /^[+-]?[0-9]+[kmg]?$/.test(text) && parseInt(text) !== 0;
}

/** Reads a configuration file without following includes; a missing file has no settings. */
export function readConfigFile(fs: FileSystem, path: string): GitConfig {
  let bytes: Uint8Array;
  try {
    bytes = fs.readFile(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return new GitConfig([]);
    throw error;
  }
  return new GitConfig(parseConfig(new TextDecoder().decode(bytes), path));
}

/** Reads a configuration file with what it includes by `include.path`. */
export function readConfigWithIncludes(fs: FileSystem, path: string): GitConfig {
  return new GitConfig(entriesWithIncludes(fs, path, 0));
}

function entriesWithIncludes(fs: FileSystem, path: string, depth: number): ConfigEntry[] {
  return readConfigFile(fs, path).entries.flatMap((entry) => {
    if (entry.key !== "include.path") return [entry];
    const target = entry.value;
    if (target === null || target.startsWith("~") || depth >= INCLUDE_DEPTH_MAX) return [];
    return entriesWithIncludes(fs, resolve(dirname(path), target), depth + 1);
  });
}

/** Parses the text of a configuration file; `source` is named in the error. */
export function parseConfig(text: string, source: string): ConfigEntry[] {
  return new ConfigParser(text, source).parse();
}

/** What stands before the first line that is no configuration, as git takes `.gitmodules`. */
export function parseConfigUntilDamage(text: string): readonly ConfigEntry[] {
  const parser = new ConfigParser(text, "");
  try {
    parser.parse();
  } catch (error) {
    if (!(error instanceof LayerdError)) throw error;
  }
  return parser.entries;
}

class ConfigParser {
  readonly #text: string;
  readonly #source: string;
  /** Read so far. */
  readonly entries: ConfigEntry[] = [];
  #position = 0;
  #section = "";

  constructor(text: string, source: string) {
    this.#text = text.replace(/^\ufeff/, "").replaceAll("\r\n", "\n");
    this.#source = source;
  }

  parse(): ConfigEntry[] {
    for (;;) {
      const char = this.#skip(/\s*/y);
      if (char === "") return this.entries;
      if (char === "#" || char === ";") this.#skip(/[^\n]*/y);
      else if (char === "[") this.#readSection();
      else this.entries.push(this.#readEntry());
    }
  }

  /** Passes over what matches here; answers the character that follows. */
  #skip(pattern: RegExp): string {
    this.#take(pattern);
    return this.#text.charAt(this.#position);
  }

  #take(pattern: RegExp): RegExpExecArray | null {
    pattern.lastIndex = this.#position;
    const match = pattern.exec(this.#text);
    if (match) this.#position += match[0].length;
    return match;
  }

  #readSection(): void {
    const match = this.#take(/\[([A-Za-z0-9.-]+)(?:[ \t]+"((?:[^"\\\n]|\\[^\n])*)")?\]/y);
    if (match === null) this.#fail();
    const name = (match[1] ?? "").toLowerCase();
    const subsection = match[2]?.replace(/\\(.)/g, "$1");
    this.#section = subsection === undefined ? name : `${name}.${subsection}`;
  }

  #readEntry(): ConfigEntry {
    const name = this.#take(/[A-Za-z][A-Za-z0-9-]*/y)?.[0].toLowerCase();
    if (name === undefined || this.#section === "") this.#fail();
    const key = `${this.#section}.${name}`;
    const next = this.#skip(/[ \t]*/y);
    if (next !== "=") {
      if (next !== "" && next !== "\n" && next !== "#" && next !== ";") this.#fail();
      return { key, value: null };
    }
    this.#position += 1;
    return { key, value: this.#readValue() };
  }

  #readValue(): string {
    let value = "";
    // Blanks count only once something follows them.
    let blanks = "";
    let quoted = false;
    this.#skip(/[ \t]*/y);
    for (;;) {
      const char = this.#text.charAt(this.#position);
      this.#position += 1;
      if (char === "" || char === "\n") {
        if (quoted) this.#fail();
        return value;
      }
      if (!quoted && (char === " " || char === "\t")) {
        blanks += char;
        continue;
      }
      if (!quoted && (char === "#" || char === ";")) {
        this.#skip(/[^\n]*/y);
        continue;
      }
      value += blanks;
      blanks = "";
      if (char === '"') quoted = !quoted;
      else if (char === "\\") value += this.#readEscape();
      else value += char;
    }
  }

  #readEscape(): string {
    const char = this.#text.charAt(this.#position);
    this.#position += 1;
    switch (char) {
      case "\n":
        return "";
      case "n":
        return "\n";
      case "t":
        return "\t";
      case "b":
        return "\b";
      case "\\":
      case '"':
        return char;
      default:
        return this.#fail();
    }
  }

  #fail(): never {
    const line = this.#text.slice(0, this.#position).split("\n").length;
    throw new LayerdError(
      "unsupported_repository",
      `Bad configuration line ${line} in ${this.#source}`,
      { reason: "bad_config" },
    );
  }
}
