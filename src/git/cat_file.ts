/**
 * One long-lived `git cat-file --batch` (or `--batch-check`) child for repositories with
 * large packs. Requests are answered in order. A child that dies (a damaged object makes git
 * die) fails the requests that it had, and the next request starts a new one.
 *
 * Replacement refs and the caller's `GIT_*` variables are kept out: the answer must be the
 * object of that id in this repository.
 */
import { LayerdError, messageOf } from "../core/errors.ts";
import type { ObjectId } from "../core/ids.ts";
import type { RepositoryLayout } from "./gate.ts";
import { isObjectType } from "./object_codec.ts";
import type { ObjectType } from "../core/log_record.ts";

const NEWLINE = 0x0a;

/** `unavailable`: git is not installed, or refuses the repository altogether. */
export type CatFileAnswer =
  | { readonly kind: "found"; readonly type: ObjectType; readonly size: number; body: Uint8Array }
  | { readonly kind: "missing" }
  | { readonly kind: "unavailable" };

interface Request {
  readonly oid: ObjectId;
  readonly resolve: (answer: CatFileAnswer) => void;
  readonly reject: (error: unknown) => void;
}

export class CatFile {
  readonly #layout: RepositoryLayout;
  readonly #content: "batch" | "batch-check";
  #child: CatFileChild | null = null;

  constructor(layout: RepositoryLayout, content: "batch" | "batch-check") {
    this.#layout = layout;
    this.#content = content;
  }

  /** Asks for one object; with `batch-check` the body is empty. */
  async ask(oid: ObjectId): Promise<CatFileAnswer> {
    if (this.#child === null || this.#child.ended) {
      const process = spawnCatFile(this.#layout, this.#content);
      if (process === null) return { kind: "unavailable" };
      this.#child = new CatFileChild(process, this.#content);
    }
    return await this.#child.ask(oid);
  }

  /** Ends the child and waits for it. */
  async close(): Promise<void> {
    await this.#child?.close();
    this.#child = null;
  }
}

function spawnCatFile(layout: RepositoryLayout, content: string): Deno.ChildProcess | null {
  try {
    return new Deno.Command("git", {
      // Reading objects runs nothing that a foreign repository could bring along, and the
      // operator has asked for this one: git's ownership check has nothing to protect here.
      args: ["-c", "safe.directory=*", `--git-dir=${layout.commonDir}`, "cat-file", `--${content}`],
      cwd: layout.commonDir,
      env: {
        GIT_COMMON_DIR: layout.commonDir,
        GIT_OBJECT_DIRECTORY: layout.objectsDir,
        GIT_ALTERNATE_OBJECT_DIRECTORIES: "",
        GIT_NO_REPLACE_OBJECTS: "1",
        GIT_NO_LAZY_FETCH: "1",
        LC_ALL: "C",
      },
      stdin: "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
  } catch (error) {
    const { NotCapable, NotFound, PermissionDenied } = Deno.errors;
    // Not installed, or this process may not run it.
    if ([NotCapable, NotFound, PermissionDenied].some((kind) => error instanceof kind)) return null;
    throw new LayerdError("git_error", `git cannot be run: ${messageOf(error)}`, {}, error);
  }
}

class CatFileChild {
  readonly #process: Deno.ChildProcess;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #input: ByteQueue;
  readonly #hasBodies: boolean;
  readonly #waiting: Request[] = [];
  readonly #served: Promise<void>;
  #answered = 0;
  ended = false;

  constructor(process: Deno.ChildProcess, content: "batch" | "batch-check") {
    this.#process = process;
    this.#hasBodies = content === "batch";
    this.#writer = process.stdin.getWriter();
    this.#input = new ByteQueue(process.stdout.getReader());
    this.#served = this.#serve();
  }

  ask(oid: ObjectId): Promise<CatFileAnswer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ oid, resolve, reject });
      // A broken pipe shows as the end of the child's output, which fails the request.
      this.#writer.write(new TextEncoder().encode(`${oid}\n`)).catch(() => undefined);
    });
  }

  async close(): Promise<void> {
    // Already closed by the child's end: then there is nothing to close.
    await this.#writer.close().catch(() => undefined);
    await this.#served;
  }

  async #serve(): Promise<void> {
    const stderr = new Response(this.#process.stderr).text();
    let failure: unknown = null;
    try {
      for (;;) {
        const line = await this.#input.line();
        if (line === null) break;
        const request = this.#waiting[0];
        if (request === undefined) break;
        const answer = await this.#answer(line, request.oid);
        this.#waiting.shift();
        this.#answered += 1;
        request.resolve(answer);
      }
    } catch (error) {
      failure = error;
    }
    this.ended = true;
    this.#input.cancel();
    await this.#writer.close().catch(() => undefined);
    const { success } = await this.#process.status;
    const text = (await stderr).trim();
    // A child that never answered and died refuses the repository as such ("dubious
    // ownership", an unknown setting); one that answered before died of this object.
    const unavailable = this.#answered === 0 && !success && failure === null &&
      !/corrupt|loose object|packed object|unable to/i.test(text);
    for (const request of this.#waiting.splice(0)) {
      if (unavailable) request.resolve({ kind: "unavailable" });
      else {
        request.reject(
          new LayerdError(
            "git_error",
            `git cannot read object ${request.oid}: ${text}`,
            {},
            failure,
          ),
        );
      }
    }
  }

  async #answer(line: string, oid: ObjectId): Promise<CatFileAnswer> {
    const [id, type, size] = line.split(" ");
    if (id === oid && type === "missing") return { kind: "missing" };
    const length = Number(size);
    if (id !== oid || type === undefined || !isObjectType(type) || !Number.isInteger(length)) {
      throw new LayerdError("git_error", `git cat-file answered ${line} for object ${oid}`);
    }
    if (!this.#hasBodies) {
      return { kind: "found", type, size: length, body: new Uint8Array(0) };
    }
    const body = await this.#input.bytes(length);
    await this.#input.bytes(1);
    return { kind: "found", type, size: length, body };
  }
}

/** Lines and counted bytes out of a stream. */
class ByteQueue {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(reader: ReadableStreamDefaultReader<Uint8Array>) {
    this.#reader = reader;
  }

  /** The next line without its end, or null at the end of the stream. */
  async line(): Promise<string | null> {
    for (;;) {
      const end = this.#rest.indexOf(NEWLINE);
      if (end >= 0) {
        const line = new TextDecoder().decode(this.#rest.subarray(0, end));
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      const { value, done } = await this.#reader.read();
      if (done) return null;
      const joined = new Uint8Array(this.#rest.length + value.length);
      joined.set(this.#rest);
      joined.set(value, this.#rest.length);
      this.#rest = joined;
    }
  }

  async bytes(count: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(count);
    let filled = 0;
    for (;;) {
      const taken = this.#rest.subarray(0, count - filled);
      bytes.set(taken, filled);
      filled += taken.length;
      this.#rest = this.#rest.subarray(taken.length);
      if (filled === count) return bytes;
      const { value, done } = await this.#reader.read();
      if (done) throw new Error("git cat-file ended in the middle of an object");
      this.#rest = value;
    }
  }

  /** Lets the stream go; what comes yet is not wanted. */
  cancel(): void {
    this.#reader.cancel().catch(() => undefined);
  }
}
