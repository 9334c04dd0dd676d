//! The facade under test, and the test records, which are removed at the end. Their names and e-mail addresses contain a mark that
//! is unique to the run.

use std::{
    collections::BTreeSet,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, FixedOffset};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    Options, Outage,
    client::{Answer, Client, Request},
    numbers::Numbers,
    verdict::{Failure, Outcome, Stop},
};

/// The resource of persons and organisations that buy.
pub(crate) const CUSTOMERS: &str = "customers";
/// The resource of people at organisations.
pub(crate) const CONTACTS: &str = "contacts";

/// The most pages of a listing that are read.
const MOST_PAGES: usize = 400;
/// A listing with this many empty pages in a row is taken for endless.
const MOST_EMPTY_PAGES: usize = 20;

/// By then, timestamps with fractions of a second differ.
const FRACTION: Duration = Duration::from_millis(50);
/// By then, timestamps in whole seconds differ. A timestamp with fractions may happen to be a whole second.
const SECOND: Duration = Duration::from_millis(2_100);

/// A record, as an answer has it.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) resource: &'static str,
    pub(crate) value: Value,
    /// The answer that it is from.
    pub(crate) answer: Answer,
}

impl Record {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or_default()
    }

    pub(crate) fn id(&self) -> &str {
        self.text("id")
    }

    pub(crate) fn version(&self) -> &str {
        self.text("version")
    }

    pub(crate) fn path(&self) -> String {
        format!("/v1/{}/{}", self.resource, self.id())
    }

    /// The time of its last change.
    pub(crate) fn modified(&self) -> Outcome<DateTime<FixedOffset>> {
        if self.value["modified"].is_null() {
            return not_tried("records have no `modified`");
        }
        let modified = DateTime::parse_from_rfc3339(self.text("modified"));
        modified.map_err(|_| {
            let text = "`modified` is not an RFC 3339 timestamp with a zone";
            self.answer.fails(text)
        })
    }
}

/// The parameters of a listing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listing {
    pub(crate) resource: &'static str,
    pub(crate) since: Option<String>,
    pub(crate) kind: Option<&'static str>,
    pub(crate) fields: Option<String>,
    pub(crate) limit: Option<u32>,
}

impl Listing {
    pub(crate) fn of(resource: &'static str) -> Self {
        Self {
            resource,
            ..Self::default()
        }
    }

    pub(crate) fn since(self, since: impl Into<String>) -> Self {
        let since = Some(since.into());
        Self { since, ..self }
    }

    pub(crate) fn limit(self, limit: u32) -> Self {
        let limit = Some(limit);
        Self { limit, ..self }
    }

    pub(crate) fn request(&self, cursor: Option<&str>) -> Request {
        let mut request = Request::get(format!("/v1/{}", self.resource));
        for (name, value) in [
            ("kind", self.kind.map(str::to_owned)),
            ("since", self.since.clone()),
            ("fields", self.fields.clone()),
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("cursor", cursor.map(str::to_owned)),
        ] {
            if let Some(value) = value {
                request = request.with_query(name, value);
            }
        }
        request
    }
}

/// A page of a listing.
pub(crate) struct Page {
    pub(crate) records: Vec<Value>,
    pub(crate) next: Option<String>,
    pub(crate) answer: Answer,
}

impl Page {
    pub(crate) fn has(&self, id: &str) -> bool {
        self.records.iter().any(|record| record["id"] == id)
    }
}

/// The facade under test, and the records that were created in it.
pub(crate) struct Stage {
    pub(crate) client: Client,
    pub(crate) numbers: Numbers,
    /// How the ERP is stopped.
    pub(crate) outage: Option<Outage>,
    is_down: AtomicBool,
    about: Value,
    /// The facade's time when the run began.
    pub(crate) began: String,
    mark: String,
    code_prefix: String,
    email_domain: String,
    next: AtomicU32,
    /// The first Norce id in keys. It is random, so that two runs do not share a key.
    first_entity: u32,
    pub(crate) made: Mutex<Vec<(&'static str, String)>>,
}

impl Stage {
    pub(crate) async fn new(
        client: Client,
        Options {
            mark,
            code_prefix,
            email_domain,
            outage,
            ..
        }: Options,
    ) -> Outcome<Self> {
        let about = client.send(Request::get("/v1/about")).await?;
        let about = about.expect(&[200])?;
        if let Some(misfit) = client.observed().misfits.first() {
            return Err(about.fails(misfit.text.clone()));
        }
        let about = about.body;
        let home = about["capabilities"]["homeCountry"].as_str();
        Ok(Self {
            client,
            numbers: Numbers::of(home.unwrap_or("SE")),
            outage,
            is_down: AtomicBool::new(false),
            began: about["time"].as_str().unwrap_or_default().to_owned(),
            about,
            mark,
            code_prefix,
            email_domain,
            next: AtomicU32::new(1),
            first_entity: fastrand::u32(10_000_000..100_000_000),
            made: Mutex::default(),
        })
    }

