//! A real Odoo 19, with a front between it and the functions. Everything is read with Odoo's own `search_read`, past the
//! front and past the integration's adapter.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::{ByHand, Details, Erp, Record, Register, Remote, Role, Write};
use crate::{
    front::Front,
    odoo::{BehindFront, Odoo},
    sandbox::{SandboxError, io_error, progress, shop::COUNTRY},
};

/// Read of every partner.
const FIELDS: [&str; 13] = [
    "ref",
    "write_date",
    "is_company",
    "parent_id",
    "vat",
    "company_registry",
    "name",
    "email",
    "phone",
    "street",
    "zip",
    "city",
    "country_id",
];
/// Partners that are put in with one call.
const PEOPLE_AT_ONCE: usize = 500;
/// The error of the merchant's rule.
const REFUSAL: &str = "Blocked by the credit department";
/// The name of the rule that says so.
const RULE: &str = "Nobody sells to them";

/// The settings that both shops share.
struct Server {
    odoo: Odoo,
    front: Front,
    secret: Value,
    for_people: String,
    /// Odoo has partners of its own; the shop's come after them.
    last_of_odoo: i64,
    /// Codes of countries by their ids.
    countries: BTreeMap<i64, String>,
}

/// Odoo for a shop with one application, which sees all of it, or with two, each with its company.
pub(super) struct RealOdoo {
    server: Arc<Server>,
    companies: Vec<String>,
}

fn failed(error: impl std::fmt::Display) -> SandboxError {
    SandboxError::Day(error.to_string())
}

impl Server {
    async fn call(
        &self,
        model: &str,
        method: &str,
        arguments: Value,
    ) -> Result<Value, SandboxError> {
        let odoo = &self.odoo;
        odoo.call(model, method, arguments).await.map_err(failed)
    }

    async fn partners(&self, domain: Value) -> Result<Vec<Value>, SandboxError> {
        let odoo = &self.odoo;
        odoo.partners(domain, &FIELDS).await.map_err(failed)
    }

    fn record(&self, partner: &Value) -> Record {
        // Nothing is `false`, whatever the type; a reference is an id with a name.
        let text = |field: &str| partner[field].as_str().unwrap_or_default().to_owned();
        let reference = |field: &str| partner[field][0].as_i64();
        let company = reference("parent_id");
        Record {
            id: partner["id"].to_string(),
            code: text("ref"),
            version: text("write_date"),
            role: match (partner["is_company"] == true, company) {
                (true, _) => Role::Company,
                (false, None) => Role::Customer,
                (false, Some(_)) => Role::Contact,
            },
            company: company.map(|id| id.to_string()).unwrap_or_default(),
            vat_number: match text("vat") {
                vat if vat.is_empty() => text("company_registry"),
                vat => vat,
            },
            details: Details {
                name: text("name"),
                email: text("email"),
                phone: text("phone"),
                street: text("street"),
                postal_code: text("zip"),
                city: text("city"),
                country: reference("country_id")
                    .and_then(|id| self.countries.get(&id).cloned())
                    .unwrap_or_default(),
            },
        }
    }

    fn country(&self, code: &str) -> Option<i64> {
        let mut countries = self.countries.iter();
        Some(*countries.find(|(_, known)| *known == code)?.0)
    }
}

impl RealOdoo {
    /// Brings Odoo up, as it is when it has just been installed, and opens the front.
    pub(super) async fn open() -> Result<Self, SandboxError> {
        let odoo = Odoo::start(progress::detail).await.map_err(failed)?;
        let access = odoo.access().clone();
        let for_people = format!(
            "Odoo is at {}: open it in a browser, log in as `{}` with the password `{}`, and see Contacts",
            access.url, access.login, access.password
        );
        progress::detail(&for_people);
        let partners = odoo.partners(json!([]), &["id"]).await.map_err(failed)?;
        let ids = partners.iter().filter_map(|partner| partner["id"].as_i64());
        let countries = json!({ "domain": [], "fields": ["code"] });
        let countries = odoo.call("res.country", "search_read", countries).await;
        let countries = countries.map_err(failed)?;
        let countries = countries.as_array().into_iter().flatten();
        let server = Server {
            front: Front::open(BehindFront::new(&access.url))
                .await
                .map_err(io_error("no front can be opened for Odoo"))?,
            secret: json!({ "apiKey": access.key, "database": access.database }),
            for_people,
            last_of_odoo: ids.max().unwrap_or_default(),
            countries: countries
                .filter_map(|it| Some((it["id"].as_i64()?, it["code"].as_str()?.to_owned())))
                .collect(),
            odoo,
        };
        Ok(Self {
            server: Arc::new(server),
            // Without one there is no restriction to a company.
            companies: vec![String::new()],
        })
    }
}

/// Where a company is named, the partners that are its own.
fn partners_of(company: &str) -> Vec<Value> {
    match company.parse::<i64>() {
        Ok(company) => vec![json!(["company_id", "=", company])],
        Err(_) => Vec::new(),
    }
}

#[async_trait]
impl Erp for RealOdoo {
    fn remote(&self) -> Remote {
        Remote {
            kind: "odoo",
            base_url: self.server.front.base_url().to_owned(),
            token_url: String::new(),
            secret: self.server.secret.clone(),
            company: String::new(),
            extra_base_url: String::new(),
            extra_fields: "",
            home_country: COUNTRY,
            // Those of Odoo are the ISO codes.
            countries: "",
        }
    }

