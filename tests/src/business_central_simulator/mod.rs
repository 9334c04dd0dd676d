//! A strict simulator of Microsoft Dynamics 365 Business Central, API v2.0: `companies`, `customers`, `contacts` and
//! `contactsInformation`, with Entra's token endpoint in front (erp-apis §1).
//!
//! It refuses what the real server refuses, has the side effects that the real server has, and answers 501 to what
//! the real server can do and it cannot, instead of pretending. It shares no type with the product's client.
//!
//! It runs in the same process, as a [`Router`] on tokio's clock, or on a loopback port, and is steered through
//! [`BusinessCentralSimulator`], which is cheap to clone:
//!
//! ```
//! # use tests::business_central_simulator::{BusinessCentralSimulator, Entity, Fault, Settings};
//! # use http::{Method, StatusCode};
//! let simulator = BusinessCentralSimulator::new(Settings::default());
//! let company = simulator.companies()[0];
//! simulator.inject(Fault::status(StatusCode::SERVICE_UNAVAILABLE).on(Method::POST, Entity::Customers).times(2));
//! assert!(simulator.customers(company).is_empty());
//! ```

mod api;
mod authentication;
mod clock;
mod company;
mod contacts;
mod customers;
mod duplicates;
mod error;
mod faults;
mod fields;
mod limits;
mod number_series;
mod odata_filter;
mod odata_query;
mod reference_tables;
mod refusals;
mod request_log;
mod sales;
mod server;
mod settings;
mod subscriptions;
mod validation;

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    response::{Html, IntoResponse, Response},
    routing::any,
};
use chrono::{DateTime, Utc};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts};
use serde::de::DeserializeOwned;
use serde_json::Value;
use uuid::Uuid;

use self::{
    api::{ApiRequest, Resource, Target},
    authentication::Tokens,
    company::{Author, Company, Table, Write},
    faults::{Faults, Plan},
    limits::Limits,
    refusals::Refusals,
    subscriptions::Subscriptions,
};
pub use self::{
    clock::Clock,
    contacts::ContactRecord,
    customers::CustomerRecord,
    duplicates::Duplicate,
    error::Refused,
    faults::{Fault, LostAnswer},
    limits::Load,
    number_series::NumberSeries,
    reference_tables::{ReferenceRow, ReferenceTables},
    refusals::Candidate,
    request_log::{LoggedWrite, RequestLog},
    sales::{Business, CustomerTemplate},
    server::Server,
    settings::{
        Application, ApplicationAccess, CompanySettings, Country, EmailChains, PostCode, Settings,
        TaxNumberFilter,
    },
    subscriptions::{GATHERING, NotificationSink, SubscriptionRecord},
};

/// Marks an answer that never reaches the client. A transport in the same process turns it into a lost answer; on a
/// port the connection is closed instead.
pub const ANSWER_LOST: HeaderName = HeaderName::from_static("x-simulator-answer-lost");

/// The server takes 350 MB (erp-apis §1.8); a test that sends more than this has gone astray.
const LARGEST_BODY: usize = 16 * 1024 * 1024;

/// The entity of a request, for faults and counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entity {
    /// The token endpoint.
    Token,
    /// `companies`.
    Companies,
    /// `customers`.
    Customers,
    /// `customers` of the merchant's own API.
    OwnCustomers,
    /// `contacts`.
    Contacts,
    /// `contactsInformation`.
    ContactsInformation,
    /// `salesQuotes`.
    SalesQuotes,
    /// `paymentTerms`, `companyInformation` and the other sets that are only read.
    References,
    /// `defaultDimensions`.
    DefaultDimensions,
    /// `subscriptions`.
    Subscriptions,
}

/// The simulator, by a handle that is cheap to clone.
#[derive(Debug, Clone)]
pub struct BusinessCentralSimulator(Arc<Mutex<Environment>>);

#[derive(Debug)]
struct Environment {
    settings: Settings,
    companies: Vec<Company>,
    tokens: Tokens,
    limits: Limits,
    faults: Faults,
    refusals: Refusals,
    requests: RequestLog,
    subscriptions: Subscriptions,
}

