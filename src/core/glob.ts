/**
 * Globs over paths: `*` and `?` within one part, `**` for any number of parts. A glob
 * without `/` matches the last part anywhere. Time is bounded by the product of the lengths.
 */
export function matchesGlob(glob: string, path: string): boolean {
  const parts = path.split("/");
  if (!glob.includes("/")) return matchesPart(glob, parts.at(-1) ?? "");
  const wanted = glob.split("/");
  // reachable[i]: the parts so far can be matched by the first i parts of the glob.
  let reachable = closed(wanted, [true, ...wanted.map(() => false)]);
  for (const part of parts) {
    const next = [false, ...wanted.map(() => false)];
    for (const [index, one] of wanted.entries()) {
      if (!reachable[index]) continue;
      if (one === "**") next[index] = true;
      else if (matchesPart(one, part)) next[index + 1] = true;
    }
    reachable = closed(wanted, next);
  }
  return reachable[wanted.length] === true;
}

/** `**` may stand for nothing. */
function closed(wanted: readonly string[], reachable: boolean[]): boolean[] {
  for (const [index, one] of wanted.entries()) {
    if (one === "**" && reachable[index]) reachable[index + 1] = true;
  }
  return reachable;
}

function matchesPart(glob: string, text: string): boolean {
  let [at, inGlob, star, back] = [0, 0, -1, 0];
  while (at < text.length) {
    if (glob[inGlob] === "*") {
      star = inGlob++;
      back = at;
    } else if (inGlob < glob.length && (glob[inGlob] === "?" || glob[inGlob] === text[at])) {
      inGlob++;
      at++;
    } else if (star >= 0) {
      inGlob = star + 1;
      at = ++back;
    } else return false;
  }
  while (glob[inGlob] === "*") inGlob++;
  return inGlob === glob.length;
}
