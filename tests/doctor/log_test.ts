/** Damage to log and ledger: named, mended where provable, else with a way out that works. */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { bodyOf, put } from "../harness/api.ts";
import { DaemonRefused } from "../harness/daemon.ts";
import { git } from "../harness/git.ts";
import { cases, Clinic, shell } from "./clinic.ts";

const doctor = cases();

doctor("examine() finds nothing in what a killed daemon left", async (clinic) => {
  const report = await clinic.look();
  assertEquals(report.status, "ok", JSON.stringify(report));
  await clinic.assertServes();
});

doctor("examine() calls a torn end a note, and the daemon starts over it", async (clinic) => {
  await clinic.flipForce(1);
  const report = await clinic.look();
  assertEquals(Clinic.only(report, "log_torn").severity, "note");
  assertEquals(report.status, "ok");
  await clinic.assertServes();
});

doctor(
  "a log damaged in the middle keeps the daemon from starting, with offset and remedy",
  async (clinic) => {
    await clinic.flipForce(4);
    const refused = await assertRejects(() => clinic.scene.start(), DaemonRefused);
    const finding = Clinic.only(await clinic.look(), "log_damaged");
    const offset = /offset \d+/.exec(finding.detail)?.[0] ?? "none";
    assertStringIncludes(refused.stderr, `damaged at ${offset}`);
    assertStringIncludes(refused.stderr, "layerd doctor");
  },
);

doctor(
  "examine() mends damage below the last checkpoint and keeps the segments",
  async (clinic) => {
    const bytes = await Deno.readFile(clinic.segment);
    bytes[4_096 + 60] = (bytes[4_096 + 60] ?? 0) ^ 1;
    await Deno.writeFile(clinic.segment, bytes);
    assertEquals((await clinic.look()).status, "corrupted");
    const mended = await clinic.fix();
    assertEquals(Clinic.only(mended, "log_damaged").outcome, "mended");
    assertEquals(mended.status, "ok");
    assertEquals((await clinic.look()).findings, []);
    assertEquals(
      await Deno.readFile(`${clinic.stateDirectory}/log.damaged-1/0000000001.wal`),
      bytes,
    );
    await clinic.assertServes();
  },
);

doctor(
  "examine() mends a damaged, a cut and a foreign segment behind a checkpoint",
  async (clinic) => {
    const header = await Deno.readFile(clinic.segment);
    // A second segment with no record that is needed: a copy of the first under its name.
    await Deno.writeFile(clinic.segment.replace("01.wal", "02.wal"), header);
    assertEquals((await clinic.look()).status, "corrupted");
    assertEquals((await clinic.fix()).status, "ok");
    await clinic.assertServes();
  },
);

doctor("examine() does not mend a record that is needed, and its way out works", async (clinic) => {
  await clinic.flipForce(3);
  const before = await Deno.readFile(clinic.segment);
  const report = await clinic.fix();
  const finding = Clinic.only(report, "log_damaged");
  assertEquals([finding.outcome, report.status], ["found", "corrupted"]);
  assertEquals(await Deno.readFile(clinic.segment), before);
  for (const step of finding.remedy.filter((one) => one.startsWith("mv "))) await shell(step);
  await clinic.scene.start();
  const adopt = finding.remedy.find((one) => one.startsWith("layerd repo add --adopt"));
  assertEquals(adopt, `layerd repo add --adopt app ${clinic.repository}`);
  const body = { name: "app", path: clinic.repository, adopt: true };
  bodyOf(await clinic.scene.daemon.client.request("POST", "/v1/repositories", body), 201);
  for (const [layer, tip] of clinic.tips) {
    assertEquals(await git(clinic.repository, ["rev-parse", `refs/layers/${layer}`]), tip);
  }
  const { transactions } = await clinic.scene.api.get<{ transactions: unknown[] }>(
    "/v1/transactions?state=committed",
  );
  assertEquals(transactions.length, clinic.acknowledged.length);
  await clinic.scene.daemon.stop();
});

