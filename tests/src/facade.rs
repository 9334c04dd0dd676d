//! A facade of the HTTP contract (`shared/src/erp/http/openapi.yaml`) over any ERP adapter. It knows the contract and the port,
//! and nothing of the client: bodies are read and written by hand. A facade of one's own stands directly on its ERP, where
//! it can do what this one cannot: keep an idempotency key in the same transaction as the record.

mod removal;

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, LazyLock, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    extract::{Path, Query, Request, State},
    http::{HeaderMap, HeaderValue, StatusCode},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use chrono::{DateTime, SecondsFormat, Utc};
use conformance::contract::{Contract, UnreadableContract};
use serde_json::{Map, Value, json};
use shared::{
    domain::{
        Address, Code, CodeCase, CountryCode, EntityKind, EntityRef, ErpId, FieldGroup,
        FieldGroups, NaturalKey, OrganisationNumber, Personal, Resource, ShopField, VatNumber,
    },
    erp::{
        Block, Capabilities, CreateOutcome, Cursor, Erp, ErpError, ErpRecord, IdempotencyKey,
        Listing, Party, PartyKind, RecordPage, Unusable, UpdateOutcome,
    },
    http::Deadline,
};
use tokio::{net::TcpListener, task::JoinHandle};

pub use removal::{NotRemoved, Removal, SimulatedCompany};

/// How long a request may take.
const WITHIN: Duration = Duration::from_secs(50);

/// The most records of a page.
const MOST_RECORDS: usize = 500;
/// The largest body that is read, in bytes.
const LARGEST_BODY: usize = 1 << 20;

/// Read once: every request is compared with it.
static CONTRACT: LazyLock<Result<Contract, UnreadableContract>> =
    LazyLock::new(Contract::published);

/// The parts of an address, and of a party, that are texts.
const PARTS: [&str; 6] = ["careOf", "line1", "line2", "postalCode", "city", "region"];

/// A facade.
#[derive(Clone)]
pub struct Facade {
    erp: Arc<dyn Erp>,
    key: &'static str,
    removal: Option<Arc<dyn Removal>>,
    /// The value that `Erp-Company` must have; `None`: the header must be absent.
    company: Option<&'static str>,
    /// Fields that the ERP does not have.
    lacking: &'static [&'static str],
    /// The records created, by key. A record with the requested code may belong to another key.
    made: Arc<Mutex<BTreeMap<EntityRef, ErpId>>>,
    /// The positions of listings; a cursor is an index.
    places: Arc<Mutex<Vec<Place>>>,
}

/// The position of a listing: a page of the ERP, and the records of it that were returned.
#[derive(Debug, Clone, Default)]
struct Place {
    page: Option<Cursor>,
    shown: BTreeSet<ErpId>,
}

/// A facade on a loopback port of its own, for as long as this lives.
#[derive(Debug)]
pub struct Served {
    url: String,
    server: JoinHandle<io::Result<()>>,
}

impl Served {
    /// Serves these routes.
    ///
    /// # Errors
    /// When there is no free port.
    pub async fn open(router: Router) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let server = tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { url, server })
    }

    /// The URL that `/v1` follows.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Answer = Result<Response, Refusal>;

/// An error of the contract.
struct Refusal {
    status: StatusCode,
    code: String,
    field: Option<String>,
    message: String,
    record: Option<Value>,
}

impl Refusal {
    fn new(status: StatusCode, code: &str, message: &str) -> Self {
        Self {
            status,
            code: code.to_owned(),
            field: None,
            message: message.to_owned(),
            record: None,
        }
    }

    fn bad(message: &str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad-request", message)
    }

    fn not_found() -> Self {
        let message = "There is no such record.";
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    fn changed() -> Self {
        let message = "The record has another version.";
        Self::new(StatusCode::PRECONDITION_FAILED, "changed", message)
    }
}

impl From<ErpError> for Refusal {
    fn from(error: ErpError) -> Self {
        let text = error.to_string();
        match error {
            // No record has an id in a format that the ERP does not use.
            ErpError::Refused { code, .. } if code == FOREIGN_ID => Self::not_found(),
            ErpError::RetryAfter { .. } => {
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", &text)
            }
            ErpError::Refused {
                field,
                code,
                message,
            } => Self {
                field: field.map(of_contract),
                ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, &code, &message)
            },
            ErpError::CursorExpired => Self::new(StatusCode::GONE, "cursor-expired", &text),
            // The facade's own credentials are not the client's.
            ErpError::Authentication { .. } | ErpError::Unreadable(_) => {
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "erp", &text)
            }
        }
    }
}

