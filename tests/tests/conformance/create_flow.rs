//! P2 against an ERP that really runs: the create flow of `change-events`, cut off right before, during and right after
//! every one of its calls, and once with a restart of the ERP on top. Norce is simulated in the same process, stores and
//! queues are in memory, and time is the real one, because paused time would run ahead of the sockets; only the waits that
//! a queue would see to are skipped, by moving the clock on.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use change_events::{ChangeEvents, Configuration};
use chrono::{DateTime, TimeDelta, Utc};
use shared::{
    StoreError,
    domain::{
        ApplicationId, ChangeMessage, Clock, CountryCode, EntityRef, ImportRequest, NorceId,
        OrderKey, OrganisationNumber, Scope,
    },
    erp::Erp,
    http::{Deadline, ReqwestTransport, Transport},
    mappings::{Mapping, Mappings},
    queues::{Message, Queue},
    runtime::batch::{Handler, Outcome, Received},
};
use tests::{
    in_process::InProcess,
    interruption::{Interruptible, Interruption, Moment},
    memory::{MemoryMappings, MemoryOwed},
    norce_simulator::{
        EventPost, NewAddress, NewCompany, NewCustomer, NorceSimulator, OauthClient, Settings,
    },
    resources::{MemoryResources, NORCE_CLIENT, built, environment},
    samples,
};
use uuid::Uuid;

/// When the ERP's calls are cut off.
const MOMENTS: [Moment; 3] = [Moment::Before, Moment::During, Moment::After];
/// A message that has been delivered this often is never done.
const MAX_DELIVERIES: u32 = 1_000;
/// Between two deliveries of a message, so that a server that is not there is not asked without end.
const PAUSE: Duration = Duration::from_millis(20);

/// The time of day, with the waits of the queue taken out.
#[derive(Default)]
struct SkippingClock(Mutex<TimeDelta>);

impl SkippingClock {
    fn skip(&self, wait: Duration) {
        *self.0.lock().unwrap() += TimeDelta::from_std(wait).unwrap();
    }
}

impl Clock for SkippingClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now() + *self.0.lock().unwrap()
    }
}

/// Keeps what is sent until somebody takes it.
struct Sent<M>(Mutex<Vec<M>>);

impl<M> Sent<M> {
    fn take(&self) -> Vec<M> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[async_trait]
impl<M: Message + Clone> Queue<M> for Sent<M> {
    async fn send(&self, messages: &[M], _: Duration) -> Result<(), StoreError> {
        self.0.lock().unwrap().extend_from_slice(messages);
        Ok(())
    }
}

/// What the ERP itself has: a record, past the adapter.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) id: String,
    pub(crate) code: String,
    pub(crate) is_organisation: bool,
    /// The id of the organisation whose contact it is.
    pub(crate) company: Option<String>,
}

/// The ERP as it is seen past the adapter.
#[async_trait]
pub(crate) trait Server: Send + Sync {
    /// An adapter over this transport.
    fn erp(&self, transport: Arc<dyn Transport>) -> Arc<dyn Erp>;

    /// So many POST requests take even the shortest create.
    fn least_posts(&self) -> usize;

    /// Goes down, and comes up again with what it had.
    async fn restart(&self);

