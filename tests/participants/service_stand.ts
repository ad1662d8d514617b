/** The reference participants of `examples/` under the conformance suite. */
import { parseParticipantName } from "../../src/core/ids.ts";
import { parseHttpAddress } from "../../src/participants/addresses.ts";
import { HttpParticipant } from "../../src/participants/http_participant.ts";
import type { ParticipantWork } from "../../src/participants/participant.ts";
import { DenoClock } from "../../src/system/deno_clock.ts";
import type { Stand } from "./conformance.ts";
import { type ServiceKind, ServiceProcess } from "./service.ts";

export async function serviceStand(kind: ServiceKind): Promise<Stand> {
  const directory = await Deno.makeTempDir({ prefix: "layerd-service-" });
  const service = await ServiceProcess.start(kind, `${directory}/journal`);
  const work = (set: Record<string, string>): ParticipantWork => ({
    kind: "http",
    payload: { set },
  });
  let last = "";
  return {
    connect: () =>
      new HttpParticipant(
        parseParticipantName("subject"),
        parseHttpAddress(service.baseUrl),
        5_000,
        new DenoClock(),
      ),
    set: (place, value) => work({ [last = place]: value }),
    look: () => work({}),
    refused: () => work({ [last]: "2" }),
    value: async (place) => {
      const value = (await service.flags())[place];
      return typeof value === "string" ? value : null;
    },
    restart: async () => {
      await service.kill();
      await service.start();
    },
    freeze: () => {
      service.signal("SIGSTOP");
      return () => service.signal("SIGCONT");
    },
    prepared: () => service.prepared(),
    close: async () => {
      await service.kill();
      await Deno.remove(directory, { recursive: true });
    },
  };
}
