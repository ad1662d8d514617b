/** Views whose parsers are loaded with the first use: a start need not wait for them. */
import type { ViewReader, ViewReaderParts } from "./view_reader.ts";

export function lazyViews(
  parts: ViewReaderParts,
): Pick<ViewReader, "view" | "stack" | "stacks"> {
  const load = async () => {
    const { ViewReader } = await import("./view_reader.ts");
    return new ViewReader(parts);
  };
  return {
    view: async (request) => await (await load()).view(request),
    stack: async (repository, name) => await (await load()).stack(repository, name),
    stacks: async (repository) => await (await load()).stacks(repository),
  };
}