impl BusinessCentralSimulator {
    /// An environment with empty companies.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(Mutex::new(Environment {
            companies: settings
                .companies
                .iter()
                .cloned()
                .map(Company::new)
                .collect(),
            settings,
            tokens: Tokens::default(),
            limits: Limits::default(),
            faults: Faults::default(),
            refusals: Refusals::default(),
            requests: RequestLog::default(),
            subscriptions: Subscriptions::default(),
        })))
    }

    /// The server as a service, to be called in-process.
    pub fn router(&self) -> Router {
        Router::new()
            .route("/{*path}", any(serve_request))
            .with_state(self.clone())
    }

    /// The server on a loopback port of the system's choice.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn serve(&self) -> io::Result<Server> {
        self.serve_on(0).await
    }

    /// The server on this loopback port.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn serve_on(&self, port: u16) -> io::Result<Server> {
        Server::start(self.router(), port).await
    }

    /// The API root under a base URL such as [`Server::base_url`].
    pub fn api_root(&self, base_url: &str) -> String {
        let environment = self.lock();
        let settings = &environment.settings;
        format!(
            "{base_url}/v2.0/{}/{}/api/v2.0",
            settings.tenant, settings.environment
        )
    }

    /// The root of the merchant's own API under a base URL such as [`Server::base_url`].
    pub fn own_api_root(&self, base_url: &str) -> String {
        let root = self.api_root(base_url);
        let environment = root.trim_end_matches("v2.0");
        format!("{environment}{}", api::OWN_API.join("/"))
    }

    /// The token endpoint under a base URL such as [`Server::base_url`].
    pub fn token_url(&self, base_url: &str) -> String {
        format!(
            "{base_url}/{}/oauth2/v2.0/token",
            self.lock().settings.tenant
        )
    }

    /// The ids of the companies, in the order of the settings.
    pub fn companies(&self) -> Vec<Uuid> {
        self.lock()
            .companies
            .iter()
            .map(|company| company.settings.id)
            .collect()
    }

    /// Changes the environment's settings while it runs. For the companies use
    /// [`configure_company`](Self::configure_company); the number of concurrent requests stays as it is for an
    /// application that has been here.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.lock().settings);
    }

    /// Changes the settings of a company while it runs.
    ///
    /// # Errors
    /// When there is no such company.
    pub fn configure_company(
        &self,
        company: Uuid,
        change: impl FnOnce(&mut CompanySettings),
    ) -> Result<(), Refused> {
        change(&mut self.lock().company(company)?.settings);
        Ok(())
    }

    /// Switches a fault on.
    pub fn inject(&self, fault: Fault) {
        self.lock().faults.add(fault);
    }

    /// Switches all faults off.
    pub fn clear_faults(&self) {
        self.lock().faults.clear();
    }

    /// Makes the ERP refuse the records for which the rule says so.
    pub fn refuse_where(&self, rule: impl Fn(&Candidate) -> bool + Send + Sync + 'static) {
        self.lock().refusals.add(rule);
    }

    /// Drops all rules of [`refuse_where`](Self::refuse_where).
    pub fn refuse_nothing(&self) {
        self.lock().refusals.clear();
    }

    /// Makes every token that was issued invalid.
    pub fn revoke_tokens(&self) {
        self.lock().tokens.revoke_all();
    }

    /// The requests so far.
    pub fn requests(&self) -> RequestLog {
        self.lock().requests.clone()
    }

    /// Empties the log of requests.
    pub fn forget_requests(&self) {
        self.lock().requests = RequestLog::default();
    }

    /// The load of an application.
    pub fn load(&self, client_id: &str) -> Load {
        self.lock().limits.load(client_id)
    }

    /// All customers of a company, by number.
    pub fn customers(&self, company: Uuid) -> Vec<CustomerRecord> {
        self.lock()
            .company(company)
            .map(|company| snapshot(&company.customers))
            .unwrap_or_default()
    }

    /// The default dimensions of a customer: codes, and the codes of their values.
    pub fn dimensions(&self, company: Uuid, customer: Uuid) -> Vec<(String, String)> {
        self.lock()
            .company(company)
            .map(|company| company.dimension_codes(customer))
            .unwrap_or_default()
    }

    /// All contacts of a company, by number.
    pub fn contacts(&self, company: Uuid) -> Vec<ContactRecord> {
        self.lock()
            .company(company)
            .map(|company| snapshot(&company.contacts))
            .unwrap_or_default()
    }

    /// Records of one company that share a name, an e-mail address or a VAT number.
    pub fn duplicates(&self, company: Uuid) -> Vec<Duplicate> {
        self.lock()
            .company(company)
            .map(|company| duplicates::find(company))
            .unwrap_or_default()
    }

    /// A person in the ERP creates a customer with these properties. The business rules hold, but any number goes.
    ///
    /// # Errors
    /// The ERP's refusal.
    pub fn add_customer(
        &self,
        company: Uuid,
        properties: &Value,
    ) -> Result<CustomerRecord, Refused> {
        self.add(company, Entity::Customers, properties)
    }

    /// A person in the ERP creates customers with these properties in one transaction that began earlier and ends now:
    /// they were invisible until then, and are stamped with the time of its beginning (erp-apis §0, headline 6).
    ///
    /// # Errors
    /// The ERP's refusal; the records before it exist.
    pub fn add_customers_late(
        &self,
        company: Uuid,
        began: DateTime<Utc>,
        customers: &[Value],
    ) -> Result<(), Refused> {
        self.lock().by_hand_at(began, company, |company, write| {
            for properties in customers {
                let changes = fields::read_changes(
                    company.table(Entity::Customers)?.fields,
                    properties.to_string().as_bytes(),
                )?;
                company.insert(Entity::Customers, changes, write)?;
            }
            Ok(())
        })
    }

    /// A person in the ERP creates a contact with these properties. The business rules hold, but any number goes.
    ///
    /// # Errors
    /// The ERP's refusal.
    pub fn add_contact(&self, company: Uuid, properties: &Value) -> Result<ContactRecord, Refused> {
        self.add(company, Entity::Contacts, properties)
    }

    /// A person in the ERP changes a customer.
    ///
    /// # Errors
    /// The ERP's refusal.
    pub fn edit_customer(
        &self,
        company: Uuid,
        id: Uuid,
        properties: &Value,
    ) -> Result<CustomerRecord, Refused> {
        self.edit(company, Entity::Customers, id, properties)
    }

    /// A person in the ERP changes a contact.
    ///
    /// # Errors
    /// The ERP's refusal.
    pub fn edit_contact(
        &self,
        company: Uuid,
        id: Uuid,
        properties: &Value,
    ) -> Result<ContactRecord, Refused> {
        self.edit(company, Entity::Contacts, id, properties)
    }

    /// A person in the ERP changes the number of a customer.
    ///
    /// # Errors
    /// When the number is taken.
    pub fn rename_customer(
        &self,
        company: Uuid,
        id: Uuid,
        number: &str,
    ) -> Result<CustomerRecord, Refused> {
        self.edit_customer(company, id, &serde_json::json!({"number": number}))
    }

    /// A person in the ERP sets "Privacy Blocked" on a customer.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn block_for_privacy(&self, company: Uuid, id: Uuid) -> Result<(), Refused> {
        self.lock().by_hand(company, |company, write| {
            company.block_for_privacy(id, write)
        })
    }

    /// A person in the ERP does business with a customer, such as entering an order.
    ///
    /// # Errors
    /// The ERP's refusal: a posting group is missing, or the customer is blocked for it.
    pub fn do_business(
        &self,
        company: Uuid,
        customer: Uuid,
        business: Business,
    ) -> Result<(), Refused> {
        self.lock()
            .company(company)?
            .do_business(customer, business)
    }

    /// A person in the ERP adds a vendor with a company contact and a person who works there; returns the person. A vendor is
    /// no customer, and both contacts are among all others.
    ///
    /// # Errors
    /// The ERP's refusal.
    pub fn add_vendor_person(
        &self,
        company: Uuid,
        vendor: &str,
        person: &Value,
    ) -> Result<ContactRecord, Refused> {
        let organisation = serde_json::json!({ "type": "Company", "displayName": vendor });
        let organisation = self.add_contact(company, &organisation)?;
        let added = self.add_contact(
            company,
            &serde_json::json!({
                "type": "Person",
                "displayName": person["displayName"],
                "companyNumber": organisation.number,
                "email": person["email"],
            }),
        )?;
        self.lock().by_hand(company, |company, _| {
            for id in [organisation.id, added.id] {
                company.set_business_relation(id, "Vendor")?;
            }
            Ok(())
        })?;
        Ok(added)
    }

    /// A person in the ERP deletes a customer.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn delete_customer(&self, company: Uuid, id: Uuid) -> Result<(), Refused> {
        self.lock()
            .by_hand(company, |company, _| company.delete(Entity::Customers, id))
    }

    /// The contacts of a customer: the one that stands for it, and the people of an organisation.
    ///
    /// # Errors
    /// When there is no such customer.
    pub fn contacts_of(&self, company: Uuid, customer: Uuid) -> Result<Vec<Uuid>, Refused> {
        let mut state = self.lock();
        let contacts = state.company(company)?.contacts_information(customer)?;
        let ids = contacts
            .iter()
            .map(|row| typed(row.value("contactId").clone()));
        Ok(ids.collect())
    }

    /// A person in the ERP deletes a contact.
    ///
    /// # Errors
    /// When there is no such contact.
    pub fn delete_contact(&self, company: Uuid, id: Uuid) -> Result<(), Refused> {
        self.lock()
            .by_hand(company, |company, _| company.delete(Entity::Contacts, id))
    }

    fn add<T: DeserializeOwned>(
        &self,
        company: Uuid,
        entity: Entity,
        properties: &Value,
    ) -> Result<T, Refused> {
        self.lock().by_hand(company, |company, write| {
            let changes = fields::read_changes(
                company.table(entity)?.fields,
                properties.to_string().as_bytes(),
            )?;
            let id = company.insert(entity, changes.type_first(), write)?;
            let table = company.table(entity)?;
            Ok(typed(table.get(id)?.to_json(table.fields)))
        })
    }

    fn edit<T: DeserializeOwned>(
        &self,
        company: Uuid,
        entity: Entity,
        id: Uuid,
        properties: &Value,
    ) -> Result<T, Refused> {
        self.lock().by_hand(company, |company, write| {
            let changes = fields::read_changes(
                company.table(entity)?.fields,
                properties.to_string().as_bytes(),
            )?;
            company.modify(entity, id, changes.type_first(), write)?;
            let table = company.table(entity)?;
            Ok(typed(table.get(id)?.to_json(table.fields)))
        })
    }

    fn lock(&self) -> MutexGuard<'_, Environment> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Environment {
    fn company(&mut self, id: Uuid) -> Result<&mut Company, Refused> {
        self.companies
            .iter_mut()
            .find(|company| company.settings.id == id)
            .ok_or_else(Refused::company_not_found)
    }

    fn by_hand<T>(
        &mut self,
        id: Uuid,
        work: impl FnOnce(&mut Company, &Write<'_>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        self.by_hand_at(self.settings.clock.now(), id, work)
    }

    fn by_hand_at<T>(
        &mut self,
        now: DateTime<Utc>,
        id: Uuid,
        work: impl FnOnce(&mut Company, &Write<'_>) -> Result<T, Refused>,
    ) -> Result<T, Refused> {
        let write = Write {
            now,
            author: Author::Person,
            refusals: &self.refusals,
        };
        let company = self
            .companies
            .iter_mut()
            .find(|company| company.settings.id == id)
            .ok_or_else(Refused::company_not_found)?;
        let done = work(company, &write);
        self.gather_changes();
        done
    }
}

fn snapshot<T: DeserializeOwned>(table: &Table) -> Vec<T> {
    table
        .iter()
        .map(|record| typed(record.to_json(table.fields)))
        .collect()
}

#[expect(
    clippy::expect_used,
    reason = "every record has every property; anything else is a fault of the simulator that a test must see"
)]
fn typed<T: DeserializeOwned>(record: Value) -> T {
    serde_json::from_value(record).expect("a record has all properties of its entity")
}

