/** The marker beside a materialized view: which view it is, and what every file was. */
import type { WantedFile, WantedView } from "../core/materialization.ts";

export interface Marker extends Pick<WantedView, "source"> {
  readonly files: readonly WantedFile[];
}

const FORMAT = "layerd view 1";

export function encodeMarker({ source, files }: Marker): Uint8Array {
  const listed = files.map(({ path, mode, oid }) => ({ path, mode, oid }));
  const marker = { managed_by: FORMAT, source, files: listed };
  return new TextEncoder().encode(JSON.stringify(marker, null, 1) + "\n");
}

/** Throws an Error that says what is wrong with it. */
export function decodeMarker(bytes: Uint8Array): Marker {
  const value = fieldsOf(JSON.parse(new TextDecoder().decode(bytes)));
  if (value["managed_by"] !== FORMAT) throw new Error(`it is no marker of "${FORMAT}"`);
  const files = value["files"];
  if (!Array.isArray(files)) throw new Error("it lists no files");
  return { source: fieldsOf(value["source"]), files: files.map(fileOf) };
}

function fileOf(value: unknown): WantedFile {
  const { path, mode, oid } = fieldsOf(value);
  if (typeof path === "string" && typeof mode === "string" && typeof oid === "string") {
    return { path, mode, oid };
  }
  throw new Error("it lists a file without path, mode or id");
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new Error("it is no JSON object");
}