    /// The name that the ERP gives itself.
    pub(crate) fn erp(&self) -> &str {
        self.about["name"].as_str().unwrap_or("the ERP")
    }

    /// Whether the facade says that it must not write.
    pub(crate) fn is_read_only(&self) -> bool {
        self.about["mayWrite"] == false
    }

    /// A part of the name of every test record.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    pub(crate) fn capabilities(&self) -> &Value {
        &self.about["capabilities"]
    }

    pub(crate) fn capability(&self, name: &str) -> &Value {
        &self.capabilities()[name]
    }

    pub(crate) fn writes(&self, field: &str) -> bool {
        let fields = self.capability("fields").as_array();
        fields.into_iter().flatten().any(|written| written == field)
    }

    pub(crate) fn is_idempotent(&self) -> bool {
        self.capability("idempotentCreates") == true
    }

    pub(crate) fn can_remove(&self) -> bool {
        self.capability("deletes") == true
    }

    /// Skips the check unless the facade states the capability.
    pub(crate) fn needs(&self, capability: &str) -> Outcome {
        match self.capability(capability) == true {
            true => Ok(()),
            false => not_tried(format!("the facade does not state `{capability}`")),
        }
    }

    /// Skips the check unless the facade writes the field.
    pub(crate) fn needs_field(&self, field: &str) -> Outcome {
        match self.writes(field) {
            true => Ok(()),
            false => not_tried(format!("the facade does not write `{field}`")),
        }
    }

    pub(crate) fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// An unused e-mail address.
    pub(crate) fn email(&self) -> String {
        let (mark, number, domain) = (&self.mark, self.number(), &self.email_domain);
        format!("anna.{mark}.{number}@{domain}")
    }

    pub(crate) fn name(&self, what: &str) -> String {
        format!("{what} {} {}", self.mark, self.number())
    }

    /// An unused code.
    pub(crate) fn code(&self) -> String {
        format!("{}{:04}", self.code_prefix, self.number())
    }

    /// An unused idempotency key.
    pub(crate) fn key(&self) -> String {
        let entity = self.first_entity.saturating_add(self.number());
        format!("customer/client/{entity}")
    }

    /// The facade's time.
    pub(crate) async fn time(&self) -> Outcome<DateTime<FixedOffset>> {
        let about = self.client.send(Request::get("/v1/about")).await?;
        let about = about.expect(&[200])?;
        let time = about.body["time"].as_str().unwrap_or_default();
        let text = "`time` is not an RFC 3339 timestamp with a zone";
        DateTime::parse_from_rfc3339(time).map_err(|_| about.fails(text))
    }

    /// The values of a new person.
    pub(crate) fn person(&self) -> Value {
        self.values("person", &self.name("Anna Ek"))
    }

    /// Adds the numbers of an organisation, in the fields that the facade writes.
    pub(crate) fn with_numbers(&self, mut organisation: Value) -> Value {
        let pair = self.numbers.next();
        for (field, number) in [
            ("vatNumber", pair.vat_number),
            ("organisationNumber", pair.organisation_number),
        ] {
            if self.writes(field) {
                organisation[field] = json!(number);
            }
        }
        organisation
    }

    /// The values of a new organisation, without numbers.
    pub(crate) fn organisation(&self) -> Value {
        self.values("organisation", &self.name("Ek Bygg"))
    }

    /// The values of a new contact.
    pub(crate) fn contact(&self, company: &Record) -> Value {
        let mut values = self.values("person", &self.name("Bo Al"));
        values["company"] = json!(company.id());
        // Some ERPs use the organisation's address for its contacts.
        if company.value["address"].is_object() {
            values["address"] = company.value["address"].clone();
        }
        if self.writes("title") {
            values["title"] = json!("Buyer");
        }
        values
    }

    fn values(&self, kind: &str, name: &str) -> Value {
        let mut values = json!({ "kind": kind, "name": name });
        // Without `idempotentCreates`, the code identifies a repeat.
        if !self.is_idempotent() {
            values["code"] = json!(self.code());
        }
        let number = self.number() % 1000;
        let address = json!({
            "line1": format!("Storgatan {number}"),
            "line2": "Uppgång B",
            "postalCode": self.numbers.postal_code(),
            "city": self.numbers.city(),
            "country": self.numbers.country(),
        });
        for (field, value) in [
            ("email", json!(self.email())),
            ("phone", json!(format!("+46 46 12 3{number:03}"))),
            ("mobile", json!(format!("+46 70 123 4{number:03}"))),
            ("address", address),
        ] {
            if self.writes(field) {
                values[field] = value;
            }
        }
        values
    }