/// A task of its own: a server finishes a request even when the client disconnects.
async fn serve_request(
    State(simulator): State<BusinessCentralSimulator>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return Refused::status(StatusCode::PAYLOAD_TOO_LARGE).into_response();
    };
    let clock = simulator.clone();
    let work = tokio::spawn(async move { simulator.handle(&path, &parts, &body).await });
    let mut response = work
        .await
        .unwrap_or_else(|_| Refused::status(StatusCode::INTERNAL_SERVER_ERROR).into_response());
    // Every HTTP server says what time it is there (RFC 9110 §6.6.1).
    let now = clock.lock().settings.clock.now();
    let date = now.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    if let Ok(date) = date.parse() {
        response.headers_mut().insert(http::header::DATE, date);
    }
    response
}

impl BusinessCentralSimulator {
    async fn handle(&self, path: &str, parts: &Parts, body: &Bytes) -> Response {
        match Target::parse(path) {
            Err(refused) => refused.into_response(),
            Ok(Target::Token { tenant }) => self.handle_token(&tenant, parts, body).await,
            Ok(Target::Api {
                tenant,
                environment,
                resource,
                subscription,
            }) => {
                let admitted = self.admit(tenant.as_deref(), &environment, resource, parts);
                match admitted {
                    Err(response) => *response,
                    Ok((client_id, slots)) => {
                        let wait = self.lock().settings.queue_wait;
                        let response = match tokio::time::timeout(wait, slots.acquire()).await {
                            Ok(_slot) if resource == Resource::Subscriptions => {
                                let id = subscription.as_deref();
                                self.handle_subscriptions(id, parts, body).await
                            }
                            Ok(_slot) => self.handle_api(resource, parts, body).await,
                            Err(_) => {
                                Refused::status(StatusCode::SERVICE_UNAVAILABLE).into_response()
                            }
                        };
                        self.lock().limits.leave(&client_id);
                        response
                    }
                }
            }
        }
    }

