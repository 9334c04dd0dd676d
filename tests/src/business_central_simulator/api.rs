//! The API proper: resolves an address, and reads or writes the data there.

use chrono::{DateTime, Utc};
use http::{HeaderMap, Method, StatusCode, header};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    Entity, Refused, Settings,
    authentication::has_media_type,
    company::{Author, Company, Write},
    fields::{self, Record},
    odata_query::{CONTACTS_INFORMATION, Page, Query},
    reference_tables::ReferenceSet,
    refusals::Refusals,
};

const DEFAULT_DIMENSIONS: &str = "defaultDimensions";

/// Publisher, group and version of the merchant's own API.
pub(super) const OWN_API: [&str; 3] = ["merchant", "crm", "v1.0"];

/// Where an address leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Token {
        tenant: String,
    },
    Api {
        /// None on the common endpoint, where the token names the tenant.
        tenant: Option<String>,
        environment: String,
        resource: Resource,
        /// The id of one subscription.
        subscription: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Resource {
    Companies,
    Subscriptions,
    Company(Uuid),
    List(Uuid, Entity),
    One(Uuid, Entity, Uuid),
    ContactsInformation {
        company: Uuid,
        customer: Uuid,
    },
    FlatContactsInformation(Uuid),
    References(Uuid, ReferenceSet),
    SalesQuotes(Uuid),
    SalesQuote(Uuid, Uuid),
    /// The page of [`CompanySettings::own_page`](super::CompanySettings), and one of its records.
    OwnCustomers(Uuid, Option<Uuid>),
    DefaultDimensions {
        company: Uuid,
        customer: Uuid,
    },
    DefaultDimension {
        company: Uuid,
        customer: Uuid,
        id: Uuid,
    },
}

impl Target {
    /// Reads a decoded path.
    pub(super) fn parse(path: &str) -> Result<Self, Refused> {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let (tenant, environment, api) = match segments.as_slice() {
            [tenant, "oauth2", "v2.0", "token"] => {
                return Ok(Self::Token {
                    tenant: (*tenant).to_owned(),
                });
            }
            ["v2.0", environment, "api", api @ ..] => (None, environment, api),
            ["v2.0", tenant, environment, "api", api @ ..] => {
                (Some((*tenant).to_owned()), environment, api)
            }
            other => return Err(Refused::no_such_resource(other.last().unwrap_or(&""))),
        };
        let (resource, subscription) = match api {
            ["v2.0", "subscriptions"] => (Resource::Subscriptions, None),
            ["v2.0", one] if one.starts_with("subscriptions(") => {
                let id = one.strip_prefix("subscriptions('");
                let id = id.and_then(|rest| rest.strip_suffix("')"));
                let id = id.ok_or_else(|| Refused::bad_request("The key value is not a text."))?;
                (Resource::Subscriptions, Some(id.to_owned()))
            }
            ["v2.0", rest @ ..] => (Resource::parse(rest)?, None),
            [publisher, group, version, rest @ ..] if [*publisher, *group, *version] == OWN_API => {
                (Resource::parse_own(rest)?, None)
            }
            other => return Err(Refused::no_such_resource(other.first().unwrap_or(&""))),
        };
        Ok(Self::Api {
            tenant,
            environment: (*environment).to_owned(),
            resource,
            subscription,
        })
    }
}

impl Resource {
    fn parse(segments: &[&str]) -> Result<Self, Refused> {
        let (first, rest) = segments
            .split_first()
            .ok_or_else(|| Refused::no_such_resource(""))?;
        if *first == "companies" && rest.is_empty() {
            return Ok(Self::Companies);
        }
        let company = key("companies", first)?;
        match rest {
            [] => Ok(Self::Company(company)),
            [CONTACTS_INFORMATION] => Ok(Self::FlatContactsInformation(company)),
            ["customers"] => Ok(Self::List(company, Entity::Customers)),
            ["contacts"] => Ok(Self::List(company, Entity::Contacts)),
            ["salesQuotes"] => Ok(Self::SalesQuotes(company)),
            [one] if one.starts_with("salesQuotes(") => {
                Ok(Self::SalesQuote(company, key("salesQuotes", one)?))
            }
            [one] if one.starts_with("contacts(") => {
                Ok(Self::One(company, Entity::Contacts, key("contacts", one)?))
            }
            [one] => match ReferenceSet::named(one) {
                Some(set) => Ok(Self::References(company, set)),
                None => Ok(Self::One(
                    company,
                    Entity::Customers,
                    key("customers", one)?,
                )),
            },
            [one, CONTACTS_INFORMATION] => Ok(Self::ContactsInformation {
                company,
                customer: key("customers", one)?,
            }),
            [one, DEFAULT_DIMENSIONS] => Ok(Self::DefaultDimensions {
                company,
                customer: key("customers", one)?,
            }),
            [one, dimension] if dimension.starts_with(DEFAULT_DIMENSIONS) => {
                Ok(Self::DefaultDimension {
                    company,
                    customer: key("customers", one)?,
                    id: key(DEFAULT_DIMENSIONS, dimension)?,
                })
            }
            [.., last] => Err(Refused::no_such_resource(last)),
        }
    }

    /// Reads a path below the merchant's own API, which has one page.
    fn parse_own(segments: &[&str]) -> Result<Self, Refused> {
        match segments {
            [company, "customers"] => Ok(Self::OwnCustomers(key("companies", company)?, None)),
            [company, one] => Ok(Self::OwnCustomers(
                key("companies", company)?,
                Some(key("customers", one)?),
            )),
            other => Err(Refused::no_such_resource(other.last().unwrap_or(&""))),
        }
    }

    pub(super) fn entity(self) -> Entity {
        match self {
            Self::OwnCustomers(..) => Entity::OwnCustomers,
            Self::Companies | Self::Company(_) => Entity::Companies,
            Self::Subscriptions => Entity::Subscriptions,
            Self::List(_, entity) | Self::One(_, entity, _) => entity,
            Self::ContactsInformation { .. } | Self::FlatContactsInformation(_) => {
                Entity::ContactsInformation
            }
            Self::References(..) => Entity::References,
            Self::SalesQuotes(_) | Self::SalesQuote(..) => Entity::SalesQuotes,
            Self::DefaultDimensions { .. } | Self::DefaultDimension { .. } => {
                Entity::DefaultDimensions
            }
        }
    }

    pub(super) fn company(self) -> Option<Uuid> {
        match self {
            Self::Companies | Self::Subscriptions => None,
            Self::Company(company)
            | Self::List(company, _)
            | Self::One(company, _, _)
            | Self::ContactsInformation { company, .. }
            | Self::References(company, _)
            | Self::SalesQuotes(company)
            | Self::SalesQuote(company, _)
            | Self::OwnCustomers(company, _)
            | Self::DefaultDimensions { company, .. }
            | Self::DefaultDimension { company, .. }
            | Self::FlatContactsInformation(company) => Some(company),
        }
    }

    pub(super) fn id(self) -> Option<Uuid> {
        match self {
            Self::One(_, _, id)
            | Self::DefaultDimension { id, .. }
            | Self::OwnCustomers(_, Some(id)) => Some(id),
            _ => None,
        }
    }
}

/// The key of a segment such as `customers({id})`: a GUID without quotes.
fn key(name: &str, segment: &str) -> Result<Uuid, Refused> {
    let key = segment
        .strip_prefix(name)
        .and_then(|rest| rest.strip_prefix('(')?.strip_suffix(')'))
        .ok_or_else(|| Refused::no_such_resource(segment))?;
    Uuid::try_parse(key)
        .ok()
        .filter(|_| key.len() == uuid::fmt::Hyphenated::LENGTH)
        .ok_or_else(|| Refused::bad_request("The key value is not a GUID."))
}

/// A request to the API, authenticated.
pub(super) struct ApiRequest<'a> {
    pub(super) resource: Resource,
    pub(super) method: &'a Method,
    pub(super) headers: &'a HeaderMap,
    pub(super) query: Option<&'a str>,
    pub(super) body: &'a [u8],
    /// Scheme, host and path as the client wrote them, for links.
    pub(super) url: String,
    pub(super) now: DateTime<Utc>,
}

