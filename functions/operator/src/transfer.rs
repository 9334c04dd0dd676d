//! `export-mappings` and `import-mappings`: code mappings as JSON Lines in the reports bucket, to seed an existing register
//! or to carry one to another stack. Ids and codes only; tombstones stay where they are.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::{Deserialize, Serialize};
use shared::{
    domain::{Code, EntityKind, EntityRef, ErpId, NorceId, Resource, Scope, without_values},
    http::Deadline,
    mappings::{Binding, Bound, BoundPage, CodeDelivery, Mapping, Mappings, READ_AT_ONCE},
};
use uuid::Uuid;

use crate::{
    Ports, Refusal,
    dry::{Notes, dry_mappings},
};

/// Where exports are left and imports are read from.
const FOLDER: &str = "mappings/";
/// Lines of one object, about 4 MB.
const LINES_OF_A_PART: usize = 20_000;
/// Mappings that are bound at the same time.
const BOUND_AT_ONCE: usize = 8;
/// As many lines that are not taken are told of: the first ones say what is wrong with the file.
const PROBLEMS_TOLD: usize = 20;
/// The time that a page, or a hundred lines, need at most, and what is left to be done at the end.
const TIME_OF_A_PAGE: Duration = Duration::from_secs(20);

/// A code mapping as one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MappingLine {
    /// Customer or company.
    pub kind: EntityKind,
    /// The register: `client`, or `app-<id>`.
    pub scope: Scope,
    /// Norce's id.
    pub id: NorceId,
    /// The ERP's code.
    pub code: Code,
    /// The ERP's record: its resource and its immutable id.
    pub erp: ErpId,
    /// How far the code's way to Norce has come.
    #[serde(default)]
    pub delivery: Delivery,
}

/// How far a code's way to Norce has come, without times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Not handed over: the entity's next change does it.
    #[default]
    Pending,
    /// On its way.
    HandedOver,
    /// Norce has it.
    Confirmed,
    /// Norce refused it.
    Refused,
}

impl MappingLine {
    fn new(entity: EntityRef, binding: Binding) -> Self {
        Self {
            kind: entity.kind,
            scope: entity.scope,
            id: entity.id,
            code: binding.code,
            erp: binding.erp_id,
            delivery: match binding.delivery {
                CodeDelivery::Pending => Delivery::Pending,
                CodeDelivery::HandedOver { .. } => Delivery::HandedOver,
                CodeDelivery::Confirmed { .. } => Delivery::Confirmed,
                CodeDelivery::Refused { .. } => Delivery::Refused,
            },
        }
    }

    fn entity(&self) -> EntityRef {
        EntityRef {
            kind: self.kind,
            scope: self.scope,
            id: self.id,
        }
    }
}

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
    pub summary: String,
    /// What the keys of all parts begin with.
    pub into: String,
    /// Lines that were written by this request.
    pub lines: usize,
    /// What to ask for next as `next`; nothing: everything is exported.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<ExportPlace>,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRequest {
    /// A key in the reports bucket, or what several keys begin with; it begins with `mappings/`.
    pub from: String,
    /// Where an earlier answer left off.
    #[serde(default)]
    pub next: Option<ImportPlace>,
    /// Nothing is bound, only checked.
    #[serde(default)]
    pub dry_run: bool,
}

/// How far an import has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportPlace {
    /// The key.
    pub key: String,
    /// The last line of it that is done.
    pub line: usize,
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// In words.
    pub summary: String,
    /// What became of the lines.
    #[serde(flatten)]
    pub counts: ImportCounts,
    /// The first lines that were not taken, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// What to ask for next as `next`; nothing: everything is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<ImportPlace>,
}

/// What became of the lines of an import.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportCounts {
    /// They are bound now.
    pub bound: usize,
    /// They were bound like this before.
    pub unchanged: usize,
    /// They disagree with what is stored, or with an earlier line. Nothing was overwritten.
    pub conflicts: usize,
    /// They are no mappings of ours.
    pub invalid: usize,
}

