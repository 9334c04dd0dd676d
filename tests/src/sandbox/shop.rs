//! The two worlds between which the sandbox runs: a simulated Norce with a shop, and a simulated Business Central.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use serde_json::json;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    SandboxError,
    deployment::{EVENT_SECRET, Remotes},
    io_error,
};
use crate::{
    business_central_simulator::{self, BusinessCentralSimulator, CompanySettings},
    norce_simulator::{
        self, EventPost, EventSink, EventType, HttpEventSink, NewAddress, NewCompany, NewCustomer,
        NewOrder, NorceSimulator, OauthClient, Subscription, event_path,
    },
};

/// The one application of the shop, and the first of two.
pub(super) const APPLICATION: i64 = 1;
const APPLICATION_KEY: Uuid = Uuid::from_u128(0x0f7c_6a5e_52b1_4d2b_9a57_3d1c_8e94_0001);
/// The other one.
pub(super) const SECOND_APPLICATION: i64 = 2;
const SECOND_APPLICATION_KEY: Uuid = Uuid::from_u128(0x0f7c_6a5e_52b1_4d2b_9a57_3d1c_8e94_0002);
const SECOND_ERP_COMPANY: Uuid = Uuid::from_u128(0x3b1b_b2c1_6d0e_4f5a_9c43_2f6a_7d5e_0002);
/// The system account that imports are made by.
const SYSTEM_ACCOUNT: i64 = 42;
/// Norce's OAuth client: id and secret, both invented.
const NORCE_CLIENT: (&str, &str) = ("sandbox", "sandbox-norce-secret");
/// The scope of tokens, which is the name of an environment.
const NORCE_SCOPE: &str = "sandbox";
/// What the integration listens to (design.md, "Event paths").
const SUBSCRIBED: [EventType; 5] = [
    EventType::CustomerChanged,
    EventType::CompanyChanged,
    EventType::OrderReceived,
    EventType::OrderConfirmed,
    EventType::JobCompleted,
];
/// Norce's first retry comes after five seconds; a day in the shop is over in a minute or two.
const EVENT_TIME_SCALE: f64 = 0.2;
/// An import is over sooner than in Norce, for the same reason.
const JOB_DELAY: Duration = Duration::from_millis(500);

/// Customers, companies and orders get ids from here on, so that the samples in `tests/events` name some of them.
pub(super) const FIRST_CUSTOMER: i64 = 1001;
pub(super) const FIRST_COMPANY: i64 = 2001;
pub(super) const FIRST_ORDER: i64 = 40_001;

/// Posts to the integration, not too many at the same time.
struct LimitedSink {
    sink: HttpEventSink,
    permits: Semaphore,
}

#[async_trait]
impl EventSink for LimitedSink {
    async fn post(&self, post: EventPost) -> Result<u16, String> {
        let permit = self.permits.acquire().await;
        let _permit = permit.map_err(|error| error.to_string())?;
        self.sink.post(post).await
    }
}

/// Norce with its shop, and the ERP.
pub(super) struct Shop {
    pub(super) norce: NorceSimulator,
    pub(super) erp: BusinessCentralSimulator,
    /// The ERP's company.
    pub(super) erp_company: Uuid,
    /// The second application's, where each has a register of its own.
    pub(super) second_erp_company: Option<Uuid>,
    norce_server: norce_simulator::Server,
    erp_server: business_central_simulator::Server,
}

impl Shop {
    /// Opens both on free loopback ports. Norce posts at most so many events at the same time.
    pub(super) async fn open(posts_at_once: usize) -> Result<Self, SandboxError> {
        Self::open_with(posts_at_once, false).await
    }

    /// Two applications, each with a register and an ERP company of its own ("Customers by application").
    pub(super) async fn open_two() -> Result<Self, SandboxError> {
        Self::open_with(Semaphore::MAX_PERMITS, true).await
    }

    async fn open_with(posts_at_once: usize, two: bool) -> Result<Self, SandboxError> {
        let sink = LimitedSink {
            sink: HttpEventSink::new().map_err(SandboxError::Day)?,
            permits: Semaphore::new(posts_at_once),
        };
        let norce = NorceSimulator::new(norce_simulator::Settings::default(), Arc::new(sink));
        norce.add_application(APPLICATION, APPLICATION_KEY, "Shop");
        if two {
            norce.add_application(SECOND_APPLICATION, SECOND_APPLICATION_KEY, "Outlet");
            norce.configure(|settings| settings.customers_by_application = true);
        }
        for (id, code) in [(1, "SE"), (2, "NO"), (3, "DK"), (4, "FI")] {
            norce.add_country(id, code);
        }
        norce.add_system_account(SYSTEM_ACCOUNT);
        norce.add_oauth_client(OauthClient {
            id: NORCE_CLIENT.0.to_owned(),
            secret: NORCE_CLIENT.1.to_owned(),
            scopes: vec![NORCE_SCOPE.to_owned()],
        });
        norce.configure(|settings| {
            settings.events.time_scale = EVENT_TIME_SCALE;
            settings.jobs.delay = JOB_DELAY;
        });
        norce.start_ids_after(FIRST_CUSTOMER - 1);

        let mut settings = business_central_simulator::Settings::default();
        if two {
            settings.companies.push(CompanySettings {
                id: SECOND_ERP_COMPANY,
                ..CompanySettings::named("Outlet AB")
            });
        }
        let erp = BusinessCentralSimulator::new(settings);
        let erp_company = erp.companies().first().copied();
        let erp_company =
            erp_company.ok_or_else(|| SandboxError::Day("the ERP has no company".to_owned()))?;
        Ok(Self {
            norce_server: norce
                .serve()
                .await
                .map_err(io_error("Norce cannot be simulated"))?,
            erp_server: erp
                .serve()
                .await
                .map_err(io_error("the ERP cannot be simulated"))?,
            norce,
            erp,
            erp_company,
            second_erp_company: two.then_some(SECOND_ERP_COMPANY),
        })
    }

