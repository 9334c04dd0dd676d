"""Shows the dashboard of a stack on the local AWS as text, on standard output.

The local AWS stores dashboards but shows none, and reads no metrics out of log lines. So this does what CloudWatch does
with lines in the embedded metric format, by PutMetricData, and then asks GetMetricData for what each widget shows, from the
beginning until now.
"""

import json
import re
import sys
import time

import boto3

# The most metrics that PutMetricData takes in a request.
METRICS_IN_A_REQUEST = 1000
# One period for everything: a widget's line becomes one number.
PERIOD = 10 * 365 * 86400


def metric_lines(stack):
    """The lines in the embedded metric format, from the logs of all functions."""
    logs = boto3.client("logs")
    groups = logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=f"/aws/lambda/{stack}-")
    for group in (group["logGroupName"] for page in groups for group in page["logGroups"]):
        for page in logs.get_paginator("filter_log_events").paginate(logGroupName=group):
            for event in page["events"]:
                try:
                    line = json.loads(event["message"])
                except ValueError:
                    continue
                if isinstance(line, dict) and "_aws" in line:
                    yield line


def data(line):
    """What CloudWatch makes of a line: a namespace and a datum for each metric and set of dimensions."""
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for dimensions in directive["Dimensions"]:
            for metric in directive["Metrics"]:
                value = line[metric["Name"]]
                yield directive["Namespace"], {
                    "MetricName": metric["Name"],
                    "Unit": metric["Unit"],
                    "Timestamp": line["_aws"]["Timestamp"] / 1000,
                    "Dimensions": [{"Name": name, "Value": line[name]} for name in dimensions],
                    "Values": value if isinstance(value, list) else [value],
                }


def put(cloudwatch, stack):
    by_namespace = {}
    for line in metric_lines(stack):
        for namespace, datum in data(line):
            by_namespace.setdefault(namespace, []).append(datum)
    for namespace, found in by_namespace.items():
        for start in range(0, len(found), METRICS_IN_A_REQUEST):
            cloudwatch.put_metric_data(Namespace=namespace, MetricData=found[start : start + METRICS_IN_A_REQUEST])
    return sum(map(len, by_namespace.values()))


def shown(cloudwatch, properties):
    """A label, a statistic and a number, or none, for each line of a widget."""
    for line in properties["metrics"]:
        words = [word for word in line if isinstance(word, str)]
        options = line[-1] if isinstance(line[-1], dict) else {}
        namespace, name, *dimensions = words
        stat = options.get("stat", properties["stat"])
        metric = {
            "Namespace": namespace,
            "MetricName": name,
            "Dimensions": [{"Name": name, "Value": value} for name, value in zip(dimensions[::2], dimensions[1::2])],
        }
        answer = cloudwatch.get_metric_data(
            StartTime=0,
            EndTime=time.time() + 60,
            MetricDataQueries=[{"Id": "m", "MetricStat": {"Metric": metric, "Period": PERIOD, "Stat": stat}}],
        )
        values = answer["MetricDataResults"][0]["Values"]
        yield options.get("label", name), stat, values[-1] if values else None


def main(stack, name):
    cloudwatch = boto3.client("cloudwatch")
    count = put(cloudwatch, stack)
    dashboard = json.loads(cloudwatch.get_dashboard(DashboardName=name)["DashboardBody"])
    print(f"Dashboard {name}, from {count} values in the functions' logs; each number is of the whole time.")
    print("The local AWS measures nothing for SQS and API Gateway, and evaluates no alarm as CloudWatch does.")
    for widget in dashboard["widgets"]:
        properties = widget["properties"]
        if widget["type"] == "text":
            # Links as their words.
            print("\n" + re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", properties["markdown"]))
        elif widget["type"] == "alarm":
            print(f"\n{properties['title']}: {len(properties['alarms'])} alarms")
        else:
            print(f"\n  {properties['title']}")
            lines = list(shown(cloudwatch, properties))
            width = max(len(label) for label, _, _ in lines)
            for label, stat, value in lines:
                print(f"    {label:<{width}}  {'–' if value is None else f'{value:g}':>10}  {stat}")


main(*sys.argv[1:])