/// A successful answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Option<Value>,
}

impl Answer {
    fn ok(body: Value) -> Self {
        Self {
            status: StatusCode::OK,
            body: Some(body),
        }
    }
}

impl ApiRequest<'_> {
    /// Carries the request out.
    pub(super) fn carry_out(
        &self,
        companies: &mut [Company],
        settings: &Settings,
        refusals: &Refusals,
    ) -> Result<Answer, Refused> {
        if self.resource == Resource::Companies {
            self.only(&[Method::GET])?;
            let records: Vec<Record> = companies.iter().map(company_record).collect();
            return self.list(fields::COMPANY, &records, settings);
        }
        let company = companies
            .iter_mut()
            .find(|company| Some(company.settings.id) == self.resource.company())
            .ok_or_else(Refused::company_not_found)?;
        let write = Write {
            now: self.now,
            author: Author::Api {
                same_key_status: settings.same_key_status,
            },
            refusals,
        };
        let read_replica = self
            .headers
            .get("data-access-intent")
            .is_some_and(|intent| intent.as_bytes().eq_ignore_ascii_case(b"readonly"));
        if self.method != Method::GET && read_replica {
            return Err(Refused::bad_request(
                "A read-only data access intent does not allow writes.",
            ));
        }
        match self.resource {
            Resource::Companies | Resource::Subscriptions => Err(Refused::company_not_found()),
            Resource::Company(_) => {
                self.only(&[Method::GET])?;
                let query = Query::of_single(self.query, fields::COMPANY)?;
                Ok(Answer::ok(company_record(company).to_json(query.select)))
            }
            Resource::FlatContactsInformation(_) => {
                self.only(&[Method::GET])?;
                Err(Refused::dialog("You must specify a parent ID."))
            }
            Resource::ContactsInformation { customer, .. } => {
                self.only(&[Method::GET])?;
                let records = company.contacts_information(customer)?;
                self.list(fields::CONTACT_INFORMATION, &records, settings)
            }
            Resource::SalesQuotes(_) => {
                self.only(&[Method::POST])?;
                let quote = company.quote(self.json()?)?;
                Ok(Answer {
                    status: StatusCode::CREATED,
                    body: Some(quote),
                })
            }
            Resource::SalesQuote(_, id) => {
                self.only(&[Method::DELETE])?;
                if !self.headers.contains_key(header::IF_MATCH) {
                    return Err(Refused::invalid_etag("The If-Match header is required."));
                }
                company.delete_quote(id)?;
                Ok(Answer {
                    status: StatusCode::NO_CONTENT,
                    body: None,
                })
            }
            Resource::OwnCustomers(_, id) => self.own_customers(id, company, settings),
            Resource::References(_, set) => self.reference_set(set, company, settings),
            Resource::DefaultDimensions { customer, .. } => {
                self.default_dimensions(customer, company, settings, &write)
            }
            Resource::DefaultDimension { customer, id, .. } => {
                self.default_dimension(customer, id, company, &write)
            }
            Resource::List(_, entity) if self.method == Method::POST => {
                let changes = fields::read_changes(fields::of_page(entity)?, self.json()?)?;
                let query = self.single(entity)?;
                let id = company.insert(entity, changes, &write)?;
                let mut answer = self.one(company, entity, id, &query)?;
                answer.status = StatusCode::CREATED;
                Ok(answer)
            }
            Resource::List(_, entity) => {
                self.only(&[Method::GET, Method::POST])?;
                let table = company.table(entity)?;
                let fields = fields::of_page(entity)?;
                let query = Query::of_list(self.query, self.headers, fields, settings)?;
                self.page(&query, query.page_of(table), Some(company))
            }
            Resource::One(_, entity, id) => {
                self.only(&[Method::GET, Method::PATCH, Method::DELETE])?;
                match *self.method {
                    Method::PATCH => {
                        self.check_etag(company.table(entity)?.get(id), true)?;
                        let changes = fields::read_changes(fields::of_page(entity)?, self.json()?)?;
                        let query = self.single(entity)?;
                        company.modify(entity, id, changes, &write)?;
                        self.one(company, entity, id, &query)
                    }
                    Method::DELETE => {
                        self.check_etag(company.table(entity)?.get(id), false)?;
                        company.delete(entity, id)?;
                        Ok(Answer {
                            status: StatusCode::NO_CONTENT,
                            body: None,
                        })
                    }
                    _ => self.one(company, entity, id, &self.single(entity)?),
                }
            }
        }
    }

    pub(super) fn only(&self, methods: &[Method]) -> Result<(), Refused> {
        if methods.contains(self.method) {
            Ok(())
        } else {
            Err(Refused::method_not_allowed())
        }
    }

    pub(super) fn json(&self) -> Result<&[u8], Refused> {
        if has_media_type(self.headers, "application/json") {
            Ok(self.body)
        } else {
            Err(Refused::status(StatusCode::UNSUPPORTED_MEDIA_TYPE))
        }
    }

    /// `If-Match`, before the record is looked for: a header that cannot be read is wrong for every record.
    pub(super) fn check_etag(
        &self,
        record: Result<&Record, Refused>,
        required: bool,
    ) -> Result<(), Refused> {
        let etag = match self.headers.get(header::IF_MATCH) {
            None if required => {
                return Err(Refused::invalid_etag("The If-Match header is required."));
            }
            None => return record.map(|_| ()),
            Some(etag) => etag.to_str().unwrap_or_default(),
        };
        let well_formed = etag == "*"
            || etag
                .strip_prefix("W/\"JzIw")
                .and_then(|rest| rest.strip_suffix("MDsn\""))
                .is_some_and(|revision| revision.bytes().all(|byte| byte.is_ascii_digit()));
        if !well_formed {
            return Err(Refused::invalid_etag("The etag is not valid."));
        }
        let record = record?;
        if etag == "*" || etag == record.etag() {
            Ok(())
        } else {
            Err(Refused::entity_changed())
        }
    }

    /// The query of a single record. Of a write it is read first: what cannot be answered is not carried out.
    fn single(&self, entity: Entity) -> Result<Query, Refused> {
        Query::of_single(self.query, fields::of_page(entity)?)
    }

    /// The merchant's own page: it reads only, and its etags are not those of the standard page.
    fn own_customers(
        &self,
        id: Option<Uuid>,
        company: &Company,
        settings: &Settings,
    ) -> Result<Answer, Refused> {
        if !company.settings.own_page {
            return Err(Refused::no_such_resource("customers"));
        }
        self.only(&[Method::GET])?;
        let fields = fields::EXTENDED_CUSTOMER.as_slice();
        let mut answer = match id {
            Some(id) => {
                let query = Query::of_single(self.query, fields)?;
                if company.settings.hidden_from_own_page.contains(&id) {
                    return Err(Refused::record_not_found());
                }
                self.one(company, Entity::Customers, id, &query)?
            }
            None => {
                let query = Query::of_list(self.query, self.headers, fields, settings)?;
                let mut page = query.page_of(&company.customers);
                let hidden = &company.settings.hidden_from_own_page;
                page.records.retain(|record| !hidden.contains(&record.id()));
                self.page(&query, page, Some(company))?
            }
        };
        if let Some(body) = &mut answer.body {
            let rows = match body["value"].as_array_mut() {
                Some(rows) => rows.iter_mut().collect(),
                None => vec![body],
            };
            for row in rows {
                let etag = row["@odata.etag"].as_str().unwrap_or_default();
                row["@odata.etag"] = json!(etag.replace("MDsn", "MTsn"));
            }
        }
        Ok(answer)
    }

    fn one(
        &self,
        company: &Company,
        entity: Entity,
        id: Uuid,
        query: &Query,
    ) -> Result<Answer, Refused> {
        let mut body = row(company.table(entity)?.get(id)?, query, Some(company))?;
        body["@odata.context"] = json!(format!("{}#$entity", self.context()));
        Ok(Answer::ok(body))
    }

    pub(super) fn list(
        &self,
        fields: &'static [fields::Field],
        records: &[Record],
        settings: &Settings,
    ) -> Result<Answer, Refused> {
        let query = Query::of_list(self.query, self.headers, fields, settings)?;
        self.page(&query, query.page(records.iter()), None)
    }

    fn page(
        &self,
        query: &Query,
        page: Page<'_>,
        company: Option<&Company>,
    ) -> Result<Answer, Refused> {
        let rows: Vec<Value> = page
            .records
            .into_iter()
            .map(|record| row(record, query, company))
            .collect::<Result<_, _>>()?;
        let mut body = json!({"@odata.context": self.context(), "value": rows});
        if let Some(next) = page.next {
            body["@odata.nextLink"] = json!(format!("{}?{next}", self.url));
        }
        Ok(Answer::ok(body))
    }

    fn context(&self) -> String {
        match self.url.split_once("/api/v2.0/") {
            Some((root, resource)) => format!("{root}/api/v2.0/$metadata#{resource}"),
            None => self.url.clone(),
        }
    }
}

fn row(record: &Record, query: &Query, company: Option<&Company>) -> Result<Value, Refused> {
    let mut row = record.to_json(query.select.iter().copied());
    if query.expand_contacts
        && let Some(company) = company
    {
        let contacts: Vec<Value> = company
            .contacts_information(record.id())?
            .iter()
            .map(|contact| contact.to_json(fields::CONTACT_INFORMATION))
            .collect();
        row[CONTACTS_INFORMATION] = json!(contacts);
    }
    Ok(row)
}

fn company_record(company: &Company) -> Record {
    let mut record = Record::empty(fields::COMPANY);
    record.set("id", json!(company.settings.id));
    record.set("name", company.settings.name.as_str());
    record.set("displayName", company.settings.name.as_str());
    record
}
