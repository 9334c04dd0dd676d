//! The two systems between which the sandbox runs, a simulated Norce with a shop and the ERP, and the people in them.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{
    SandboxError,
    deployment::{EVENT_SECRET, Remotes},
    erp::{ByHand, Details, Erp, ErpKind, Record, Register},
    io_error, orders,
};
use crate::norce_simulator::{
    self, EventPost, EventSink, EventType, HttpEventSink, NewAddress, NewCompany, NewCustomer,
    NewOrder, NorceSimulator, OauthClient, Subscription, event_path,
};

/// The one application of the shop, and the first of two.
pub(super) const APPLICATION: i64 = 1;
const APPLICATION_KEY: Uuid = Uuid::from_u128(0x0f7c_6a5e_52b1_4d2b_9a57_3d1c_8e94_0001);
/// The second application.
pub(super) const SECOND_APPLICATION: i64 = 2;
const SECOND_APPLICATION_KEY: Uuid = Uuid::from_u128(0x0f7c_6a5e_52b1_4d2b_9a57_3d1c_8e94_0002);
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

/// The telephone number that the ERP has of a person of old.
pub(super) const OTHER_PHONE: &str = "08-000 00 00";

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
    pub(super) erp: Arc<dyn Erp>,
    norce_server: norce_simulator::Server,
    newcomers: AtomicUsize,
}

impl Shop {
    /// Opens both on free loopback ports. Norce posts at most so many events at the same time.
    pub(super) async fn open(kind: ErpKind, posts_at_once: usize) -> Result<Self, SandboxError> {
        Self::open_with(kind.open().await?, posts_at_once).await
    }

    /// Two applications, each with a register and an ERP company of its own ("Customers by application").
    pub(super) async fn open_two(&self) -> Result<Self, SandboxError> {
        Self::open_with(self.erp.with_two_companies().await?, Semaphore::MAX_PERMITS).await
    }

