// A twin of `change-events` for customers that have not changed since they were last synchronized, with the fewest calls: the
// mappings and owed records of all messages in one `BatchGetItem`, all customers in one request to Norce, and one `UpdateItem`
// each. The first message about a customer stores its fingerprint, every later one finds it unchanged.
import { BatchGetCommand } from "@aws-sdk/lib-dynamodb";
import { dynamodb, fetchAll, fingerprint, handleEach, mappings as MAPPINGS, owed as OWED, store } from "./echo.mjs";
import { log } from "./common.mjs";

const nameOf = ({ kind, scope, id }) => `${kind}/${scope}/${id}`;
const mappingKeys = (name) => [name, `forgotten/${name}`];
const owedKeys = (name) => [`${name}/code-to-norce`, `${name}/to-erp`];

// The items about these customers, by table and key.
async function read(names) {
  const wanted = (keysOf) => ({ Keys: names.flatMap(keysOf).map((pk) => ({ pk })), ConsistentRead: true });
  let request = { [MAPPINGS]: wanted(mappingKeys), [OWED]: wanted(owedKeys) };
  const tables = { [MAPPINGS]: new Map(), [OWED]: new Map() };
  while (Object.keys(request ?? {}).length > 0) {
    const answer = await dynamodb.send(new BatchGetCommand({ RequestItems: request }));
    for (const [table, items] of Object.entries(answer.Responses)) {
      for (const item of items) tables[table].set(item.pk, item);
    }
    request = answer.UnprocessedKeys;
  }
  return { mappings: tables[MAPPINGS], owed: tables[OWED] };
}

// What the messages of an invocation are about, read once.
async function readBatch(records) {
  const entities = records.map((record) => JSON.parse(record.body).entity);
  // A FIFO queue can hand over several messages about a customer.
  const byName = new Map(entities.map((entity) => [nameOf(entity), entity.id]));
  const { mappings, owed } = await read([...byName.keys()]);
  // What is forgotten is not asked for.
  const ids = [...byName].filter(([name]) => !mappings.has(`forgotten/${name}`)).map(([, id]) => id);
  const customers = ids.length > 0 ? await fetchAll(ids) : new Map();
  return { mappings, owed, customers };
}

async function handle(record, { mappings, owed, customers }) {
  const { entity, correlation } = JSON.parse(record.body);
  const name = nameOf(entity);
  if (mappings.has(`forgotten/${name}`)) return;
  const customer = customers.get(entity.id);
  if (!customer) throw new Error(`${name} is not in Norce Query`);
  const now = await fingerprint(customer);
  const before = mappings.get(name)?.shop_fingerprint;
  if (owedKeys(name).some((key) => owed.has(key))) throw new Error("owed: not part of this twin");
  if (before !== undefined && before !== now) throw new Error("changed: not part of this twin");
  await store(name, now);
  log("change handled", { subject: name, correlation, outcome: before ? "unchanged" : "stored" });
}

export async function handler(event) {
  const batch = await readBatch(event.Records);
  return handleEach(event, (record) => handle(record, batch));
}
