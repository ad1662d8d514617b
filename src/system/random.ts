/** Randomness as the daemon sees it; seeded in tests. */
export interface Random {
  /** Fills with random bytes. */
  bytes(length: number): Uint8Array;
  /** Uniform in [0, 1). */
  uniform(): number;
  /** A fresh ULID for the given wall-clock milliseconds; rises within one millisecond. */
  ulid(nowMs: number): string;
}
