//! `import-mappings`: reads code mappings from JSON Lines in the reports bucket, to seed an existing register.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    future::ready,
};

use bytes::Bytes;
use change_events::{ChangeEvents, Claim, Failure};
use futures_util::{FutureExt, StreamExt, stream};
use serde::{Deserialize, Serialize};
use shared::{
    domain::{Code, EntityKind, EntityRef, ErpId, NorceId, Resource, Scope, without_values},
    http::Deadline,
    mappings::{Binding, CodeDelivery, Mapping, READ_BATCH_SIZE},
};

use crate::{
    dry::dry,
    error::Refusal,
    mapping_line::{FOLDER, MappingLine, TIME_OF_A_PAGE},
    ports::Ports,
    sentence::{self, Sentence, say, words},
};

/// Lines that are checked and bound concurrently. Each has one call under way at a time, and the ERP's client limits the rate.
const BINDING_CONCURRENCY: usize = 8;
/// The maximum number of rejected lines listed: the first ones show what is wrong with the file.
const MAX_PROBLEMS: usize = 20;
/// Companies are bound before customers, whatever the order of the lines: a contact is checked against the record of its
/// company.
const ROUNDS: [EntityKind; 2] = [EntityKind::Company, EntityKind::Customer];

/// The request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportRequest {
    /// A key, or a prefix of several keys, in the reports bucket; it begins with `mappings/`.
    pub from: String,
    /// Where the previous answer stopped.
    #[serde(default)]
    pub next: Option<ImportPlace>,
    /// Checks the lines without binding anything.
    #[serde(default)]
    pub dry_run: bool,
}

/// The place that an import has reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImportPlace {
    /// The key.
    pub key: String,
    /// The last line that is done.
    pub line: usize,
    /// The kind of the lines being imported: companies first, then customers. Version 0.2.0 did not distinguish them, so its
    /// places stand for the beginning of the companies.
    #[serde(default = "first_round")]
    pub kind: EntityKind,
    /// In a dry run, the companies whose lines were rejected. A real run finds them in the mappings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<EntityRef>,
}

const fn first_round() -> EntityKind {
    EntityKind::Company
}

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Imported {
    /// The answer as a text.
    #[serde(flatten, serialize_with = "sentence::summary")]
    pub summary: Sentence,
    /// The number of lines by outcome.
    #[serde(flatten)]
    pub counts: ImportCounts,
    /// The first rejected lines, with the reasons.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<Problem>,
    /// The `next` of the next request; absent: everything is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<ImportPlace>,
}

/// The number of lines by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportCounts {
    /// Bound by this import.
    pub bound: usize,
    /// Already bound as the line says.
    pub unchanged: usize,
    /// In conflict with what is stored, with Norce, with the ERP or with an earlier line. Nothing was overwritten.
    pub conflicts: usize,
    /// Not valid as mappings.
    pub invalid: usize,
}

/// A rejected line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The key of the object.
    pub key: String,
    /// The number of the line, from 1.
    pub line: usize,
    /// Why, with ids and codes of the line only.
    pub reason: String,
}

impl Ports {
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
        let dry = request.dry_run.then(|| dry(&self.change_events).0);
        let mut import = Import::new(self, dry.as_ref());
        let next = import.run(request, deadline).await?;
        let Import {
            counts, problems, ..
        } = import;
        let ImportCounts {
            bound,
            unchanged,
            conflicts,
            invalid,
        } = counts;
        let rest = next.is_some().then(|| say!("more", field = "next"));
        let summary = match request.dry_run {
            true => say!("import-would", bound, unchanged, conflicts, invalid),
            false => say!("imported", bound, unchanged, conflicts, invalid),
        };
        Ok(Imported {
            summary: summary.then(rest),
            counts,
            problems,
            next,
        })
    }
}

/// An import under way.
struct Import<'a> {
    ports: &'a Ports,
    /// In a dry run, over ports that write nothing.
    change_events: &'a ChangeEvents,
    is_dry: bool,
    counts: ImportCounts,
    problems: Vec<Problem>,
    /// What earlier lines say, so that a dry run too finds a file that contradicts itself.
    codes: HashMap<(EntityKind, Scope, Code), NorceId>,
    records: HashMap<(Scope, ErpId), EntityRef>,
    entities: HashMap<EntityRef, Code>,
    /// In a dry run, the companies whose lines were rejected.
    refused: Vec<EntityRef>,
}

/// A well-formed line with its number.
struct Numbered {
    number: usize,
    line: MappingLine,
}

/// The outcome of a line.
enum Taken {
    Bound,
    Unchanged,
    Conflict(String),
}

impl<'a> Import<'a> {
    fn new(ports: &'a Ports, dry: Option<&'a ChangeEvents>) -> Self {
        Self {
            ports,
            change_events: dry.unwrap_or(&ports.change_events),
            is_dry: dry.is_some(),
            counts: ImportCounts::default(),
            problems: Vec::new(),
            codes: HashMap::new(),
            records: HashMap::new(),
            entities: HashMap::new(),
            refused: Vec::new(),
        }
    }

