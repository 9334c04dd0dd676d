//! Responses of Connect: to an import, the state of a job, and its log.

use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::Value;

use crate::{
    domain::{JobId, NorceId, redact},
    norce::{
        CallError, ImportedRow, Job, JobLogEntry, JobStatus, NorceError, SubmittedImport,
        api::read, serde_utils,
    },
};

/// Maximum number of messages of a synchronous validation that are kept: those of a faulty batch repeat themselves.
const MAX_MESSAGES: usize = 20;

/// `JobResponse` (norce-api §3.6).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImportAnswer {
    #[serde(default, deserialize_with = "serde_utils::number")]
    job_id: Option<i64>,
    validation_summary: Option<ValidationSummary>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ValidationSummary {
    messages: Option<Vec<String>>,
}

/// The job of an import. An answer without one, but with messages, is a refusal of all rows (norce-api §3.6).
pub(super) fn submitted(response: &Response<Bytes>) -> Result<SubmittedImport, CallError> {
    let answer: ImportAnswer =
        read("the answer to an import", response).map_err(CallError::OutcomeUnknown)?;
    let messages: Vec<String> = answer
        .validation_summary
        .and_then(|summary| summary.messages)
        .unwrap_or_default()
        .iter()
        .filter(|message| !message.trim().is_empty())
        .take(MAX_MESSAGES)
        .map(|message| redact(message))
        .collect();
    match answer.job_id.filter(|id| *id > 0) {
        Some(id) => Ok(SubmittedImport {
            job: JobId(id),
            messages,
        }),
        None if messages.is_empty() => {
            let reason = "the answer to an import names no job";
            let error = NorceError::Unreadable(reason.to_owned());
            Err(CallError::OutcomeUnknown(error))
        }
        None => Err(CallError::NotDone(NorceError::Refused {
            status: response.status().as_u16(),
            reason: messages.join("; "),
        })),
    }
}

/// `JobDto` (norce-api §4.2). `Insert` or `Inserts` and `Updates` are not read: they count rows of Norce's own tables, not
/// those of the import.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct JobAnswer {
    #[serde(default, deserialize_with = "serde_utils::number")]
    status_id: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::number")]
    totals: Option<i64>,
    #[serde(default, deserialize_with = "serde_utils::number")]
    fail: Option<i64>,
    last_updated: Option<String>,
}

impl JobAnswer {
    pub(super) fn job(self, id: JobId) -> Job {
        let count = |number: Option<i64>| number.and_then(|it| it.try_into().ok()).unwrap_or(0);
        Job {
            id,
            status: match self.status_id {
                Some(2) => JobStatus::Succeeded,
                Some(3) => JobStatus::Failed,
                Some(4) => JobStatus::ValidationFailed,
                _ => JobStatus::Running,
            },
            failed: count(self.fail),
            total: count(self.totals),
            last_updated: self.last_updated.as_deref().and_then(serde_utils::instant),
        }
    }
}

/// `JobLogDto` (norce-api §4.4).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct LogAnswer {
    #[serde(default, deserialize_with = "serde_utils::number")]
    severity_id: Option<i64>,
    message: Option<String>,
    imported_row: Option<Value>,
}

/// `SeverityId` of a warning: part of the row could not be processed, and the rest was imported.
const WARNING: i64 = 2;
/// `SeverityId` of an error.
const ERROR: i64 = 3;

impl LogAnswer {
    pub(super) fn entry(self) -> JobLogEntry {
        JobLogEntry {
            is_error: self.severity_id == Some(ERROR),
            is_warning: self.severity_id == Some(WARNING),
            message: redact(&self.message.unwrap_or_default()),
            row: self.imported_row.as_ref().and_then(imported_row),
        }
    }
}

/// The row that a log line is about. Norce describes it as a text that "may be truncated" (norce-api §4.4), and its format
/// is not documented: only a JSON object, with names in any case, or the beginning of one is understood.
pub(super) fn imported_row(row: &Value) -> Option<ImportedRow> {
    let parsed: Value;
    let fields = match row {
        Value::String(text) => {
            parsed = serde_json::from_str(text)
                .ok()
                .or_else(|| beginning_of_object(text))?;
            parsed.as_object()?
        }
        row => row.as_object()?,
    };
    let field = |name| serde_utils::field(fields, name);
    let id = field("Id")
        .and_then(serde_utils::whole_number)
        .and_then(|id| NorceId::try_from(id).ok());
    let code = field("Code")
        .and_then(serde_utils::text)
        .and_then(|code| code.parse().ok());
    (id.is_some() || code.is_some()).then_some(ImportedRow { id, code })
}

/// The members of an object whose text was truncated, as far as they are complete.
fn beginning_of_object(text: &str) -> Option<Value> {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    let mut end = None;
    for (place, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if in_text => escaped = true,
            '"' => in_text = !in_text,
            _ if in_text => {}
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.saturating_sub(1),
            // A value is complete once something follows it.
            ',' if depth == 1 => end = Some(place),
            _ => {}
        }
    }
    let members = text.get(..end?)?;
    serde_json::from_str(&format!("{members}}}")).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::domain::Code;

    #[test]
    fn a_row_is_recognised_by_its_beginning() {
        let whole = r#"{"ApplicationKey":"k","Id":5,"Code":"C,\"5}","DeliveryAddresses":[{"City":"X"}],"Flags":[]}"#;
        let known = |text: &str| imported_row(&Value::from(text));
        let all = known(whole).unwrap();
        assert_eq!(all.id, Some(NorceId::try_from(5).unwrap()));
        let code: Code = "C,\"5}".parse().unwrap();
        assert_eq!(all.code, Some(code.clone()));
        for (length, _) in whole.char_indices() {
            let Some(row) = known(&whole[..length]) else {
                continue;
            };
            // Never another id or code than the whole one's.
            assert!(
                row.id == all.id && row.code.is_none_or(|it| it == code),
                "{length}"
            );
        }
        let until_id = whole.find(r#","Code"#).unwrap();
        assert_eq!(known(&whole[..until_id]), None, "the number may go on");
        assert!(known(&whole[..=until_id]).is_some());
        for nothing in ["", "{", "Id:5,", "[5,6", "null", "{\"Name\":\"x\",\"Fl"] {
            assert_eq!(known(nothing), None, "{nothing}");
        }
    }
}
