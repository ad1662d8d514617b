/**
 * A store whose process dies at one append, before or after that is on disk: neither this call
 * nor any other is ever answered again. The file stays as it is, for the next process.
 */
import type { SagaStore } from "../../src/sagas/saga_store.ts";

export interface Death {
  /** Which append: 1 is the first. */
  readonly append: number;
  readonly when: "before" | "after";
}

export function dyingStore(
  store: SagaStore,
  death: Death,
): { readonly store: SagaStore; readonly died: Promise<void> } {
  let appends = 0;
  const died = Promise.withResolvers<void>();
  const never = new Promise<never>(() => {});
  const append: SagaStore["append"] = async (...event) => {
    appends++;
    if (appends > death.append) return await never;
    if (appends < death.append) return await store.append(...event);
    if (death.when === "after") await store.append(...event);
    died.resolve();
    return await never;
  };
  const dying = new Proxy(store, {
    get: (target, name) => {
      if (name === "append") return append;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { store: dying, died: died.promise };
}
