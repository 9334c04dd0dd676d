// A twin of `receive-events`: an event of Norce becomes a message on the changes queue.
import { randomUUID, timingSafeEqual } from "node:crypto";
import { SendMessageCommand, SQSClient } from "@aws-sdk/client-sqs";
import { log, secret, writeMetric } from "./common.mjs";

// The stand-in of SQS does not work out the digest of a body.
const sqs = new SQSClient({ md5: false });
const applications = new Set(JSON.parse(process.env.NORCE_APPLICATIONS).map(({ id }) => id));
const kinds = {
  "customer-changed": ["customer", "CustomerId"],
  "company-changed": ["company", "CompanyId"],
};

function answer(statusCode, body) {
  return { statusCode, headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

async function isAuthentic(event) {
  const accepted = Buffer.from((await secret("EVENT_SECRET_ARN")).current);
  const presented = Buffer.from(event.headers["x-event-secret"] ?? "");
  return accepted.length === presented.length && timingSafeEqual(accepted, presented);
}

export async function handler(event) {
  if (!(await isAuthentic(event))) return answer(401, { error: "the header x-event-secret is missing or wrong" });
  const known = kinds[event.rawPath.split("/events/")[1]];
  if (!known) return answer(400, { error: "the event type is not known" });
  const [kind, field] = known;
  const text = event.isBase64Encoded ? Buffer.from(event.body, "base64").toString() : event.body;
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    return answer(400, { error: "the event is not JSON" });
  }
  const id = body[field];
  if (!Number.isInteger(id)) return answer(400, { error: "the event cannot be read" });
  if (body.ApplicationId != null && !applications.has(body.ApplicationId)) {
    return answer(400, { error: "the application is not known" });
  }
  const correlation = randomUUID();
  const subject = `${kind}/client/${id}`;
  const message = {
    type: "entity",
    entity: { kind, scope: "client", id },
    cause: "changed",
    received_at: new Date().toISOString(),
    correlation,
  };
  await sqs.send(
    new SendMessageCommand({
      QueueUrl: process.env.CHANGES_QUEUE_URL,
      MessageBody: JSON.stringify(message),
      MessageGroupId: subject,
      MessageDeduplicationId: randomUUID(),
    }),
  );
  log("event accepted", { subject, correlation });
  writeMetric("Posts", "receive-events", 1);
  return answer(202, { accepted: { subject, correlation } });
}