    /// How the integration reaches both.
    pub(super) fn remotes(&self) -> Remotes {
        let owned = |(id, secret): (&str, &str)| (id.to_owned(), secret.to_owned());
        let application = business_central_simulator::Settings::default()
            .applications
            .remove(0);
        Remotes {
            norce_base_url: self.norce_server.base_url.clone(),
            norce_scope: NORCE_SCOPE.to_owned(),
            norce_client: owned(NORCE_CLIENT),
            norce_account: SYSTEM_ACCOUNT,
            applications: match self.second_erp_company {
                None => vec![(APPLICATION, APPLICATION_KEY, None)],
                Some(second) => vec![
                    (APPLICATION, APPLICATION_KEY, Some(self.erp_company)),
                    (SECOND_APPLICATION, SECOND_APPLICATION_KEY, Some(second)),
                ],
            },
            erp_base_url: self.erp.api_root(&self.erp_server.base_url),
            erp_token_url: self.erp.token_url(&self.erp_server.base_url),
            erp_client: (application.client_id, application.client_secret),
            erp_company: self.erp_company.to_string(),
        }
    }

    /// Lets Norce post its events to the integration, as a person sets it up in Norce Admin.
    pub(super) fn subscribe(&self, event_url: &str) {
        for event in SUBSCRIBED {
            self.norce.subscribe(Subscription {
                event,
                url: format!("{event_url}/{}", event_path(event)),
                headers: vec![("x-event-secret".to_owned(), EVENT_SECRET.to_owned())],
            });
        }
    }

    /// How many events and jobs are under way in Norce.
    pub(super) fn under_way(&self) -> usize {
        let pending = |delivery: &norce_simulator::Delivery| {
            delivery.state == norce_simulator::DeliveryState::Pending
        };
        let events = self
            .norce
            .deliveries()
            .iter()
            .filter(|delivery| pending(delivery))
            .count();
        let jobs = self
            .norce
            .jobs()
            .iter()
            .filter(|job| !job.status.is_final())
            .count();
        events + jobs
    }

    /// A person who comes to the shop.
    pub(super) fn register(&self, person: &Person) -> i64 {
        self.norce.add_customer(person.in_shop(None))
    }

    /// A person who is in Norce and in the ERP with the same code, from long before the integration. With another
    /// telephone number in the ERP where `moved_on`.
    pub(super) fn register_of_old(
        &self,
        person: &Person,
        code: &str,
        moved_on: bool,
    ) -> Result<i64, SandboxError> {
        let phone = if moved_on {
            "08-000 00 00"
        } else {
            &person.phone
        };
        let properties = json!({
            "number": code,
            "displayName": person.name(),
            "type": "Person",
            "email": person.email,
            "phoneNumber": phone,
            "addressLine1": person.street,
            "postalCode": person.postal_code,
            "city": CITY,
            "country": COUNTRY,
        });
        self.erp
            .add_customer(self.erp_company, &properties)
            .map_err(|refused| SandboxError::Day(format!("the ERP refuses {code}: {refused:?}")))?;
        Ok(self
            .norce
            .add_customer(person.in_shop(Some(code.to_owned()))))
    }

    /// An organisation that comes to the shop.
    pub(super) fn register_company(&self, organisation: &Organisation) -> i64 {
        self.norce.add_company(NewCompany {
            name: Some(organisation.name.clone()),
            organization_no: Some(organisation.number.clone()),
            email: Some(organisation.email.clone()),
            phone: Some(organisation.phone.clone()),
            invoice_address: Some(address(&organisation.street, &organisation.postal_code)),
            ..NewCompany::default()
        })
    }

    /// A customer orders, for a company where it is a contact. A guest's order names nobody.
    pub(super) fn order(&self, customer: i64, company: Option<i64>, guest: bool) {
        self.norce.place_order(NewOrder {
            application_id: APPLICATION,
            customer: Some(customer),
            company,
            guest,
            items: vec![("10001".to_owned(), 199.0)],
            ..NewOrder::default()
        });
    }

