//! The dashboard of the stack, readable on the local AWS.

use std::path::PathBuf;

use tokio::process::Command;

use super::{
    SandboxError,
    deployment::{towards, with_tools},
    progress,
};
use crate::local_aws::{LocalAws, REGION, Tools, sandbox_directory};

/// Does what the local AWS leaves out; see its own words.
const DASHBOARD: &str = include_str!("dashboard.py");

/// Hands the metrics in the logs of a stack's functions to the local CloudWatch, and writes what the dashboard then shows
/// to a file, which is returned. Once for a stack: the same lines would count twice.
///
/// # Errors
/// When the stack has no dashboard or the local AWS does not answer.
pub(super) async fn show(
    stack: &str,
    tools: &Tools,
    aws: &LocalAws,
) -> Result<PathBuf, SandboxError> {
    let mut python = Command::new(tools.program("python3"));
    python.args(["-c", DASHBOARD, stack, &dashboard_of(stack)]);
    let file = sandbox_directory().join(format!("{stack}-dashboard.txt"));
    let command = towards(with_tools(&mut python, tools), aws);
    progress::run("reading the dashboard", command, &file).await?;
    Ok(file)
}

/// The name that the template gives the dashboard of a stack.
fn dashboard_of(stack: &str) -> String {
    format!("{stack}-{REGION}")
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatchlogs::types::InputLogEvent;
    use serde_json::json;

    use super::*;

    /// A dashboard with one widget, made as CloudFormation makes the real one.
    const PUT_DASHBOARD: &str = "import boto3, sys; \
        boto3.client('cloudwatch').put_dashboard(DashboardName=sys.argv[1], DashboardBody=sys.argv[2])";

    #[tokio::test]
    async fn the_dashboard_shows_what_the_functions_wrote_to_their_logs() {
        let tools = Tools::ministack(progress::detail).await.unwrap();
        let aws = LocalAws::shared().await.unwrap();
        let logs = aws_sdk_cloudwatchlogs::Client::new(&aws.aws_config());
        let stack = "shown";
        let group = format!("/aws/lambda/{stack}-erp-full-pass");
        let (group, stream) = (group.as_str(), "s");
        let create = logs.create_log_group().log_group_name(group);
        create.send().await.unwrap();
        let create = logs.create_log_stream().log_group_name(group);
        create.log_stream_name(stream).send().await.unwrap();

        let now = chrono::Utc::now().timestamp_millis();
        let metric = |values: serde_json::Value| {
            json!({
                "_aws": { "Timestamp": now, "CloudWatchMetrics": [{
                    "Namespace": "NorceCustomerSync",
                    "Dimensions": [["Stack", "Queue"]],
                    "Metrics": [{ "Name": "WaitingSeconds", "Unit": "Seconds" }],
                }]},
                "Stack": stack, "Queue": "jobs", "WaitingSeconds": values,
            })
            .to_string()
        };
        let texts = [
            metric(json!(40)),
            metric(json!([50, 7])),
            "START".to_owned(),
            json!({ "message": "a pass has ended" }).to_string(),
        ];
        let events = texts.map(|text| {
            let event = InputLogEvent::builder().timestamp(now).message(text);
            event.build().unwrap()
        });
        let put = logs.put_log_events().log_group_name(group);
        let put = put
            .log_stream_name(stream)
            .set_log_events(Some(events.to_vec()));
        put.send().await.unwrap();

        let line = |queue: &str, stat: &str| {
            json!(["NorceCustomerSync", "WaitingSeconds", "Stack", stack, "Queue", queue,
                   { "label": format!("{queue} {stat}"), "stat": stat }])
        };
        let body = json!({ "widgets": [
            { "type": "text", "properties": { "markdown": "## Queues\nSee [An outage](https://example.com#x)." } },
            { "type": "metric", "properties": { "title": "Longest wait", "stat": "Maximum", "metrics": [
                line("jobs", "Maximum"), line("jobs", "Sum"), line("passes", "Maximum"),
            ]}},
        ]});
        let mut python = Command::new(tools.program("python3"));
        python.args(["-c", PUT_DASHBOARD, &dashboard_of(stack), &body.to_string()]);
        let status = towards(with_tools(&mut python, &tools), aws).status().await;
        assert!(status.unwrap().success());

        let file = show(stack, &tools, aws).await.unwrap();
        let text = std::fs::read_to_string(file).unwrap();
        let (_, shown) = text
            .split_once("## Queues\n")
            .unwrap_or_else(|| panic!("{text}"));
        assert_eq!(
            shown,
            "See An outage.\n\n  Longest wait\n    \
             jobs Maximum            50  Maximum\n    \
             jobs Sum                97  Sum\n    \
             passes Maximum           –  Maximum\n"
        );
    }
}
