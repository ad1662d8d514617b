/** Documents that a person writes: YAML, of which JSON is a part. */
import type { Json } from "../client/saga_documents.ts";
import { UsageError } from "./exit_codes.ts";
import { contentOf } from "./file_commands.ts";
import type { CliHost } from "./host.ts";

/** Against documents that grow when they are read ("billion laughs"). */
const ALIASES_MAX = 100;

/** What a file, or standard input for `-`, holds; the caller checks its form. */
export async function documentIn(host: CliHost, file: string): Promise<Json> {
  // Loaded by the commands that read documents: every other one starts without it.
  const { parse } = await import("yaml");
  const text = new TextDecoder().decode(await contentOf(host, file));
  try {
    return parse(text, { maxAliasCount: ALIASES_MAX });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`${file} is neither YAML nor JSON: ${reason}`, { cause: error });
  }
}
