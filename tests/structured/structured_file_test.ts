import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  type Json,
  mergePatched,
  objectValue,
  sameValue,
  type Value,
} from "../../src/core/structured_value.ts";
import { NotStructured, type StructuredFormat } from "../../src/structured/structured_format.ts";
import {
  edited,
  formatOf,
  readStructured,
  rendered,
} from "../../src/structured/structured_file.ts";

function format(path: string): StructuredFormat {
  const found = formatOf(path);
  assert(found !== null);
  return found;
}

function read(path: string, text: string) {
  return readStructured(format(path), new TextEncoder().encode(text));
}

function patched(path: string, text: string, patch: Json): string {
  const file = read(path, text);
  return text_(edited(file, mergePatched(file.value, patch)));
}

function text_(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
}

const CASES: readonly (readonly [string, string, string, Json, string])[] = [
  [
    "JSONC keeps comments, order and trailing commas",
    "settings.json",
    `// mine
{
  // how large
  "editor.fontSize": 12, // points
  /* gone with its key */
  "old": [1, 2],
  "files": { "eol": "\\n", "a": 1 },
}
`,
    { "editor.fontSize": 14, old: null, files: { a: null }, added: { x: [true] } },
    `// mine
{
  // how large
  "editor.fontSize": 14, // points
  "files": { "eol": "\\n"  },
  "added": {
    "x": [true]
  },
}
`,
  ],
  [
    "JSON without trailing commas stays without",
    "a.json",
    '{\r\n\t"a": 12345678901234567890,\r\n\t"b": 1.10,\r\n\t"c": 3\r\n}',
    { c: null, d: "x" },
    '{\r\n\t"a": 12345678901234567890,\r\n\t"b": 1.10,\r\n\t"d": "x"\r\n}',
  ],
  ["JSON loses its last key", "a.json", '{ "a": 1 }', { a: null }, "{  }"],
  [
    "JSON loses the last of two",
    "a.json",
    '{\n  "a": 1,\n  "b": 2\n}\n',
    { b: null },
    '{\n  "a": 1\n}\n',
  ],
  ["JSON gets its first key", "a.json", "{}\n", { a: 1 }, '{\n  "a": 1\n}\n'],
  ["JSON keeps its byte-order mark", "a.json", '\ufeff{"a":1}', { a: 2 }, '\ufeff{"a":2}'],
  [
    "YAML keeps comments, quotes and odd spacing",
    "a.yaml",
    `# top
name:   "x"   # quoted
list:
  - 1
  # between
  - two
map:
  # about a
  a: 0x1F
  b: |
    kept
    as it is
last: 12345678901234567890
`,
    { name: "y z", map: { a: null, c: { d: 1 } }, list: [3], added: null, more: "yes" },
    `# top
name:   y z   # quoted
list:
  - 3
map:
  b: |
    kept
    as it is
  c:
    d: 1
last: 12345678901234567890
more: "yes"
`,
  ],
  [
    "TOML keeps comments and order",
    "a.toml",
    `# top
title = 'x' # here
owner.name = "ann"

[server] # the server
# which one
port = 8_080
hosts = [
  "a", # first
]
when = 1979-05-27T07:32:00Z

# all of it
[server.tls]
on = true

[[plugin]]
name = "p"
`,
    {
      title: "y",
      owner: { mail: "a@b" },
      server: { port: 1, tls: null, extra: { deep: { x: 1 } } },
      plugin: [{ name: "q" }],
    },
    `# top
title = "y" # here
owner.name = "ann"
owner.mail = "a@b"
plugin = [{ name = "q" }]

[server] # the server
# which one
port = 1
hosts = [
  "a", # first
]
when = 1979-05-27T07:32:00Z


[server.extra]

[server.extra.deep]
x = 1
`,
  ],
  [
    "INI keeps comments, order and separators",
    "a.ini",
    "; top\nroot=1\n\n[core]\n# editor\neditor = vim\npager=less\n\n[gone]\nx = 1\n",
    { core: { editor: "nvim", new: 5 }, gone: null, more: { k: "v" } },
    "; top\nroot=1\n\n[core]\n# editor\neditor = nvim\npager=less\nnew=5\n\n\n[more]\nk=v\n",
  ],
];

for (const [name, path, text, patch, wanted] of CASES) {
  Deno.test(`edited() ${name}`, () => assertEquals(patched(path, text, patch), wanted));
}

