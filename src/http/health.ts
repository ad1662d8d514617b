/** `GET /v1/health`: how the daemon and its repositories are. */
import { LayerdError } from "../core/errors.ts";
import { parseTransactionId } from "../core/ids.ts";
import type { TransactionState } from "../core/transaction_document.ts";
import type { HealthDocument } from "../protocol/responses.ts";
import type { Engine } from "../transactions/engine.ts";
import type { InDoubt } from "../transactions/in_doubt.ts";
import type { TransactionManager } from "../transactions/manager.ts";
import { worst } from "../transactions/repository_document.ts";
import type { DaemonPhase } from "./daemon_control.ts";

export interface HealthParts {
  /** Null while the daemon recovers. */
  readonly engine: Engine | null;
  readonly version: string;
  readonly uptimeMs: number;
  readonly phase: DaemonPhase;
}

type RepositoryHealth = HealthDocument["repositories"][number];

/**
 * `degraded`: something needs a look, all else goes on. `failing`: a repository is damaged or
 * a transaction stands failed.
 */
export async function healthDocument(parts: HealthParts): Promise<HealthDocument> {
  const { engine, version, uptimeMs, phase } = parts;
  const repositories = engine ? await repositoryHealth(engine) : [];
  const transactions = engine ? countsOf(engine) : { active: 0, in_doubt: 0, failed: 0 };
  const log = engine?.log.status();
  const failing = transactions.failed > 0 ||
    repositories.some((repository) => repository.status === "corrupted");
  const degraded = phase !== "serving" || log?.isFull === true || transactions.in_doubt > 0 ||
    repositories.some((repository) => repository.status !== "healthy");
  return {
    status: failing ? "failing" : degraded ? "degraded" : "ok",
    version,
    api_version: 1,
    pid: Deno.pid,
    uptime_ms: uptimeMs,
    transactions,
    wal: {
      bytes: log?.bytes ?? 0,
      segments: log?.segments ?? 0,
      last_lsn: log?.lastLsn ?? 0,
      checkpoint_lsn: log?.checkpointLsn ?? 0,
    },
    repositories,
  };
}

/**
 * How many transactions stand where. One that failed counts until an operator has resolved it:
 * what is over for good needs nobody's look.
 */
export function countsOf(
  { manager, inDoubt }: {
    readonly manager: Pick<TransactionManager, "counts" | "get">;
    readonly inDoubt: Pick<InDoubt, "list">;
  },
): HealthDocument["transactions"] {
  const ids = new Set(inDoubt.list().map((one) => one.transaction_id));
  const failed = [...ids].filter((id) => stateOf(manager, id) === "failed").length;
  return { active: manager.counts().active, in_doubt: ids.size - failed, failed };
}

/** Null where history knows it no more. */
function stateOf(manager: Pick<TransactionManager, "get">, id: string): TransactionState | null {
  try {
    return manager.get(parseTransactionId(id)).state;
  } catch (error) {
    if (error instanceof LayerdError && error.code === "transaction_not_found") return null;
    throw error;
  }
}

async function repositoryHealth(engine: Engine): Promise<RepositoryHealth[]> {
  const served = await Promise.all(
    engine.catalog.all().map(async (repository) => {
      const findings = await engine.catalog.findings(repository);
      return {
        name: repository.name,
        status: worst(findings),
        findings: findings.map(({ code, detail, ref }) => ({
          code,
          detail,
          repository: repository.name,
          ref,
        })),
      };
    }),
  );
  const unavailable = engine.catalog.unavailable().map(({ name, problem }) => ({
    name,
    status: "unknown" as const,
    findings: [{
      code: problem.code,
      detail: `${problem.message}; layerd looks again by itself`,
      repository: name,
      ref: null,
    }],
  }));
  return [...served, ...unavailable];
}