    /// Sends a create, and takes note of the record for the clean-up.
    pub(crate) async fn post(
        &self,
        resource: &'static str,
        key: &str,
        values: &Value,
    ) -> Outcome<Answer> {
        let request = self.create_request(resource, key, values);
        let answer = self.client.send(request).await?;
        self.remember(resource, &answer);
        Ok(answer)
    }

    pub(crate) fn create_request(&self, resource: &str, key: &str, values: &Value) -> Request {
        Request::post(format!("/v1/{resource}"), values.clone()).with_header("Idempotency-Key", key)
    }

    /// Takes note of the record in an answer for the clean-up.
    pub(crate) fn remember(&self, resource: &'static str, answer: &Answer) {
        self.remember_id(resource, &answer.body["id"]);
    }

    pub(crate) fn remember_id(&self, resource: &'static str, id: &Value) {
        if let Some(id) = id.as_str().filter(|id| !id.is_empty()) {
            let made = (resource, id.to_owned());
            let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
            if !all.contains(&made) {
                all.push(made);
            }
        }
    }

    /// Creates a record that the check is not about. When it cannot be created, the check cannot be tried: others say why.
    pub(crate) async fn create(&self, resource: &'static str, values: &Value) -> Outcome<Record> {
        let answer = self.post(resource, &self.key(), values).await?;
        if answer.status != 201 {
            let (status, error) = (answer.status, &answer.body["error"]);
            let code = error["code"].as_str().unwrap_or("no code");
            let field = error["field"].as_str().unwrap_or("no field");
            let text = format!(
                "it needs a record, and a create is answered with {status} ({code}, {field})"
            );
            return not_tried(text);
        }
        new_record(resource, answer)
    }

    pub(crate) async fn new_person(&self) -> Outcome<Record> {
        self.create(CUSTOMERS, &self.person()).await
    }

    pub(crate) async fn new_organisation(&self) -> Outcome<Record> {
        let values = self.organisation();
        match self.create(CUSTOMERS, &values).await {
            // Some ERPs require a number for every organisation.
            Err(Stop::NotTried(_)) => self.create(CUSTOMERS, &self.with_numbers(values)).await,
            created => created,
        }
    }

    pub(crate) async fn new_contact(&self, company: &Record) -> Outcome<Record> {
        self.create(CONTACTS, &self.contact(company)).await
    }

    /// Reads a record that exists.
    pub(crate) async fn get(&self, of: &Record) -> Outcome<Record> {
        let answer = self.client.send(Request::get(of.path())).await?;
        Ok(record(of.resource, answer.expect(&[200])?))
    }

    /// Sends a change.
    pub(crate) async fn patch(&self, of: &Record, changes: Value) -> Outcome<Answer> {
        let request = Request::new(Method::PATCH, of.path()).with_body(changes);
        let request = request.with_header("If-Match", of.version());
        self.client.send(request).await
    }

    /// Changes a record.
    pub(crate) async fn change(&self, of: &Record, changes: Value) -> Outcome<Record> {
        let answer = self.patch(of, changes).await?;
        Ok(record(of.resource, answer.expect(&[200])?))
    }

    pub(crate) async fn block(&self, of: &Record, extent: &str) -> Outcome<Record> {
        let body = json!({ "extent": extent });
        let request = Request::post(format!("{}/block", of.path()), body);
        let answer = self.client.send(request).await?;
        if answer.status == 422 {
            return not_tried("this ERP does not block the record (422)");
        }
        Ok(record(of.resource, answer.expect(&[200])?))
    }

    pub(crate) async fn remove(&self, of: &Record) -> Outcome<Answer> {
        let request = Request::new(Method::DELETE, of.path());
        self.client.send(request).await
    }

    /// Searches for records with one of these values. `what`: `ids`, `codes`, `emails` or `numbers`.
    pub(crate) async fn search(
        &self,
        resource: &str,
        what: &str,
        values: &[&str],
    ) -> Outcome<(Vec<String>, Answer)> {
        self.search_for(json!({ "resource": resource, what: values }))
            .await
    }

    /// The ids that a search returns, in the order of the answer.
    pub(crate) async fn search_for(&self, search: Value) -> Outcome<(Vec<String>, Answer)> {
        let answer = self
            .client
            .send(Request::post("/v1/search", search))
            .await?;
        let answer = answer.expect(&[200])?;
        let records = answer.body["records"].as_array();
        let records = records.ok_or_else(|| answer.fails("there are no `records`"))?;
        let ids = records.iter().filter_map(|record| record["id"].as_str());
        Ok((ids.map(str::to_owned).collect(), answer))
    }

