import { assertEquals } from "@std/assert";
import { parseTransactionId } from "../../src/core/ids.ts";
import { transactionOf, withTrailer } from "../../src/transactions/commit_message.ts";
import { git } from "../harness/git.ts";

const id = parseTransactionId("01ARZ3NDEKTSV4RRFFQ69G5FAV");

Deno.test("withTrailer() ends a message as git interpret-trailers reads it", async () => {
  const messages = [
    "subject",
    "subject\n",
    "subject: with a colon",
    "Key: looks like a trailer, is a subject",
    "subject\n\nbody text\nof two lines",
    "subject\n\nbody\n\nSigned-off-by: A <a@b>",
    "subject\n\nSigned-off-by: A <a@b>\nReviewed-by: B\n continued\n\n",
    "subject\n\nnot a block\nKey: value",
    "subject\n\nKey: value\n \nmore text",
    "",
  ];
  for (const message of messages) {
    const whole = withTrailer(message, id);
    assertEquals(whole.startsWith(message.trimEnd()), true);
    const parsed = await git(".", ["interpret-trailers", "--parse"], { input: `s\n\n${whole}` });
    assertEquals(parsed.split("\n").at(-1), `Layerd-Transaction: ${id}`, whole);
    assertEquals(transactionOf(whole), id);
  }
  const block = "subject\n\nSigned-off-by: A <a@b>";
  assertEquals(withTrailer(block, id), `${block}\nLayerd-Transaction: ${id}\n`);
});

Deno.test("transactionOf() answers null where the last paragraph names no transaction", () => {
  for (
    const message of [
      "subject",
      `Layerd-Transaction: ${id} is only mentioned`,
      `s\n\nLayerd-Transaction: ${id}\n\nlater text`,
      "s\n\nLayerd-Transaction: nonsense",
    ]
  ) assertEquals(transactionOf(message), null, message);
});
