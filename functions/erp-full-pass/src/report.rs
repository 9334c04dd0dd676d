//! The report of a plan: its lines as JSON Lines, and a page for people. Ids and codes only.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use shared::{
    domain::{Code, EntityKind, ErpId, NorceId, PartyField, PassMode},
    owed::Reason,
    passes::Run,
};

use crate::action::{Action, GoneRecord, NorceUpdate, Skipped, UpdateKind, waiting};

/// What would be done about one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlanLine {
    /// `code`, `renamed`, `fields`, `insert`, `bound`, `waiting`, `conflict`, `gone` or `skipped`.
    pub group: String,
    /// Customer or company.
    pub kind: EntityKind,
    /// The ERP's record, such as `customer 5d115c9c-…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Its code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<Code>,
    /// Norce's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norce_id: Option<NorceId>,
    /// The code that Norce has, where the ERP renamed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former_code: Option<Code>,
    /// The groups of fields that Norce would get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fields: Option<String>,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of a first binding whose record keeps the ERP's values until the shop changes them (`FirstBindingWrites`): the
    /// fields in which the two sides are known to differ. A pass has both sides of an e-mail address only; all of the fields
    /// are known at the first change (`explain`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Vec<PartyField>>,
}

impl PlanLine {
    fn new(group: &str, kind: EntityKind, record: Option<&ErpId>, code: Option<&Code>) -> Self {
        Self {
            group: group.to_owned(),
            kind,
            record: record.map(ToString::to_string),
            code: code.cloned(),
            norce_id: None,
            former_code: None,
            fields: None,
            reason: None,
            kept: None,
        }
    }

    pub(crate) fn of_skipped(skipped: Skipped) -> Self {
        let (record, code) = (skipped.record.as_ref(), skipped.code.as_ref());
        Self {
            reason: Some(skipped.reason.to_owned()),
            ..Self::new("skipped", skipped.kind, record, code)
        }
    }

    /// The line of an action, if people need one.
    pub(crate) fn of_action(action: &Action) -> Option<Self> {
        Some(match action {
            Action::Update(update) => Self::of_update(update),
            Action::Wait { update, company } => Self {
                group: "waiting".to_owned(),
                former_code: None,
                reason: Some(waiting(company)),
                ..Self::of_update(update)
            },
            Action::Owe {
                kind,
                record,
                code,
                reason,
                detail,
            } => {
                let group = match reason {
                    Reason::Conflict => "conflict",
                    _ => "skipped",
                };
                Self {
                    reason: Some(detail.clone()),
                    ..Self::new(group, *kind, Some(record), code.as_ref())
                }
            }
            Action::Recheck {
                entity,
                gone: Some(GoneRecord { record, code }),
                ..
            } => Self {
                norce_id: Some(entity.id),
                reason: Some(
                    "the ERP does not have the record any more: it is bound to the one with Norce's code, or owed"
                        .to_owned(),
                ),
                ..Self::new("gone", entity.kind, Some(record), Some(code))
            },
            Action::Resolve { .. } | Action::Recheck { .. } => return None,
        })
    }

    fn of_update(update: &NorceUpdate) -> Self {
        let (group, former_code) = match &update.what {
            UpdateKind::Bind => ("bound", None),
            UpdateKind::Code | UpdateKind::CodeAgain => ("code", None),
            UpdateKind::Rename { from } => ("renamed", Some(from.clone())),
            UpdateKind::Fields => ("fields", None),
            UpdateKind::Insert => ("insert", None),
        };
        let reason = if let Some(gone) = &update.replaces {
            Some(format!(
                "it takes the place of {gone}, which the ERP does not have any more"
            ))
        } else if update.former_companies.is_empty() {
            update.waits_for.as_ref().map(waiting)
        } else {
            let ids = update.former_companies.iter().map(ToString::to_string);
            let ids: Vec<String> = ids.collect();
            let ids = ids.join(", ");
            Some(format!("its relation to company {ids} ends in Norce"))
        };
        let (record, code) = (Some(&update.record), Some(&update.code));
        Self {
            norce_id: update.id,
            former_code,
            fields: (!update.fields.is_empty()).then(|| update.fields.to_string()),
            reason,
            kept: update.kept.fields(),
            ..Self::new(group, update.kind, record, code)
        }
    }