    async fn handle_token(&self, tenant: &str, parts: &Parts, body: &Bytes) -> Response {
        let plan = self.plan(&parts.method, Entity::Token, None);
        tokio::time::sleep(plan.work_late).await;
        let response = if let Some(refusal) = &plan.refuse {
            refuse(refusal)
        } else if parts.method == Method::POST {
            let mut environment = self.lock();
            let Environment {
                tokens, settings, ..
            } = &mut *environment;
            tokens
                .issue(tenant, &parts.headers, body, settings)
                .unwrap_or_else(IntoResponse::into_response)
        } else {
            StatusCode::METHOD_NOT_ALLOWED.into_response()
        };
        deliver(response, &plan).await
    }

    /// Authentication and limits. The refusal is boxed because a response is large.
    fn admit(
        &self,
        tenant: Option<&str>,
        environment_name: &str,
        resource: Resource,
        parts: &Parts,
    ) -> Result<(String, Arc<tokio::sync::Semaphore>), Box<Response>> {
        let mut environment = self.lock();
        let Environment {
            settings,
            tokens,
            limits,
            requests,
            ..
        } = &mut *environment;
        requests.add(&parts.method, resource.entity());
        let client_id = tokens
            .check(tenant, &parts.headers, settings)
            .map_err(|refused| Box::new(refused.into_response()))?;
        if environment_name != settings.environment {
            return Err(Box::new(
                Refused::no_such_resource(environment_name).into_response(),
            ));
        }
        match limits.enter(&client_id, settings) {
            Ok(slots) => Ok((client_id, slots)),
            Err(limits::TooMany) => Err(Box::new(with_retry_after(
                Refused::status(StatusCode::TOO_MANY_REQUESTS).into_response(),
                settings.retry_after_when_throttled,
            ))),
        }
    }

