/** The daemon as its routes use it; the composition root implements it. */
import type { HealthDocument } from "../protocol/responses.ts";
import type { LogStatus } from "../wal/write_ahead_log.ts";

/** Recovering: the log is being replayed. Draining: begins are refused, the end is near. */
export type DaemonPhase = "recovering" | "serving" | "draining";

export interface DaemonControl {
  phase(): DaemonPhase;
  healthDocument(): Promise<HealthDocument>;
  walStatus(): LogStatus;
  /** Resolves when a checkpoint that began after the call is done. */
  checkpoint(): Promise<void>;
  /** Begins to drain and returns; the process ends when that is done. */
  shutdown(): void;
}
