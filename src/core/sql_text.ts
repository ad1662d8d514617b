/** What little has to be known about an SQL statement's text. */

const CONTROL =
  /^(begin|start|commit|end|rollback|abort|prepare\s+transaction|savepoint|release|discard)\b/i;

/**
 * Whether a statement begins or ends transactions, by its first words behind comments. The
 * participant looks once more, at what the server made of it.
 */
export function endsTransaction(text: string): boolean {
  let rest = text;
  for (;;) {
    const before = rest;
    rest = rest.replace(/^(\s|;)+/, "").replace(/^--[^\n]*(\n|$)/, "");
    if (rest.startsWith("/*")) rest = afterComment(rest);
    if (rest === before) return CONTROL.test(rest);
  }
}

/** PostgreSQL's block comments nest. */
function afterComment(text: string): string {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text.startsWith("/*", at)) {
      depth++;
      at++;
    } else if (text.startsWith("*/", at)) {
      depth--;
      at++;
      if (depth === 0) return text.slice(at + 1);
    }
  }
  return "";
}