    /// What would be done, in words.
    fn what(&self) -> String {
        let what = match (&self.former_code, &self.fields, &self.reason) {
            (Some(former), ..) => format!("was {former}"),
            (None, _, Some(reason)) => reason.clone(),
            (None, Some(fields), None) => fields.clone(),
            (None, None, None) => String::new(),
        };
        let Some(kept) = &self.kept else {
            return what;
        };
        let mut parts = vec![what];
        parts.push("the ERP keeps the values that differ until the shop changes them".to_owned());
        if !kept.is_empty() {
            let kept: Vec<String> = kept.iter().map(ToString::to_string).collect();
            parts.push(format!("known to differ: {}", kept.join(", ")));
        }
        parts.retain(|part| !part.is_empty());
        parts.join("; ")
    }
}

/// Lines as JSON Lines.
///
/// # Errors
/// When a line has no JSON form; none is like that.
pub fn json_lines(lines: &[PlanLine]) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::new();
    for line in lines {
        serde_json::to_writer(&mut text, line)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// A number with its thousands apart, as `9,996`.
fn number(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The counts of a run, with the words that people know them by.
fn counts(run: &Run) -> Vec<(&'static str, u64)> {
    let counts = &run.counts;
    if run.mode == PassMode::Sweep {
        return vec![
            ("unchanged", counts.unchanged),
            ("to be looked at again", counts.queued),
            ("of them forgotten", counts.forgotten),
        ];
    }
    vec![
        ("unchanged", counts.unchanged),
        ("codes to Norce", counts.codes),
        ("renamed codes to Norce", counts.renamed),
        ("changed fields to Norce", counts.fields),
        ("inserted in Norce", counts.inserted),
        ("bound, Norce has the code", counts.bound),
        ("waiting for their company", counts.waiting),
        ("conflicts", counts.conflicts),
        ("gone from the ERP", counts.gone),
        ("skipped", counts.skipped.values().sum()),
    ]
}

/// A run in one line for people: `full pass over client: 10,000 seen: 9,890 unchanged, 100 codes to Norce, … in 12.3 s`.
pub fn summary(run: &Run) -> String {
    let plan = if run.dry_run { "plan of a " } else { "" };
    let kind = run
        .kind
        .map(|kind| format!(", {kind} only"))
        .unwrap_or_default();
    let mut text = format!(
        "{plan}{} pass over {}{kind}: {} seen",
        run.mode,
        run.scope,
        number(run.counts.seen)
    );
    for (index, (word, count)) in counts(run)
        .into_iter()
        .filter(|(word, count)| *count > 0 || *word == "unchanged")
        .enumerate()
    {
        let separator = if index == 0 { ": " } else { ", " };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{} {word}", number(count));
    }
    let seconds = |ms: u64| format!("{}.{} s", ms / 1_000, ms % 1_000 / 100);
    let cost = &run.cost;
    let _ = write!(
        text,
        "; in {} ({} waiting for the ERP, {} for Norce), {} pages, {} Query calls, {} lines",
        seconds(cost.duration_ms),
        seconds(cost.erp_wait_ms),
        seconds(cost.norce_wait_ms),
        number(cost.pages),
        number(cost.query_calls),
        number(cost.import_lines)
    );
    text
}

/// Logs how a run ended: one line for people, and its figures as fields.
pub(crate) fn log(run: &Run) {
    let summary = summary(run);
    match run.ended.as_ref().and_then(|ended| ended.failed.as_ref()) {
        Some(failed) => tracing::error!(
            run = %run.id, mode = %run.mode, scope = %run.scope, failed, summary,
            "pass given up: the next one starts from the same watermark"
        ),
        None => tracing::info!(
            run = %run.id,
            mode = %run.mode,
            scope = %run.scope,
            dry_run = run.dry_run,
            summary,
            seen = run.counts.seen,
            pages = run.cost.pages,
            query_calls = run.cost.query_calls,
            mapping_reads = run.cost.mapping_reads,
            mapping_writes = run.cost.mapping_writes,
            import_lines = run.cost.import_lines,
            erp_wait_ms = run.cost.erp_wait_ms,
            norce_wait_ms = run.cost.norce_wait_ms,
            duration_ms = run.cost.duration_ms,
            "pass ended"
        ),
    }
}

/// The heading of each group, in the order in which they are shown.
const GROUPS: [(&str, &str); 9] = [
    ("conflict", "Conflicts: a person has to decide"),
    (
        "gone",
        "Bound to a record that the ERP does not have any more",
    ),
    ("code", "Codes that Norce gets"),
    ("renamed", "Renamed codes that Norce gets"),
    ("fields", "Changed fields that Norce gets"),
    ("insert", "Records that are inserted in Norce"),
    ("bound", "Bound: Norce has the code, the mapping is made"),
    ("waiting", "Waiting for their company to be in Norce"),
    ("skipped", "Skipped"),
];

const STYLE: &str = "
:root{color-scheme:light dark;--ink:#1c2430;--dim:#5b6675;--line:#d9dee5;--paper:#fff;--mark:#0b6bcb}
@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--dim:#9aa6b5;--line:#333c48;--paper:#14181e;--mark:#6db3ff}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.25rem}h2{font-size:1.1rem;margin:2rem 0 .5rem}p{margin:.25rem 0;color:var(--dim)}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.9rem}
th,td{text-align:left;padding:.35rem .75rem .35rem 0;border-bottom:1px solid var(--line);vertical-align:top}
th{color:var(--dim);font-weight:600}td.n{text-align:right;font-variant-numeric:tabular-nums;width:8rem;padding-right:2rem}
.lead{color:var(--ink);font-size:1.05rem}code{color:var(--mark);white-space:nowrap}@media print{body{margin:0}}
";

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

/// A page for people, self-contained. `first` holds the first lines of each group.
pub fn html(run: &Run, first: &[PlanLine]) -> String {
    let title = format!("Plan: {} pass over {}", run.mode, run.scope);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n<p>{}, run {}. Nothing was written.</p>\n<p class=\"lead\">{}</p>\n",
        run.started.format("%Y-%m-%d %H:%M UTC"),
        run.id,
        escape(&summary(run)),
        title = escape(&title),
    );
    page.push_str("<h2>Summary</h2>\n<table>\n");
    let row = |page: &mut String, word: &str, count: u64| {
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "<tr><td class=\"n\">{}</td><td>{}</td></tr>",
            number(count),
            escape(word)
        );
    };
    row(&mut page, "seen", run.counts.seen);
    for (word, count) in counts(run) {
        row(&mut page, word, count);
    }
    for (reason, count) in &run.counts.skipped {
        row(&mut page, &format!("skipped: {reason}"), *count);
    }
    page.push_str("</table>\n");
    for (group, heading) in GROUPS {
        let lines: Vec<&PlanLine> = first.iter().filter(|line| line.group == group).collect();
        if lines.is_empty() {
            continue;
        }
        let _ = write!(
            page,
            "<h2>{heading}</h2>\n<p>The first {}; all of them are in <code>lines-*.jsonl</code> beside this page.</p>\n<div class=\"scroll\"><table>\n<tr><th>Code</th><th>Kind</th><th>Norce id</th><th>ERP record</th><th>What</th></tr>\n",
            lines.len()
        );
        for line in lines {
            let cell = |text: Option<String>| text.map(|text| escape(&text)).unwrap_or_default();
            let _ = writeln!(
                page,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                cell(line.code.as_ref().map(ToString::to_string)),
                line.kind,
                cell(line.norce_id.map(|id| id.to_string())),
                cell(line.record.clone()),
                escape(&line.what())
            );
        }
        page.push_str("</table></div>\n");
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        for (value, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn what_comes_from_outside_is_escaped() {
        assert_eq!(
            escape("<b>\"A&B's\"</b>"),
            "&lt;b&gt;&quot;A&amp;B&#39;s&quot;&lt;/b&gt;"
        );
    }
}
