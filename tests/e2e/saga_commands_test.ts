/** `layerd saga` against a daemon: from a YAML definition to the operator's word. */
import { assertEquals, assertMatch } from "@std/assert";
import { runCommand } from "../cli/command_line.ts";
import { isolated } from "../harness/scene.ts";
import { ReferenceService } from "../sagas/service.ts";

const yaml = (url: string) => `
name: order
services:
  shop: { kind: http, base_url: "${url}" }
steps:
  - step_id: reserve
    service_name: shop
    action: reserve
    compensation_action: release
    input: { item: { $: input.item } }
  - step_id: pay
    service_name: shop
    action: pay
    kind: retriable
    retry_count: 0
`;

isolated("layerd saga defines from YAML, starts, shows, plans and obeys", async (scene) => {
  await using service = new ReferenceService();
  service.misbehave = ({ action }) => action === "pay" ? { kind: "answer", status: 503 } : null;
  await scene.start({ allow: ["--allow-participant", service.host] });
  const layerd = async (code: number, ...argv: string[]) => {
    const run = await runCommand(["saga", ...argv, "--socket", scene.home.socket], {
      files: {
        "/home/ann/project/order.yaml": yaml(service.url),
        "/home/ann/project/input.yaml": "item: lamp\n",
      },
    });
    assertEquals(run.code, code, run.stderr);
    return run;
  };
  assertEquals((await layerd(0, "define", "order", "order.yaml")).stdout, "order\t1\n");
  const id = (await layerd(0, "start", "order", "--input", "input.yaml")).stdout.trim();
  const needsOperator = async () => (await layerd(0, "list", "--needs-operator")).stdout;
  while (await needsOperator() === "") await new Promise((resolve) => setTimeout(resolve, 20));
  assertMatch(await needsOperator(), new RegExp(`^${id}\torder\tin_progress\tneeds_operator\tpay`));
  assertEquals(service.received[0]?.body["input"], { item: "lamp" });
  const shown = await layerd(0, "show", id);
  assertMatch(shown.stdout, /^reserve \| *=/m);
  assertMatch(shown.stderr, new RegExp(`layerd saga retry ${id}`));
  assertEquals(
    (await layerd(0, "plan", id)).stdout,
    "compensate\treserve\tshop\trelease\nkeep\tpay\tshop\t-\n",
  );
  assertMatch((await layerd(64, "skip", id)).stderr, /--reason/);
  assertMatch((await layerd(0, "skip", id, "--reason", "paid in cash")).stdout, /^in_progress/);
  assertMatch((await layerd(0, "events", id)).stdout, /step_skipped\tpay\t-\t.*paid in cash/);
  assertMatch((await layerd(1, "cancel", id)).stderr, /invalid_transition/);
});
