/** Writes down what was trained, for good: it has nothing that undoes an entry. */
import { serveBooks } from "./books.ts";

serveBooks(Deno.args[0] ?? ".", {
  log_training_completion: ({ saga_id, input }) => ({ audit_id: `audit-${saga_id}`, ...input }),
}, []);
