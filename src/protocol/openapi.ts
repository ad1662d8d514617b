/** The OpenAPI 3.1 document, made from the route table and the schemas. */
import { z } from "zod";
import { type ErrorCode, LayerdError } from "../core/errors.ts";
import { IDEMPOTENCY_KEY_LENGTH_MAX } from "../core/limits.ts";
import { event } from "./events.ts";
import { problem, PROBLEM_MEDIA_TYPE } from "./problem.ts";
import type { Answer, Route } from "./route.ts";
import { type RouteId, ROUTES, ROUTES_WHILE_RECOVERING } from "./routes.ts";

type Json = Readonly<Record<string, unknown>>;

/** Codes that any route can answer. */
const PROBLEMS_OF_ALL: readonly ErrorCode[] = ["invalid_request", "internal"];
/** Codes that any route with a JSON body can answer. */
const PROBLEMS_OF_BODY: readonly ErrorCode[] = [
  "payload_too_large",
  "unsupported_media_type",
  "timeout",
];

/** The document that `GET /v1/openapi.json` answers. */
export function openApiDocument(version: string): Json {
  const components = new Components();
  const paths: Record<string, Record<string, Json>> = {};
  for (const [id, route] of routeEntries()) {
    const item = paths[route.path] ??= {};
    item[route.method.toLowerCase()] = operationOf(id, route, components);
  }
  components.refer(event, "output");
  return {
    openapi: "3.1.0",
    info: {
      title: "layerd",
      version,
      description: "ACID transactions over the layers of Git repositories. " +
        "HTTP/1.1 over a Unix socket; every answer has an `X-Request-Id`.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "http://layerd", description: "The Unix socket; the host is ignored" }],
    paths,
    components: { schemas: components.schemas },
  };
}

function routeEntries(): [RouteId, Route][] {
  return Object.entries(ROUTES) as [RouteId, Route][];
}

/** Collects the schemas that have an id of their own. */
class Components {
  readonly schemas: Record<string, unknown> = {};

  /** The schema as JSON Schema; parts that have an id become references. */
  refer(schema: z.ZodType, io: "input" | "output"): Json {
    const { $schema: _dialect, $defs = {}, id, ...rest } = z.toJSONSchema(schema, {
      io,
      unrepresentable: "any",
      override: ({ jsonSchema }) => {
        // Answers may gain fields; clients ignore those that they do not know.
        if (io === "output" && jsonSchema.additionalProperties === false) {
          delete jsonSchema.additionalProperties;
        }
      },
    });
    for (const [name, part] of Object.entries($defs)) this.#add(name, part);
    const own = this.#rebase(rest);
    if (id === undefined) return own as Json;
    this.schemas[id] = own;
    return { $ref: `#/components/schemas/${id}` };
  }

  #add(name: string, part: object): void {
    const { id: _id, ...schema } = { id: name, ...part };
    this.schemas[name] = this.#rebase(schema);
  }

  /** Points references at the components of the document instead of at `$defs`. */
  #rebase(value: unknown): unknown {
    if (Array.isArray(value)) return value.map((element) => this.#rebase(element));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [
        name,
        name === "$ref" && typeof member === "string"
          ? member.replace("#/$defs/", "#/components/schemas/")
          : this.#rebase(member),
      ]),
    );
  }
}

function operationOf(id: RouteId, route: Route, components: Components): Json {
  return {
    operationId: id,
    summary: route.summary,
    parameters: parametersOf(route, components),
    ...(route.body === undefined ? {} : { requestBody: bodyOf(route.body, components) }),
    responses: {
      ...Object.fromEntries(
        Object.entries(route.answers).map(([status, answer]) => [
          status,
          answerOf(answer, components),
        ]),
      ),
      ...problemsOf(id, route, components),
    },
  };
}

function bodyOf(body: z.ZodType | "bytes", components: Components): Json {
  if (body === "bytes") {
    return { required: true, content: { "application/octet-stream": { schema: {} } } };
  }
  const accepted = body.safeParse({}).success;
  return {
    required: !accepted,
    content: { "application/json": { schema: components.refer(body, "input") } },
  };
}

function answerOf(answer: Answer, components: Components): Json {
  if ("nothing" in answer) return { description: "No content" };
  if ("media" in answer) {
    const content = Object.fromEntries(answer.media.map((media) => [media, { schema: {} }]));
    return { description: "Done", content };
  }
  const json = { "application/json": { schema: components.refer(answer.json, "output") } };
  const bytes = answer.bytes === undefined ? {} : { [answer.bytes]: { schema: {} } };
  return { description: "Done", content: { ...json, ...bytes } };
}

function parametersOf(route: Route, components: Components): Json[] {
  const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const header = {
    name: "Idempotency-Key",
    in: "header",
    required: false,
    schema: { type: "string", minLength: 1, maxLength: IDEMPOTENCY_KEY_LENGTH_MAX },
  };
  return [
    ...inPath,
    ...(route.query === undefined ? [] : queryParameters(route.query, components)),
    ...(route.idempotent ? [header] : []),
  ];
}

function queryParameters(query: z.ZodType, components: Components): Json[] {
  const { properties = {}, required = [] } = components.refer(query, "input") as {
    readonly properties?: Readonly<Record<string, Json>>;
    readonly required?: readonly string[];
  };
  return Object.entries(properties).map(([name, schema]) => ({
    name,
    in: "query",
    required: required.includes(name),
    schema,
  }));
}

/** One entry a status; its description lists the codes. */
function problemsOf(id: RouteId, route: Route, components: Components): Record<string, Json> {
  const codes = new Set<ErrorCode>([
    ...PROBLEMS_OF_ALL,
    ...(route.body === undefined || route.body === "bytes" ? [] : PROBLEMS_OF_BODY),
    ...(id !== "healthReady" && ROUTES_WHILE_RECOVERING.has(id) ? [] : ["recovering" as const]),
    ...route.problems,
  ]);
  const byStatus = Map.groupBy(codes, (code) => new LayerdError(code, "").status);
  return Object.fromEntries(
    [...byStatus].map(([status, ofStatus]) => [String(status), {
      description: ofStatus.map((code) => `\`${code}\``).join(", "),
      content: { [PROBLEM_MEDIA_TYPE]: { schema: components.refer(problem, "output") } },
    }]),
  );
}
