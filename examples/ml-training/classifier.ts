/**
 * Multinomial logistic regression by batch gradient descent, over standardised features.
 * (Bishop, Pattern Recognition and Machine Learning, 4.3.4.) Deterministic: the split and the
 * shuffling come from a seed.
 */
export interface Hyperparameters {
  readonly learning_rate: number;
  readonly epochs: number;
  /** Weight of the squared weights in the loss. */
  readonly l2: number;
}

export interface Classifier {
  readonly classes: readonly string[];
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  /** One row a class: bias first. */
  readonly weights: readonly (readonly number[])[];
}

export interface Metrics {
  readonly training_accuracy: number;
  readonly validation_accuracy: number;
  /** Cross-entropy over the training set after the last epoch. */
  readonly loss: number;
  readonly training_examples: number;
  readonly validation_examples: number;
}

export interface Examples {
  readonly features: readonly (readonly number[])[];
  readonly labels: readonly string[];
}

/** Trains on a part of the examples and measures on the rest. */
export function train(
  examples: Examples,
  hyperparameters: Hyperparameters,
  validationSplit: number,
  seed: number,
): { readonly classifier: Classifier; readonly metrics: Metrics } {
  const { training, validation } = split(examples, validationSplit, seed);
  const classes = [...new Set(examples.labels)].sort();
  const { mean, deviation } = scaleOf(training.features);
  const rows = training.features.map((row) => prepared(row, mean, deviation));
  const wanted = training.labels.map((label) => classes.indexOf(label));
  const { weights, loss } = descend(rows, wanted, classes.length, hyperparameters);
  const classifier = { classes, mean, deviation, weights };
  return {
    classifier,
    metrics: {
      training_accuracy: accuracy(classifier, training),
      validation_accuracy: accuracy(classifier, validation),
      loss,
      training_examples: rows.length,
      validation_examples: validation.labels.length,
    },
  };
}

/** The class that the classifier finds most likely. */
export function classify(classifier: Classifier, features: readonly number[]): string {
  const row = prepared(features, classifier.mean, classifier.deviation);
  const scores = classifier.weights.map((weights) => dot(weights, row));
  return classifier.classes[scores.indexOf(Math.max(...scores))] ?? "";
}

function accuracy(classifier: Classifier, { features, labels }: Examples): number {
  const right = features.filter((row, at) => classify(classifier, row) === labels[at]).length;
  return Math.round(10_000 * right / labels.length) / 10_000;
}

function split(examples: Examples, validationSplit: number, seed: number) {
  const order = examples.labels.map((_, index) => index);
  const random = mulberry32(seed);
  for (let at = order.length - 1; at > 0; at--) {
    const other = Math.floor(random() * (at + 1));
    [order[at], order[other]] = [order[other] ?? 0, order[at] ?? 0];
  }
  const held = Math.round(order.length * validationSplit);
  const pick = (indexes: readonly number[]): Examples => ({
    features: indexes.map((index) => examples.features[index] ?? []),
    labels: indexes.map((index) => examples.labels[index] ?? ""),
  });
  return { training: pick(order.slice(held)), validation: pick(order.slice(0, held)) };
}

function descend(
  rows: readonly (readonly number[])[],
  wanted: readonly number[],
  classes: number,
  { learning_rate, epochs, l2 }: Hyperparameters,
): { readonly weights: number[][]; readonly loss: number } {
  const width = rows[0]?.length ?? 0;
  const weights = Array.from({ length: classes }, () => new Array<number>(width).fill(0));
  let loss = 0;
  for (let epoch = 0; epoch < epochs; epoch++) {
    const gradient = weights.map((row) => row.map((weight, at) => at === 0 ? 0 : l2 * weight));
    loss = 0;
    rows.forEach((row, index) => {
      const likely = softmax(weights.map((of) => dot(of, row)));
      loss -= Math.log(likely[wanted[index] ?? 0] ?? 1) / rows.length;
      gradient.forEach((of, klass) => {
        const error = (likely[klass] ?? 0) - (klass === wanted[index] ? 1 : 0);
        row.forEach((value, at) => of[at] = (of[at] ?? 0) + error * value / rows.length);
      });
    });
    weights.forEach((of, klass) =>
      of.forEach((weight, at) => of[at] = weight - learning_rate * (gradient[klass]?.[at] ?? 0))
    );
  }
  return { weights, loss };
}

function scaleOf(features: readonly (readonly number[])[]) {
  const width = features[0]?.length ?? 0;
  const columns = Array.from({ length: width }, (_, at) => features.map((row) => row[at] ?? 0));
  const mean = columns.map((column) => column.reduce((a, b) => a + b, 0) / column.length);
  const deviation = columns.map((column, at) =>
    Math.sqrt(column.reduce((sum, x) => sum + (x - (mean[at] ?? 0)) ** 2, 0) / column.length) || 1
  );
  return { mean, deviation };
}

function prepared(
  row: readonly number[],
  mean: readonly number[],
  deviation: readonly number[],
): number[] {
  return [1, ...row.map((value, at) => (value - (mean[at] ?? 0)) / (deviation[at] ?? 1))];
}

function dot(one: readonly number[], other: readonly number[]): number {
  return one.reduce((sum, value, at) => sum + value * (other[at] ?? 0), 0);
}

function softmax(scores: readonly number[]): number[] {
  const top = Math.max(...scores);
  const powers = scores.map((score) => Math.exp(score - top));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((power) => power / sum);
}

/** A small seeded generator (Tommy Ettinger's mulberry32, public domain). */
function mulberry32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
