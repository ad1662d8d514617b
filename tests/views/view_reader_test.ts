import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { LayerdError } from "../../src/core/errors.ts";
import {
  type FilePath,
  parseFilePath,
  parseLayerName,
  type TransactionId,
} from "../../src/core/ids.ts";
import type { MergeRule } from "../../src/core/layer_composition.ts";
import type { RepositoryCatalog } from "../../src/transactions/catalog.ts";
import { StackWriter } from "../../src/views/stack_writer.ts";
import type { ViewSource } from "../../src/views/view_document.ts";
import { ViewReader } from "../../src/views/view_reader.ts";
import { git } from "../harness/git.ts";
import { assertFsckClean } from "../harness/repositories.ts";
import {
  app,
  create,
  dropLayer,
  type EngineScene,
  patch,
  put,
  remove,
  withEngine,
} from "../transactions/engine_scene.ts";

const DEEP: readonly MergeRule[] = [{ glob: "**", strategy: "deep" }];
const STACK: ViewSource = { kind: "stack", name: "s" };

class Views {
  constructor(readonly scene: EngineScene) {}

  get reader(): ViewReader {
    return this.readerOf(this.scene.engine.catalog);
  }

  readerOf(catalog: Pick<RepositoryCatalog, "get">): ViewReader {
    const { manager } = this.scene.engine;
    return new ViewReader({ catalog, transactions: manager, fileSystem: this.scene.fileSystem });
  }

  async stack(merge: readonly MergeRule[], ...layers: string[]): Promise<void> {
    const stack = { name: "s", layers: layers.map(parseLayerName), merge };
    await new StackWriter(this.scene.manager).put(app, stack);
  }

  view(source: ViewSource, path: FilePath | null, transaction: TransactionId | null = null) {
    const request = { repository: app, source, path, explain: true, transaction };
    return this.reader.view(request);
  }

  async text(path: string, transaction: TransactionId | null = null): Promise<string> {
    const [file] = await this.view(STACK, parseFilePath(path), transaction);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(file?.bytes ?? undefined);
  }

  async paths(source: ViewSource = STACK): Promise<string[]> {
    return (await this.view(source, null)).map(({ document }) =>
      `${document.path} ${document.layer} ${document.size}`
    );
  }

  /** Origins of one file, short: `key layer:line>hidden:line`. */
  async origins(path: string): Promise<string[]> {
    const [file] = await this.view(STACK, parseFilePath(path));
    const place = (one: { layer: string; line: number | null }) =>
      `${one.layer}:${one.line ?? "-"}`;
    return (file?.document.origins ?? []).map((one) =>
      `${one.key ?? "*"}${one.removed ? "-" : ""} ${[one, ...one.hides].map(place).join(">")}`
    );
  }
}

function test(name: string, play: (views: Views, scene: EngineScene) => Promise<void>): void {
  Deno.test(name, () => withEngine((scene) => play(new Views(scene), scene)));
}

const BASE = `{
  // size in points
  "size": 12,
  "files": { "eol": "\\n", "trim": true },
  "list": [1, 2]
}
`;

test(
  "a view merges structured files by key, keeps comments, and explains each key",
  async (views, scene) => {
    await scene.run(
      create("base"),
      put("base", "s.json", BASE),
      put("base", "only.txt", "base\n"),
      create("team"),
      put(
        "team",
        "s.json",
        '{\n  "size": 14,\n  "files": { "trim": "layerd:remove" },\n  "list": [3]\n}\n',
      ),
      create("me"),
      put("me", "s.json", '// mine\n{\n  "theme": "dark",\n\n  "size": 16\n}\n'),
      put("me", "only.txt", "me\n"),
    );
    await views.stack(DEEP, "base", "team", "me");
    assertEquals(
      await views.text("s.json"),
      `{
  // size in points
  "size": 16,
  "files": { "eol": "\\n"  },
  "list": [3],
  "theme": "dark"
}
`,
    );
    assertEquals(await views.origins("s.json"), [
      "* me:->team:->base:-",
      "size me:5>team:2>base:3",
      "files.eol base:4",
      "files.trim- team:3>base:4",
      "list team:4>base:5",
      "theme me:3",
    ]);
    assertEquals(await views.text("only.txt"), "me\n");
    assertEquals(await views.paths(), ["only.txt me 3", "s.json me 100"]);
  },
);

