//! `export-mappings`: code mappings as JSON Lines in the reports bucket, to carry them to another stack. Ids and codes only;
//! tombstones stay where they are.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use shared::{http::Deadline, mappings::BoundPage};
use uuid::Uuid;

use crate::{
    error::Refusal,
    mapping_line::{FOLDER, MappingLine, TIME_OF_A_PAGE},
    ports::Ports,
    sentence::{self, Sentence, say, words},
};

/// Lines of one object, about 4 MB.
const LINES_OF_A_PART: usize = 20_000;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExportRequest {
    /// Where an earlier answer left off.
    pub next: Option<ExportPlace>,
}

/// How far an export has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportPlace {
    /// The export.
    pub export: Uuid,
    /// The number of the next part.
    pub part: u32,
    /// The place in the store.
    pub after: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// In words.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// What the keys of all parts begin with.
    pub into: String,
    /// Lines that were written by this request.
    pub lines: usize,
    /// What to ask for next as `next`; nothing: everything is exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<ExportPlace>,
}

impl Ports {
    pub(crate) async fn export(
        &self,
        request: &ExportRequest,
        deadline: Deadline,
    ) -> Result<Exported, Refusal> {
        let (export, mut part, mut after) = match &request.next {
            Some(next) => (next.export, next.part, Some(next.after.clone())),
            None => (Uuid::new_v4(), 1, None),
        };
        let into = format!("{FOLDER}{export}/");
        let mut lines = 0;
        let mut text = Vec::new();
        let mut of_part = 0;
        loop {
            let BoundPage { bound, next } =
                self.change_events.mappings.bound(after.as_deref()).await?;
            for (entity, binding) in bound {
                serde_json::to_writer(&mut text, &MappingLine::new(entity, binding))
                    .map_err(|error| Refusal::Later(words(error)))?;
                text.push(b'\n');
                of_part += 1;
            }
            after = next;
            let is_last = after.is_none() || !deadline.allows(TIME_OF_A_PAGE);
            if of_part >= LINES_OF_A_PART || (is_last && of_part > 0) {
                let key = format!("{into}part-{part:05}.jsonl");
                let body = Bytes::from(std::mem::take(&mut text));
                self.reports.put(&key, "application/jsonl", body).await?;
                lines += std::mem::take(&mut of_part);
                part += 1;
            }
            if is_last {
                break;
            }
        }
        let rest = after.is_some().then(|| say!("more", field = "next"));
        Ok(Exported {
            summary: say!("exported", lines, into).then(rest),
            into,
            lines,
            next: after.map(|after| ExportPlace {
                export,
                part,
                after,
            }),
        })
    }
}
