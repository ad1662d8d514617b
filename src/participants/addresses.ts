/**
 * Where participants are. A registration's URL may hold a password; only what
 * `redacted()` answers is ever shown or logged.
 *
 * An address also says what `--allow-participant` must name for it: `HOST:PORT`, or
 * `unix:PATH` for a socket.
 */
import { LayerdError, messageOf } from "../core/errors.ts";

export interface HttpAddress {
  readonly url: URL;
  /** Path of a Unix socket, or null for TCP. */
  readonly socketPath: string | null;
  /** What the daemon must be allowed to reach. */
  readonly permission: string;
}

export interface PostgresAddress {
  readonly url: URL;
  readonly host: string;
  readonly port: number;
  readonly socketPath: string | null;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** libpq's names. */
  readonly tls: "disable" | "prefer" | "require" | "verify-full";
  readonly permission: string;
}

const POSTGRES_PORT = 5432;
const TLS_MODES = ["disable", "prefer", "require", "verify-full"] as const;

/** Parses `base_url`; throws `invalid_request`. */
export function parseHttpAddress(text: string): HttpAddress {
  const url = parseUrl(text, "base_url");
  if (url.search !== "" || url.hash !== "") {
    throw invalid("base_url", "A base_url has no query and no fragment");
  }
  if (url.protocol === "http+unix:") {
    const socketPath = decodeURIComponent(url.hostname);
    if (!socketPath.startsWith("/")) {
      throw invalid(
        "base_url",
        "The host of an http+unix URL is an absolute path, percent-encoded",
      );
    }
    return { url, socketPath, permission: `unix:${socketPath}` };
  }
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw invalid("base_url", "A base_url begins with http://, https:// or http+unix://");
  }
  const port = url.port === "" ? (url.protocol === "https:" ? "443" : "80") : url.port;
  return { url, socketPath: null, permission: `${url.hostname}:${port}` };
}

/** Parses a PostgreSQL URL as libpq has it; `host=/directory` means a Unix socket. */
export function parsePostgresAddress(text: string): PostgresAddress {
  // libpq takes a user before an empty host, where `host=` names a directory; URL does not.
  const url = parseUrl(text.replace(/^(\w+:\/\/[^/?#]*@)(?=\/)/, "$1localhost"), "url");
  if (url.protocol !== "postgres:" && url.protocol !== "postgresql:") {
    throw invalid("url", "A PostgreSQL URL begins with postgres:// or postgresql://");
  }
  if ([...url.searchParams.keys()].some((key) => key !== "host" && key !== "sslmode")) {
    // Not quoted: in `user:12?34@host` it is the rest of a password.
    const text = "The URL has other parameters than host and sslmode (a ? in a password is %3F)";
    throw invalid("url", text);
  }
  const host = url.searchParams.get("host") ?? decodeURIComponent(url.hostname);
  const port = url.port === "" ? POSTGRES_PORT : Number(url.port);
  const user = decodeURIComponent(url.username);
  const database = decodeURIComponent(url.pathname.slice(1));
  if (host === "" || user === "" || database === "") {
    throw invalid("url", "A PostgreSQL URL names host, user and database");
  }
  const mode = url.searchParams.get("sslmode") ?? "disable";
  const tls = TLS_MODES.find((known) => known === mode);
  if (tls === undefined) {
    throw invalid("url", `sslmode is one of ${TLS_MODES.join(", ")}, not ${mode}`);
  }
  const socketPath = host.startsWith("/") ? `${host}/.s.PGSQL.${port}` : null;
  const permission = socketPath === null ? `${host}:${port}` : `unix:${socketPath}`;
  const password = decodeURIComponent(url.password);
  return { url, host, port, socketPath, user, password, database, tls, permission };
}

/** The URL without anything secret. */
export function redacted(url: URL): string {
  const shown = new URL(url);
  if (shown.password !== "") shown.password = "redacted";
  return shown.href;
}

/** Where `verb` of an HTTP participant is called. */
export function targetOf({ url, socketPath }: HttpAddress, verb: string) {
  const path = `${url.pathname.replace(/\/$/, "")}/${verb}`;
  const auth = url.username === "" && url.password === ""
    ? {}
    : { auth: `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` };
  const place = socketPath === null
    ? {
      hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: url.port === "" ? undefined : url.port,
    }
    : { socketPath };
  const headers: Record<string, string> = socketPath === null ? {} : { host: "localhost" };
  return { options: { ...place, ...auth, path, headers }, secure: url.protocol === "https:" };
}

function parseUrl(text: string, field: string): URL {
  try {
    const url = new URL(text);
    // Each is decoded where it is used; what cannot be is refused here.
    for (const part of [url.username, url.password, url.hostname, url.pathname]) {
      decodeURIComponent(part);
    }
    return url;
  } catch (error) {
    // The text itself may hold a password.
    throw invalid(
      field,
      `Field ${field} is not a URL: ${
        error instanceof URIError ? messageOf(error) : "it cannot be parsed"
      }`,
    );
  }
}

function invalid(field: string, message: string): LayerdError {
  return new LayerdError("invalid_request", message, { field });
}