test(
  "a view merges YAML, TOML and INI, with whiteouts and replaced files beside them",
  async (views, scene) => {
    await scene.run(
      create("low"),
      put("low", "a.yaml", "# y\n\nx: 1\nm:\n  a: 1\n"),
      put("low", "b.toml", "# t\nx = 1\n[m]\na = 1\n"),
      put("low", "c.ini", "; i\n[s]\na=1\n"),
      put("low", "d/gone", "1"),
      put("low", "whole.json", '{"a":1}'),
      create("high"),
      put("high", "a.yaml", "m:\n  b: 2\nx: layerd:remove\n"),
      put("high", "b.toml", "[m]\nb = 2\n"),
      put("high", "c.ini", "[s]\na=2\n[t]\nb=1\n"),
      put("high", ".wh.d", ""),
      put("high", "whole.json", '{"b":2}'),
    );
    await views.stack([{ glob: "whole.json", strategy: "replace" }, ...DEEP], "low", "high");
    assertEquals(await views.text("a.yaml"), "# y\n\nm:\n  a: 1\n  b: 2\n");
    assertEquals(await views.text("b.toml"), "# t\nx = 1\n[m]\na = 1\nb = 2\n");
    assertEquals(await views.text("c.ini"), "; i\n[s]\na=2\n\n[t]\nb=1\n");
    assertEquals(await views.text("whole.json"), '{"b":2}');
    assertEquals(await views.origins("whole.json"), ["* high:->low:-", "b high:1"]);
    assertEquals((await views.paths()).map((line) => line.split(" ")[0]), [
      "a.yaml",
      "b.toml",
      "c.ini",
      "whole.json",
    ]);
  },
);

test(
  "a view inside a transaction sees what it staged, outside the committed state",
  async (views, scene) => {
    await scene.run(create("a"), put("a", "s.json", '{ "x": 1 }'), create("b"));
    await views.stack(DEEP, "a", "b", "not/made/yet");
    const id = await scene.openTransaction({
      operations: [put("b", "s.json", '{ "y": 2 }'), patch("a", "s.json", { x: 3 })],
    });
    assertEquals(await views.text("s.json", id), '{ "x": 3, "y": 2 }');
    assertEquals(await views.text("s.json"), '{ "x": 1 }');
    const optimistic = await scene.openTransaction({ isolation: "optimistic" });
    await scene.manager.commit(id);
    assertEquals(await views.text("s.json", optimistic), '{ "x": 1 }');
    assertEquals(await views.text("s.json"), '{ "x": 3, "y": 2 }');
  },
);

test("a view reads one snapshot while layers change together", async (views, scene) => {
  const both = (value: number) => [
    put("a", "f.json", `{ "a": ${value} }`),
    put("b", "f.json", `{ "b": ${value} }`),
  ];
  await scene.run(create("a"), create("b"), ...both(0));
  await views.stack(DEEP, "a", "b");
  let writing = true;
  const writer = (async () => {
    for (let value = 1; writing; value += 1) await scene.run(...both(value));
  })();
  for (let look = 0; look < 40; look += 1) {
    const found = JSON.parse(await views.text("f.json"));
    assertEquals(found.a, found.b);
  }
  writing = false;
  await writer;
});

