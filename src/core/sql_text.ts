/** What little has to be known about an SQL statement's text. */

const CONTROL =
  /^(begin|start|commit|end|rollback|abort|prepare\s+transaction|savepoint|release|discard)\b/i;

/** To or from the client, who is the daemon and has nothing to copy. */
const COPY = /^copy\b/i;

/**
 * Why a statement cannot be part of a transaction, by its first words behind comments, or
 * null. The participant looks once more, at what the server made of it.
 */
export function statementRefusal(text: string): string | null {
  const start = withoutComments(text);
  if (CONTROL.test(start)) return "must not begin or end a transaction";
  return COPY.test(start) ? "must not be COPY: nobody is at the other end of it" : null;
}

function withoutComments(text: string): string {
  let rest = text;
  for (;;) {
    const before = rest;
    // PostgreSQL ends such a comment at a carriage return as well.
    rest = rest.replace(/^(\s|;)+/, "").replace(/^--[^\r\n]*/, "");
    if (rest.startsWith("/*")) rest = afterComment(rest);
    if (rest === before) return rest;
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
