/**
 * What a test plays on: a daemon with a home, repositories in it, and calls. A failing test
 * shows what the daemon wrote. Nothing outlives the test: processes, connections, files.
 */
import { assertEquals } from "@std/assert";
import { Api, bodyOf } from "./api.ts";
import { Daemon, type DaemonHome, makeHome, removeHome, type ServeOptions } from "./daemon.ts";
import { report } from "./scale.ts";
import { makeRepository } from "./repositories.ts";

/** A repository on disk and the name that the daemon knows it by. */
export interface Registered {
  readonly name: string;
  readonly path: string;
  readonly commonDirectory: string;
}

export class Scene {
  #daemon: Daemon | null = null;
  #made = 0;

  constructor(readonly home: DaemonHome) {}

  get daemon(): Daemon {
    if (this.#daemon === null) throw new Error("The daemon is not running");
    return this.#daemon;
  }

  get api(): Api {
    return new Api(this.daemon.client);
  }

  async start(options: ServeOptions = {}): Promise<Daemon> {
    this.#daemon = await Daemon.start(this.home, options);
    return this.#daemon;
  }

  /** SIGKILL, then a new daemon on the same home. */
  async killAndRestart(options: ServeOptions = {}): Promise<Daemon> {
    await this.daemon.kill();
    return await this.start(options);
  }

  /** SIGTERM, exit 0, then a new daemon on the same home. */
  async restart(options: ServeOptions = {}): Promise<Daemon> {
    assertEquals(await this.daemon.stop(), 0);
    return await this.start(options);
  }

  /** Makes a repository and registers it under a name of its own. */
  async repository(): Promise<Registered> {
    const name = `r${++this.#made}`;
    const path = await makeRepository(`${this.home.directory}/${name}`);
    return await this.register(name, path, `${path}/.git`);
  }

  async register(name: string, path: string, commonDirectory: string): Promise<Registered> {
    bodyOf(await this.api.tryRegister(name, path), 201);
    return { name, path, commonDirectory };
  }

  /** A path in the scene's directory, for repositories that a test makes itself. */
  path(name: string): string {
    return `${this.home.directory}/${name}`;
  }

  /** What the daemon said, for the message of a failing test. */
  get said(): string {
    return this.#daemon?.stderr ?? "(no daemon was started)";
  }

  /** SIGKILL to the daemon, if there is one. */
  async kill(): Promise<void> {
    await this.#daemon?.kill();
  }

  async close(): Promise<void> {
    await this.kill();
    await removeHome(this.home);
  }
}

/** A test with a daemon of its own. */
export function scenario(name: string, play: (scene: Scene) => Promise<void>): void {
  isolated(name, async (scene) => {
    await scene.start();
    await play(scene);
  });
}

/** A test that starts its daemons itself. */
export function isolated(name: string, play: (scene: Scene) => Promise<void>): void {
  Deno.test(name, async () => {
    const scene = new Scene(await makeHome());
    try {
      await telling(scene, play);
    } finally {
      await scene.close();
    }
  });
}

/**
 * Tests of one file that share a daemon: those that neither stop it nor look at all of it.
 * Call once a file; the answer declares tests.
 */
export function sharedScenarios(): (name: string, play: (scene: Scene) => Promise<void>) => void {
  let scene: Scene | null = null;
  Deno.test.beforeAll(async () => {
    scene = new Scene(await makeHome());
    await scene.start();
  });
  Deno.test.afterAll(async () => {
    await scene?.close();
  });
  return (name, play) => {
    // The daemon's process and its pooled connections belong to the file, not to one test.
    Deno.test({ name, sanitizeOps: false, sanitizeResources: false }, async () => {
      if (scene === null) throw new Error("The shared daemon did not start");
      await telling(scene, play);
    });
  };
}

async function telling(scene: Scene, play: (scene: Scene) => Promise<void>): Promise<void> {
  try {
    await play(scene);
  } catch (error) {
    report(`the daemon said:\n${scene.said.slice(-8_000)}`);
    throw error;
  }
}