doctor(
  "examine() names a decision that was never published, with commands that do",
  async (clinic) => {
    const { repository } = clinic;
    const [old, tip] = [
      await git(repository, ["rev-parse", "refs/layers/a~1"]),
      clinic.tips.get("a") ?? "",
    ];
    // As a crash between decision and publication leaves it: the ref is old, `applied` is lost.
    await git(repository, ["update-ref", "refs/layers/a", old, tip]);
    await clinic.flipForce(3);
    const finding = Clinic.only(await clinic.look(), "decided_unpublished");
    assertStringIncludes(finding.detail, "refs/layers/a");
    for (const step of finding.remedy) await shell(step);
    assertEquals(await git(repository, ["rev-parse", "refs/layers/a"]), tip);
  },
);

for (
  const { name, damage } of [
    { name: "deleted", damage: (path: string) => Deno.remove(path) },
    {
      name: "overwritten",
      damage: (path: string) => Deno.writeFile(path, crypto.getRandomValues(new Uint8Array(8_192))),
    },
  ]
) {
  doctor(
    `examine() makes a ledger that was ${name} anew from log and histories`,
    async (clinic) => {
      // As after a long life: the log holds nothing that is older than its checkpoint.
      await clinic.scene.start();
      await clinic.scene.daemon.client.request("POST", "/v1/wal/checkpoint", {});
      await clinic.scene.daemon.stop();
      for (const suffix of ["-wal", "-shm"]) {
        await Deno.remove(clinic.ledger + suffix).catch(() => undefined);
      }
      await forgetOldRecords(clinic);
      await damage(clinic.ledger);
      const code = name === "deleted" ? "ledger_missing" : "ledger_damaged";
      assert((await clinic.look()).findings.some((finding) => finding.code === code));
      const finding = Clinic.only(await clinic.fix(), code);
      assertEquals(finding.outcome, "mended");
      assertStringIncludes(finding.detail, "from the layers' histories");
      await clinic.scene.start();
      for (const id of clinic.acknowledged) {
        const { state, results, labels } = await clinic.scene.api.transaction(id);
        assertEquals([state, labels["rebuilt_from"]], ["committed", "history"]);
        for (const { ref, new: oid } of results) {
          await git(clinic.repository, ["merge-base", "--is-ancestor", oid ?? "", ref]);
        }
      }
      await clinic.scene.daemon.stop();
    },
  );
}

doctor(
  "examine() adds what a start could not write again into a missing ledger",
  async (clinic) => {
    await clinic.scene.start();
    await clinic.scene.daemon.client.request("POST", "/v1/wal/checkpoint", {});
    await clinic.scene.daemon.stop();
    await forgetOldRecords(clinic);
    for await (const { name } of Deno.readDir(clinic.stateDirectory)) {
      if (name.startsWith("ledger.")) await Deno.remove(`${clinic.stateDirectory}/${name}`);
    }
    await clinic.scene.start();
    assertStringIncludes(clinic.scene.said, "was missing");
    const fresh = await clinic.scene.api.apply([put("app", "a", "f", "4")]);
    await clinic.scene.daemon.stop();
    assertEquals(Clinic.only(await clinic.look(), "ledger_incomplete").severity, "note");
    assertEquals(Clinic.only(await clinic.fix(), "ledger_incomplete").outcome, "mended");
    assertEquals((await clinic.look()).findings, []);
    await clinic.scene.start();
    const { transactions } = await clinic.scene.api.get<{ transactions: { id: string }[] }>(
      "/v1/transactions",
    );
    assertEquals(
      transactions.map(({ id }) => id),
      [...clinic.acknowledged, fresh.id].reverse(),
    );
    await clinic.scene.daemon.stop();
  },
);

/** Mending keeps only the records from the last checkpoint on: here that is the point. */
async function forgetOldRecords(clinic: Clinic): Promise<void> {
  const bytes = await Deno.readFile(clinic.segment);
  bytes[4_096 + 60] = (bytes[4_096 + 60] ?? 0) ^ 1;
  await Deno.writeFile(clinic.segment, bytes);
  assertEquals(Clinic.only(await clinic.fix(), "log_damaged").outcome, "mended");
}
