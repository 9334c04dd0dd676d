//! A real Tryton behind the facade of the HTTP contract, with a front before the facade. The day reads records with Tryton's own
//! models, without the front, the facade or the integration's adapter.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{ByHand, Details, Erp, Record, Register, Remote, Role, Write};
use crate::{
    front::Front,
    sandbox::{SandboxError, io_error, progress, shop::COUNTRY},
    tryton::{BehindFront, KEY, Options, Tryton},
};

/// The page size of the facade, small enough for listings of several pages.
const PAGE_SIZE: usize = 50;
/// The most parties that one command adds.
const PEOPLE_AT_ONCE: usize = 500;
/// The facade's message for a rule that it does not know. Tryton's own message would contain the value.
const REFUSAL: &str = "Tryton refuses the value";
/// Tryton's types of organisation numbers.
const ORGANISATION_NUMBERS: [&str; 4] = ["se_orgnr", "no_orgnr", "dk_vat", "fi_ytunnus"];
/// The companies of two applications: parties of Tryton belong to the whole database, so that each has one.
const TWO_COMPANIES: [&str; 2] = ["shop", "outlet"];

/// Tryton for a shop with one application, which names no company, or for one with two.
pub(super) struct RealTryton {
    /// In the order of `companies`.
    databases: Vec<Tryton>,
    companies: Vec<String>,
    front: Front,
}

fn failed(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Day(error.to_string())
}

fn record(party: &Value) -> Record {
    let text = |field: &str| party[field].as_str().unwrap_or_default().to_owned();
    let company = party["norce_company"].as_i64();
    Record {
        id: party["id"].to_string(),
        code: text("code"),
        version: text("stamp"),
        role: match (text("norce_kind").as_str(), company) {
            (_, Some(_)) => Role::Contact,
            ("organisation", None) => Role::Company,
            (_, None) => Role::Customer,
        },
        company: company.map(|id| id.to_string()).unwrap_or_default(),
        vat_number: ORGANISATION_NUMBERS.map(text).concat(),
        details: Details {
            name: text("name"),
            email: text("email"),
            phone: text("phone"),
            street: text("street"),
            postal_code: text("postal_code"),
            city: text("city"),
            country: text("country"),
        },
    }
}

/// The values of a new party. Empty values are left out, because Tryton would store a row for each.
fn party(person: &ByHand) -> Value {
    let details = &person.details;
    let values = [
        ("code", person.code.as_ref()),
        ("name", Some(&details.name)),
        ("email", Some(&details.email)),
        ("phone", Some(&details.phone)),
        ("street", Some(&details.street)),
        ("postal_code", Some(&details.postal_code)),
        ("city", Some(&details.city)),
        ("country", Some(&details.country)),
    ];
    let given = values.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !value.is_empty())?;
        Some((name.to_owned(), json!(value)))
    });
    let kind = ("norce_kind".to_owned(), json!("person"));
    Value::Object(given.chain([kind]).collect())
}

impl RealTryton {
    /// Starts one with an empty register.
    pub(super) async fn open() -> Result<Self, SandboxError> {
        Self::with_companies(&[""]).await
    }

    /// Starts a Tryton for each company, and opens the front.
    async fn with_companies(companies: &[&str]) -> Result<Self, SandboxError> {
        let mut databases = Vec::new();
        for company in companies {
            let options = Options {
                company: (*company).to_owned(),
                page_size: PAGE_SIZE,
                ..Options::default()
            };
            let tryton = Tryton::start_with(options, progress::detail).await;
            databases.push(tryton.map_err(failed)?);
        }
        let companies: Vec<String> = companies.iter().map(|&name| name.to_owned()).collect();
        let urls = databases.iter().map(|tryton| tryton.url().to_owned());
        let behind = BehindFront::new(companies.iter().cloned().zip(urls));
        let front = Front::open(behind).await;
        let opened = Self {
            databases,
            companies,
            front: front.map_err(io_error("no front of the facade can be opened"))?,
        };
        progress::detail(&opened.greeting());
        Ok(opened)
    }

    /// Tells a person how to list the parties.
    fn greeting(&self) -> String {
        let commands = self.databases.iter().map(Tryton::dump_command);
        let commands: Vec<String> = commands.map(|command| format!("`{command}`")).collect();
        format!("What is in Tryton is shown by {}", commands.join(" and "))
    }