    async fn open_with(erp: Arc<dyn Erp>, posts_at_once: usize) -> Result<Self, SandboxError> {
        let sink = LimitedSink {
            sink: HttpEventSink::new().map_err(SandboxError::Day)?,
            permits: Semaphore::new(posts_at_once),
        };
        let norce = NorceSimulator::new(norce_simulator::Settings::default(), Arc::new(sink));
        norce.add_application(APPLICATION, APPLICATION_KEY, "Shop");
        if erp.companies().len() > 1 {
            norce.add_application(SECOND_APPLICATION, SECOND_APPLICATION_KEY, "Outlet");
            norce.configure(|settings| settings.customers_by_application = true);
        }
        for (id, code) in COUNTRIES {
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
        Ok(Self {
            newcomers: AtomicUsize::new(0),
            norce_server: norce
                .serve()
                .await
                .map_err(io_error("Norce cannot be simulated"))?,
            norce,
            erp,
        })
    }

    /// How the integration reaches both.
    pub(super) fn remotes(&self) -> Remotes {
        let owned = |(id, secret): (&str, &str)| (id.to_owned(), secret.to_owned());
        Remotes {
            norce_base_url: self.norce_server.base_url.clone(),
            norce_scope: NORCE_SCOPE.to_owned(),
            norce_client: owned(NORCE_CLIENT),
            norce_account: SYSTEM_ACCOUNT,
            applications: match self.erp.companies() {
                [first, second] => vec![
                    (APPLICATION, APPLICATION_KEY, Some(first.clone())),
                    (
                        SECOND_APPLICATION,
                        SECOND_APPLICATION_KEY,
                        Some(second.clone()),
                    ),
                ],
                _ => vec![(APPLICATION, APPLICATION_KEY, None)],
            },
            erp: self.erp.remote(),
            orders: self.erp.companies().get(1).map(|_| orders::CREDENTIALS),
            console: None,
        }
    }

    /// The ERP's company of the first application, or of the only one.
    pub(super) fn erp_company(&self) -> &str {
        self.erp.companies().first().map_or("", String::as_str)
    }

    /// Everybody in that company.
    pub(super) async fn erp_register(&self) -> Result<Register, SandboxError> {
        self.erp.register(self.erp_company()).await
    }

    /// Its customer or company with this code, where there is exactly one.
    pub(super) async fn erp_customer(
        &self,
        code: Option<&str>,
    ) -> Result<Option<Record>, SandboxError> {
        Ok(self.erp_register().await?.customer(code).cloned())
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

    /// How many events, posts of orders and jobs are under way in Norce.
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
        let orders = self.norce.order_deliveries();
        let orders = orders.iter().filter(|order| !order.taken).count();
        events + jobs + orders
    }

    /// A person that is not registered yet; no two share a name or an address.
    pub(super) fn newcomer(&self) -> Person {
        Person::new(self.newcomers.fetch_add(1, Ordering::Relaxed))
    }

    /// A person who comes to the shop.
    pub(super) fn register(&self, person: &Person) -> i64 {
        self.norce.add_customer(person.in_shop(None))
    }

    /// A person who is in Norce and in the ERP with the same code, from long before the integration. With another
    /// telephone number in the ERP where `moved_on`.
    pub(super) async fn register_of_old(
        &self,
        person: &Person,
        code: &str,
        moved_on: bool,
    ) -> Result<i64, SandboxError> {
        let mut details = person.details();
        if moved_on {
            details.phone = OTHER_PHONE.to_owned();
        }
        let by_hand = ByHand {
            code: Some(code.to_owned()),
            details,
        };
        self.erp.add(self.erp_company(), &[by_hand]).await?;
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
            invoice_address: Some(NewAddress {
                city: Some(organisation.city.clone()),
                country_code: organisation.country.map(str::to_owned),
                ..address(&organisation.street, &organisation.postal_code)
            }),
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

/// The city of all addresses in Sweden.
pub(super) const CITY: &str = "Solna";
/// The country of all who are not abroad.
pub(super) const COUNTRY: &str = "SE";
/// Norce's countries by their ids.
pub(super) const COUNTRIES: [(i64, &str); 4] = [(1, COUNTRY), (2, NORWAY), (3, DENMARK), (4, "FI")];
pub(super) const NORWAY: &str = "NO";
pub(super) const DENMARK: &str = "DK";

/// Norce's id of a country.
pub(super) fn country_id(code: &str) -> Option<i64> {
    let country = COUNTRIES.iter().find(|(_, known)| *known == code);
    country.map(|(id, _)| *id)
}

/// The country with this id of Norce's.
pub(super) fn country_of(id: Option<i64>) -> Option<&'static str> {
    let country = COUNTRIES.iter().find(|(known, _)| Some(*known) == id);
    country.map(|(_, code)| *code)
}

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
    fn new(number: usize) -> Self {
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

    /// All of it as the ERP has it.
    pub(super) fn details(&self) -> Details {
        Details {
            name: self.name(),
            email: self.email.clone(),
            phone: self.phone.clone(),
            street: self.street.clone(),
            postal_code: self.postal_code.clone(),
            city: CITY.to_owned(),
            country: COUNTRY.to_owned(),
        }
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

/// The organisation number of the company of Norway.
const NORWEGIAN_NUMBER: &str = "987654325";

/// An organisation, invented.
#[derive(Debug, Clone)]
pub(super) struct Organisation {
    pub(super) name: String,
    pub(super) number: String,
    pub(super) email: String,
    pub(super) phone: String,
    pub(super) street: String,
    pub(super) postal_code: String,
    pub(super) city: String,
    /// `None`: the address names none.
    pub(super) country: Option<&'static str>,
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
            city: CITY.to_owned(),
            country: Some(COUNTRY),
        }
    }

    /// An organisation of Norway. Its number is invented and has the right check digit.
    pub(super) fn norwegian() -> Self {
        Self {
            name: "Verksted AS".to_owned(),
            number: NORWEGIAN_NUMBER.to_owned(),
            email: "post@company.example.com".to_owned(),
            phone: "+47 22 00 00 00".to_owned(),
            street: "Industrigata 1".to_owned(),
            postal_code: "0357".to_owned(),
            city: "Oslo".to_owned(),
            country: Some(NORWAY),
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
