import { assert, assertEquals, assertThrows } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import { REQUEST_BODY_BYTES_MAX, REQUEST_JSON_DEPTH_MAX } from "../../src/core/limits.ts";
import { parseJsonBody } from "../../src/protocol/json_body.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function refusal(body: Uint8Array): LayerdError {
  const error = assertThrows(() => parseJsonBody(body), LayerdError);
  assertEquals(error.code, "invalid_request");
  return error;
}

Deno.test("parseJsonBody() takes an empty body for {}", () => {
  assertEquals(parseJsonBody(new Uint8Array()), {});
});

Deno.test("parseJsonBody() refuses what is no JSON and what is no UTF-8", () => {
  for (const text of ["{", "{'a':1}", "[1,]", "nul", " "]) {
    assert(refusal(bytes(text)).message.startsWith("The body is not valid JSON"), text);
  }
  assertEquals(
    refusal(new Uint8Array([0x22, 0xff, 0x22])).message,
    "The body is not valid UTF-8",
  );
  // A surrogate encoded as if it were a character.
  assertEquals(
    refusal(new Uint8Array([0x22, 0xed, 0xa0, 0x80, 0x22])).message,
    "The body is not valid UTF-8",
  );
});

Deno.test("parseJsonBody() names the field of a lone surrogate", () => {
  assertEquals(refusal(bytes('{"a":[{"b":"\\ud800x"}]}')).details.field, "a[0].b");
  assertEquals(refusal(bytes('{"a":"\\uDC00"}')).details.field, "a");
  assertEquals(
    refusal(bytes('{"\\ud800":1}')).message,
    "A name in the request has a lone surrogate",
  );
  assertEquals(parseJsonBody(bytes('{"a":"\\ud83d\\ude00"}')), { a: "😀" });
});

Deno.test("parseJsonBody() refuses a member called __proto__, also when it is escaped", () => {
  assertEquals(refusal(bytes('{"labels":{"__proto__":"x"}}')).details.field, "labels.__proto__");
  assertEquals(refusal(bytes('{"\\u005f_proto__":"x"}')).details.field, "__proto__");
  assertEquals(parseJsonBody(bytes('{"a":"__proto__"}')), { a: "__proto__" });
});

Deno.test("parseJsonBody() refuses nesting beyond the limit", () => {
  const nested = (depth: number) => bytes("[".repeat(depth) + "]".repeat(depth));
  parseJsonBody(nested(REQUEST_JSON_DEPTH_MAX));
  assertEquals(refusal(nested(REQUEST_JSON_DEPTH_MAX + 1)).details.limit, REQUEST_JSON_DEPTH_MAX);
});

Deno.test("parseJsonBody() does not count brackets inside strings", () => {
  const text = `"${"[".repeat(100)}\\"${"{".repeat(100)}\\\\"`;
  assertEquals(parseJsonBody(bytes(text)), JSON.parse(text));
});

Deno.test("parseJsonBody() refuses the largest body of brackets without parsing it", () => {
  const started = performance.now();
  refusal(new Uint8Array(REQUEST_BODY_BYTES_MAX).fill(0x5b));
  // Parsing it took five seconds.
  assert(performance.now() - started < 1_000);
});