impl From<NotRemoved> for Refusal {
    fn from(reason: NotRemoved) -> Self {
        match reason {
            NotRemoved::Gone => Self::not_found(),
            NotRemoved::InUse(message) => Self::new(StatusCode::CONFLICT, "in-use", &message),
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let code = self.code.to_lowercase();
        let code = code.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let mut body = json!({ "error": { "code": code, "message": self.message } });
        if let Some(field) = self.field {
            body["error"]["field"] = json!(field);
        }
        if let Some(record) = self.record {
            body["record"] = record;
        }
        (self.status, Json(body)).into_response()
    }
}

/// The code with which adapters refuse an id in a format that their ERP does not use.
const FOREIGN_ID: &str = "foreign-id";

/// The contract's name of a field of an adapter.
fn of_contract(field: &str) -> String {
    match field {
        "displayName" => "name",
        "phoneNumber" => "phone",
        "mobilePhoneNumber" => "mobile",
        "jobTitle" => "title",
        "taxRegistrationNumber" | "vat" => "vatNumber",
        "addressLine1" | "street" => "address.line1",
        "addressLine2" | "street2" => "address.line2",
        "postalCode" | "zip" => "address.postalCode",
        "city" => "address.city",
        "state" => "address.region",
        "country" => "address.country",
        "number" | "ref" => "code",
        "companyNumber" | "parent_id" => "company",
        other => other,
    }
    .to_owned()
}

impl Facade {
    /// A facade that lets in whoever has the key.
    pub fn new(erp: Arc<dyn Erp>, key: &'static str) -> Self {
        Self {
            erp,
            key,
            removal: None,
            company: None,
            lacking: &[],
            made: Arc::default(),
            places: Arc::default(),
        }
    }

    /// The same, for requests that name this company.
    #[must_use]
    pub fn of_company(self, company: &'static str) -> Self {
        Self {
            company: Some(company),
            ..self
        }
    }

    /// The same over an ERP without these fields.
    #[must_use]
    pub fn lacking(self, lacking: &'static [&'static str]) -> Self {
        Self { lacking, ..self }
    }

    /// The same, which states the capability `deletes`.
    #[must_use]
    pub fn with_removal(self, removal: impl Removal + 'static) -> Self {
        Self {
            removal: Some(Arc::new(removal)),
            ..self
        }
    }