    /// Imports the lines of companies, then those of customers. Returns where it stopped, if its time is up.
    async fn run(
        &mut self,
        request: &ImportRequest,
        deadline: Deadline,
    ) -> Result<Option<ImportPlace>, Refusal> {
        let mut place = request.next.clone();
        if let (true, Some(place)) = (self.is_dry, &mut place) {
            self.refused = std::mem::take(&mut place.refused);
            self.recall(request, place).await?;
        }
        for kind in ROUNDS {
            if place.as_ref().is_some_and(|place| place.kind != kind) {
                continue;
            }
            let (key, line) = match place.take() {
                Some(place) => (Some(place.key), place.line),
                None => (None, 0),
            };
            if let Some((key, line)) = self.round(kind, request, key, line, deadline).await? {
                return Ok(Some(ImportPlace {
                    key,
                    line,
                    kind,
                    refused: std::mem::take(&mut self.refused),
                }));
            }
        }
        Ok(None)
    }

    /// Imports the lines of one kind, object by object, starting after line `done` of `key`. Returns where it stopped, if its
    /// time is up.
    async fn round(
        &mut self,
        kind: EntityKind,
        request: &ImportRequest,
        mut key: Option<String>,
        mut done: usize,
        deadline: Deadline,
    ) -> Result<Option<(String, usize)>, Refusal> {
        let mut last: Option<String> = None;
        loop {
            let object = match key.take() {
                Some(key) => key,
                None => match self.next_key(request, last.as_deref()).await? {
                    Some(key) => key,
                    None if last.is_none() => {
                        return Err(Refusal::request(format!(
                            "there is nothing under {} in the reports bucket",
                            request.from
                        )));
                    }
                    None => return Ok(None),
                },
            };
            let body = self.object(&object).await?;
            let mut chunk = Vec::with_capacity(READ_BATCH_SIZE);
            let mut number = 0;
            for line in body.split(|byte| *byte == b'\n') {
                number += 1;
                if number <= done || line.trim_ascii().is_empty() {
                    continue;
                }
                match self.check(line) {
                    Ok(line) if line.kind == kind => chunk.push(Numbered { number, line }),
                    Err(reason) if kind == first_round() => {
                        self.counts.invalid += 1;
                        self.report(&object, number, reason);
                    }
                    // Another round handles it.
                    Ok(_) | Err(_) => {}
                }
                if chunk.len() == READ_BATCH_SIZE {
                    let chunk = std::mem::take(&mut chunk);
                    if let Some(line) = self.bind(&object, chunk, deadline).await? {
                        return Ok(Some((object, line)));
                    }
                    if !deadline.allows(TIME_OF_A_PAGE) {
                        return Ok(Some((object, number)));
                    }
                }
            }
            if let Some(line) = self.bind(&object, chunk, deadline).await? {
                return Ok(Some((object, line)));
            }
            // Every request makes progress: one that stopped at the end of an object continues with the next one.
            if number > done && !deadline.allows(TIME_OF_A_PAGE) {
                return Ok(Some((object, number)));
            }
            done = 0;
            last = Some(object);
        }
    }

    /// Restores what the earlier requests of a dry run found: what their lines say, and which companies would be bound.
    async fn recall(
        &mut self,
        request: &ImportRequest,
        place: &ImportPlace,
    ) -> Result<(), Refusal> {
        let refused: HashSet<EntityRef> = self.refused.iter().copied().collect();
        let mut key = self.next_key(request, None).await?;
        while let Some(object) = key {
            let body = self.object(&object).await?;
            let mut companies = Vec::new();
            for (number, line) in (1..).zip(body.split(|byte| *byte == b'\n')) {
                let Ok(line) = self.check(line) else {
                    continue;
                };
                let is_in_round = (object.as_str(), number) <= (place.key.as_str(), place.line);
                let is_done = match (line.kind == place.kind, place.kind) {
                    (true, _) => is_in_round,
                    (false, round) => round != first_round(),
                };
                let is_taken = is_done && self.contradiction(&line).is_none();
                if is_taken && line.kind == EntityKind::Company && !refused.contains(&line.entity())
                {
                    companies.push(line);
                }
            }
            let mappings = &self.change_events.mappings;
            let mut bound = stream::iter(companies)
                .map(|line| {
                    let binding =
                        Binding::new(line.code.clone(), line.erp.clone(), CodeDelivery::Pending);
                    mappings.bind(line.entity(), binding)
                })
                .buffer_unordered(BINDING_CONCURRENCY);
            while let Some(bound) = bound.next().await {
                bound?;
            }
            drop(bound);
            key = self.next_key(request, Some(&object)).await?;
        }
        Ok(())
    }

