/** Expressions of hostile definitions end, in bounded time and memory, whatever they say. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import type { SagaState } from "../../src/core/saga.ts";
import { beginSaga } from "../../src/core/saga_state.ts";
import type { Json } from "../../src/core/structured_value.ts";
import { definitionBody } from "../../src/protocol/sagas.ts";
import { decode } from "../../src/protocol/decode.ts";
import { checkExpressions, inputFor, InputUnmade } from "../../src/sagas/expressions.ts";
import { stepsOf } from "./engine_scene.ts";

/** JSONata's guard is 250 ms; the rest is one step of an evaluation on a busy machine. */
const MS_MAX = 3_000;

function definitionWith(input: Json) {
  const services = { service: { kind: "http", base_url: "http://127.0.0.1:1" } };
  return decode(definitionBody, { services, steps: stepsOf(["a"], { input }) });
}

function sagaWith(input: Json): SagaState {
  return beginSaga({
    type: "saga_requested",
    saga_id: "s",
    sequence: 1,
    at: "2026-01-01T00:00:00.000Z",
    data: { definition: "test", definition_version: 1, input, tenant_id: null },
  }, { name: "test", version: 1, ...definitionWith({}) });
}

function valueOf(text: string, input: Json = null): Promise<Json> {
  return inputFor(sagaWith(input), { $: text });
}

const doubled = (what: string, times: number) =>
  `($f := function($s, $n) { $n = 0 ? $s : $f(${what}, $n - 1) }; $f("x", ${times}))`;
const tree = doubled("[[$s], [$s]]", 28);
const numbers: Json = Array.from({ length: 150_000 }, (_, n) => n);

const BOMBS: readonly (readonly [what: string, text: string, input?: Json])[] = [
  ["loops", "($f := function($n) { $f($n + 1) }; $f(0))"],
  ["recurses", "($f := function($n) { 1 + $f($n + 1) }; $f(0))"],
  ["measures a doubled string", `$length(${doubled("$s & $s", 26)})`],
  ["compares shared trees", `($a := ${tree}; $b := ${tree}; $a = $b)`],
  ["writes a shared tree", `$length($string(${tree}))`],
  ["makes a wide picture", '$fromMillis(0, "[Y,300000000]")'],
  ["reads by a pattern", '$toMillis("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", "[P][P][P][P][P][P][P]")'],
  ["replaces a lot by a lot", '$length($replace(input, "x", input))', "x".repeat(900_000)],
  ["joins by a lot", "$length($join($map([1..90000], $string), input))", "x".repeat(900_000)],
  ["ranges", "$count([[1..9000000], [1..9000000]])"],
  ["nests", doubled("[$s]", 150).replace("[$s]", "{'a': $s}")],
];

for (const [what, text, input] of BOMBS) {
  Deno.test(`inputFor() ends an expression that ${what}`, async () => {
    const since = performance.now();
    const error = await assertRejects(() => valueOf(text, input ?? null), InputUnmade);
    const ms = performance.now() - since;
    assert(ms < MS_MAX, `${Math.round(ms)} ms`);
    assert(!error.message.includes("[object"), error.message);
  });
}

Deno.test("inputFor() makes many values distinct without comparing each with each", async () => {
  assertEquals(await valueOf("$count($distinct(input))", numbers), 150_000);
});

for (
  const name of ["eval", "pad", "formatInteger", "parseInteger", "now", "sort", "reduce"]
) {
  Deno.test(`checkExpressions() refuses $${name}, also by another name`, async () => {
    for (const text of [`$${name}(input)`, `($f := $${name}; $f(1))`, `input ~> $${name}`]) {
      const error = await assertRejects(
        () => checkExpressions(definitionWith({ x: { $: text } })),
        LayerdError,
      );
      assertEquals(error.details.field, "steps[0].input.x");
      assertMatch(error.message, new RegExp(`uses \\$${name}`));
    }
  });
}

Deno.test("inputFor() answers what expressions of every day say", async () => {
  const input = { items: [{ n: 2, s: "a" }, { n: 3, s: "b" }, { n: 2, s: "a" }], at: 0 };
  const cases: readonly (readonly [string, Json])[] = [
    ["$sum(input.items.n)", 7],
    ["$join(input.items.s, '-')", "a-b-a"],
    ["$replace('a.b.c', '.', '/')", "a/b/c"],
    ["$distinct(input.items).s", ["a", "b"]],
    ["$fromMillis(input.at)", "1970-01-01T00:00:00.000Z"],
    ["$toMillis('1970-01-01T00:00:01Z')", 1_000],
    ["$map(input.items, function($v) { $v.n * 2 })", [4, 6, 4]],
    ["input.items[n > 2].s", "b"],
    ["input.items.{ 'whole': %.at, 's': s }.s", ["a", "b", "a"]],
    ["input.items^(>n).n", [3, 2, 2]],
    ["$merge([{'a': 1}, {'b': 2}])", { a: 1, b: 2 }],
  ];
  for (const [text, value] of cases) assertEquals(await valueOf(text, input), value, text);
});

Deno.test("inputFor() reaches nothing of the runtime", async () => {
  for (const text of ["input.constructor", "$string.constructor", "input.__proto__.x"]) {
    await assertRejects(() => valueOf(text, { n: 1 }), InputUnmade, "has no value");
  }
});

Deno.test("inputFor() keeps a member called __proto__", async () => {
  const input: Json = JSON.parse('{"__proto__": {"a": 1}}');
  assertEquals(JSON.stringify(await inputFor(sagaWith(null), input)), '{"__proto__":{"a":1}}');
});
