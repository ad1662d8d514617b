/** Paths and queries of the wire contract, escaped. */

/** Path of a repository. */
export function repositoryPath(name: string): string {
  return `/v1/repositories/${encodeURIComponent(name)}`;
}

/** Path of a transaction. */
export function transactionPath(id: string): string {
  return `/v1/transactions/${encodeURIComponent(id)}`;
}

/** `?a=1&b=2` of the values that are given, or nothing. */
export function query(
  values: Readonly<Record<string, string | number | boolean | undefined>>,
): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== undefined) search.set(name, String(value));
  }
  const text = search.toString();
  return text === "" ? "" : `?${text}`;
}
