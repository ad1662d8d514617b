/**
 * Names of refs that are there or will be, with the question that git's files ask of them:
 * `a` and `a/b` cannot both exist. Each answer takes time in the depth of the name alone,
 * however many names there are.
 */
import type { RefName } from "./ids.ts";

export class RefNameSet {
  readonly #names = new Map<string, RefName>();
  /** The names below each name that stands above one of the set. */
  readonly #above = new Map<string, Set<RefName>>();

  constructor(names: Iterable<RefName> = []) {
    for (const name of names) this.add(name);
  }

  add(name: RefName): void {
    if (this.#names.has(name)) return;
    this.#names.set(name, name);
    for (const above of namesAbove(name)) {
      const below = this.#above.get(above);
      if (below) below.add(name);
      else this.#above.set(above, new Set([name]));
    }
  }

  delete(name: RefName): void {
    if (!this.#names.delete(name)) return;
    for (const above of namesAbove(name)) {
      const below = this.#above.get(above);
      below?.delete(name);
      if (below?.size === 0) this.#above.delete(above);
    }
  }

  /** Names of the set that stand above or below this one. */
  *clashes(ref: RefName): Generator<RefName> {
    for (const above of namesAbove(ref)) {
      const name = this.#names.get(above);
      if (name !== undefined) yield name;
    }
    yield* this.#above.get(ref) ?? [];
  }
}

/** `refs/heads`, `refs/heads/a` of `refs/heads/a/b`. */
export function* namesAbove(ref: string): Generator<string> {
  for (let at = ref.indexOf("/", 5); at !== -1; at = ref.indexOf("/", at + 1)) {
    yield ref.slice(0, at);
  }
}
