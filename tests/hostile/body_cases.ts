/** Bodies that are no request: syntax, encoding, types, unknown fields, sizes, numbers. */
import {
  AUTHOR_FIELD_BYTES_MAX,
  IDEMPOTENCY_KEY_LENGTH_MAX,
  LABEL_BYTES_MAX,
  LABELS_MAX,
  LEASE_MS_MAX,
  LEASE_MS_MIN,
  LOCK_TIMEOUT_MS_MAX,
  LOCKS_PER_TRANSACTION_MAX,
  MESSAGE_BYTES_MAX,
  OPERATIONS_PER_REQUEST_MAX,
  REQUEST_BODY_BYTES_MAX,
} from "../../src/core/limits.ts";
import { begin, beginRaw, type HostileCase, LAYER, REPOSITORY } from "./hostile_case.ts";

const encoder = new TextEncoder();
const JSON_BOMB_DEPTH = 100_000;

const SYNTAX: readonly HostileCase[] = [
  ...[
    "{",
    "}",
    '{"message":}',
    "{'message':1}",
    '{"message":"x",}',
    "{} {}",
    "{}x",
    "NaN",
    "{/* comment */}",
    '{"lease_ms":0x10}',
    '{"lease_ms":01}',
    '{"message":"tab\there"}',
    '{"message":"\\x41"}',
    '"unfinished',
    "undefined",
  ].map((raw) => beginRaw(`not JSON: ${raw}`, raw)),
  ...["[]", '"text"', "null", "1", "true"].map((raw) => beginRaw(`no object: ${raw}`, raw)),
  beginRaw("depth bomb of arrays", "[".repeat(JSON_BOMB_DEPTH)),
  beginRaw(
    "deep arrays, well-formed",
    `{"labels":${"[".repeat(JSON_BOMB_DEPTH)}${"]".repeat(JSON_BOMB_DEPTH)}}`,
  ),
  beginRaw("deep objects", `${'{"a":'.repeat(JSON_BOMB_DEPTH)}1${"}".repeat(JSON_BOMB_DEPTH)}`),
  beginRaw("bad UTF-8 in a string", bytes('{"message":"', [0xff, 0xfe], '"}')),
  beginRaw("truncated UTF-8", bytes('{"message":"', [0xe2, 0x82], '"}')),
  beginRaw("overlong UTF-8", bytes('{"message":"', [0xc0, 0xaf], '"}')),
  beginRaw("surrogate as UTF-8", bytes('{"message":"', [0xed, 0xa0, 0x80], '"}')),
  beginRaw("UTF-16 text", bytes("", [0xff, 0xfe, 0x7b, 0, 0x7d, 0], "")),
  beginRaw("lone surrogate in the message", '{"message":"\\ud800"}'),
  beginRaw("lone low surrogate in a label", '{"labels":{"a":"\\udc00x"}}'),
  beginRaw("lone surrogate in a key", '{"labels":{"\\ud83d":"x"}}'),
];

const MEDIA_TYPES: readonly HostileCase[] = [
  "text/plain",
  "application/x-www-form-urlencoded",
  "multipart/form-data; boundary=x",
  "application/xml",
  "application/octet-stream",
  "garbage",
].map((type) => beginRaw(`as ${type}`, "{}", "unsupported_media_type", { "content-type": type }));

