"""A twin of `receive-events`: an event of Norce becomes a message on the changes queue."""

import hmac
import json
import os
import uuid
from datetime import datetime, timezone

import boto3
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.event_handler.exceptions import (
    BadRequestError,
    UnauthorizedError,
)
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities import parameters

logger = Logger(service="receive-events")
metrics = Metrics(namespace="Norce", service="receive-events")
app = APIGatewayHttpResolver()
sqs = boto3.client("sqs")

QUEUE_URL = os.environ["CHANGES_QUEUE_URL"]
SECRET_ARN = os.environ["EVENT_SECRET_ARN"]
APPLICATIONS = {entry["id"] for entry in json.loads(os.environ["NORCE_APPLICATIONS"])}
SECRET_SECONDS = 300
KINDS = {
    "customer-changed": ("customer", "CustomerId"),
    "company-changed": ("company", "CompanyId"),
}


def authenticate():
    secret = parameters.get_secret(SECRET_ARN, transform="json", max_age=SECRET_SECONDS)
    presented = app.current_event.headers.get("x-event-secret", "")
    if not hmac.compare_digest(presented.encode(), secret["current"].encode()):
        raise UnauthorizedError("the header x-event-secret is missing or wrong")


@app.post("/events/<event_type>")
def receive(event_type: str):
    authenticate()
    if event_type not in KINDS:
        raise BadRequestError("the event type is not known")
    kind, id_field = KINDS[event_type]
    try:
        body = app.current_event.json_body
        number = int(body[id_field])
        application = body.get("ApplicationId")
    except (KeyError, TypeError, ValueError) as error:
        raise BadRequestError("the event cannot be read") from error
    if application is not None and application not in APPLICATIONS:
        raise BadRequestError("the application is not known")
    correlation = str(uuid.uuid4())
    subject = f"{kind}/client/{number}"
    message = {
        "type": "entity",
        "entity": {"kind": kind, "scope": "client", "id": number},
        "cause": "changed",
        "received_at": datetime.now(timezone.utc).isoformat(),
        "correlation": correlation,
    }
    sqs.send_message(
        QueueUrl=QUEUE_URL,
        MessageBody=json.dumps(message),
        MessageGroupId=subject,
        MessageDeduplicationId=str(uuid.uuid4()),
    )
    logger.info("event accepted", subject=subject, correlation=correlation)
    metrics.add_metric(name="Posts", unit=MetricUnit.Count, value=1)
    answer = {"accepted": {"subject": subject, "correlation": correlation}}
    return Response(
        status_code=202, content_type="application/json", body=json.dumps(answer)
    )


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event, context):
    return app.resolve(event, context)
