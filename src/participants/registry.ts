/**
 * The registered participants. Their URLs may hold passwords, so registrations stand neither
 * in the log nor in the ledger but in a file of their own, mode 0600, in the state directory;
 * nothing but {@link redacted} URLs leaves this file.
 *
 * R1. A registration is durable before it is answered, and survives a restart.
 * R2. A host that the operator did not allow is never reached, registered or not.
 */
import { LayerdError, messageOf } from "../core/errors.ts";
import { parseParticipantName, type ParticipantName, quote } from "../core/ids.ts";
import { PARTICIPANTS_MAX } from "../core/limits.ts";
import type { Clock } from "../system/clock.ts";
import type { FileSystem } from "../system/file_system.ts";
import { parseHttpAddress, parsePostgresAddress, redacted } from "./addresses.ts";
import { HttpParticipant } from "./http_participant.ts";
import type { Participant } from "./participant.ts";

/** How long a database may take to say whether it can take part. */
const PROBE_MS_MAX = 10_000;

/** What a client registers. */
export type Registration =
  | { readonly name: ParticipantName; readonly kind: "postgres"; readonly url: string }
  | {
    readonly name: ParticipantName;
    readonly kind: "http";
    readonly base_url: string;
    readonly timeout_ms: number;
  };

/** A registration as it is shown. */
export type ParticipantRegistration =
  | { readonly name: string; readonly kind: "postgres"; readonly url: string }
  | {
    readonly name: string;
    readonly kind: "http";
    readonly base_url: string;
    readonly timeout_ms: number;
  };

interface Entry {
  readonly registration: Registration;
  /** Of the database; the same behind another address. Null for services. */
  readonly identity: string | null;
  readonly participant: Participant;
}

export interface RegistryParts {
  readonly fileSystem: FileSystem;
  readonly clock: Clock;
  /** Absolute path of the file. */
  readonly path: string;
  /** Whether the operator allowed it: `HOST:PORT` or `unix:PATH`. */
  readonly mayReach: (place: string) => boolean;
  /** Whether a transaction waits for the participant. */
  readonly isBusy: (name: ParticipantName) => boolean;
}

export class ParticipantRegistry {
  readonly #parts: RegistryParts;
  readonly #entries = new Map<ParticipantName, Entry>();
  /** Registrations change one after the other. */
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(parts: RegistryParts) {
    this.#parts = parts;
  }

  /** Reads what is registered. Nothing is reached. */
  static async open(parts: RegistryParts): Promise<ParticipantRegistry> {
    const registry = new ParticipantRegistry(parts);
    for (const { registration, identity } of readFile(parts)) {
      const participant = await registry.#connect(registration);
      registry.#entries.set(registration.name, { registration, identity, participant });
    }
    return registry;
  }

  /** Throws `participant_not_found`. */
  get(name: ParticipantName): Participant {
    const entry = this.#entries.get(name);
    if (entry) return entry.participant;
    throw notFound(name);
  }

  /** Why the participant must not be reached now, or null. */
  refusal(name: ParticipantName): LayerdError | null {
    const entry = this.#entries.get(name);
    if (!entry) return notFound(name);
    const place = permissionOf(entry.registration);
    return this.#parts.mayReach(place) ? null : notAllowed(name, place);
  }

  all(): readonly Participant[] {
    return [...this.#entries.values()].map((entry) => entry.participant);
  }

  documents(): readonly ParticipantRegistration[] {
    return [...this.#entries.values()].map(({ registration }) => shown(registration));
  }

  /** Registers; under a name that is in use it replaces the address (a new password, say). */
  add(registration: Registration): Promise<ParticipantRegistration> {
    return this.#inTurn(async () => {
      const { name } = registration;
      const before = this.#entries.get(name);
      const place = permissionOf(registration);
      if (!this.#parts.mayReach(place)) throw notAllowed(name, place);
      if (before === undefined && this.#entries.size >= PARTICIPANTS_MAX) {
        throw new LayerdError("invalid_request", `At most ${PARTICIPANTS_MAX} participants`, {
          limit: PARTICIPANTS_MAX,
        });
      }
      const identity = await this.#probe(registration);
      if (before !== undefined && this.#parts.isBusy(name)) {
        const same = before.identity === identity && isSamePlace(before.registration, registration);
        if (!same) throw busy(name, "another participant cannot take its name");
      }
      const participant = await this.#connect(registration);
      this.#entries.set(name, { registration, identity, participant });
      try {
        await this.#write();
      } catch (error) {
        if (before) this.#entries.set(name, before);
        else this.#entries.delete(name);
        await participant.close();
        throw error;
      }
      await before?.participant.close();
      return shown(registration);
    });
  }

  remove(name: ParticipantName): Promise<void> {
    return this.#inTurn(async () => {
      const entry = this.#entries.get(name);
      if (!entry) throw notFound(name);
      if (this.#parts.isBusy(name)) throw busy(name, "end them, or resolve them in-doubt");
      this.#entries.delete(name);
      try {
        await this.#write();
      } catch (error) {
        this.#entries.set(name, entry);
        throw error;
      }
      await entry.participant.close();
    });
  }