const HOSTILE: readonly (readonly [string, string, string, string])[] = [
  ["deep JSON", "a.json", "[".repeat(200_000) + "]".repeat(200_000), "Nests"],
  ["deep YAML", "a.yaml", "[".repeat(50_000), ""],
  ["deep block YAML", "a.yaml", "- ".repeat(5_000) + "x", ""],
  ["deep TOML", "a.toml", `a = ${"[".repeat(50_000)}`, "Nests"],
  ["duplicate key in JSON", "a.json", '{"a":1,"a":2}', "Duplicate"],
  ["duplicate key in YAML", "a.yaml", "a: 1\na: 2\n", ""],
  ['YAML\'s 1 beside "1"', "a.yaml", '1: a\n"1": b\n', "Duplicate"],
  ["duplicate key in TOML", "a.toml", "a = 1\na = 2\n", "Not TOML"],
  ["duplicate key in INI", "a.ini", "[s]\na=1\na=2\n", "Duplicate"],
  ["two YAML documents", "a.yaml", "a: 1\n---\nb: 2\n", "Not YAML"],
  ["an alias to itself", "a.yaml", "&a [*a]\n", ""],
  ["no UTF-8", "a.json", "\udfff", ""],
  ["half a JSON", "a.json", '{"a": ', "Not JSON"],
  ["nothing", "a.json", "", "Not JSON"],
  ["over a mebibyte", "a.json", `"${"x".repeat(1024 * 1024)}"`, "bytes"],
];

for (const [name, path, text, said] of HOSTILE) {
  Deno.test(`readStructured() refuses ${name} in bounded time`, () => {
    const from = performance.now();
    const bytes = name === "no UTF-8"
      ? new Uint8Array([0x22, 0xff, 0x22])
      : new TextEncoder().encode(text);
    const error = assertThrows(() => readStructured(format(path), bytes), NotStructured);
    assertStringIncludes(error.message, said);
    assert(performance.now() - from < 5_000);
  });
}

Deno.test("readStructured() refuses a YAML alias bomb", () => {
  const lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
  for (let n = 1; n < 12; n += 1) {
    lines.push(`a${n}: &a${n} [${Array(10).fill(`*a${n - 1}`).join(",")}]`);
  }
  // Written out it has 10^12 scalars: to count them would end no test.
  assertThrows(() => read("a.yaml", lines.join("\n")), NotStructured);
});

Deno.test("a key called __proto__ is a key like any other", () => {
  for (
    const [path, text] of [
      ["a.json", '{"__proto__": {"x": 1}, "constructor": 2}'],
      ["a.yaml", "__proto__:\n  x: 1\nconstructor: 2\n"],
      ["a.toml", "constructor = 2\n[__proto__]\nx = 1\n"],
    ] as const
  ) {
    const { value } = read(path, text);
    assert(value.kind === "object");
    assertEquals([...value.members.keys()].sort(), ["__proto__", "constructor"]);
    assertEquals(Object.getPrototypeOf({}).x, undefined);
    const target = objectValue(new Map(value.members).set("toString", value));
    assert(sameValue(read(path, text_(edited(read(path, text), target))).value, target));
  }
});

Deno.test("a YAML change behind an alias is refused, not made in two places", () => {
  const text = "a: &x\n  k: 1\nb: *x\n";
  assertThrows(() => patched("a.yaml", text, { a: { k: 2 } }), NotStructured);
  assertEquals(patched("a.yaml", text, { c: 3 }), `${text}c: 3\n`);
});

const key = fc.oneof(
  fc.constantFrom("a", "b", "c d", "1", "true", "__proto__", "ü"),
  fc.string({ maxLength: 4 }),
);
const scalar = fc.oneof(
  fc.integer(),
  fc.boolean(),
  fc.string({ maxLength: 6 }),
  fc.constantFrom(
    "yes",
    "null",
    "# x",
    "a: b",
    "- a",
    "line\nline",
    "",
    " ",
    "0x1",
    "'",
    '"',
    "\u007f",
  ),
);
const { json } = fc.letrec<{ json: Json }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    scalar,
    fc.array(tie("json"), { maxLength: 3 }),
    fc.dictionary(key, tie("json"), { maxKeys: 4, noNullPrototype: true }),
  ),
}));
const object = fc.dictionary(key, json, { maxKeys: 5, noNullPrototype: true });

for (const path of ["a.json", "a.yaml", "a.toml"]) {
  Deno.test(`edited() makes any value of ${path} any other, or refuses`, () => {
    let refusals = 0;
    fc.assert(
      fc.property(object, object, (from, to) => {
        const before = mergePatched(null, from);
        const after: Value = mergePatched(null, to);
        const file = readStructured(format(path), rendered(format(path), before));
        assert(sameValue(file.value, before));
        try {
          const bytes = edited(file, after);
          assert(sameValue(readStructured(format(path), bytes).value, after));
        } catch (error) {
          if (!(error instanceof NotStructured)) throw error;
          refusals += 1;
        }
      }),
      { numRuns: 400 },
    );
    assert(refusals < 4, `${refusals} of 400 changes were refused`);
  });
}
