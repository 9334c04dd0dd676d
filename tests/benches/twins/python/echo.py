"""A twin of `change-events` for a customer that has not changed since it was last synchronized: the same calls in the same
order. The first message about a customer stores its fingerprint, every later one finds it unchanged."""

import hashlib
import hmac
import json
import os
import time
from datetime import datetime, timezone

import boto3
import urllib3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters
from aws_lambda_powertools.utilities.batch import (
    SqsFifoPartialProcessor,
    process_partial_response,
)
from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord

logger = Logger(service="change-events")
metrics = Metrics(namespace="Norce", service="change-events")
processor = SqsFifoPartialProcessor(skip_group_on_error=True)
dynamodb = boto3.client("dynamodb")
http = urllib3.PoolManager(retries=False, timeout=10.0)

MAPPINGS = os.environ["CODE_MAPPINGS_TABLE"]
OWED = os.environ["OWED_TABLE"]
BASE_URL = os.environ["NORCE_BASE_URL"]
SECRET_SECONDS = 300
EXPAND = ",".join(
    (
        "Account($select=ApplicationId,LoginName,StatusId)",
        "Addresses($select=Id,TypeId,CareOf,AddressLine1,AddressLine2,ZipCode,City,Region,CountryId,Gln,"
        "ShippingPhoneNumber,Code,IsPrimary)",
        "Companies($select=CompanyId,IsPrimary;$expand=Company($select=Id,IsActive))",
        "Flags($select=FlagId,IsActive)",
    )
)
SELECT = (
    "Id,CustomerCode,FirstName,MiddleName,LastName,Title,EmailAddress,PhoneNumber,CellPhoneNumber,IsActive,IsForgotten,"
    "StoppedDate,ReplacementCustomerId,LastOrderDate,ApplicationId"
)
SENT_TO_ERP = (
    "FirstName",
    "MiddleName",
    "LastName",
    "EmailAddress",
    "PhoneNumber",
    "CellPhoneNumber",
    "Addresses",
)


class Token:
    """Norce's access token, used until a minute before its end."""

    def __init__(self):
        self.value, self.until = None, 0.0

    def get(self):
        if time.monotonic() >= self.until:
            client = secret("NORCE_SECRET_ARN")
            answer = http.request(
                "POST",
                f"{BASE_URL}/identity/1.0/connect/token",
                fields={
                    "grant_type": "client_credentials",
                    "client_id": client["clientId"],
                    "client_secret": client["clientSecret"],
                    "scope": os.environ["NORCE_SCOPE"],
                },
                encode_multipart=False,
            )
            if answer.status != 200:
                raise RuntimeError(f"no token: {answer.status}")
            token = answer.json()
            self.value = token["access_token"]
            self.until = time.monotonic() + token["expires_in"] - 60
        return self.value


token = Token()


def secret(variable):
    arn = os.environ[variable]
    return parameters.get_secret(arn, transform="json", max_age=SECRET_SECONDS)


def query(condition, most):
    answer = http.request(
        "GET",
        f"{BASE_URL}/commerce/query/2.0/Customers/Customers",
        fields={
            "$select": SELECT,
            "$expand": EXPAND,
            "$filter": condition,
            "$top": str(most),
        },
        headers={
            "Authorization": f"Bearer {token.get()}",
            "Accept": "application/json",
            "application-id": "1",
        },
    )
    if answer.status != 200:
        raise RuntimeError(f"Norce Query answers {answer.status}")
    return answer.json()["value"]


def fetch(number):
    rows = query(f"Id eq {number}", 2)
    return rows[0] if rows else None


def fetch_many(numbers):
    """Customers by id, in one request."""
    condition = " or ".join(f"Id eq {number}" for number in numbers)
    return {row["Id"]: row for row in query(condition, len(numbers) + 1)}


def fingerprint(customer):
    fields = {name: customer.get(name) for name in SENT_TO_ERP}
    key = secret("FINGERPRINT_SECRET_ARN")["key"].encode()
    text = json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def mapping_of(entity):
    keys = [{"pk": {"S": entity}}, {"pk": {"S": f"forgotten/{entity}"}}]
    answer = dynamodb.batch_get_item(
        RequestItems={MAPPINGS: {"Keys": keys, "ConsistentRead": True}}
    )
    return {item["pk"]["S"]: item for item in answer["Responses"].get(MAPPINGS, [])}


def is_owed(key):
    answer = dynamodb.get_item(
        TableName=OWED, Key={"pk": {"S": key}}, ConsistentRead=True
    )
    return "Item" in answer


def store(entity, stored):
    dynamodb.update_item(
        TableName=MAPPINGS,
        Key={"pk": {"S": entity}},
        UpdateExpression="SET #shop = :shop, #fetched = :fetched",
        ConditionExpression="attribute_not_exists(#shop) OR #shop = :shop",
        ExpressionAttributeNames={"#shop": "shop_fingerprint", "#fetched": "fetched_at"},
        ExpressionAttributeValues={
            ":shop": {"S": stored},
            ":fetched": {"S": datetime.now(timezone.utc).isoformat()},
        },
    )


def note(name, message, before):
    """Logs and measures that a message was handled."""
    logger.info(
        "change handled",
        subject=name,
        correlation=message["correlation"],
        outcome="unchanged" if before else "stored",
    )
    metrics.add_metric(name="Changes", unit=MetricUnit.Count, value=1)


def handle(record: SQSRecord):
    message = record.json_body
    entity = message["entity"]
    name = f"{entity['kind']}/{entity['scope']}/{entity['id']}"
    found = mapping_of(name)
    if f"forgotten/{name}" in found:
        return
    customer = fetch(entity["id"])
    if customer is None:
        raise RuntimeError(f"{name} is not in Norce Query")
    now = fingerprint(customer)
    before = found.get(name, {}).get("shop_fingerprint", {}).get("S")
    if is_owed(f"{name}/code-to-norce"):
        raise RuntimeError("owed: not part of this twin")
    if before is not None and before != now:
        raise RuntimeError("changed: not part of this twin")
    store(name, now)
    if is_owed(f"{name}/to-erp"):
        raise RuntimeError("owed: not part of this twin")
    note(name, message, before)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event, context):
    return process_partial_response(
        event=event, record_handler=handle, processor=processor, context=context
    )