/// A line that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The object.
    pub key: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// Why, without what is in the line besides ids and codes.
    pub reason: String,
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
                    .map_err(|error| Refusal::Later(error.to_string()))?;
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
        let rest = match &after {
            Some(_) => " There are more: ask again with `next` as it is here.",
            None => "",
        };
        Ok(Exported {
            summary: format!("{lines} mappings exported to {into} in the reports bucket.{rest}"),
            into,
            lines,
            next: after.map(|after| ExportPlace {
                export,
                part,
                after,
            }),
        })
    }

    pub(crate) async fn import(
        &self,
        request: &ImportRequest,
        deadline: Deadline,
    ) -> Result<Imported, Refusal> {
        if !request.from.starts_with(FOLDER) {
            return Err(Refusal::request(format!(
                "`from` begins with {FOLDER}: put the files there, in the reports bucket"
            )));
        }
        let mut import = Import::new(self, request.dry_run);
        let next = import.run(self, request, deadline).await?;
        let Import {
            counts, problems, ..
        } = import;
        let ImportCounts {
            bound,
            unchanged,
            conflicts,
            invalid,
        } = counts;
        let would = if request.dry_run { "would be" } else { "are" };
        let rest = match &next {
            Some(_) => " There are more: ask again with `next` as it is here.",
            None => "",
        };
        Ok(Imported {
            summary: format!(
                "{bound} {would} bound, {unchanged} were before, {conflicts} conflict with what is stored or with each other and were left alone, {invalid} are no mappings.{rest}"
            ),
            counts,
            problems,
            next,
        })
    }
}

/// An import under way.
struct Import {
    mappings: Arc<dyn Mappings>,
    counts: ImportCounts,
    problems: Vec<Problem>,
    /// What earlier lines say, so that a file that contradicts itself is found out by a dry run too.
    codes: HashMap<(EntityKind, Scope, Code), NorceId>,
    records: HashMap<(Scope, ErpId), EntityRef>,
    entities: HashMap<EntityRef, Code>,
}

/// A line that is well formed.
struct Numbered {
    number: usize,
    line: MappingLine,
}

impl Import {
    fn new(ports: &Ports, dry_run: bool) -> Self {
        let mappings = ports.change_events.mappings.clone();
        Self {
            mappings: match dry_run {
                true => dry_mappings(mappings, Notes::default()),
                false => mappings,
            },
            counts: ImportCounts::default(),
            problems: Vec::new(),
            codes: HashMap::new(),
            records: HashMap::new(),
            entities: HashMap::new(),
        }
    }

    /// Takes the lines of one object after another; where it left off, if its time is up.
    async fn run(
        &mut self,
        ports: &Ports,
        request: &ImportRequest,
        deadline: Deadline,
    ) -> Result<Option<ImportPlace>, Refusal> {
        let mut place = request.next.clone();
        let mut last: Option<String> = None;
        loop {
            let (key, done) = match place.take() {
                Some(ImportPlace { key, line }) => (key, line),
                None => match self.next_key(ports, request, last.as_deref()).await? {
                    Some(key) => (key, 0),
                    None if last.is_none() => {
                        return Err(Refusal::request(format!(
                            "there is nothing under {} in the reports bucket",
                            request.from
                        )));
                    }
                    None => return Ok(None),
                },
            };
            let body = ports.reports.get(&key).await?;
            let body = body.ok_or_else(|| Refusal::request(format!("{key} is not there")))?;
            let mut chunk = Vec::with_capacity(READ_AT_ONCE);
            let mut number = 0;
            for line in body.split(|byte| *byte == b'\n') {
                number += 1;
                if number <= done || line.trim_ascii().is_empty() {
                    continue;
                }
                match self.check(ports, line) {
                    Ok(line) => chunk.push(Numbered { number, line }),
                    Err(reason) => {
                        self.counts.invalid += 1;
                        self.tell(&key, number, reason);
                    }
                }
                if chunk.len() == READ_AT_ONCE {
                    self.bind(ports, &key, std::mem::take(&mut chunk)).await?;
                    if !deadline.allows(TIME_OF_A_PAGE) {
                        return Ok(Some(ImportPlace { key, line: number }));
                    }
                }
            }
            self.bind(ports, &key, chunk).await?;
            // Every request gets something done: one that was left off at the end of an object goes on with the next one.
            if number > done && !deadline.allows(TIME_OF_A_PAGE) {
                return Ok(Some(ImportPlace { key, line: number }));
            }
            last = Some(key);
        }
    }

    async fn next_key(
        &self,
        ports: &Ports,
        request: &ImportRequest,
        after: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let keys = ports.reports.list(&request.from, after).await?;
        Ok(keys.into_iter().next())
    }

    fn tell(&mut self, key: &str, line: usize, reason: String) {
        if self.problems.len() < PROBLEMS_TOLD {
            self.problems.push(Problem {
                key: key.to_owned(),
                line,
                reason,
            });
        }
    }

