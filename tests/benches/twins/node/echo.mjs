// A twin of `change-events` for a customer that has not changed since it was last synchronized: the same calls in the same
// order. The first message about a customer stores its fingerprint, every later one finds it unchanged.
import { createHmac } from "node:crypto";
import { DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { BatchGetCommand, DynamoDBDocumentClient, GetCommand, UpdateCommand } from "@aws-sdk/lib-dynamodb";
import { log, secret, writeMetric } from "./common.mjs";

export const dynamodb = DynamoDBDocumentClient.from(new DynamoDBClient({}));
export const { CODE_MAPPINGS_TABLE: mappings, OWED_TABLE: owed, NORCE_BASE_URL: base, NORCE_SCOPE: scope } = process.env;
const expand = [
  "Account($select=ApplicationId,LoginName,StatusId)",
  "Addresses($select=Id,TypeId,CareOf,AddressLine1,AddressLine2,ZipCode,City,Region,CountryId,Gln,ShippingPhoneNumber,Code,IsPrimary)",
  "Companies($select=CompanyId,IsPrimary;$expand=Company($select=Id,IsActive))",
  "Flags($select=FlagId,IsActive)",
].join(",");
const select =
  "Id,CustomerCode,FirstName,MiddleName,LastName,Title,EmailAddress,PhoneNumber,CellPhoneNumber,IsActive,IsForgotten," +
  "StoppedDate,ReplacementCustomerId,LastOrderDate,ApplicationId";
const sentToErp = [
  "FirstName",
  "MiddleName",
  "LastName",
  "EmailAddress",
  "PhoneNumber",
  "CellPhoneNumber",
  "Addresses",
];

const token = { value: "", until: 0 };

async function accessToken() {
  if (Date.now() < token.until) return token.value;
  const { clientId, clientSecret } = await secret("NORCE_SECRET_ARN");
  const body = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: clientId,
    client_secret: clientSecret,
    scope,
  });
  const answer = await fetch(`${base}/identity/1.0/connect/token`, { method: "POST", body });
  if (!answer.ok) throw new Error(`no token: ${answer.status}`);
  const { access_token: value, expires_in: seconds } = await answer.json();
  Object.assign(token, { value, until: Date.now() + (seconds - 60) * 1000 });
  return value;
}

async function fetchCustomers(filter, most) {
  const query = new URLSearchParams({ $select: select, $expand: expand, $filter: filter, $top: String(most) });
  const headers = {
    authorization: `Bearer ${await accessToken()}`,
    accept: "application/json",
    "application-id": "1",
  };
  const answer = await fetch(`${base}/commerce/query/2.0/Customers/Customers?${query}`, { headers });
  if (!answer.ok) throw new Error(`Norce Query answers ${answer.status}`);
  return (await answer.json()).value;
}

async function fetchCustomer(id) {
  return (await fetchCustomers(`Id eq ${id}`, 2))[0];
}

// Customers by id, in one request.
export async function fetchAll(ids) {
  const rows = await fetchCustomers(ids.map((id) => `Id eq ${id}`).join(" or "), ids.length + 1);
  return new Map(rows.map((row) => [row.Id, row]));
}

export async function fingerprint(customer) {
  const fields = Object.fromEntries(sentToErp.map((name) => [name, customer[name] ?? null]));
  const { key } = await secret("FINGERPRINT_SECRET_ARN");
  return createHmac("sha256", key).update(JSON.stringify(fields)).digest("hex");
}

async function mappingOf(entity) {
  const Keys = [{ pk: entity }, { pk: `forgotten/${entity}` }];
  const answer = await dynamodb.send(
    new BatchGetCommand({ RequestItems: { [mappings]: { Keys, ConsistentRead: true } } }),
  );
  return new Map((answer.Responses[mappings] ?? []).map((item) => [item.pk, item]));
}

async function isOwed(pk) {
  const answer = await dynamodb.send(new GetCommand({ TableName: owed, Key: { pk }, ConsistentRead: true }));
  return answer.Item !== undefined;
}

export async function store(entity, stored) {
  await dynamodb.send(
    new UpdateCommand({
      TableName: mappings,
      Key: { pk: entity },
      UpdateExpression: "SET #shop = :shop, #fetched = :fetched",
      ConditionExpression: "attribute_not_exists(#shop) OR #shop = :shop",
      ExpressionAttributeNames: { "#shop": "shop_fingerprint", "#fetched": "fetched_at" },
      ExpressionAttributeValues: { ":shop": stored, ":fetched": new Date().toISOString() },
    }),
  );
}

async function handle(record) {
  const { entity, correlation } = JSON.parse(record.body);
  const name = `${entity.kind}/${entity.scope}/${entity.id}`;
  const found = await mappingOf(name);
  if (found.has(`forgotten/${name}`)) return;
  const customer = await fetchCustomer(entity.id);
  if (!customer) throw new Error(`${name} is not in Norce Query`);
  const now = await fingerprint(customer);
  const before = found.get(name)?.shop_fingerprint;
  if (await isOwed(`${name}/code-to-norce`)) throw new Error("owed: not part of this twin");
  if (before !== undefined && before !== now) throw new Error("changed: not part of this twin");
  await store(name, now);
  if (await isOwed(`${name}/to-erp`)) throw new Error("owed: not part of this twin");
  log("change handled", { subject: name, correlation, outcome: before ? "unchanged" : "stored" });
}

export function handler(event) {
  return handleEach(event, handle);
}

// Handles the messages one after the other. Once one has failed, the later ones of its group are given back with it.
export async function handleEach(event, handle) {
  const batchItemFailures = [];
  const failedGroups = new Set();
  for (const record of event.Records) {
    const group = record.attributes.MessageGroupId;
    try {
      if (failedGroups.has(group)) throw new Error("an earlier message of its group failed");
      await handle(record);
    } catch (error) {
      failedGroups.add(group);
      log("change failed", { error: error.message });
      batchItemFailures.push({ itemIdentifier: record.messageId });
    }
  }
  writeMetric("Changes", "change-events", event.Records.length);
  return { batchItemFailures };
}
