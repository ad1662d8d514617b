/** The shape of a branch where it is read back from the log. */
import type { Branch, BranchContext } from "./branch.ts";
import { parseParticipantName, parseTransactionId } from "./ids.ts";
import { at, fieldsAt, integerAt, nullableAt, oneOfAt, parsedAt, textAt } from "./json_shape.ts";
import type { Json } from "./structured_value.ts";

export function branchAt(value: unknown, path: string): Branch {
  const fields = fieldsAt(value, path);
  return {
    participant: parsedAt(fields["participant"], at(path, "participant"), parseParticipantName),
    kind: oneOfAt(fields["kind"], at(path, "kind"), ["postgres", "http"]),
    key: textAt(fields["key"], at(path, "key")),
    context: contextAt(fields["context"], at(path, "context")),
    payload: jsonAt(fields["payload"], at(path, "payload")),
  };
}

function contextAt(value: unknown, path: string): BranchContext {
  const fields = fieldsAt(value, path);
  const nullableText = (name: string) => nullableAt(fields[name], at(path, name), textAt);
  return {
    transactionId: parsedAt(fields["transactionId"], at(path, "transactionId"), parseTransactionId),
    tenantId: nullableText("tenantId"),
    operationType: nullableText("operationType"),
    fencingToken: integerAt(fields["fencingToken"], at(path, "fencingToken")),
  };
}

/** What JSON.parse made is JSON; this says so to the compiler, all the way down. */
function jsonAt(value: unknown, path: string): Json {
  switch (typeof value) {
    case "string":
    case "number":
    case "boolean":
      return value;
    case "object":
      if (value === null) return null;
      if (Array.isArray(value)) {
        return value.map((item, index) => jsonAt(item, `${path}[${index}]`));
      }
      return Object.fromEntries(
        Object.entries(value).map(([name, member]) => [name, jsonAt(member, at(path, name))]),
      );
    default:
      throw new Error(`Log record's ${path} is not JSON`);
  }
}
