"""A twin of `change-events` for customers that have not changed since they were last synchronized, with the fewest calls: the
mappings and owed records of all messages in one `BatchGetItem`, all customers in one request to Norce, and one `UpdateItem`
each. The first message about a customer stores its fingerprint, every later one finds it unchanged."""

from aws_lambda_powertools.utilities.batch import (
    SqsFifoPartialProcessor,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

from echo import (
    MAPPINGS,
    OWED,
    dynamodb,
    fetch_many,
    fingerprint,
    logger,
    metrics,
    note,
    store,
)

processor = SqsFifoPartialProcessor(skip_group_on_error=True)


def name_of(entity):
    return f"{entity['kind']}/{entity['scope']}/{entity['id']}"


def keys_of(name):
    """The keys of a customer: in the mappings, and among the owed records."""
    return (name, f"forgotten/{name}"), (f"{name}/code-to-norce", f"{name}/to-erp")


def read(names):
    """The items about these customers, by table and key."""
    keys = [keys_of(name) for name in names]
    wanted = {
        MAPPINGS: [key for mappings, _ in keys for key in mappings],
        OWED: [key for _, owed in keys for key in owed],
    }
    request = {
        table: {"Keys": [{"pk": {"S": key}} for key in keys], "ConsistentRead": True}
        for table, keys in wanted.items()
    }
    found = {}
    while request:
        answer = dynamodb.batch_get_item(RequestItems=request)
        for table, items in answer["Responses"].items():
            found.update({(table, item["pk"]["S"]): item for item in items})
        request = answer.get("UnprocessedKeys")
    return found


class Batch:
    """What the messages of an invocation are about, read once."""

    def __init__(self, records):
        entities = [SQSRecord(record).json_body["entity"] for record in records]
        # A FIFO queue can hand over several messages about a customer.
        by_name = {name_of(entity): entity["id"] for entity in entities}
        self.items = read(by_name)
        # What is forgotten is not asked for.
        numbers = [
            number
            for name, number in by_name.items()
            if (MAPPINGS, f"forgotten/{name}") not in self.items
        ]
        self.customers = fetch_many(numbers) if numbers else {}

    def handle(self, record: SQSRecord):
        message = record.json_body
        name = name_of(message["entity"])
        (mapping, forgotten), owed = keys_of(name)
        if (MAPPINGS, forgotten) in self.items:
            return
        customer = self.customers.get(message["entity"]["id"])
        if customer is None:
            raise RuntimeError(f"{name} is not in Norce Query")
        now = fingerprint(customer)
        stored = self.items.get((MAPPINGS, mapping), {})
        before = stored.get("shop_fingerprint", {}).get("S")
        if any((OWED, key) in self.items for key in owed):
            raise RuntimeError("owed: not part of this twin")
        if before is not None and before != now:
            raise RuntimeError("changed: not part of this twin")
        store(name, now)
        note(name, message, before)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event, context):
    batch = Batch(event["Records"])
    return process_partial_response(
        event=event, record_handler=batch.handle, processor=processor, context=context
    )
