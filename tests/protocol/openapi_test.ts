import { assert, assertEquals } from "@std/assert";
import { openApiDocument } from "../../src/protocol/openapi.ts";
import { ROUTES } from "../../src/protocol/routes.ts";

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
  readonly requestBody?: { readonly required: boolean };
}

interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, unknown>> };
}

// As a client gets it: only what survives JSON counts.
const document: Document = JSON.parse(JSON.stringify(openApiDocument("1.2.3")));

function referencesIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, member]) =>
    name === "$ref" ? [String(member)] : referencesIn(member)
  );
}

Deno.test("openApiDocument() has every route of the table with its answers and problems", () => {
  for (const [id, route] of Object.entries(ROUTES)) {
    const operation = document.paths[route.path]?.[route.method.toLowerCase()];
    assertEquals(operation?.operationId, id);
    const texts = Object.values(operation?.responses ?? {}).map(({ description }) => description);
    for (const status of Object.keys(route.answers)) {
      assert(operation?.responses[status] !== undefined, `${id} ${status}`);
    }
    for (const code of route.problems) {
      assert(texts.some((text) => text.includes(`\`${code}\``)), `${id} ${code}`);
    }
  }
});

Deno.test("openApiDocument() resolves every reference", () => {
  const references = new Set(referencesIn(document));
  assert(references.has("#/components/schemas/Transaction"));
  for (const reference of references) {
    const name = reference.replace("#/components/schemas/", "");
    assert(document.components.schemas[name] !== undefined, reference);
  }
});

Deno.test("openApiDocument() says what a begin takes", () => {
  const begin = document.paths["/v1/transactions"]?.post;
  assertEquals(begin?.requestBody?.required, false);
  assertEquals(begin?.parameters.map(({ name }) => name), ["Idempotency-Key"]);
  const schema = JSON.stringify(document.components.schemas.BeginTransaction);
  assert(schema.includes('"lease_ms":{"default":30000,"type":"integer","minimum":100'), schema);
  assert(schema.includes('"additionalProperties":false'), schema);
});

Deno.test("openApiDocument() lets answers grow", () => {
  const schema = JSON.stringify(document.components.schemas.Transaction);
  assert(!schema.includes('"additionalProperties":false'), schema);
});