    /// The customers and companies that have ordered: what has to be in the ERP in the end.
    pub(super) fn companies_with_orders(&self) -> BTreeSet<i64> {
        let orders = self.norce.orders();
        orders
            .iter()
            .filter_map(|order| order.row.buyer_company_id)
            .collect()
    }

    /// A customer for an example.
    pub(super) fn some_customer(&self) -> i64 {
        FIRST_CUSTOMER
    }

    /// Norce's id of the merchant.
    pub(super) fn client_id(&self) -> i64 {
        norce_simulator::Settings::default().client_id
    }
}

/// Where everybody lives.
pub(super) const CITY: &str = "Solna";
/// Likewise.
pub(super) const COUNTRY: &str = "SE";

/// A person, invented.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) first_name: String,
    pub(super) last_name: String,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) street: String,
    pub(super) postal_code: String,
}

impl Person {
    /// The `number`-th person; no two have the same name or address.
    pub(super) fn new(number: usize) -> Self {
        const FIRST: [&str; 10] = [
            "Anna", "Björn", "Cecilia", "David", "Elin", "Fredrik", "Göran", "Hanna", "Ingrid",
            "Åke",
        ];
        const LAST: [&str; 13] = [
            "Ek", "Lund", "Öberg", "Dahl", "Ström", "Nyman", "Holm", "Wik", "Åström", "Sjö",
            "Rask", "Berg", "Frisk",
        ];
        // Ten and thirteen have no common factor: 130 pairs before one comes back.
        let first_name = FIRST[number % FIRST.len()].to_owned();
        let last_name = LAST[number % LAST.len()].to_owned();
        Self {
            email: format!("person.{number}@example.com"),
            phone: format!("08-123 {:02} {:02}", number / 100, number % 100),
            street: format!("Storgatan {}", number + 1),
            postal_code: format!("169 {:02}", number % 100),
            first_name,
            last_name,
        }
    }

    /// The name as the ERP has it.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.first_name, self.last_name)
    }

    pub(super) fn in_shop(&self, code: Option<String>) -> NewCustomer {
        NewCustomer {
            code,
            email: Some(self.email.clone()),
            first_name: Some(self.first_name.clone()),
            last_name: Some(self.last_name.clone()),
            phone: Some(self.phone.clone()),
            invoice_address: Some(address(&self.street, &self.postal_code)),
            ..NewCustomer::default()
        }
    }
}

/// An organisation, invented.
#[derive(Debug, Clone)]
pub(super) struct Organisation {
    pub(super) name: String,
    pub(super) number: String,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) street: String,
    pub(super) postal_code: String,
}

impl Organisation {
    /// The `number`-th organisation.
    pub(super) fn new(number: usize) -> Self {
        Self {
            name: format!("Verkstad {number} AB"),
            number: organisation_number(number),
            email: format!("info{number}@company.example.com"),
            phone: format!("08-555 {:02} {:02}", number / 100, number % 100),
            street: format!("Industrigatan {}", number + 1),
            postal_code: format!("170 {:02}", number % 100),
        }
    }
}

/// A Swedish organisation number with its check digit (Luhn).
fn organisation_number(number: usize) -> String {
    let digits = format!("556{number:06}");
    let sum: u32 = digits
        .chars()
        .filter_map(|digit| digit.to_digit(10))
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { digit * 2 } else { digit })
        .map(|product| product / 10 + product % 10)
        .sum();
    let check = (10 - sum % 10) % 10;
    format!("{}-{}{check}", &digits[..6], &digits[6..])
}

fn address(street: &str, postal_code: &str) -> NewAddress {
    NewAddress {
        line1: Some(street.to_owned()),
        zip_code: Some(postal_code.to_owned()),
        city: Some(CITY.to_owned()),
        country_code: Some(COUNTRY.to_owned()),
        ..NewAddress::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn organisation_numbers_have_a_right_check_digit() {
        // The Luhn sum over all digits, check digit included, is a multiple of ten.
        for number in 0..50 {
            let digits: Vec<u32> = organisation_number(number)
                .chars()
                .filter_map(|digit| digit.to_digit(10))
                .collect();
            let doubled = |(place, digit): (usize, &u32)| {
                let product = if place % 2 == 0 { digit * 2 } else { *digit };
                product / 10 + product % 10
            };
            assert_eq!(digits.iter().enumerate().map(doubled).sum::<u32>() % 10, 0);
        }
    }

    #[test]
    fn no_two_people_share_a_name_or_an_address() {
        let people: Vec<Person> = (0..100).map(Person::new).collect();
        let names: BTreeSet<String> = people.iter().map(Person::name).collect();
        let emails: BTreeSet<&String> = people.iter().map(|person| &person.email).collect();
        assert_eq!((names.len(), emails.len()), (100, 100));
    }
}
