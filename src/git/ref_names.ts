/** Names of refs as git orders and admits them. */
import { LayerdError } from "../core/errors.ts";
import { parseRefName, type RefName } from "../core/ids.ts";
import { REF_NAME_BYTES_MAX } from "../core/limits.ts";

/** Orders names as their UTF-8 bytes are ordered, without encoding them. */
export function compareRefNames(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left !== right) return rank(left) - rank(right);
  }
  return a.length - b.length;
}

// Surrogates stand for code points above all others, whatever their own numbers.
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

// A part of what parseRefName() accepts that needs no second look; most names are of it.
const PLAIN_REF_NAME = /^refs(?:\/[A-Za-z0-9_-]+){2,}$/;

/** The name as a ref that layerd may touch, or null for one that git's rules exclude. */
export function validRefName(text: string): RefName | null {
  if (text.length <= REF_NAME_BYTES_MAX && PLAIN_REF_NAME.test(text)) return text as RefName;
  try {
    return parseRefName(text);
  } catch (error) {
    if (error instanceof LayerdError) return null;
    throw error;
  }
}
