import { MemoryLedger } from "../../src/ledger/memory_ledger.ts";
import { ledgerConformance } from "./conformance.ts";

ledgerConformance("MemoryLedger", () => new MemoryLedger());
