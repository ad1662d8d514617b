/**
 * The client writes its documents out, because a published package may not infer its types.
 * This file does not compile where they and the daemon's schemas say different things.
 */
import { assert } from "@std/assert";
import type { z } from "zod";
import type * as client from "../../src/client/client.ts";
import type { event } from "../../src/protocol/events.ts";
import type * as participants from "../../src/protocol/participants.ts";
import type { planAnswer } from "../../src/protocol/plans.ts";
import type { ProblemDocument } from "../../src/protocol/problem.ts";
import type * as views from "../../src/protocol/views.ts";
import type * as answers from "../../src/protocol/responses.ts";

/** `readonly` is not compared. */
type Same<A, B> = [Frozen<A>, Frozen<B>] extends [Frozen<B>, Frozen<A>] ? true : never;
type Frozen<T> = T extends object ? { readonly [K in keyof T]: Frozen<T[K]> } : T;

Deno.test("the client's documents are those of the daemon's schemas", () => {
  const same: readonly true[] = [
    true satisfies Same<client.RepositoryDocument, z.output<typeof answers.repository>>,
    true satisfies Same<
      { layers: client.LayerDocument[]; next_cursor: string | null },
      z.output<typeof answers.layersAnswer>
    >,
    true satisfies Same<client.TreeDocument, z.output<typeof answers.treeAnswer>>,
    true satisfies Same<client.FileDocument, z.output<typeof answers.fileAnswer>>,
    true satisfies Same<
      { commits: client.CommitDocument[] },
      z.output<typeof answers.logAnswer>
    >,
    true satisfies Same<client.LocksDocument, z.output<typeof answers.locksAnswer>>,
    true satisfies Same<
      { changes: client.ChangeDocument[] },
      z.output<typeof answers.diffAnswer>
    >,
    true satisfies Same<
      { health: client.RepositoryDocument["status"]; findings: client.FindingDocument[] },
      z.output<typeof answers.transactionHealthAnswer>
    >,
    true satisfies Same<client.HealthDocument, z.output<typeof answers.healthAnswer>>,
    true satisfies Same<client.TransactionDocument, z.output<typeof answers.transaction>>,
    true satisfies Same<client.StackDocument, z.output<typeof views.stack>>,
    true satisfies Same<
      { files: client.ViewFileDocument[] },
      z.output<typeof views.viewAnswer>
    >,
    true satisfies Same<
      { participant: client.ParticipantDocument },
      z.output<typeof participants.participantAnswer>
    >,
    true satisfies Same<client.InDoubtDocument, z.output<typeof participants.inDoubt>>,
    true satisfies Same<client.InDoubtExplanation, z.output<typeof participants.inDoubtExplained>>,
    true satisfies Same<client.PlanDocument, z.output<typeof planAnswer>>,
    true satisfies Same<client.ResolveBody, z.input<typeof participants.resolveBody>>,
    true satisfies Same<client.EventDocument, z.output<typeof event>>,
    true satisfies Same<client.ProblemDocument, ProblemDocument>,
  ];
  assert(same.every(Boolean));
});
