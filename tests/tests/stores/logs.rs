use std::sync::Arc;

use aws_sdk_cloudwatchlogs::{Client, types::InputLogEvent};
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use shared::logs::{CloudWatchLogs, LogLine, Logs};
use tests::memory::MemoryLogs;
use uuid::Uuid;

use crate::{local, suite};

struct Log {
    logs: Arc<dyn Logs>,
    now: DateTime<Utc>,
}

const LINES: [(i64, &str); 4] = [
    (50, r#"change handled subject="customer/client/1001""#),
    (40, r#"change handled subject="customer/client/10012""#),
    (30, r#"{"fields":{"subject":"customer/client/1001"}}"#),
    (20, r#"change handled subject="company/client/1001""#),
];

/// The local AWS takes lines of lately only, as AWS does.
fn written(now: DateTime<Utc>) -> impl Iterator<Item = LogLine> {
    LINES.into_iter().map(move |(minutes, text)| LogLine {
        at: now - TimeDelta::minutes(minutes),
        text: text.to_owned(),
    })
}

fn memory() -> Log {
    let now = Utc::now().trunc_subsecs(3);
    let logs = MemoryLogs::default();
    for LogLine { at, text } in written(now) {
        logs.write(at, text);
    }
    let logs = Arc::new(logs);
    Log { logs, now }
}

async fn aws() -> Log {
    let config = local::config().await;
    let client = Client::new(&config);
    let group = format!("/suite/{}", Uuid::new_v4());
    let stream = "stream";
    let made = client.create_log_group().log_group_name(&group);
    made.send().await.unwrap();
    let made = client.create_log_stream().log_group_name(&group);
    made.log_stream_name(stream).send().await.unwrap();
    let now = Utc::now().trunc_subsecs(3);
    let lines = written(now).map(|line| {
        InputLogEvent::builder()
            .timestamp(line.at.timestamp_millis())
            .message(line.text)
            .build()
            .unwrap()
    });
    client
        .put_log_events()
        .log_group_name(&group)
        .log_stream_name(stream)
        .set_log_events(Some(lines.collect()))
        .send()
        .await
        .unwrap();
    let logs = Arc::new(CloudWatchLogs::new(&config, group));
    Log { logs, now }
}

suite! {
    lines_are_found_by_a_word,
    lines_are_found_since_a_moment,
}

async fn find(log: &Log, word: &str, minutes: i64) -> Vec<LogLine> {
    let since = log.now - TimeDelta::minutes(minutes);
    let mut lines = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = log.logs.find(word, since, after.as_deref()).await.unwrap();
        lines.extend(page.lines);
        match page.next {
            Some(next) => after = Some(next),
            None => return lines,
        }
    }
}

async fn lines_are_found_by_a_word(log: Log) {
    let written: Vec<LogLine> = written(log.now).collect();
    let found = find(&log, "customer/client/1001", 60).await;
    assert_eq!(found, written[..3]);
    assert_eq!(find(&log, "client/10012", 60).await, written[1..2]);
    assert!(find(&log, "customer/client/7", 60).await.is_empty());
}

async fn lines_are_found_since_a_moment(log: Log) {
    let written: Vec<LogLine> = written(log.now).collect();
    let found = find(&log, "customer/client/1001", 35).await;
    assert_eq!(found, written[2..3]);
    assert!(find(&log, "customer/client/1001", 10).await.is_empty());
}
