//! The short day, for a newcomer: one of everything, reported line by line as it happens.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use shared::{domain::EntityKind, owed::Owed};
use tokio::time::{Instant, sleep};

use super::{
    SandboxError,
    erp::{ByHand, Record},
    operator::Conversation,
    outcome::{self, Expectations, Outcome},
    passes::{World, put_into_erp},
    progress,
    quiet::Queues,
    shop::{COUNTRY, DENMARK, FIRST_COMPANY, FIRST_ORDER, NORWAY, Organisation, country_id},
    support::{self, SupportDesk},
};

/// Customers who order first.
const CUSTOMERS: usize = 4;
/// Companies that do, each with a contact who orders.
const COMPANIES: usize = 2;
/// How long the ERP is down: a few attempts, and an order meanwhile.
const OUTAGE: Duration = Duration::from_secs(5);
/// The time limit of everything that is awaited.
const PATIENCE: Duration = Duration::from_secs(180);
/// The polling interval.
const INTERVAL: Duration = Duration::from_millis(100);

/// Plays the day.
pub(super) async fn play(
    world: &World<'_>,
    support: Option<&SupportDesk>,
) -> Result<Outcome, SandboxError> {
    let queues = Queues::of(world.aws, world.deployment).await?;
    world.shop.subscribe(&world.deployment.event_url()?);
    let conversation = Conversation::default();
    let mut day = ShortDay {
        world,
        queues: &queues,
        conversation: &conversation,
        expected: Expectations::default(),
    };
    let title = format!(
        "{CUSTOMERS} customers, {COMPANIES} companies and one of Norway order for the first time"
    );
    progress::step(&title, day.first_orders()).await?;
    progress::step(
        "A customer moves, another moves to Denmark, and a company gets another telephone",
        day.changes(),
    )
    .await?;
    progress::step("The ERP is down, and a customer orders", day.outage()).await?;
    let title = format!(
        "A customer is entered in the ERP by hand{}; a delta pass",
        match world.shop.erp.has_vendors() {
            true => ", and a vendor with a contact",
            false => "",
        }
    );
    progress::step(&title, day.pass()).await?;
    progress::step("A customer orders who is in the ERP twice", day.conflict()).await?;
    progress::step("An engineer asks the operator", day.operator()).await?;
    if let Some(support) = support {
        support.know(world.deployment)?;
        let customer = progress::step(
            "Support signs in to the console: the ERP refuses a customer, its rule goes, it is tried again",
            support::play(world, &queues, &conversation),
        )
        .await?;
        day.expected.customers.push(customer);
    }
    conversation.save()?;
    let expected = day.expected;
    let mut outcome = progress::step("Comparing both sides", async {
        world.quiet(&queues).await?;
        let World {
            shop,
            aws,
            deployment,
            ..
        } = world;
        Outcome::of(shop, aws, deployment, &queues, expected, Vec::new()).await
    })
    .await?;
    // The requests and answers have been printed already.
    outcome.add_faults(conversation.faults());
    Ok(outcome)
}

struct ShortDay<'a> {
    world: &'a World<'a>,
    queues: &'a Queues,
    conversation: &'a Conversation,
    expected: Expectations,
}

/// A customer or company that waits for its code.
#[derive(Clone, Copy)]
struct Waiting {
    kind: EntityKind,
    id: i64,
    since: Instant,
}