    async fn handle_api(&self, resource: Resource, parts: &Parts, body: &Bytes) -> Response {
        let plan = self.plan(&parts.method, resource.entity(), resource.company());
        tokio::time::sleep(plan.work_late).await;
        let response = match &plan.refuse {
            Some(refusal) => {
                self.log_write(resource, &parts.method, body, refusal.status, None);
                refuse(refusal)
            }
            None => self.carry_out(resource, parts, body),
        };
        deliver(response, &plan).await
    }

    fn carry_out(&self, resource: Resource, parts: &Parts, body: &Bytes) -> Response {
        let outcome = {
            let mut environment = self.lock();
            let Environment {
                settings,
                companies,
                refusals,
                ..
            } = &mut *environment;
            let request = ApiRequest {
                resource,
                method: &parts.method,
                headers: &parts.headers,
                query: parts.uri.query(),
                body,
                url: url_of(parts, settings),
                now: settings.clock.now(),
            };
            let outcome = request.carry_out(companies, settings, refusals);
            environment.gather_changes();
            outcome
        };
        let made = match (&outcome, &parts.method) {
            (Ok(answer), &Method::POST) => answer.body.as_ref().and_then(id_of),
            _ => None,
        };
        let response = match outcome {
            Ok(answer) => match answer.body {
                Some(body) => (answer.status, Json(body)).into_response(),
                None => answer.status.into_response(),
            },
            Err(refused) => refused.into_response(),
        };
        self.log_write(resource, &parts.method, body, response.status(), made);
        response
    }

