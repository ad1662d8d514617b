/** Calls on stacks and views; `LayerdClient.views` has them. */
import type { Exchange } from "./exchange.ts";
import { query, repositoryPath } from "./paths.ts";
import type { StackDocument, ViewFileDocument } from "./view_documents.ts";

/** What a view is made of: a stack, or layers with the lowest first. */
export type ViewOf = { readonly stack: string } | { readonly layers: readonly string[] };

export class ViewCalls {
  readonly #exchange: Exchange;

  constructor(exchange: Exchange) {
    this.#exchange = exchange;
  }

  async stacks(repository: string): Promise<StackDocument[]> {
    const path = `${repositoryPath(repository)}/stacks`;
    return (await this.#exchange.json<{ stacks: StackDocument[] }>({ method: "GET", path })).stacks;
  }

  async stack(repository: string, name: string): Promise<StackDocument> {
    const path = stackPath(repository, name);
    return (await this.#exchange.json<{ stack: StackDocument }>({ method: "GET", path })).stack;
  }

  async putStack(
    repository: string,
    { name, ...json }: Omit<StackDocument, "merge"> & Partial<StackDocument>,
  ): Promise<StackDocument> {
    const path = stackPath(repository, name);
    const answer = await this.#exchange.json<{ stack: StackDocument }>({
      method: "PUT",
      path,
      json,
    });
    return answer.stack;
  }

  async removeStack(repository: string, name: string): Promise<void> {
    await this.#exchange.bytes({ method: "DELETE", path: stackPath(repository, name) });
  }

  /** The files of a view; with `path` one of them with its content. */
  async view(
    repository: string,
    of: ViewOf,
    options: {
      readonly path?: string;
      readonly explain?: boolean;
      readonly transaction?: string;
    } = {},
  ): Promise<ViewFileDocument[]> {
    const source = "stack" in of ? of : { layers: of.layers.join(",") };
    const path = `${repositoryPath(repository)}/view${query({ ...source, ...options })}`;
    return (await this.#exchange.json<{ files: ViewFileDocument[] }>({ method: "GET", path }))
      .files;
  }
}

function stackPath(repository: string, name: string): string {
  return `${repositoryPath(repository)}/stacks/${encodeURIComponent(name)}`;
}
