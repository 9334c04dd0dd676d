//! The simulated Business Central.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use http::{Method, StatusCode};
use serde_json::json;
use uuid::Uuid;

use super::{ByHand, Details, Erp, Record, Register, Remote, Role, Write};
use crate::{
    business_central_simulator::{
        BusinessCentralSimulator, CompanySettings, ContactRecord, CustomerRecord, EmailChains,
        Entity, Fault, Refused, Server, Settings, TaxNumberFilter,
    },
    sandbox::{
        SandboxError, io_error,
        shop::{COUNTRY, NORWAY},
    },
};

/// The company of the second application.
const SECOND_COMPANY: Uuid = Uuid::from_u128(0x3b1b_b2c1_6d0e_4f5a_9c43_2f6a_7d5e_0002);
/// The company's own codes of countries, which are not the ISO codes.
const OWN_CODES: [(&str, &str); 2] = [("NO", "NORGE"), ("DK", "DANMARK")];
/// The same as `ErpCountries`.
const ERP_COUNTRIES: &str = "NO=NORGE,DK=DANMARK";
/// `Retry-After` of its answers during an outage.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// The error of the simulator for a record that a rule refuses.
const REFUSAL: &str = "does not meet a rule of this company";

/// The simulator on a loopback port.
pub(super) struct BusinessCentral {
    simulator: BusinessCentralSimulator,
    server: Server,
    companies: Vec<String>,
}

impl BusinessCentral {
    /// Opens one with a company, or with two.
    pub(super) async fn open(two: bool) -> Result<Self, SandboxError> {
        let mut settings = Settings::default();
        if two {
            settings.companies.push(CompanySettings {
                id: SECOND_COMPANY,
                ..CompanySettings::named("Outlet AB")
            });
        }
        for company in &mut settings.companies {
            // The merchant's own API page.
            company.own_page = true;
            for country in &mut company.countries {
                let own = OWN_CODES.iter().find(|(iso, _)| *iso == country.code);
                if let Some((_, own)) = own {
                    (*own).clone_into(&mut country.code);
                }
            }
        }
        let simulator = BusinessCentralSimulator::new(settings);
        let companies = simulator.companies();
        Ok(Self {
            server: simulator
                .serve()
                .await
                .map_err(io_error("the ERP cannot be simulated"))?,
            companies: companies.iter().map(Uuid::to_string).collect(),
            simulator,
        })
    }
}

fn id(text: &str) -> Uuid {
    text.parse().unwrap_or_default()
}

fn refused(error: Refused) -> SandboxError {
    SandboxError::Day(format!("the ERP refuses what a person does: {error:?}"))
}

impl From<CustomerRecord> for Record {
    fn from(record: CustomerRecord) -> Self {
        Self {
            id: record.id.to_string(),
            code: record.number,
            version: record.etag,
            role: match record.r#type.as_str() {
                "Company" => Role::Company,
                _ => Role::Customer,
            },
            company: String::new(),
            vat_number: record.tax_registration_number,
            details: Details {
                name: record.display_name,
                email: record.email,
                phone: record.phone_number,
                street: record.address_line1,
                postal_code: record.postal_code,
                city: record.city,
                country: record.country,
            },
        }
    }
}

impl From<ContactRecord> for Record {
    fn from(record: ContactRecord) -> Self {
        Self {
            id: record.id.to_string(),
            code: record.number,
            version: record.etag,
            role: Role::Contact,
            company: record.company_number,
            vat_number: record.tax_registration_number,
            details: Details {
                name: record.display_name,
                email: record.email,
                phone: record.phone_number,
                street: record.address_line1,
                postal_code: record.postal_code,
                city: record.city,
                country: record.country,
            },
        }
    }
}

#[async_trait]
impl Erp for BusinessCentral {
    fn remote(&self) -> Remote {
        let application = Settings::default().applications.remove(0);
        Remote {
            kind: "business-central",
            base_url: self.simulator.api_root(&self.server.base_url),
            token_url: self.simulator.token_url(&self.server.base_url),
            secret: json!({
                "clientId": application.client_id,
                "clientSecret": application.client_secret,
            }),
            company: self.companies.first().cloned().unwrap_or_default(),
            extra_base_url: self.simulator.own_api_root(&self.server.base_url),
            extra_fields: r#"{"priceList":"customerPriceGroup"}"#,
            home_country: COUNTRY,
            countries: ERP_COUNTRIES,
        }
    }

    fn companies(&self) -> &[String] {
        &self.companies
    }

    async fn with_two_companies(&self) -> Result<Arc<dyn Erp>, SandboxError> {
        Ok(Arc::new(Self::open(true).await?))
    }

