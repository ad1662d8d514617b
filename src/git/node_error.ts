/** An error as Node's file system calls make them: isomorphic-git looks at the code only. */
export function nodeError(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code });
}