    /// Fails unless a search finds exactly the records in `due`.
    pub(crate) async fn expect_found(
        &self,
        search: Value,
        due: &[&Record],
        promise: &str,
    ) -> Outcome<Answer> {
        let (mut found, answer) = self.search_for(search).await?;
        let mut ids: Vec<&str> = due.iter().map(|record| record.id()).collect();
        found.sort_unstable();
        ids.sort_unstable();
        match found == ids {
            true => Ok(answer),
            false => Err(answer.fails(format!("{promise}: expected {ids:?}, found {found:?}"))),
        }
    }

    pub(crate) async fn page(&self, listing: &Listing, cursor: Option<&str>) -> Outcome<Page> {
        let answer = self.client.send(listing.request(cursor)).await?;
        let answer = answer.expect(&[200])?;
        let records = answer.body["records"].as_array();
        let records = records.ok_or_else(|| answer.fails("there are no `records`"))?;
        Ok(Page {
            records: records.clone(),
            next: answer.body["next"].as_str().map(str::to_owned),
            answer,
        })
    }

    /// All pages of a listing.
    pub(crate) async fn listed(&self, listing: Listing) -> Outcome<Vec<Page>> {
        self.pages(&listing, None).await
    }

    /// All pages from a cursor on. Skips the check if there are more than [`MOST_PAGES`].
    pub(crate) async fn pages(
        &self,
        listing: &Listing,
        mut cursor: Option<String>,
    ) -> Outcome<Vec<Page>> {
        let mut pages = Vec::new();
        let mut seen: BTreeSet<String> = cursor.iter().cloned().collect();
        let mut empty = 0;
        loop {
            let page = self.page(listing, cursor.as_deref()).await?;
            if page
                .next
                .as_ref()
                .is_some_and(|next| !seen.insert(next.clone()))
            {
                let text = "the listing goes in a circle: an earlier page had this `next`";
                return Err(page.answer.fails(text));
            }
            let has_rows = !page.records.is_empty() || !page.answer.body["unusable"].is_null();
            empty = if has_rows { 0 } else { empty + 1 };
            if empty == MOST_EMPTY_PAGES {
                let text = format!("{empty} pages in a row are empty, and there are still more");
                return Err(page.answer.fails(text));
            }
            cursor.clone_from(&page.next);
            pages.push(page);
            if cursor.is_none() {
                return Ok(pages);
            }
            if pages.len() == MOST_PAGES {
                let text = format!(
                    "the listing has more than {MOST_PAGES} pages; try a register with fewer records"
                );
                return not_tried(text);
            }
        }
    }

    /// Waits until a new change would get another timestamp than this record.
    pub(crate) async fn wait_after(&self, record: &Record) {
        let modified = record.modified().ok();
        let has_fractions = modified.is_some_and(|time| time.timestamp_subsec_nanos() > 0);
        let wait = if has_fractions { FRACTION } else { SECOND };
        tokio::time::sleep(wait).await;
    }

    /// Stops the ERP.
    pub(crate) async fn begin_outage(&self, outage: &Outage) -> Outcome {
        self.is_down.store(true, Ordering::Relaxed);
        (outage.begin)().await.map_err(|error| {
            let text = format!("the ERP cannot be stopped: {error}");
            Stop::Fails(Failure::without_exchange(text))
        })
    }

    /// Starts the ERP if it was stopped.
    pub(crate) async fn end_outage(&self) -> Option<Stop> {
        let outage = self.outage.as_ref()?;
        if !self.is_down.load(Ordering::Relaxed) {
            return None;
        }
        match (outage.end)().await {
            Ok(()) => {
                self.is_down.store(false, Ordering::Relaxed);
                None
            }
            Err(error) => {
                let text = format!("the ERP cannot be started again, start it by hand: {error}");
                Some(Stop::Fails(Failure::without_exchange(text)))
            }
        }
    }
}

pub(crate) fn record(resource: &'static str, answer: Answer) -> Record {
    Record {
        resource,
        value: answer.body.clone(),
        answer,
    }
}

/// The record in the answer to a create.
pub(crate) fn new_record(resource: &'static str, answer: Answer) -> Outcome<Record> {
    let answer = answer.expect(&[201])?;
    for field in ["id", "code", "version"] {
        if answer.body[field].as_str().is_none_or(str::is_empty) {
            return Err(answer.fails(format!("the new record has no `{field}`")));
        }
    }
    Ok(record(resource, answer))
}

pub(crate) fn not_tried<T>(reason: impl Into<String>) -> Outcome<T> {
    Err(Stop::NotTried(reason.into()))
}
