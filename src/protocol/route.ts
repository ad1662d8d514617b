/** What is said about one route of the daemon. */
import type { z } from "zod";
import type { ErrorCode } from "../core/errors.ts";

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** What a status answers: JSON by a schema, media types of raw bytes, or nothing. */
export type Answer =
  | { readonly json: z.ZodType; readonly bytes?: string }
  | { readonly media: readonly string[] }
  | { readonly nothing: true };

export interface Route {
  readonly method: Method;
  /** With `{name}` for parameters. */
  readonly path: string;
  readonly summary: string;
  readonly query?: z.ZodType;
  /** A JSON body by a schema, or raw bytes. */
  readonly body?: z.ZodType | "bytes";
  /** Whether the header `Idempotency-Key` is looked at. */
  readonly idempotent?: true;
  readonly answers: Readonly<Record<number, Answer>>;
  /** Codes beside those that any route can answer. */
  readonly problems: readonly ErrorCode[];
}
