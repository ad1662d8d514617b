/** Allocates compute nodes. */
import { serveBooks } from "./books.ts";

serveBooks(Deno.args[0] ?? ".", {
  allocate_training_resources: ({ saga_id, input }) => ({
    resource_allocation_id: `allocation-${saga_id}`,
    compute_nodes: Array.from({ length: input.cpu_cores }, (_, at) => `node-${at + 1}`),
  }),
}, ["release_resources"]);
