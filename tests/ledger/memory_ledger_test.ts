import { MemoryLedger } from "../../src/ledger/memory_ledger.ts";
import { ledgerConformance } from "./conformance.ts";

ledgerConformance("MemoryLedger", () => ({ ledger: new MemoryLedger(), dispose: () => {} }));