    async fn object(&self, key: &str) -> Result<Bytes, Refusal> {
        let body = self.ports.reports.get(key).await?;
        body.ok_or_else(|| Refusal::request(format!("{key} is not there")))
    }

    async fn next_key(
        &self,
        request: &ImportRequest,
        after: Option<&str>,
    ) -> Result<Option<String>, Refusal> {
        let keys = self.ports.reports.list(&request.from, after).await?;
        Ok(keys.into_iter().next())
    }

    fn report(&mut self, key: &str, line: usize, reason: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                key: key.to_owned(),
                line,
                reason,
            });
        }
    }

    /// Parses a line and checks it.
    fn check(&self, line: &[u8]) -> Result<MappingLine, String> {
        let line: MappingLine =
            serde_json::from_slice(line).map_err(|error| without_values(&error))?;
        if !self.change_events.shops.scopes().contains(&line.scope) {
            return Err(format!(
                "there is no scope {}: see NORCE_APPLICATIONS and CUSTOMERS_BY_APPLICATION",
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

    /// How the line contradicts an earlier one; a line that does not is remembered.
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

    /// Binds the lines that Norce, the ERP and the stored mappings agree with. Returns the last line done, if its time is up.
    async fn bind(
        &mut self,
        key: &str,
        lines: Vec<Numbered>,
        deadline: Deadline,
    ) -> Result<Option<usize>, Refusal> {
        let last = lines.last().map(|line| line.number);
        let entities: Vec<EntityRef> = lines.iter().map(|line| line.line.entity()).collect();
        let change_events = self.change_events;
        let stored = change_events.mappings.get_many(&entities).await?;
        let mut judged = Vec::with_capacity(lines.len());
        for (Numbered { number, line }, stored) in lines.into_iter().zip(stored) {
            let known = match self.contradiction(&line) {
                Some(reason) => Some(Taken::Conflict(reason)),
                None => self.known(&line, stored.as_ref(), deadline).await,
            };
            judged.push((number, line, known));
        }
        let mut begun = 0;
        let mut outcomes = stream::iter(judged)
            .take_while(|(_, _, known)| {
                // Every request makes progress.
                begun += usize::from(known.is_none());
                ready(
                    known.is_some()
                        || begun <= BINDING_CONCURRENCY
                        || deadline.allows(TIME_OF_A_PAGE),
                )
            })
            .map(|(number, line, known)| {
                let entity = line.entity();
                let taken = match known {
                    Some(known) => ready(Ok(known)).left_future(),
                    None => take(change_events, line, deadline).right_future(),
                };
                taken.map(move |taken| (number, entity, taken))
            })
            .buffered(BINDING_CONCURRENCY);
        let mut done = None;
        while let Some((number, entity, taken)) = outcomes.next().await {
            match taken? {
                Taken::Unchanged => self.counts.unchanged += 1,
                Taken::Bound => self.counts.bound += 1,
                Taken::Conflict(reason) => {
                    self.counts.conflicts += 1;
                    self.report(key, number, reason);
                    if self.is_dry && entity.kind == EntityKind::Company {
                        self.refused.push(entity);
                    }
                }
            }
            done = Some(number);
        }
        Ok(done.filter(|_| done != last))
    }

    /// The outcome of a line whose entity has a mapping; `None`: the line has to be checked.
    async fn known(
        &self,
        line: &MappingLine,
        stored: Option<&Mapping>,
        deadline: Deadline,
    ) -> Option<Taken> {
        let entity = line.entity();
        match stored? {
            Mapping::Bound(binding) => {
                let erp = self.change_events.erps.get(&line.scope)?;
                // Where that is not known now, the line is checked.
                let case = erp.capabilities(deadline).await.ok()?.code_case;
                if binding.code.is(&line.code, case) && binding.erp_id == line.erp {
                    return Some(Taken::Unchanged);
                }
                Some(Taken::Conflict(format!(
                    "{entity} is bound to code {} ({}): correct the line, or rebind {entity}",
                    binding.code, binding.erp_id
                )))
            }
            // A bind would end the reservation, and the create could happen a second time.
            Mapping::Reserved(_) => Some(Taken::Conflict(format!(
                "a create of {entity} is under way: import the line again later"
            ))),
            Mapping::Forgotten => Some(Taken::Conflict(format!(
                "{entity} is forgotten and is never bound again: remove the line"
            ))),
        }
    }
}

/// Binds a line if Norce and the ERP agree with it.
async fn take(
    change_events: &ChangeEvents,
    line: MappingLine,
    deadline: Deadline,
) -> Result<Taken, Refusal> {
    let claim = Claim {
        entity: line.entity(),
        record: line.erp,
        code: line.code,
    };
    match change_events.by_hand(deadline).bind(&claim).await {
        Ok(_) => Ok(Taken::Bound),
        Err(Failure::Owed { detail, .. }) => Ok(Taken::Conflict(detail)),
        Err(Failure::Later { reason, .. }) => Err(Refusal::Later(words(reason))),
    }
}