    fn database(&self, company: &str) -> Result<&Tryton, SandboxError> {
        let place = self.companies.iter().position(|known| known == company);
        let database = place.and_then(|place| self.databases.get(place));
        database.ok_or_else(|| failed(format!("Tryton has no company {company:?}")))
    }

    async fn change(
        &self,
        company: &str,
        record: &Record,
        values: Value,
    ) -> Result<(), SandboxError> {
        let command = format!("change {} {values}", record.id);
        let changed = self.database(company)?.people(&command).await;
        changed.map(|_| ()).map_err(failed)
    }
}

#[async_trait]
impl Erp for RealTryton {
    fn remote(&self) -> Remote {
        Remote {
            kind: "http",
            base_url: self.front.base_url().to_owned(),
            token_url: String::new(),
            secret: json!({ "apiKey": KEY }),
            company: String::new(),
            extra_base_url: String::new(),
            extra_fields: "",
            home_country: COUNTRY,
            // The facade speaks ISO codes.
            countries: "",
        }
    }

    fn companies(&self) -> &[String] {
        &self.companies
    }

    async fn with_two_companies(&self) -> Result<Arc<dyn Erp>, SandboxError> {
        Ok(Arc::new(Self::with_companies(&TWO_COMPANIES).await?))
    }

    async fn register(&self, company: &str) -> Result<Register, SandboxError> {
        let parties = self.database(company)?.parties().await.map_err(failed)?;
        Ok(Register(parties.iter().map(record).collect()))
    }

    /// With two companies, an id can stand for a record in each; the day asks only where there is one.
    async fn writes(&self) -> Result<Vec<Write>, SandboxError> {
        let mut contacts = BTreeSet::new();
        for company in &self.companies {
            let register = self.register(company).await?;
            contacts.extend(register.of(Role::Contact).map(|it| it.id.clone()));
        }
        Ok(Write::of(self.front.carried_out(), &contacts))
    }

    fn contacts_have_addresses(&self) -> bool {
        true
    }

    fn country_code<'a>(&self, iso: &'a str) -> &'a str {
        iso
    }

    /// The organisation number, which is an identifier of its own.
    fn number_of(&self, _: &str, digits: &str) -> String {
        digits.to_owned()
    }

    async fn add(&self, company: &str, people: &[ByHand]) -> Result<Vec<String>, SandboxError> {
        let database = self.database(company)?;
        let mut codes = Vec::new();
        for people in people.chunks(PEOPLE_AT_ONCE) {
            let parties: Value = people.iter().map(party).collect();
            let added = database.people(&format!("add-many 0 {parties}")).await;
            // Tryton assigns the codes from its own sequence.
            let added = database.parties_with(&added.map_err(failed)?).await;
            let added = added.map_err(failed)?;
            codes.extend(added.iter().map(|party| record(party).code));
        }
        Ok(codes)
    }

    async fn rename(&self, company: &str, record: &Record, code: &str) -> Result<(), SandboxError> {
        self.change(company, record, json!({ "code": code })).await
    }

    /// A trigger in the database, as an administrator could add it outside of Tryton.
    async fn refuse(&self, email: &str) -> Result<&'static str, SandboxError> {
        for database in &self.databases {
            let refuses = database.people(&format!("refuse {email}")).await;
            refuses.map_err(failed)?;
        }
        Ok(REFUSAL)
    }

    async fn refuse_nothing(&self) -> Result<(), SandboxError> {
        for database in &self.databases {
            database.people("refuse-nothing").await.map_err(failed)?;
        }
        Ok(())
    }

    fn noon(&self) -> &'static str {
        "the facade is killed and started again"
    }

    async fn begin_outage(&self) -> Result<(), SandboxError> {
        for database in &self.databases {
            database.stop().await;
        }
        Ok(())
    }

    async fn end_outage(&self) -> Result<(), SandboxError> {
        for database in &self.databases {
            database.start_again().await.map_err(failed)?;
        }
        Ok(())
    }

    fn answer_creates_late(&self, creates: u32, after: Duration) {
        self.front.hold_answers_back(creates, after);
    }

    fn for_people(&self) -> Option<String> {
        Some(self.greeting())
    }
}
