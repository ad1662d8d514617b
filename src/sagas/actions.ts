/** Every kind of step, and what this daemon may reach of it. */
import { LayerdError } from "../core/errors.ts";
import type { SagaDefinition } from "../core/saga_definition.ts";
import type { Clock } from "../system/clock.ts";
import { commandAction } from "./command_action.ts";
import { httpAction } from "./http_action.ts";
import { layerAction, type LayerActionParts } from "./layer_action.ts";
import type { StepAction } from "./step_action.ts";

/** Performs a call of any kind of service. */
export function stepActions(parts: { readonly clock: Clock } & LayerActionParts): StepAction {
  const actions = {
    http: httpAction(parts.clock),
    layer: layerAction(parts),
    command: commandAction(parts.clock),
  };
  return (call, signal) => actions[call.service.kind](call, signal);
}

/** What the process may do; the composition root asks the runtime. */
export interface Reach {
  /** `HOST:PORT`. */
  readonly mayConnect: (host: string) => boolean;
  readonly mayRun: (program: string) => boolean;
}

/** Throws `permission_denied` for the first service that is out of reach, naming the flag. */
export function requireReachable(definition: SagaDefinition, reach: Reach): void {
  for (const [name, service] of Object.entries(definition.services)) {
    if (service.kind === "http") {
      const host = hostOf(service.base_url);
      if (!reach.mayConnect(host)) throw denied(name, `reach ${host}`, "--allow-participant", host);
    } else if (service.kind === "command" && !reach.mayRun(service.program)) {
      throw denied(name, `run ${service.program}`, "--allow-command", service.program);
    }
  }
}

function hostOf(baseUrl: string): string {
  const { hostname, port, protocol } = new URL(baseUrl);
  return `${hostname}:${port || (protocol === "https:" ? "443" : "80")}`;
}

function denied(service: string, what: string, flag: string, value: string): LayerdError {
  return new LayerdError(
    "permission_denied",
    `Service ${service}: the daemon may not ${what}; start it with ${flag} ${value}`,
    { field: `services.${service}`, reason: `${flag} ${value}` },
  );
}