    fn companies(&self) -> &[String] {
        &self.companies
    }

    async fn with_two_companies(&self) -> Result<Arc<dyn Erp>, SandboxError> {
        // The user that makes a company may work in it.
        let companies = json!({ "vals_list": [{ "name": "Shop AB" }, { "name": "Outlet AB" }] });
        let made = self.server.call("res.company", "create", companies).await?;
        let ids = made.as_array().into_iter().flatten();
        Ok(Arc::new(Self {
            server: self.server.clone(),
            companies: ids.map(Value::to_string).collect(),
        }))
    }

    async fn register(&self, company: &str) -> Result<Register, SandboxError> {
        let mut domain = vec![json!(["id", ">", self.server.last_of_odoo])];
        domain.extend(partners_of(company));
        let partners = self.server.partners(json!(domain)).await?;
        let records = partners.iter().map(|partner| self.server.record(partner));
        Ok(Register(records.collect()))
    }

    async fn writes(&self) -> Result<Vec<Write>, SandboxError> {
        let register = self.register("").await?;
        let contacts = register.of(Role::Contact).map(|it| it.id.clone());
        Ok(Write::of(
            self.server.front.carried_out(),
            &contacts.collect(),
        ))
    }

    fn contacts_have_addresses(&self) -> bool {
        false
    }

    fn country_code<'a>(&self, iso: &'a str) -> &'a str {
        iso
    }

    /// The organisation number, which has a field of its own.
    fn number_of(&self, _: &str, digits: &str) -> String {
        digits.to_owned()
    }

    async fn add(&self, company: &str, people: &[ByHand]) -> Result<Vec<String>, SandboxError> {
        let domain = partners_of(company);
        let counted = json!({ "domain": domain, "context": { "active_test": false } });
        let counted = self
            .server
            .call("res.partner", "search_count", counted)
            .await?;
        let counted = counted.as_u64().unwrap_or_default();
        let mut codes = Vec::new();
        for people in people.chunks(PEOPLE_AT_ONCE) {
            let mut partners = Vec::new();
            for person in people {
                // Odoo gives no numbers; who makes a partner by hand counts them.
                let next = counted + codes.len() as u64 + 1;
                let code = person.code.clone().unwrap_or_else(|| format!("K{next:05}"));
                let details = &person.details;
                let mut partner = json!({
                    "ref": code,
                    "name": details.name,
                    "email": details.email,
                    "phone": details.phone,
                    "street": details.street,
                    "zip": details.postal_code,
                    "city": details.city,
                });
                if let Some(country) = self.server.country(&details.country) {
                    partner["country_id"] = json!(country);
                }
                if let Ok(company) = company.parse::<i64>() {
                    partner["company_id"] = json!(company);
                }
                partners.push(partner);
                codes.push(code);
            }
            let partners = json!({ "vals_list": partners });
            self.server.call("res.partner", "create", partners).await?;
        }
        Ok(codes)
    }

    async fn rename(&self, _: &str, record: &Record, code: &str) -> Result<(), SandboxError> {
        let id: i64 = record.id.parse().unwrap_or_default();
        let renamed = json!({ "ids": [id], "vals": { "ref": code } });
        self.server.call("res.partner", "write", renamed).await?;
        Ok(())
    }

    /// An automation rule that raises an error, as a merchant sets it up under Settings → Technical.
    async fn refuse(&self, email: &str) -> Result<&'static str, SandboxError> {
        let model = json!({ "domain": [["model", "=", "res.partner"]], "fields": ["id"] });
        let model = self.server.call("ir.model", "search_read", model).await?;
        let partner = &model[0]["id"];
        let rule = json!({ "vals_list": [{
            "name": RULE,
            "model_id": partner,
            "trigger": "on_create_or_write",
            "filter_domain": format!("[('email', '=ilike', '{email}')]"),
            "action_server_ids": [[0, 0, {
                "name": "Refuse",
                "model_id": partner,
                "usage": "base_automation",
                "state": "code",
                "code": format!("raise UserError('{REFUSAL}')"),
            }]],
        }] });
        self.server.call("base.automation", "create", rule).await?;
        Ok(REFUSAL)
    }

    async fn refuse_nothing(&self) -> Result<(), SandboxError> {
        let rules = json!({ "domain": [["name", "=", RULE]], "fields": ["id"] });
        let rules = self
            .server
            .call("base.automation", "search_read", rules)
            .await?;
        let rules = rules.as_array().map(Vec::as_slice).unwrap_or_default();
        let ids: Vec<&Value> = rules.iter().map(|rule| &rule["id"]).collect();
        let ids = json!({ "ids": ids });
        self.server.call("base.automation", "unlink", ids).await?;
        Ok(())
    }

    fn noon(&self) -> &'static str {
        "Odoo is restarted"
    }

    async fn begin_outage(&self) -> Result<(), SandboxError> {
        self.server.odoo.stop().await.map_err(failed)
    }

    async fn end_outage(&self) -> Result<(), SandboxError> {
        self.server.odoo.start_again().await.map_err(failed)
    }

    fn answer_creates_late(&self, creates: u32, after: Duration) {
        self.server.front.hold_answers_back(creates, after);
    }

    fn for_people(&self) -> Option<String> {
        Some(self.server.for_people.clone())
    }
}
