/** `patch_file`: a merge patch (RFC 7386) of a structured file, comments around it kept. */
import { LayerdError } from "../core/errors.ts";
import { quote } from "../core/ids.ts";
import type { Operation } from "../core/operations.ts";
import { mergePatched } from "../core/structured_value.ts";
import { objectId } from "../git/object_codec.ts";
import type { Repository } from "../git/repository.ts";
import { NotStructured } from "../structured/structured_format.ts";
import { edited, formatOf, readStructured } from "../structured/structured_file.ts";
import type { LayerChange } from "./layer_change.ts";
import { fileMode, fileNotFound, type StagingContext } from "./staging_checks.ts";

type PatchFile = Extract<Operation, { readonly op: "patch_file" }>;

/** Throws `file_not_found`, and `invalid_content` where the file cannot be patched. */
export async function patchFile(
  context: StagingContext,
  repository: Repository,
  change: LayerChange,
  { layer, path, mergePatch }: PatchFile,
): Promise<void> {
  const file = await change.file(path);
  if (file === null) throw fileNotFound(layer, path);
  const format = formatOf(path);
  if (format === null || file.mode === "120000") {
    throw new LayerdError(
      "invalid_content",
      `${quote(path)} is no JSON, JSONC, YAML, TOML or INI file by its name`,
      { field: "path" },
    );
  }
  const before = await context.bytes(repository, file);
  const bytes = patched(path, () => {
    const structured = readStructured(format, before);
    return edited(structured, mergePatched(structured.value, mergePatch));
  });
  context.changes.note(
    await change.place(path, {
      mode: fileMode(file.mode),
      oid: objectId("blob", bytes),
      content: { kind: "bytes", bytes },
    }),
  );
}

function patched(path: string, work: () => Uint8Array): Uint8Array {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof NotStructured)) throw error;
    const text = `${quote(path)} cannot be patched: ${error.message}`;
    throw new LayerdError("invalid_content", text, {}, error);
  }
}
