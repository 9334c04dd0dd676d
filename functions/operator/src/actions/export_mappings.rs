//! `export-mappings`: writes the code mappings to the reports bucket as JSON Lines, to move them to another stack. Ids and codes
//! only; tombstones are not exported.

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

/// Lines in one object: about 4 MB.
const LINES_OF_A_PART: usize = 20_000;

/// The request.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct ExportRequest {
    /// Where the previous answer stopped.
    pub next: Option<ExportPlace>,
}

/// How far an export has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ExportPlace {
    /// The id of the export.
    pub export: Uuid,
    /// The number of the next part.
    pub part: u32,
    /// The last mapping exported.
    pub after: String,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Exported {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The prefix of the keys of all parts.
    pub into: String,
    /// The number of lines that this request wrote.
    pub lines: usize,
    /// The `next` of the next request; absent: everything is exported.
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