    /// Everybody whose e-mail address, or whose name, begins like this.
    async fn held(&self, begins: Begins<'_>) -> Vec<Held>;
}

/// How a value begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Begins<'a> {
    Email(&'a str),
    Name(&'a str),
}

/// A shop whose orders are brought to the ERP.
struct Shop {
    server: Arc<dyn Server>,
    norce: NorceSimulator,
    mappings: Arc<MemoryMappings>,
    owed: Arc<MemoryOwed>,
    changes: Arc<Sent<ChangeMessage>>,
    clock: Arc<SkippingClock>,
    interruption: Arc<Interruption>,
    change_events: ChangeEvents,
}

/// Who orders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buyer {
    Person,
    /// A person for a company.
    Company,
    /// A person for a company that nothing but its external id tells from others.
    CompanyWithoutNumber,
}

/// An order, and the entities that it names.
struct Ordered {
    message: ChangeMessage,
    number: i64,
    customer: i64,
    company: Option<i64>,
}

/// A simulated Norce.
fn norce() -> NorceSimulator {
    // Events are handed over by hand.
    let nobody = |_: EventPost| async { Ok::<u16, String>(200) };
    let norce = NorceSimulator::new(Settings::default(), Arc::new(nobody));
    norce.add_application(1, Uuid::from_u128(1), "shop");
    norce.add_country(752, "SE");
    let (id, secret) = NORCE_CLIENT;
    norce.add_oauth_client(OauthClient {
        id: id.to_owned(),
        secret: secret.to_owned(),
        scopes: vec!["prod".to_owned()],
    });
    norce
}

impl Shop {
    fn open(server: &Arc<dyn Server>) -> Self {
        let interruption = Arc::new(Interruption::default());
        let cut = &interruption;
        let norce = norce();
        let transport = Interruptible::new(Arc::new(ReqwestTransport::new().unwrap()), cut);
        let erp = server.erp(transport);
        let mappings = Arc::new(MemoryMappings::default());
        let owed = Arc::new(MemoryOwed::default());
        let changes = Arc::new(Sent(Mutex::default()));
        let imports: Arc<Sent<ImportRequest>> = Arc::new(Sent(Mutex::default()));
        let clock = Arc::new(SkippingClock::default());
        let to_norce = Arc::new(InProcess::new(norce.router()));
        let resources = MemoryResources {
            clock: clock.clone(),
            mappings: Interruptible::new(mappings.clone(), cut),
            key_index: Interruptible::new(mappings.clone(), cut),
            owed: Interruptible::new(owed.clone(), cut),
            ..MemoryResources::new(Interruptible::new(to_norce, cut))
        }
        .with_queue::<ChangeMessage>("changes", Interruptible::new(changes.clone(), cut))
        .with_queue::<ImportRequest>("imports", Interruptible::new(imports, cut));
        let configuration = Configuration::read(environment(&[])).unwrap();
        let change_events = ChangeEvents {
            erps: [(Scope::Client, erp)].into(),
            ..built(ChangeEvents::build(&configuration, &resources))
        };
        Self {
            server: server.clone(),
            norce,
            mappings,
            owed,
            changes,
            clock,
            interruption,
            change_events,
        }
    }

    /// Somebody orders; everybody is new.
    fn order(&self, number: i64, buyer: Buyer) -> Ordered {
        let invoice_address = Some(NewAddress {
            line1: Some("Storgatan 1".to_owned()),
            zip_code: Some("114 55".to_owned()),
            city: Some("Stockholm".to_owned()),
            country_code: Some("SE".to_owned()),
            ..NewAddress::default()
        });
        let customer = self.norce.add_customer(NewCustomer {
            email: Some(email(number)),
            first_name: Some("Anna".to_owned()),
            last_name: Some(format!("Ek {number}")),
            invoice_address: invoice_address.clone(),
            ..NewCustomer::default()
        });
        let company = (buyer != Buyer::Person).then(|| {
            self.norce.add_company(NewCompany {
                name: Some(name(number)),
                vat_no: (buyer == Buyer::Company).then(|| vat_number(number)),
                invoice_address,
                ..NewCompany::default()
            })
        });
        if let Some(company) = company {
            self.norce.link(customer, company, true);
        }
        let order = self
            .norce
            .place_order(samples::order(Some(customer), company));
        let message = ChangeMessage::Order {
            order: OrderKey::Id(order.id),
            application: ApplicationId::try_from(1).unwrap(),
            received_at: self.clock.now(),
            correlation: Uuid::new_v4(),
        };
        Ordered {
            message,
            number,
            customer,
            company,
        }
    }

    /// Delivers a message, and those that it leads to, until all are done: again after it was cut off, and again when it
    /// was told to wait. With `restart`, the ERP goes down and comes up again from the cut on.
    async fn deliver(&self, message: ChangeMessage, restart: bool) {
        let mut waiting = VecDeque::from([(message, 1)]);
        let mut restarting = None;
        while let Some((message, receive_count)) = waiting.pop_front() {
            assert!(receive_count < MAX_DELIVERIES, "{message:?}");
            let received = Received {
                message: message.clone(),
                receive_count,
            };
            let deadline = Deadline::after(Duration::from_secs(60));
            let work = self.change_events.handle(received, deadline);
            match self.interruption.invocation(work).await {
                Some(Outcome::Done) => {}
                Some(Outcome::RetryAfter { at_least, .. }) => {
                    self.clock.skip(at_least.unwrap_or(Duration::from_secs(2)));
                    tokio::time::sleep(PAUSE).await;
                    waiting.push_back((message, receive_count + 1));
                }
                None => {
                    if restart {
                        let server = self.server.clone();
                        restarting = Some(tokio::spawn(async move { server.restart().await }));
                    }
                    waiting.push_back((message, receive_count + 1));
                }
            }
            waiting.extend(self.changes.take().into_iter().map(|message| (message, 1)));
        }
        if let Some(restarting) = restarting {
            restarting.await.unwrap();
        }
    }