    fn plan(&self, method: &Method, entity: Entity, company: Option<Uuid>) -> Plan {
        let mut environment = self.lock();
        if entity == Entity::Token {
            environment.requests.add(method, entity);
        }
        environment.faults.plan(method, entity, company)
    }

    fn log_write(
        &self,
        resource: Resource,
        method: &Method,
        body: &Bytes,
        status: StatusCode,
        made: Option<Uuid>,
    ) {
        if method == Method::GET {
            return;
        }
        let mut environment = self.lock();
        let at = environment.settings.clock.now();
        environment.requests.writes.push(LoggedWrite {
            at,
            method: method.clone(),
            entity: resource.entity(),
            company: resource.company(),
            id: resource.id(),
            made,
            body: serde_json::from_slice(body).unwrap_or_default(),
            status,
        });
    }
}

/// The id of the record in an answer.
fn id_of(record: &Value) -> Option<Uuid> {
    record.get("id")?.as_str()?.parse().ok()
}

/// The address as the client wrote it: absolute in-process, from the `Host` header on a port.
fn url_of(parts: &Parts, settings: &Settings) -> String {
    let origin = settings.next_link_origin.clone().unwrap_or_else(|| {
        let host = |headers: &HeaderMap| {
            let host = headers.get(header::HOST)?.to_str().ok()?;
            Some(host.to_owned())
        };
        let authority = parts
            .uri
            .authority()
            .map(ToString::to_string)
            .or_else(|| host(&parts.headers))
            .unwrap_or_else(|| "localhost".to_owned());
        format!("{}://{authority}", parts.uri.scheme_str().unwrap_or("http"))
    });
    format!("{origin}{}", parts.uri.path())
}

fn refuse(refusal: &faults::Refusal) -> Response {
    let response = if refusal.html {
        page(refusal.status)
    } else {
        Refused::status(refusal.status).into_response()
    };
    with_retry_after(response, refusal.retry_after)
}

fn page(status: StatusCode) -> Response {
    let page = format!("<html><body><h1>{status}</h1></body></html>");
    (status, Html(page)).into_response()
}

fn with_retry_after(mut response: Response, wait: Option<std::time::Duration>) -> Response {
    if let Some(wait) = wait {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    }
    response
}

/// Sends the answer on its way, which may be long or lead nowhere.
async fn deliver(response: Response, plan: &Plan) -> Response {
    tokio::time::sleep(plan.answer_late).await;
    match plan.lose {
        None => response,
        Some(LostAnswer::GatewayTimeout) => {
            Refused::status(StatusCode::GATEWAY_TIMEOUT).into_response()
        }
        Some(LostAnswer::BadGatewayPage) => page(StatusCode::BAD_GATEWAY),
        Some(LostAnswer::ConnectionClosed) => {
            (StatusCode::BAD_GATEWAY, [(ANSWER_LOST, "1")]).into_response()
        }
        Some(LostAnswer::TruncatedBody) => {
            let (mut parts, body) = response.into_parts();
            let whole = to_bytes(body, usize::MAX).await.unwrap_or_default();
            parts.headers.remove(header::CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(whole.slice(..whole.len() / 2)))
        }
    }
}
