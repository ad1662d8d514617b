/** What a run prints: sections with a table each, as Markdown and as JSON. */

export interface Row {
  readonly name: string;
  readonly values: readonly (number | string | null)[];
}

export interface Section {
  readonly title: string;
  /** What was done, in a sentence or two. */
  readonly note: string;
  readonly columns: readonly string[];
  readonly rows: readonly Row[];
  /** What the issue asks for, with the figure of this run. */
  readonly goals: readonly Goal[];
}

export interface Goal {
  readonly text: string;
  readonly figure: number;
  /** The figure must be at least, or at most, this. */
  readonly atLeast?: number;
  readonly atMost?: number;
}

export function isReached({ figure, atLeast, atMost }: Goal): boolean {
  return figure >= (atLeast ?? -Infinity) && figure <= (atMost ?? Infinity);
}

export function markdownOf(section: Section): string {
  const { title, note, columns, rows, goals } = section;
  const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
  return [
    `## ${title}`,
    "",
    note,
    "",
    line(["side", ...columns]),
    line(["---", ...columns.map(() => "---:")]),
    ...rows.map(({ name, values }) => line([name, ...values.map(cell)])),
    "",
    ...goals.map((goal) => {
      const wanted = goal.atLeast === undefined
        ? `at most ${cell(goal.atMost ?? null)}`
        : `at least ${cell(goal.atLeast)}`;
      const verdict = isReached(goal) ? "holds" : "does not hold";
      return `- ${goal.text}: ${cell(goal.figure)} (${wanted}): ${verdict}`;
    }),
    "",
  ].join("\n");
}

function cell(value: number | string | null): string {
  if (value === null) return "-";
  if (typeof value === "string") return value;
  if (value >= 100) return value.toFixed(0);
  return value.toFixed(value >= 10 ? 1 : 2);
}