  async close(): Promise<void> {
    await this.#tail;
    for (const { participant } of this.#entries.values()) await participant.close();
  }

  async #probe(registration: Registration): Promise<string | null> {
    if (registration.kind === "http") return null;
    // The client library is loaded by those who have a database.
    const { setUpPostgres } = await import("./postgres_setup.ts");
    return await setUpPostgres(
      parsePostgresAddress(registration.url),
      this.#parts.clock,
      PROBE_MS_MAX,
    );
  }

  async #connect(registration: Registration): Promise<Participant> {
    const { name } = registration;
    const { clock } = this.#parts;
    if (registration.kind === "http") {
      const address = parseHttpAddress(registration.base_url);
      return new HttpParticipant(name, address, registration.timeout_ms, clock);
    }
    const { PostgresParticipant } = await import("./postgres_participant.ts");
    return new PostgresParticipant(name, parsePostgresAddress(registration.url), clock);
  }

  async #write(): Promise<void> {
    const { fileSystem, path } = this.#parts;
    const temporary = `${path}.new`;
    const stored = [...this.#entries.values()].map(({ registration, identity }) => ({
      registration,
      identity,
    }));
    if (fileSystem.lstatIfAny(temporary) !== null) fileSystem.unlink(temporary);
    fileSystem.writeNewFile(temporary, new TextEncoder().encode(JSON.stringify(stored)), 0o600);
    await fileSystem.syncFile(temporary);
    fileSystem.rename(temporary, path);
    await fileSystem.syncDirectory(path.slice(0, path.lastIndexOf("/")));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work, work);
    this.#tail = result.catch(() => undefined);
    return result;
  }
}

interface Stored {
  readonly registration: Registration;
  readonly identity: string | null;
}

function readFile({ fileSystem, path }: RegistryParts): Stored[] {
  if (fileSystem.lstatIfAny(path) === null) return [];
  try {
    const entries: unknown = JSON.parse(new TextDecoder().decode(fileSystem.readFile(path)));
    if (!Array.isArray(entries)) throw new Error("no list");
    return entries.map(storedOf);
  } catch (error) {
    // The cause is not told on: it could quote the file, and a password in it.
    throw new LayerdError(
      "io_error",
      `${path} cannot be read (${error instanceof SyntaxError ? "no JSON" : messageOf(error)}); ` +
        "restore it, or remove it and register the participants again",
    );
  }
}

function storedOf(entry: unknown): Stored {
  const { registration, identity } = membersOf(entry);
  const { name, kind, url, base_url, timeout_ms } = membersOf(registration);
  const text = (value: unknown) => {
    if (typeof value === "string") return value;
    throw new Error("an entry is not complete");
  };
  const common = { name: parseParticipantName(text(name)) };
  const known = typeof identity === "string" ? identity : null;
  if (kind === "postgres") {
    return { registration: { ...common, kind, url: text(url) }, identity: known };
  }
  if (kind !== "http" || typeof timeout_ms !== "number") {
    throw new Error("an entry is not complete");
  }
  return {
    registration: { ...common, kind, base_url: text(base_url), timeout_ms },
    identity: null,
  };
}

/** A database is known by its identity, also elsewhere; a service only by its address. */
function isSamePlace(one: Registration, other: Registration): boolean {
  if (one.kind === "postgres") return other.kind === "postgres";
  return other.kind === "http" && one.base_url === other.base_url;
}

function membersOf(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null) throw new Error("an entry is no object");
  return Object.fromEntries(Object.entries(value));
}

function permissionOf(registration: Registration): string {
  return registration.kind === "http"
    ? parseHttpAddress(registration.base_url).permission
    : parsePostgresAddress(registration.url).permission;
}

function shown(registration: Registration): ParticipantRegistration {
  if (registration.kind === "postgres") {
    return { ...registration, url: redacted(parsePostgresAddress(registration.url).url) };
  }
  return { ...registration, base_url: redacted(parseHttpAddress(registration.base_url).url) };
}

function notFound(name: ParticipantName): LayerdError {
  return new LayerdError("participant_not_found", `No participant is called ${quote(name)}`);
}

function notAllowed(name: ParticipantName, place: string): LayerdError {
  return new LayerdError(
    "permission_denied",
    `The daemon may not reach ${place}, where participant ${name} is: start it with ` +
      `--allow-participant ${place}`,
    { reason: "--allow-participant" },
  );
}

function busy(name: ParticipantName, remedy: string): LayerdError {
  return new LayerdError(
    "repository_busy",
    `Transactions wait for participant ${name}: ${remedy}`,
  );
}