    /// Its routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/v1/about", get(about))
            .route("/v1/search", post(search))
            .route("/v1/{resource}", get(page).post(create))
            .route("/v1/{resource}/{id}", get(one).patch(update).delete(remove))
            .route("/v1/{resource}/{id}/block", post(block))
            .with_state(self)
            .layer(middleware::from_fn(only_of_the_contract))
    }

    /// The position that a cursor stands for.
    fn place(&self, cursor: Option<&str>) -> Result<Place, Refusal> {
        let Some(cursor) = cursor else {
            return Ok(Place::default());
        };
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = cursor.parse().ok().and_then(|at: usize| places.get(at));
        place.cloned().ok_or_else(|| ErpError::CursorExpired.into())
    }

    fn cursor(&self, place: Place) -> String {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.push(place);
        (places.len() - 1).to_string()
    }

    fn let_in(&self, headers: &HeaderMap) -> Result<Deadline, Refusal> {
        let expected = format!("Bearer {}", self.key);
        let given = headers.get("authorization");
        if given.is_some_and(|given| given.as_bytes() == expected.as_bytes()) {
            let company = headers.get("erp-company").map(HeaderValue::as_bytes);
            if company != self.company.map(str::as_bytes) {
                let message = "The facade has no such company.";
                let code = "unknown-company";
                return Err(Refusal::new(StatusCode::FORBIDDEN, code, message));
            }
            return Ok(Deadline::after(WITHIN));
        }
        let message = "The key is missing or wrong.";
        Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            message,
        ))
    }

    /// A record in the contract. A contact names its organisation by the id of its record.
    async fn shown(&self, record: &ErpRecord, deadline: Deadline) -> Result<Value, Refusal> {
        let company = match &record.company {
            Some(key) => self.erp.company_of(key, deadline).await?,
            None => None,
        };
        let fields = &record.fields;
        let text = |value: Option<&Personal>| value.map(|value| value.expose().to_owned());
        let mut shown = json!({
            "id": record.id.id,
            "code": record.code.as_str(),
            "version": record.version,
            "kind": if record.organisation { "organisation" } else { "person" },
            "blocked": record.blocked,
        });
        let numbers = (
            fields.vat_number.as_ref().map(VatNumber::expose),
            fields
                .organisation_number
                .as_ref()
                .map(OrganisationNumber::expose),
        );
        for (name, value) in [
            ("modified", record.modified.map(stamp)),
            ("company", company.map(|company| company.id)),
            ("name", text(fields.name.as_ref())),
            ("email", text(fields.email.as_ref())),
            ("phone", text(fields.phone.as_ref())),
            ("mobile", text(fields.mobile.as_ref())),
            ("title", text(fields.title.as_ref())),
            ("gln", text(fields.gln.value())),
            ("vatNumber", numbers.0.map(str::to_owned)),
            ("organisationNumber", numbers.1.map(str::to_owned)),
        ] {
            if let Some(value) = value {
                shown[name] = json!(value);
            }
        }
        if let Some(address) = &fields.address {
            shown["address"] = shown_address(address);
        }
        if !fields.price_lists.is_empty() {
            shown["priceLists"] = json!(fields.price_lists);
        }
        let deliveries = fields.delivery_addresses.iter().map(|delivery| {
            json!({
                "id": delivery.id,
                "address": shown_address(&delivery.address),
                "gln": text(delivery.gln.value()),
                "phone": text(delivery.phone.value()),
            })
        });
        let deliveries: Vec<Value> = deliveries.collect();
        if !deliveries.is_empty() {
            shown["deliveryAddresses"] = json!(deliveries);
        }
        Ok(shown)
    }

    async fn found(&self, id: &ErpId, deadline: Deadline) -> Result<ErpRecord, Refusal> {
        let record = self.erp.get(id, deadline).await?;
        let record = record.ok_or_else(Refusal::not_found)?;
        // Some ERPs keep customers and contacts in one table.
        let is_contact = record.company.is_some();
        match is_contact == (id.resource == Resource::Contact) {
            true => Ok(record),
            false => Err(Refusal::not_found()),
        }
    }

    /// The organisation that a body names.
    async fn company(&self, body: &Value, deadline: Deadline) -> Result<Option<ErpId>, Refusal> {
        let Some(id) = body["company"].as_str() else {
            return Ok(None);
        };
        let id = ErpId {
            resource: Resource::Customer,
            id: id.to_owned(),
        };
        match self.found(&id, deadline).await {
            Ok(_) => Ok(Some(id)),
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => {
                let message = "There is no such organisation.";
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Err(Refusal {
                    field: Some("company".to_owned()),
                    ..Refusal::new(status, "unknown-company", message)
                })
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Whether this facade has made the record with this key.
    fn has_made(&self, key: &EntityRef, record: &ErpRecord) -> bool {
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        made.get(key) == Some(&record.id)
    }
}

/// Refuses bodies that do not fit their schemas.
async fn only_of_the_contract(request: Request, next: Next) -> Answer {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_BODY).await;
    let body = body.map_err(|_| Refusal::bad("The body is too large."))?;
    let contract = CONTRACT.as_ref();
    let contract = contract.map_err(|error| Refusal::bad(&error.to_string()))?;
    if let Some(operation) = contract.operation(parts.method.as_str(), parts.uri.path()) {
        let value = match body.is_empty() {
            true => Value::Null,
            false => serde_json::from_slice(&body).map_err(|_| Refusal::bad("It is no JSON."))?,
        };
        if let Some(misfit) = operation.misfits_of_request(&value).first() {
            return Err(Refusal::bad(misfit));
        }
    }
    Ok(next.run(Request::from_parts(parts, Body::from(body))).await)
}

fn stamp(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

fn shown_address(address: &Address) -> Value {
    let parts = [
        &address.care_of,
        &address.line1,
        &address.line2,
        &address.postal_code,
        &address.city,
        &address.region,
    ];
    let mut shown = Map::new();
    for (name, part) in PARTS.into_iter().zip(parts) {
        if let Some(part) = part {
            shown.insert(name.to_owned(), json!(part.expose()));
        }
    }
    if let Some(country) = address.country {
        shown.insert("country".to_owned(), json!(country.as_str()));
    }
    Value::Object(shown)
}

fn read_address(value: &Value) -> Result<Address, Refusal> {
    let [care_of, line1, line2, postal_code, city, region] =
        PARTS.map(|part| value[part].as_str().and_then(Personal::parse));
    let country = value["country"].as_str().map(str::parse::<CountryCode>);
    let country = country.transpose();
    Ok(Address {
        care_of,
        line1,
        line2,
        postal_code,
        city,
        region,
        country: country.map_err(|_| Refusal::bad("address.country is no ISO code."))?,
    })
}

fn resource(name: &str) -> Result<Resource, Refusal> {
    match name {
        "customers" => Ok(Resource::Customer),
        "contacts" => Ok(Resource::Contact),
        _ => Err(Refusal::new(
            StatusCode::NOT_FOUND,
            "unknown-resource",
            "There are customers and contacts.",
        )),
    }
}

/// Puts the fields of a body into a party; `null` and an empty text clear one.
fn read_fields(body: &Value, party: &mut Party) -> Result<(), Refusal> {
    let body = body.as_object().ok_or_else(|| Refusal::bad("No object."))?;
    for (name, value) in body {
        let text = value.as_str().and_then(Personal::parse);
        let mut emptied = |field| {
            if value.is_null() || value == "" {
                party.emptied.insert(field);
            }
        };
        match name.as_str() {
            "name" => party.name = text.ok_or_else(|| Refusal::bad("The name is empty."))?,
            "email" => {
                emptied(ShopField::Email);
                party.email = text;
            }
            "phone" => {
                emptied(ShopField::Phone);
                party.phone = text;
            }
            "mobile" => {
                emptied(ShopField::Mobile);
                party.mobile = text;
            }
            "title" => {
                emptied(ShopField::Title);
                party.title = text;
            }
            "gln" => {
                emptied(ShopField::Gln);
                party.gln = text;
            }
            "vatNumber" => {
                emptied(ShopField::VatNumber);
                party.vat_number = value.as_str().and_then(VatNumber::parse);
            }
            "organisationNumber" => {
                emptied(ShopField::OrganisationNumber);
                party.organisation_number = value.as_str().and_then(OrganisationNumber::parse);
            }
            "address" => {
                let address = read_address(value)?;
                // An address is replaced as a whole.
                for (part, field) in [
                    (
                        address.line1.is_none()
                            && address.line2.is_none()
                            && address.care_of.is_none(),
                        ShopField::AddressLines,
                    ),
                    (address.postal_code.is_none(), ShopField::PostalCode),
                    (address.city.is_none(), ShopField::City),
                    (address.region.is_none(), ShopField::Region),
                ] {
                    if part {
                        party.emptied.insert(field);
                    }
                }
                party.address = Some(address);
            }
            _ => {}
        }
    }
    Ok(())
}

/// The party that the fields of a record describe.
fn party_of(record: &ErpRecord, kind: PartyKind) -> Result<Party, Refusal> {
    let fields = record.fields.clone();
    let name = fields.name.ok_or_else(Refusal::not_found)?;
    Ok(Party {
        kind,
        name,
        email: fields.email,
        phone: fields.phone,
        mobile: fields.mobile,
        title: fields.title,
        organisation_number: fields.organisation_number,
        vat_number: fields.vat_number,
        address: fields.address,
        delivery_addresses: None,
        emptied: [].into(),
        unread: [].into(),
        gln: fields.gln.value().cloned(),
        default_country: fields.default_country,
    })
}

/// What a facade over these capabilities states.
fn stated(capabilities: &Capabilities, lacking: &[&str]) -> Value {
    let mut fields = vec![
        "name",
        "email",
        "phone",
        "mobile",
        "title",
        "vatNumber",
        "address",
    ];
    if capabilities.organisation_number {
        fields.push("organisationNumber");
    }
    if capabilities.location_numbers {
        fields.push("gln");
    }
    fields.retain(|field| !lacking.contains(field));
    let readable: Vec<&str> = capabilities
        .readable
        .iter()
        .map(FieldGroup::as_str)
        .collect();
    let mut stated = json!({
        "fields": fields,
        "readable": readable,
        "codeCase": match capabilities.code_case {
            CodeCase::Ignored => "ignored",
            CodeCase::Exact => "exact",
        },
        "conditionalUpdates": capabilities.optimistic_concurrency,
        "idempotentCreates": capabilities.creates_are_idempotent,
        "createSettlesAfterSeconds": capabilities.create_settles_after.as_secs() + WITHIN.as_secs(),
    });
    if let Some(home) = capabilities.home_country {
        stated["homeCountry"] = json!(home.as_str());
    }
    stated
}

async fn about(State(facade): State<Facade>, headers: HeaderMap) -> Answer {
    let deadline = facade.let_in(&headers)?;
    let erp = &facade.erp;
    let mut about = json!({
        "name": erp.name(),
        "time": stamp(erp.clock(deadline).await?.unwrap_or_else(Utc::now)),
        "capabilities": stated(erp.capabilities(deadline).await?, facade.lacking),
    });
    if facade.removal.is_some() {
        about["capabilities"]["deletes"] = json!(true);
    }
    if let Some(may) = erp.may_write(deadline).await? {
        about["mayWrite"] = json!(may);
    }
    Ok(Json(about).into_response())
}

async fn one(
    State(facade): State<Facade>,
    headers: HeaderMap,
    Path((of, id)): Path<(String, String)>,
) -> Answer {
    let deadline = facade.let_in(&headers)?;
    let id = ErpId {
        resource: resource(&of)?,
        id,
    };
    let record = facade.found(&id, deadline).await?;
    Ok(Json(facade.shown(&record, deadline).await?).into_response())
}

async fn page(
    State(facade): State<Facade>,
    headers: HeaderMap,
    Path(of): Path<String>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Answer {
    let deadline = facade.let_in(&headers)?;
    let since = query
        .get("since")
        .map(|since| since.parse::<DateTime<Utc>>());
    let fields = query
        .get("fields")
        .map(|fields| fields.parse::<FieldGroups>());
    let listing = Listing {
        resource: resource(&of)?,
        kind: match query.get("kind").map(String::as_str) {
            None => None,
            Some("person") => Some(EntityKind::Customer),
            Some("organisation") => Some(EntityKind::Company),
            Some(_) => return Err(Refusal::bad("kind is person or organisation.")),
        },
        since: since
            .transpose()
            .map_err(|_| Refusal::bad("since is no time."))?,
        fields: fields
            .transpose()
            .map_err(|_| Refusal::bad("fields are groups of the contract."))?
            .unwrap_or_default(),
    };
    let limit = query.get("limit").map_or(Ok(MOST_RECORDS), |it| it.parse());
    let limit = limit.ok().filter(|it| (1..=MOST_RECORDS).contains(it));
    let limit = limit.ok_or_else(|| Refusal::bad("limit is a number from 1 to 500."))?;
    let mut place = facade.place(query.get("cursor").map(String::as_str))?;
    let page = facade.erp.page(&listing, place.page.as_ref(), deadline);
    let RecordPage {
        mut records,
        mut unusable,
        next,
    } = page.await?;
    if !place.shown.is_empty() {
        unusable.clear();
    }
    records.retain(|record| !place.shown.contains(&record.id));
    let next = if records.len() > limit {
        records.truncate(limit);
        place
            .shown
            .extend(records.iter().map(|record| record.id.clone()));
        Some(place)
    } else {
        next.map(|page| Place {
            page: Some(page),
            shown: BTreeSet::new(),
        })
    };
    let mut shown = Vec::with_capacity(records.len());
    for record in &records {
        shown.push(facade.shown(record, deadline).await?);
    }
    let unusable: Vec<Value> = unusable
        .into_iter()
        .map(|row| {
            let id = row.id.map(|id| id.id);
            let (reason, message) = match row.reason {
                Unusable::NoCode => ("no-code", String::new()),
                Unusable::Unreadable(message) => ("unreadable", message),
            };
            match id {
                Some(id) => json!({ "id": id, "reason": reason, "message": message }),
                None => json!({ "reason": reason, "message": message }),
            }
        })
        .collect();
    let next = next.map(|place| facade.cursor(place));
    Ok(Json(json!({ "records": shown, "unusable": unusable, "next": next })).into_response())
}

/// The ids of the records that a search finds.
async fn holders(
    facade: &Facade,
    resource: Resource,
    search: &Value,
    deadline: Deadline,
) -> Result<Vec<ErpId>, Refusal> {
    let list = |name: &str| -> Vec<String> {
        let values = search[name].as_array().into_iter().flatten();
        values
            .filter_map(|it| it.as_str().map(str::to_owned))
            .collect()
    };
    let erp = &facade.erp;
    let mut ids: Vec<ErpId> = Vec::new();
    for id in list("ids") {
        ids.push(ErpId { resource, id });
    }
    for code in list("codes") {
        let code: Code = code.parse().map_err(|_| Refusal::bad("A code is empty."))?;
        let found = erp.find_by_code(resource, &code, deadline).await?;
        ids.extend(found.into_iter().map(|record| record.id));
    }
    let emails = list("emails").into_iter();
    let emails: Vec<NaturalKey> = emails.filter_map(|it| NaturalKey::email(&it)).collect();
    let numbers = list("numbers").into_iter();
    let numbers = numbers.filter_map(|it| NaturalKey::organisation(&it, Some(CountryCode::SE)));
    let numbers: Vec<NaturalKey> = numbers.collect();
    for (kind, keys) in [
        (EntityKind::Customer, &emails),
        (EntityKind::Company, &emails),
        (EntityKind::Company, &numbers),
    ] {
        let found = match keys.is_empty() {
            true => Vec::new(),
            false => erp.holders_of_keys(kind, keys, deadline).await?,
        };
        ids.extend(found.into_iter().map(|(_, id)| id));
    }
    ids.retain(|id| id.resource == resource);
    ids.sort();
    ids.dedup();
    Ok(ids)
}

async fn search(
    State(facade): State<Facade>,
    headers: HeaderMap,
    Json(search): Json<Value>,
) -> Answer {
    let deadline = facade.let_in(&headers)?;
    let resource = resource(search["resource"].as_str().unwrap_or_default())?;
    let mut records = Vec::new();
    for id in holders(&facade, resource, &search, deadline).await? {
        let record = match facade.found(&id, deadline).await {
            Ok(record) => record,
            Err(refusal) if refusal.status == StatusCode::NOT_FOUND => continue,
            Err(refusal) => return Err(refusal),
        };
        let shown = facade.shown(&record, deadline).await?;
        let fits = |name: &str| search[name].is_null() || search[name] == shown[name];
        if fits("kind") && fits("company") {
            records.push(shown);
        }
    }
    Ok(Json(json!({ "records": records })).into_response())
}

/// The Norce entity of an idempotency key, which this facade hands on; other facades need not read it.
fn entity(headers: &HeaderMap) -> Option<EntityRef> {
    let key = headers.get("idempotency-key")?.to_str().ok()?;
    key.parse().ok()
}

async fn create(
    State(facade): State<Facade>,
    headers: HeaderMap,
    Path(of): Path<String>,
    Json(body): Json<Value>,
) -> Answer {
    let deadline = facade.let_in(&headers)?;
    let entity = entity(&headers).ok_or_else(|| Refusal::bad("Idempotency-Key is missing."))?;
    let code = body["code"].as_str().map(str::parse::<Code>).transpose();
    let key = IdempotencyKey {
        entity,
        code: code.map_err(|_| Refusal::bad("The code cannot be one."))?,
    };
    let company = facade.company(&body, deadline).await?;
    let kind = match (resource(&of)?, body["kind"].as_str()) {
        (Resource::Contact, _) => PartyKind::Contact { company },
        (Resource::Customer, Some("organisation")) => PartyKind::Company,
        (Resource::Customer, _) => PartyKind::Person,
    };
    let name = body["name"].as_str().and_then(Personal::parse);
    let name = name.ok_or_else(|| Refusal::bad("The name is missing."))?;
    let mut party = crate::samples::party(kind, name.expose());
    (party.email, party.phone, party.address) = (None, None, None);
    read_fields(&body, &mut party)?;
    party.emptied.clear();
    let outcome = facade.erp.create(&key, &party, deadline).await?;
    let (status, record) = match outcome {
        CreateOutcome::Created(record) | CreateOutcome::Altered(record) => {
            let mut made = facade.made.lock().unwrap_or_else(PoisonError::into_inner);
            made.insert(key.entity, record.id.clone());
            (StatusCode::CREATED, record)
        }
        CreateOutcome::AlreadyThere(record) => {
            let is_idempotent = facade
                .erp
                .capabilities(deadline)
                .await?
                .creates_are_idempotent;
            // Without a requested code, only the key can have led to the record.
            let is_of_key = key.code.is_none() || facade.has_made(&key.entity, &record);
            if !is_idempotent || !is_of_key {
                let message = "Another record has this code.";
                return Err(Refusal {
                    record: Some(facade.shown(&record, deadline).await?),
                    ..Refusal::new(StatusCode::CONFLICT, "code-taken", message)
                });
            }
            (StatusCode::OK, record)
        }
        CreateOutcome::Ambiguous { reason } => {
            return Err(Refusal::new(
                StatusCode::GATEWAY_TIMEOUT,
                "unknown-outcome",
                &reason,
            ));
        }
    };
    let shown = facade.shown(&record, deadline).await?;
    Ok((status, Json(shown)).into_response())
}

async fn answer(facade: &Facade, outcome: UpdateOutcome, deadline: Deadline) -> Answer {
    match outcome {
        UpdateOutcome::Unchanged(record) | UpdateOutcome::Updated(record) => {
            Ok(Json(facade.shown(&record, deadline).await?).into_response())
        }
        UpdateOutcome::Stale => Err(Refusal::changed()),
        UpdateOutcome::Gone => Err(Refusal::not_found()),
    }
}

async fn update(
    State(facade): State<Facade>,
    headers: HeaderMap,
    Path((of, id)): Path<(String, String)>,
    Json(changes): Json<Value>,
) -> Answer {
    let deadline = facade.let_in(&headers)?;
    let id = ErpId {
        resource: resource(&of)?,
        id,
    };
    let seen = facade.found(&id, deadline).await?;
    let condition = headers.get("if-match").and_then(|it| it.to_str().ok());
    if condition != Some(seen.version.as_str()) {
        return Err(Refusal::changed());
    }
    let kind = match (id.resource, seen.organisation) {
        (Resource::Customer, true) => PartyKind::Company,
        (Resource::Customer, false) => PartyKind::Person,
        (Resource::Contact, _) => PartyKind::Contact {
            company: facade.company(&changes, deadline).await?,
        },
    };
    let mut party = party_of(&seen, kind)?;
    read_fields(&changes, &mut party)?;
    let outcome = facade.erp.update(&seen, &party, deadline).await?;
    answer(&facade, outcome, deadline).await
}

async fn block(
    State(facade): State<Facade>,
    headers: HeaderMap,
    Path((of, id)): Path<(String, String)>,
    Json(body): Json<Value>,
) -> Answer {
    let deadline = facade.let_in(&headers)?;
    let id = ErpId {
        resource: resource(&of)?,
        id,
    };
    let extent = match body["extent"].as_str() {
        Some("invoice") => Block::Invoice,
        Some("all") => Block::All,
        _ => return Err(Refusal::bad("extent is invoice or all.")),
    };
    let outcome = facade.erp.block(&id, extent, deadline).await?;
    answer(&facade, outcome, deadline).await
}

async fn remove(
    State(facade): State<Facade>,
    headers: HeaderMap,
    Path((of, id)): Path<(String, String)>,
) -> Answer {
    facade.let_in(&headers)?;
    let id = ErpId {
        resource: resource(&of)?,
        id,
    };
    let Some(removal) = &facade.removal else {
        let message = "Records are not removed.";
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            message,
        ));
    };
    removal.remove(&id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