    /// The ERP's own view: a record for everybody, and no second one.
    async fn assert_created_once(&self, ordered: &Ordered, context: &str) {
        let email = email(ordered.number);
        let person = self.only(Begins::Email(&email), context).await;
        let customer = EntityRef::customer(Scope::Client, id(ordered.customer));
        self.assert_bound(customer, &person, context).await;
        if let Some(number) = ordered.company {
            let name = name(ordered.number);
            let company = self.only(Begins::Name(&name), context).await;
            assert!(company.is_organisation, "{context}");
            assert_eq!(person.company.as_ref(), Some(&company.id), "{context}");
            let entity = EntityRef::company(Scope::Client, id(number));
            self.assert_bound(entity, &company, context).await;
        }
        let owed = self.owed.list().await.unwrap();
        assert!(owed.is_empty(), "{context}: {owed:#?}");
    }

    async fn only(&self, begins: Begins<'_>, context: &str) -> Held {
        let found = self.server.held(begins).await;
        assert_eq!(found.len(), 1, "{context}: {found:?}");
        found.into_iter().next().unwrap()
    }

    async fn assert_bound(&self, entity: EntityRef, record: &Held, context: &str) {
        let mapping = self.mappings.get(entity).await.unwrap();
        let Some(Mapping::Bound(binding)) = mapping else {
            panic!("{context}: {entity} is not bound: {mapping:?}");
        };
        assert_eq!(record.code, binding.code.as_str(), "{context}");
    }
}

fn id(number: i64) -> NorceId {
    NorceId::try_from(number).unwrap()
}

fn email(number: i64) -> String {
    format!("crash.{number:04}@example.com")
}

fn name(number: i64) -> String {
    format!("Kraschbolaget {number:04} AB")
}

/// One of a Swedish organisation that nobody else has.
fn vat_number(number: i64) -> String {
    let valid = (0..10).find_map(|digit| {
        let number = OrganisationNumber::parse(&format!("557{number:06}{digit}"))?;
        number.vat_number(CountryCode::SE)
    });
    valid.unwrap().expose().to_owned()
}

/// A create is cut off in every way there is, for a person and for a company with its contact.
pub(crate) async fn p2_one_record_wherever_the_work_is_cut_off(server: &Arc<dyn Server>) {
    let shop = Shop::open(server);
    // Companies and persons.
    let mut orders = (0, 0);
    let mut number = 0;
    for buyer in [Buyer::Person, Buyer::Company, Buyer::CompanyWithoutNumber] {
        let mut next = || {
            number += 1;
            orders.0 += usize::from(buyer != Buyer::Person);
            orders.1 += 1;
            shop.order(number, buyer)
        };
        // The first times tokens are fetched, countries looked up and searches tried, as soon as there is a record to try them
        // with; what comes after is the same every time.
        let mut calls = Vec::new();
        for _ in 0..3 {
            let ordered = next();
            shop.interruption.clear();
            shop.deliver(ordered.message.clone(), false).await;
            shop.assert_created_once(&ordered, "uninterrupted").await;
            calls = shop.interruption.calls();
        }
        let last_post = calls.iter().rposition(|name| name.as_str() == "http POST");
        let posts = calls
            .iter()
            .filter(|name| name.as_str() == "http POST")
            .count();
        assert!(posts >= server.least_posts(), "{calls:?}");
        for (call, name) in calls.iter().enumerate() {
            // What is left behind after a call to Norce or to a store in memory is what there is before the next one.
            let is_last = call + 1 == calls.len();
            let moments = match *name == "http POST" || is_last {
                true => &MOMENTS[..],
                false => &MOMENTS[..1],
            };
            for &moment in moments {
                let restart = Some(call) == last_post && moment == Moment::During;
                let context = format!("cut off {moment:?} call {call}, {name}");
                let ordered = next();
                shop.interruption.plan(call, moment);
                shop.deliver(ordered.message.clone(), restart).await;
                assert!(!shop.interruption.is_planned(), "{context}: it never came");
                shop.assert_created_once(&ordered, &context).await;
            }
        }
    }
    for (begins, made) in [
        (Begins::Name("Kraschbolaget "), orders.0),
        (Begins::Email("crash."), orders.1),
    ] {
        assert_eq!(server.held(begins).await.len(), made);
    }
}
