import { conformance } from "./conformance.ts";
import { serviceStand } from "./service_stand.ts";

conformance("examples/participant.ts", () => serviceStand("ts"));
