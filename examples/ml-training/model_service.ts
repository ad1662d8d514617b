/** Keeps models: reserves one for a training, and gives it a new version. */
import { serveBooks } from "./books.ts";

serveBooks(Deno.args[0] ?? ".", {
  reserve_for_training: ({ saga_id, input }) => ({
    model_id: input.model_id,
    reservation_id: `reservation-${saga_id}`,
  }),
  update_model_with_artifacts: ({ input }) => ({
    model_id: input.model_id,
    new_version: "1.1.0",
    validation_accuracy: input.metrics.validation_accuracy,
  }),
}, ["release_reservation", "revert_model_update"]);
