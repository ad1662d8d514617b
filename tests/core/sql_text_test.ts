import { assert, assertEquals } from "@std/assert";
import { statementRefusal } from "../../src/core/sql_text.ts";

Deno.test("statementRefusal() looks behind comments, as PostgreSQL ends them, and at whole words", () => {
  for (
    const text of [
      "COMMIT",
      " /* a /* b */ */ -- c\n rollback",
      ";PREPARE  TRANSACTION 'x'",
      "-- x\rCOMMIT",
      "-- x\r\n--\rPREPARE TRANSACTION 'foreign'",
      "copy t from stdin",
      "/**/COPY (SELECT 1) TO STDOUT",
    ]
  ) {
    assert(statementRefusal(text) !== null, text);
  }
  for (
    const text of ["SELECT 1", "commits", "PREPARE q AS SELECT 1", "/* commit", "", "SELECT copy"]
  ) {
    assertEquals(statementRefusal(text), null, text);
  }
});
