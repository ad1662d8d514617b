import { assertEquals } from "@std/assert";
import { REQUEST_BODY_BYTES_MAX, REQUEST_BODY_MS_MAX } from "../../src/core/limits.ts";
import { parseObjectId } from "../../src/core/ids.ts";
import { LayerdError } from "../../src/core/errors.ts";
import { problemOf } from "../harness/api.ts";
import { Connection } from "../harness/socket_client.ts";
import { AppStage, TRANSACTION_ID, transactionIn } from "./app_stage.ts";
import { HandClock } from "./hand_clock.ts";

const BEGIN = "POST /v1/transactions HTTP/1.1\r\nhost: layerd\r\n";
const JSON_TYPE = "content-type: application/json\r\n";
const BLOBS = `/v1/transactions/${TRANSACTION_ID}/blobs`;

const begins = { begin: () => Promise.resolve(transactionIn("active")) };

Deno.test("readJsonBody() takes an empty body for {} without a content type", async () => {
  await using stage = await AppStage.open({ manager: begins });
  assertEquals((await stage.client.request("POST", "/v1/transactions")).status, 201);
  const connection = await Connection.open(stage.path);
  await connection.send(`${BEGIN}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`);
  assertEquals((await connection.readReply()).status, 201);
  connection.close();
});

Deno.test("readJsonBody() wants application/json in UTF-8", async () => {
  await using stage = await AppStage.open({ manager: begins });
  const statusOf = async (headers: Record<string, string>) => {
    const reply = await stage.client.request("POST", "/v1/transactions", {}, { headers });
    if (reply.status !== 201) problemOf(reply, 415, "unsupported_media_type");
    return reply.status;
  };
  assertEquals(await statusOf({ "content-type": "application/json" }), 201);
  assertEquals(await statusOf({ "content-type": "Application/JSON; Charset=UTF-8" }), 201);
  assertEquals(await statusOf({ "content-type": "application/x-www-form-urlencoded" }), 415);
  assertEquals(await statusOf({ "content-type": "application/json; charset=latin1" }), 415);
  assertEquals(await statusOf({ "content-type": "application/jsonp" }), 415);
  assertEquals(await statusOf({ "content-encoding": "gzip" }), 415);
});

Deno.test("readJsonBody() refuses a body beyond the limit, announced or not", async () => {
  await using stage = await AppStage.open({ manager: begins });
  const announced = await Connection.open(stage.path);
  await announced.send(
    `${BEGIN}${JSON_TYPE}content-length: ${REQUEST_BODY_BYTES_MAX + 1}\r\n\r\n`,
  );
  const problem = problemOf(await announced.readReply(), 413, "payload_too_large");
  assertEquals(problem.limit, REQUEST_BODY_BYTES_MAX);
  announced.close();

  const chunked = await Connection.open(stage.path);
  await chunked.send(`${BEGIN}${JSON_TYPE}transfer-encoding: chunked\r\n\r\n`);
  const size = (REQUEST_BODY_BYTES_MAX / 4) + 1;
  const chunk = " ".repeat(size);
  for (let sent = 0; sent < 4; sent++) {
    await chunked.send(`${size.toString(16)}\r\n${chunk}\r\n`);
  }
  problemOf(await chunked.readReply(), 413, "payload_too_large");
  chunked.close();
});

Deno.test("readJsonBody() gives a body that does not arrive its time and no more", async () => {
  const clock = new HandClock();
  await using stage = await AppStage.open({ manager: begins, clock });
  const connection = await Connection.open(stage.path);
  await connection.send(`${BEGIN}${JSON_TYPE}content-length: 2\r\n\r\n{`);
  await clock.fire(REQUEST_BODY_MS_MAX);
  const { reason } = problemOf(await connection.readReply(), 400, "invalid_request");
  assertEquals(reason, "body_timeout");
  connection.close();
});

Deno.test("uploadStream() hands over all bytes, and an error where the client left", async () => {
  const ends: (number | string)[] = [];
  const left = Promise.withResolvers<void>();
  await using stage = await AppStage.open({
    manager: {
      addBlob: async (_id, body) => {
        let size = 0;
        try {
          for await (const chunk of body) size += chunk.length;
          ends.push(size);
        } catch (error) {
          ends.push(error instanceof LayerdError ? error.code : String(error));
          left.resolve();
          throw error;
        }
        return { oid: parseObjectId("a".repeat(40)), size };
      },
    },
  });
  const bytes = new Uint8Array(3_000_000).fill(7);
  const reply = await stage.client.request("PUT", BLOBS, undefined, {
    raw: bytes,
    headers: { "content-type": "application/octet-stream" },
  });
  assertEquals([reply.status, reply.json], [201, { oid: "a".repeat(40), size: 3_000_000 }]);
  assertEquals((await stage.client.request("PUT", BLOBS)).status, 201);

  const connection = await Connection.open(stage.path);
  await connection.send(
    `PUT ${BLOBS} HTTP/1.1\r\nhost: layerd\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n`,
  );
  connection.close();
  await left.promise;
  assertEquals(ends, [3_000_000, 0, "invalid_request"]);
});