    async fn register(&self, company: &str) -> Result<Register, SandboxError> {
        let customers = self.simulator.customers(id(company)).into_iter();
        // The contact that stands for a customer is none of the shop's.
        let contacts = self
            .simulator
            .contacts(id(company))
            .into_iter()
            .filter(|contact| contact.r#type == "Person" && !contact.company_number.is_empty());
        let records = customers
            .map(Record::from)
            .chain(contacts.map(Record::from));
        Ok(Register(records.collect()))
    }

    async fn writes(&self) -> Result<Vec<Write>, SandboxError> {
        let log = self.simulator.requests();
        let writes = log.carried_out().map(|write| Write {
            creates: write.method == Method::POST,
            of_contact: write.entity == Entity::Contacts,
            record: write.id.map(|id| id.to_string()),
        });
        Ok(writes.collect())
    }

    fn answers_any_filter(&self, answers: bool) {
        self.simulator.configure(|settings| {
            let strict = Settings::default();
            (settings.tax_number_filter, settings.email_chains) = if answers {
                (TaxNumberFilter::Filters, EmailChains::Answered)
            } else {
                (strict.tax_number_filter, strict.email_chains)
            };
        });
    }

    fn contacts_have_addresses(&self) -> bool {
        true
    }

    fn country_code<'a>(&self, iso: &'a str) -> &'a str {
        let own = OWN_CODES.iter().find(|(known, _)| *known == iso);
        own.map_or(iso, |(_, own)| own)
    }

    /// The VAT number.
    fn number_of(&self, country: &str, digits: &str) -> String {
        let end = match country {
            NORWAY => "MVA",
            _ => "01",
        };
        format!("{country}{digits}{end}")
    }

    fn has_vendors(&self) -> bool {
        true
    }

    async fn add_vendor_contact(
        &self,
        company: &str,
        contact: &Details,
    ) -> Result<Option<Record>, SandboxError> {
        let person = json!({ "displayName": contact.name, "email": contact.email });
        let added = self
            .simulator
            .add_vendor_person(id(company), "Leverantör AB", &person);
        added.map(|added| Some(added.into())).map_err(refused)
    }

    async fn add(&self, company: &str, people: &[ByHand]) -> Result<Vec<String>, SandboxError> {
        let add = |person: &ByHand| {
            let details = &person.details;
            let mut properties = json!({
                "type": "Person",
                "displayName": details.name,
                "email": details.email,
                "phoneNumber": details.phone,
                "addressLine1": details.street,
                "postalCode": details.postal_code,
                "city": details.city,
                "country": details.country,
            });
            if let Some(code) = &person.code {
                properties["number"] = json!(code);
            }
            let record = self.simulator.add_customer(id(company), &properties);
            record.map(|record| record.number).map_err(refused)
        };
        people.iter().map(add).collect()
    }

    async fn rename(&self, company: &str, record: &Record, code: &str) -> Result<(), SandboxError> {
        let renamed = self
            .simulator
            .rename_customer(id(company), id(&record.id), code);
        renamed.map(|_| ()).map_err(refused)
    }

    async fn give_price_list(
        &self,
        company: &str,
        record: &Record,
        list: &str,
    ) -> Result<bool, SandboxError> {
        let given = json!({ "customerPriceGroup": list });
        let edited = self
            .simulator
            .edit_customer(id(company), id(&record.id), &given);
        edited.map(|_| true).map_err(refused)
    }

    async fn refuse(&self, email: &str) -> Result<&'static str, SandboxError> {
        let email = email.to_owned();
        self.simulator
            .refuse_where(move |candidate| candidate.email.eq_ignore_ascii_case(&email));
        Ok(REFUSAL)
    }

    async fn refuse_nothing(&self) -> Result<(), SandboxError> {
        self.simulator.refuse_nothing();
        Ok(())
    }

    fn noon(&self) -> &'static str {
        "the ERP answers 503"
    }

    async fn begin_outage(&self) -> Result<(), SandboxError> {
        let fault = Fault::status(StatusCode::SERVICE_UNAVAILABLE).retry_after(RETRY_AFTER);
        self.simulator.inject(fault);
        Ok(())
    }

    async fn end_outage(&self) -> Result<(), SandboxError> {
        self.simulator.clear_faults();
        Ok(())
    }

    fn answer_creates_late(&self, creates: u32, after: Duration) {
        let fault = Fault::slow_answer(after).on(Method::POST, Entity::Customers);
        self.simulator.inject(fault.times(creates));
    }

    fn for_people(&self) -> Option<String> {
        None
    }
}
