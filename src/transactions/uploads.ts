/** Uploads of blobs into an open transaction. */
import type { ObjectId, TransactionId } from "../core/ids.ts";
import type { BlobSpool } from "./blob_spool.ts";
import type { TransactionCalls } from "./transaction_calls.ts";

/** The upload itself runs beside other calls: a slow one is a sign of life, not of harm. */
export async function receiveUpload(
  { calls, spool }: { readonly calls: TransactionCalls; readonly spool: BlobSpool },
  id: TransactionId,
  body: ReadableStream<Uint8Array>,
): Promise<{ readonly oid: ObjectId; readonly size: number }> {
  return await calls.accept(id, "upload", async (transaction) => {
    const blob = await spool.receive(id, body);
    try {
      await calls.turn(transaction, "upload", () => {
        if (transaction.upload(blob.oid) === null) transaction.noteUpload(blob);
        else spool.discard(blob);
        return Promise.resolve();
      });
    } catch (error) {
      spool.discard(blob);
      throw error;
    }
    return { oid: blob.oid, size: blob.size };
  });
}