    /// Whether a line is a mapping of ours.
    fn check(&self, ports: &Ports, line: &[u8]) -> Result<MappingLine, String> {
        let line: MappingLine =
            serde_json::from_slice(line).map_err(|error| without_values(&error))?;
        if !ports.change_events.shops.scopes().contains(&line.scope) {
            return Err(format!(
                "there is no register {}: see NORCE_APPLICATIONS and CUSTOMERS_BY_APPLICATION",
                line.scope
            ));
        }
        if line.kind == EntityKind::Company && line.erp.resource == Resource::Contact {
            return Err("a company is a customer in the ERP, never a contact".to_owned());
        }
        if line.erp.id.trim().is_empty() {
            return Err("the id of the ERP's record is empty".to_owned());
        }
        Ok(line)
    }

    /// Whether an earlier line says something else; otherwise this one is remembered.
    fn contradiction(&mut self, line: &MappingLine) -> Option<String> {
        let entity = line.entity();
        let code = self.codes.entry((line.kind, line.scope, line.code.clone()));
        if let Entry::Occupied(earlier) = &code
            && *earlier.get() != line.id
        {
            return Some(format!(
                "an earlier line has code {} for {}",
                line.code,
                earlier.get()
            ));
        }
        let record = self.records.entry((line.scope, line.erp.clone()));
        if let Entry::Occupied(earlier) = &record
            && *earlier.get() != entity
        {
            return Some(format!(
                "an earlier line has this ERP record for {}",
                earlier.get()
            ));
        }
        let stored = self.entities.entry(entity);
        if let Entry::Occupied(earlier) = &stored
            && *earlier.get() != line.code
        {
            return Some(format!(
                "an earlier line has code {} for {entity}",
                earlier.get()
            ));
        }
        code.or_insert(line.id);
        record.or_insert(entity);
        stored.or_insert_with(|| line.code.clone());
        None
    }

    /// Binds lines, as far as they agree with what is stored.
    async fn bind(
        &mut self,
        ports: &Ports,
        key: &str,
        lines: Vec<Numbered>,
    ) -> Result<(), Refusal> {
        let mut agreeing = Vec::with_capacity(lines.len());
        for line in lines {
            match self.contradiction(&line.line) {
                None => agreeing.push(line),
                Some(reason) => {
                    self.counts.conflicts += 1;
                    self.tell(key, line.number, reason);
                }
            }
        }
        let entities: Vec<EntityRef> = agreeing.iter().map(|line| line.line.entity()).collect();
        let stored = self.mappings.get_many(&entities).await?;
        let now = ports.change_events.clock.now();
        let mappings = self.mappings.clone();
        let bind = |(Numbered { number, line }, stored): (Numbered, Option<Mapping>)| {
            let mappings = mappings.clone();
            async move {
                let entity = line.entity();
                match stored {
                    Some(Mapping::Bound(binding))
                        if binding.code == line.code && binding.erp_id == line.erp =>
                    {
                        return Ok((number, None));
                    }
                    // A bind would end the announcement, and the create could come a second time.
                    Some(Mapping::Reserved(_)) => {
                        let reason = format!("a create of {entity} is under way: try again later");
                        return Ok((number, Some(Err(reason))));
                    }
                    _ => {}
                }
                let binding = Binding::new(
                    line.code,
                    line.erp,
                    match line.delivery {
                        Delivery::Confirmed => CodeDelivery::Confirmed { at: now },
                        // Handed over by another stack, or refused there: it is handed over by this one.
                        Delivery::Pending | Delivery::HandedOver | Delivery::Refused => {
                            CodeDelivery::Pending
                        }
                    },
                );
                let bound = mappings.bind(entity, binding).await?;
                Ok::<_, Refusal>((number, Some(refused(entity, bound))))
            }
        };
        let mut outcomes = stream::iter(agreeing.into_iter().zip(stored))
            .map(bind)
            .buffered(BOUND_AT_ONCE);
        while let Some(outcome) = outcomes.next().await {
            match outcome? {
                (_, None) => self.counts.unchanged += 1,
                (_, Some(Ok(()))) => self.counts.bound += 1,
                (number, Some(Err(reason))) => {
                    self.counts.conflicts += 1;
                    self.tell(key, number, reason);
                }
            }
        }
        Ok(())
    }
}

/// Why a mapping was not made, in words.
fn refused(entity: EntityRef, bound: Bound) -> Result<(), String> {
    match bound {
        Bound::Done => Ok(()),
        Bound::OtherCode { code } => Err(format!("{entity} is bound to code {code}")),
        Bound::CodeTaken { by } => Err(format!("the code is {by}'s")),
        Bound::RecordTaken { by } => Err(format!("the ERP record is {by}'s")),
        Bound::Forgotten => Err(format!("{entity}, its code or its ERP record is forgotten")),
    }
}