test(
  "a view refuses what is not there and what cannot be merged, naming layer and line",
  async (views, scene) => {
    await scene.run(
      create("a"),
      put("a", "s.json", '{ "x": 1 }'),
      create("b"),
      put("b", "s.json", '{\n  "x": \n}'),
    );
    const code = async (
      source: ViewSource,
      path: string,
    ) => (await assertRejects(() => views.view(source, parseFilePath(path)), LayerdError));
    assertEquals((await code(STACK, "s.json")).code, "stack_not_found");
    await views.stack(DEEP, "a", "b");
    const broken = await code(STACK, "s.json");
    assertEquals(broken.code, "invalid_content");
    assertStringIncludes(broken.message, "layer b");
    assertStringIncludes(broken.message, "line 3");
    assertEquals((await code(STACK, "none")).code, "file_not_found");
    const layers = ["a", "none"].map(parseLayerName);
    assertEquals((await code({ kind: "layers", layers }, "s.json")).code, "layer_not_found");
    await scene.run(remove("b", "s.json"), dropLayer("a"));
    assertEquals(await views.paths(), []);
  },
);

test(
  "a stack is versioned in its own ref, survives a restart and can be undone",
  async (views, scene) => {
    const path = scene.path("app");
    await views.stack(DEEP, "a");
    await views.stack([], "a", "b");
    assertEquals(await git(path, ["rev-list", "--count", "refs/layerd/stacks"]), "2");
    await scene.restart();
    const stack = await views.reader.stack(app, "s");
    assertEquals(stack, { name: "s", layers: ["a", "b"].map(parseLayerName), merge: [] });
    const [last] = scene.manager.list({}, 1, null);
    assertEquals(last?.message, "Put stack s");
    await scene.manager.undo(scene.idOf(last ?? await Promise.reject(new Error("none"))), {
      message: null,
      author: null,
      lockTimeoutMs: 0,
      idempotency: null,
    });
    assertEquals((await views.reader.stacks(app)).map(({ layers }) => layers), [[
      parseLayerName("a"),
    ]]);
    await new StackWriter(scene.manager).remove(app, "s");
    assertEquals(await views.reader.stacks(app), []);
    await assertFsckClean(path);
  },
);

test(
  "a view of one path lists no layer, and is what the view of all files has there",
  async (views, scene) => {
    const made = [
      ["low", "a", "d/f", "d/g/h", "e", "gone/x", "gone/y/z", "hidden", "shown/x"],
      ["mid", "a/b", "d/.wh.f", "d/g", ".wh.gone", "gone/y/new", "e/.wh.k"],
      ["top", ".wh.a", "d/g/i", "hidden/deep/er", "shown/y", "e"],
    ] as const;
    for (const [layer, ...paths] of made) {
      await scene.run(create(layer), ...paths.map((path) => put(layer, path, `${layer} ${path}`)));
    }
    const unlisted = {
      get: (name: typeof app) => {
        const repository = scene.engine.catalog.get(name);
        const files = () => {
          throw new Error("It listed a layer");
        };
        return withOther(repository, "trees", withOther(repository.trees, "files", files));
      },
    };
    const paths = [...new Set(made.flatMap(([, ...own]) => own).flatMap(withAbove))];
    for (const names of [["low"], ["low", "mid"], ["low", "mid", "top"], ["top", "low"]]) {
      const source: ViewSource = { kind: "layers", layers: names.map(parseLayerName) };
      const all = await views.view(source, null);
      for (const path of paths) {
        const request = {
          repository: app,
          source,
          path: parseFilePath(path),
          explain: true,
          transaction: null,
        };
        const shown = all.find(({ document }) => document.path === path)?.document ?? null;
        const one = await views.readerOf(unlisted).view(request).then(
          ([file]) => file?.document ?? null,
          (error: unknown) => {
            if (error instanceof LayerdError && error.code === "file_not_found") return null;
            throw error;
          },
        );
        assertEquals(one, shown, `${path} of ${names}`);
      }
    }
  },
);

/** A path and the directories above it. */
function withAbove(path: string): string[] {
  const parts = path.split("/");
  return parts.map((_, index) => parts.slice(0, index + 1).join("/"));
}

/** The object, with one member replaced. */
function withOther<T extends object, K extends keyof T>(of: T, member: K, other: T[K]): T {
  return new Proxy(of, {
    get: (target, name) => {
      if (name === member) return other;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