const TYPES: readonly HostileCase[] = [
  begin("unknown field", { mesage: "x" }),
  begin("prototype as a field", JSON.parse('{"__proto__":{"commit":true}}')),
  begin("constructor as a field", { constructor: 1 }),
  ...[1, [], {}, true].map((message) => begin(`message ${JSON.stringify(message)}`, { message })),
  ...["Ann", [], { name: "Ann" }, { email: "a@b" }, { name: 1, email: "a@b" }, {
    name: "A",
    email: "a@b",
    x: 1,
  }].map((author) => begin(`author ${JSON.stringify(author)}`, { author })),
  ...["A <b", "A> b", "A\nb", "A\u0000b", "A\u007fb"].map((name) =>
    begin(`author name ${JSON.stringify(name)}`, { author: { name, email: "a@example.org" } })
  ),
  begin("author email with a bracket", { author: { name: "A", email: "a>@b" } }),
  ...["serializable", "LOCKING", "", 1, null, []].map((isolation) =>
    begin(`isolation ${JSON.stringify(isolation)}`, { isolation })
  ),
  ...[
    {},
    "x",
    [1],
    [null],
    [{}],
    [{ repository: REPOSITORY }],
    [
      { repository: REPOSITORY, layer: LAYER, mode: "write" },
    ],
    [{ repository: REPOSITORY, layer: "a..b", mode: "shared" }],
    [
      { repository: REPOSITORY, layer: LAYER, mode: "shared", wait: 1 },
    ],
  ].map((locks) => begin(`locks ${JSON.stringify(locks)}`, { locks })),
  begin("lock in an unknown repository", {
    locks: [{ repository: "nowhere", layer: LAYER, mode: "shared" }],
  }, "repository_not_found"),
  ...[5, {}, [], true].map((tenant) =>
    begin(`tenant ${JSON.stringify(tenant)}`, {
      tenant_id: tenant,
    })
  ),
  ...["x", [], { a: 1 }, { a: null }, { a: {} }].map((labels) =>
    begin(`labels ${JSON.stringify(labels)}`, { labels })
  ),
  begin("pattern", { pattern: "three_phase_commit" }),
  begin("pattern number", { pattern: 2 }),
  ...[{}, "x", [1], [null], [[]], [{}], [{ op: "nope" }], [{ op: 1 }]].map((operations) =>
    begin(`operations ${JSON.stringify(operations)}`, { operations })
  ),
  ...["yes", 1, null, {}].map((commit) => begin(`commit ${JSON.stringify(commit)}`, { commit })),
];

const NUMBERS: readonly HostileCase[] = [
  ...[-1, 1.5, "5000", LOCK_TIMEOUT_MS_MAX + 1, 1e308, true].map((value) =>
    begin(`lock_timeout_ms ${JSON.stringify(value)}`, { lock_timeout_ms: value })
  ),
  ...[-1, 0, LEASE_MS_MIN - 1, LEASE_MS_MAX + 1, 100.5, "30000", 1e21].map((value) =>
    begin(`lease_ms ${JSON.stringify(value)}`, { lease_ms: value })
  ),
  beginRaw("lease_ms beyond every double", '{"lease_ms":1e999}'),
  beginRaw("lease_ms with 1,000 digits", `{"lease_ms":${"9".repeat(1_000)}}`),
  ...[-1, "x", 0.5, 1e300].map((value) =>
    begin(`prepare_timeout_ms ${JSON.stringify(value)}`, { prepare_timeout_ms: value })
  ),
];

const SIZES: readonly HostileCase[] = [
  begin("message too long", { message: "m".repeat(MESSAGE_BYTES_MAX + 1) }),
  begin("author too long", {
    author: { name: "n".repeat(AUTHOR_FIELD_BYTES_MAX + 1), email: "a@b" },
  }),
  begin("too many labels", {
    labels: Object.fromEntries(Array.from({ length: LABELS_MAX + 1 }, (_, n) => [`l${n}`, "x"])),
  }),
  begin("label too long", { labels: { a: "x".repeat(LABEL_BYTES_MAX + 1) } }),
  begin("too many locks", {
    locks: Array.from({ length: LOCKS_PER_TRANSACTION_MAX + 1 }, (_, n) => ({
      repository: REPOSITORY,
      layer: `l${n}`,
      mode: "shared",
    })),
  }),
  begin("too many operations", {
    operations: Array.from({ length: OPERATIONS_PER_REQUEST_MAX + 1 }, () => ({
      op: "delete_file",
      repository: REPOSITORY,
      layer: LAYER,
      path: "f",
    })),
  }),
  beginRaw(
    "body over the limit",
    `{"message":"${"m".repeat(REQUEST_BODY_BYTES_MAX)}"}`,
    "payload_too_large",
  ),
  {
    ...beginRaw("idempotency key too long", "{}"),
    headers: { "idempotency-key": "k".repeat(IDEMPOTENCY_KEY_LENGTH_MAX + 1) },
  },
];

/** Everything above. */
export const BODY_CASES: readonly HostileCase[] = [
  ...SYNTAX,
  ...MEDIA_TYPES,
  ...TYPES,
  ...NUMBERS,
  ...SIZES,
];

function bytes(before: string, middle: readonly number[], after: string): Uint8Array {
  return new Uint8Array([...encoder.encode(before), ...middle, ...encoder.encode(after)]);
}
