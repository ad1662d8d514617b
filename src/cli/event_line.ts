/** An event as a line for a person; `--json` has all of it. */
import type { EventDocument } from "../client/client.ts";

/** `ID<tab>time<tab>type<tab>what`: what it is about first, then everything else by name. */
export function eventLine({ id, at, type, data }: EventDocument): string {
  const { repository, layer, ref, old, new: now, transaction, ...rest } = data;
  const place = [repository, layer ?? ref].filter((one) => typeof one === "string");
  const moved = old === undefined && now === undefined ? [] : [`${short(old)}..${short(now)}`];
  const named = Object.entries(rest).filter(([, value]) => value !== null)
    .map(([name, value]) => `${name}=${plain(value)}`);
  const what = [...place, ...moved, ...transactionWords(transaction), ...named];
  return [id, at, type, what.join(" ")].join("\t");
}

/** Its id and what it is for; where it was refused also why. */
function transactionWords(transaction: unknown): string[] {
  if (!isRecord(transaction)) return [];
  const { id, message, problem } = transaction;
  const subject = typeof message === "string" ? message.split("\n", 1)[0] ?? "" : "";
  const why = isRecord(problem) ? [`problem=${plain(problem["code"])}`] : [];
  return [plain(id), JSON.stringify(subject), ...why];
}

function short(oid: unknown): string {
  return typeof oid === "string" ? oid.slice(0, 7) : "-";
}

function plain(value: unknown): string {
  return typeof value === "string" && /^[^\s"]+$/.test(value) ? value : JSON.stringify(value);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