impl ShortDay<'_> {
    async fn first_orders(&mut self) -> Result<(), SandboxError> {
        let shop = self.world.shop;
        let customers: Vec<i64> = (0..CUSTOMERS)
            .map(|_| shop.register(&shop.newcomer()))
            .collect();
        shop.norce.start_ids_after(FIRST_COMPANY - 1);
        let mut organisations: Vec<Organisation> = (0..COMPANIES).map(Organisation::new).collect();
        if let Some(last) = organisations.last_mut() {
            last.country = None;
        }
        organisations.push(Organisation::norwegian());
        let companies: Vec<(i64, i64)> = organisations
            .into_iter()
            .map(|organisation| {
                let company = shop.register_company(&organisation);
                let contact = shop.register(&shop.newcomer());
                shop.norce.link(contact, company, true);
                (contact, company)
            })
            .collect();
        shop.norce.start_ids_after(FIRST_ORDER - 1);
        let mut waiting = Vec::new();
        for id in customers {
            shop.order(id, None, false);
            waiting.push(Waiting::new(EntityKind::Customer, id));
            self.expected.customers.push(id);
        }
        for (contact, company) in companies {
            shop.order(contact, Some(company), false);
            waiting.push(Waiting::new(EntityKind::Company, company));
            waiting.push(Waiting::new(EntityKind::Customer, contact));
            self.expected.companies.push(company);
            self.expected.contacts.push(contact);
        }
        self.get_codes(waiting, "ordered").await?;
        if let [.., homeless, foreign] = self.expected.companies[..] {
            self.expected.own_register.without_country = Some(homeless);
            self.expected.own_register.foreign = Some(foreign);
            self.tell_of_countries(homeless, foreign).await?;
        }
        Ok(())
    }

    /// Tells how the ERP has the company without a country, and the one abroad.
    async fn tell_of_countries(&self, homeless: i64, foreign: i64) -> Result<(), SandboxError> {
        for (id, what) in [
            (
                homeless,
                format!("names no country, so that it is of {COUNTRY}"),
            ),
            (foreign, format!("is in Norway ({NORWAY})")),
        ] {
            let code = self.code(EntityKind::Company, id);
            if let Some(record) = self.world.shop.erp_customer(code.as_deref()).await? {
                let country = match record.details.country.as_str() {
                    "" => "no country",
                    country => &format!("the country {country}"),
                };
                progress::told(format_args!(
                    "company {id} {what} → {} has {country} and the number {} in the ERP",
                    record.code, record.vat_number
                ));
            }
        }
        Ok(())
    }

    async fn changes(&mut self) -> Result<(), SandboxError> {
        let shop = self.world.shop;
        let (Some(&customer), Some(&mover), Some(&company)) = (
            self.expected.customers.first(),
            self.expected.customers.get(1),
            self.expected.companies.first(),
        ) else {
            return Err(SandboxError::Day("there is nobody to change".to_owned()));
        };
        const STREET: &str = "Nygatan 7";
        const PHONE: &str = "08-999 00 01";
        let since = Instant::now();
        shop.norce.change_customer(customer, |customer| {
            for address in &mut customer.details.addresses {
                address.address_line1 = Some(STREET.to_owned());
            }
        });
        shop.norce.change_customer(mover, |customer| {
            for address in &mut customer.details.addresses {
                address.address_line1 = Some("Vestergade 7".to_owned());
                address.zip_code = Some("1456".to_owned());
                address.city = Some("København K".to_owned());
                address.country_id = country_id(DENMARK);
            }
        });
        self.expected.own_register.mover = Some(mover);
        shop.norce.change_company(company, |company| {
            company.row.phone_number = Some(PHONE.to_owned());
        });
        for (kind, id, what, value) in [
            (EntityKind::Customer, customer, "street", STREET),
            (EntityKind::Company, company, "telephone", PHONE),
        ] {
            let code = self.code(kind, id).unwrap_or_default();
            self.until(&format!("the {what} of {kind} {id}"), async || {
                let record = shop.erp_customer(Some(&code)).await?;
                let details = record.map(|record| record.details);
                Ok(details.filter(|it| it.street == value || it.phone == value))
            })
            .await?;
            progress::told(format_args!(
                "{kind} {id} has another {what} → {code} has it in the ERP after {}",
                progress::duration(since.elapsed())
            ));
        }
        self.mover_arrives(mover, since).await
    }

    /// Waits until the ERP has the new country of the customer who has moved abroad.
    async fn mover_arrives(&self, mover: i64, since: Instant) -> Result<(), SandboxError> {
        let shop = self.world.shop;
        let code = self.code(EntityKind::Customer, mover).unwrap_or_default();
        let country = shop.erp.country_code(DENMARK);
        self.until(&format!("the country of customer {mover}"), async || {
            let record = shop.erp_customer(Some(&code)).await?;
            Ok(record.filter(|record| record.details.country == country))
        })
        .await?;
        progress::told(format_args!(
            "customer {mover} has moved to Denmark ({DENMARK}) → {code} has the country {country} in the ERP after {}",
            progress::duration(since.elapsed())
        ));
        Ok(())
    }

    async fn outage(&mut self) -> Result<(), SandboxError> {
        let shop = self.world.shop;
        shop.erp.begin_outage().await?;
        let id = shop.register(&shop.newcomer());
        shop.order(id, None, false);
        self.expected.customers.push(id);
        let waiting = Waiting::new(EntityKind::Customer, id);
        sleep(OUTAGE).await;
        if let Some(code) = self.code(EntityKind::Customer, id) {
            let detail = format!("customer {id} got code {code} while the ERP was down");
            return Err(SandboxError::Day(detail));
        }
        shop.erp.end_outage().await?;
        progress::told(format_args!(
            "the ERP was down for {}; meanwhile customer {id} ordered, and waits",
            progress::duration(waiting.since.elapsed())
        ));
        self.get_codes(vec![waiting], "ordered").await
    }

    /// Two records with the customer's address: which of them it is, a person has to say.
    async fn conflict(&mut self) -> Result<(), SandboxError> {
        let shop = self.world.shop;
        let person = shop.newcomer();
        let twin = ByHand {
            code: None,
            details: person.details(),
        };
        let codes = shop
            .erp
            .add(shop.erp_company(), &[twin.clone(), twin])
            .await?;
        let id = shop.register(&person);
        shop.order(id, None, false);
        let owed = self.owed(id).await?;
        progress::told(format_args!(
            "customer {id} ordered → owed: {}",
            owed.detail
        ));
        self.expected.customers.push(id);
        self.expected.twins = Some((id, codes));
        Ok(())
    }

    async fn pass(&mut self) -> Result<(), SandboxError> {
        let shop = self.world.shop;
        let person = shop.newcomer();
        let id = shop.register(&person);
        put_into_erp(shop, shop.erp_company(), &person).await?;
        let namesake = shop.newcomer();
        let contact = shop
            .erp
            .add_vendor_contact(shop.erp_company(), &namesake.details())
            .await?;
        let namesake = contact.map(|contact| (shop.register(&namesake), contact));
        self.world.quiet(self.queues).await?;
        let waiting = Waiting::new(EntityKind::Customer, id);
        let runs = self.world.start(&json!({"mode": "delta"})).await?;
        self.get_codes(vec![waiting], "was entered in the ERP by hand")
            .await?;
        for id in runs {
            self.until("the end of the pass", async || {
                let run = self.world.run(id).await?;
                Ok(run.filter(|run| run.ended.is_some()))
            })
            .await?;
        }
        match namesake {
            Some((id, contact)) => self.namesake_orders(id, contact).await,
            None => Ok(()),
        }
    }

    /// A customer has the same e-mail address as a vendor's contact that the pass has read. The customer gets no code before
    /// the first order, and then a code of its own.
    async fn namesake_orders(&mut self, id: i64, contact: Record) -> Result<(), SandboxError> {
        let shop = self.world.shop;
        if let Some(code) = self.code(EntityKind::Customer, id) {
            return Err(SandboxError::Day(format!(
                "customer {id} has not ordered, and has the code {code}"
            )));
        }
        progress::told(format_args!(
            "customer {id} has the e-mail address of {}, the contact of a vendor → the pass gives it no code",
            contact.code
        ));
        shop.order(id, None, false);
        let waiting = Waiting::new(EntityKind::Customer, id);
        self.expected.customers.push(id);
        self.expected.own_register.namesake = Some((id, contact));
        self.get_codes(vec![waiting], "ordered").await
    }

    async fn operator(&mut self) -> Result<(), SandboxError> {
        let asked = async |request: Value, is_so: &dyn Fn(&Value) -> bool| {
            let answer = self.conversation.ask(self.world, request.clone()).await?;
            self.conversation.expect(is_so(&answer), &request, &answer);
            let summary = answer["summary"].as_str().unwrap_or_default();
            progress::told(format_args!("> {request}"));
            progress::told(format_args!("  {summary}"));
            Ok::<_, SandboxError>(())
        };
        let nobody = || SandboxError::Day("there is no conflict to resolve".to_owned());
        let (id, codes) = self.expected.twins.clone().ok_or_else(nobody)?;
        let [code, ..] = codes.as_slice() else {
            return Err(nobody());
        };
        asked(json!({"action": "owed"}), &|owed| owed["found"] == 1).await?;
        asked(json!({"action": "explain", "id": id}), &|explained| {
            explained["owed"][0]["reason"] == "conflict"
        })
        .await?;
        let rebind = json!({
            "action": "rebind", "id": id, "toCode": code, "confirm": true,
            "reason": "the customer says so by telephone",
        });
        asked(rebind, &|bound| bound["done"] == true).await?;
        let waiting = Waiting::new(EntityKind::Customer, id);
        self.get_codes(vec![waiting], "was bound by a person")
            .await?;
        asked(json!({"action": "doctor"}), &|doctor| {
            let checks = doctor["checks"].as_array();
            checks.is_some_and(|checks| checks.iter().all(|check| check["ok"] == true))
        })
        .await
    }

    /// Waits until everybody has a code in Norce, and says so as it happens.
    async fn get_codes(&self, mut waiting: Vec<Waiting>, what: &str) -> Result<(), SandboxError> {
        let all: BTreeSet<i64> = waiting.iter().map(|waiting| waiting.id).collect();
        self.until(&format!("the codes of {all:?}"), async || {
            waiting.retain(|Waiting { kind, id, since }| {
                let Some(code) = self.code(*kind, *id) else {
                    return true;
                };
                progress::told(format_args!(
                    "{kind} {id} {what} → {code} in the ERP → its code is in Norce after {}",
                    progress::duration(since.elapsed())
                ));
                false
            });
            Ok(waiting.is_empty().then_some(()))
        })
        .await
    }

    fn code(&self, kind: EntityKind, id: i64) -> Option<String> {
        let norce = &self.world.shop.norce;
        match kind {
            EntityKind::Customer => norce.customer(id)?.row.customer_code,
            EntityKind::Company => norce.company(id)?.row.company_code,
        }
    }

    /// Waits until something is owed of a customer.
    async fn owed(&self, id: i64) -> Result<Owed, SandboxError> {
        let subject = outcome::customer_subject(id);
        self.until(&format!("the owed record of customer {id}"), async || {
            let owed = outcome::owed(self.world.aws, self.world.deployment).await?;
            Ok(owed
                .into_iter()
                .find(|owed| Some(&owed.subject) == subject.as_ref()))
        })
        .await
    }

    async fn until<T>(
        &self,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>, SandboxError>,
    ) -> Result<T, SandboxError> {
        let start = Instant::now();
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if start.elapsed() > PATIENCE {
                let detail = format!("{what} did not come within {PATIENCE:?}; see the logs");
                return Err(SandboxError::Day(detail));
            }
            sleep(INTERVAL).await;
        }
    }
}

impl Waiting {
    fn new(kind: EntityKind, id: i64) -> Self {
        Self {
            kind,
            id,
            since: Instant::now(),
        }
    }
}
