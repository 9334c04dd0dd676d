//! A day in the shop: what happens, in which order. [`super::outcome`] judges the result.

use std::{collections::BTreeSet, iter, path::Path, time::Duration};

use chrono::Utc;
use tokio::time::{Instant, sleep, sleep_until};

use super::{
    SandboxError,
    deployment::{Deployment, EVENT_SECRET},
    logs::{self, LogLevel},
    night,
    operator::{self, Conversation, InTheWay},
    outcome::{Answer, Expectations, Outcome},
    passes::{self, World},
    progress,
    quiet::Queues,
    shop::{FIRST_COMPANY, FIRST_ORDER, Organisation, Person, Shop},
    support::{self, SupportDesk},
    upgrade,
};
use crate::{
    local_aws::{LocalAws, Tools},
    norce_simulator::{
        Blank, EventPost, EventSink as _, EventType, HttpEventSink, Poison, PoisonMode, PoisonRows,
    },
};

/// New customers in the morning.
const CUSTOMERS: usize = 40;
/// One in this many of them checks out as a guest.
const GUEST_EVERY: usize = 7;
/// New companies, each with a contact who orders and one who does not.
const COMPANIES: usize = 10;
/// Customers from before the integration who are in both registers; the first has moved on.
const OF_OLD: usize = 5;
/// New customers while the ERP is down.
const CUSTOMERS_IN_OUTAGE: usize = 6;
/// The shortest outage: long enough for the breaker to open, and for several probes (P8).
const OUTAGE: Duration = Duration::from_secs(60);
/// New customers, one of which cannot be imported.
const CUSTOMERS_WITH_POISON: usize = 5;
/// Customers, companies and contacts that change in the afternoon.
const CHANGES: usize = 8;
const COMPANY_CHANGES: usize = 3;
/// The part that Norce Query refuses from the afternoon on.
const REFUSED_PART: (&str, &str) = ("Company", "Flags");
/// The contact that moves and the customer whose data are removed, by their places: nothing else happens to either.
const MOVER: usize = 9;
const SCRAMBLED: usize = 12;
/// Changes of one customer at once.
const BURST: usize = 50;
/// Every event is delivered this often, and up to so late, so that they overtake each other.
const COPIES: u32 = 2;
const REORDERED_WITHIN: Duration = Duration::from_millis(400);
/// The time between two orders.
const PAUSE: Duration = Duration::from_millis(40);
/// The time limit of a part of the day. The longest planned wait is far shorter. But the local AWS ends processes in the middle
/// of their work when a stack is updated, and a process of an earlier version does not start if it cannot read a secret on a
/// busy machine: their messages stay hidden for the 12 minutes of the queue's visibility time-out.
const LONGEST_PART: Duration = Duration::from_secs(15 * 60);

/// A body above the limit of 64 KiB.
const LARGE_BODY: usize = 100 * 1024;

/// The placeholder for a missing number.
const NO_NUMBER: &str = "000000-0000";

/// The kind of day.
pub(super) struct Plan<'a> {
    /// The template of this version, built.
    pub(super) template: &'a Path,
    /// Whether there is a night: it needs the deployed functions with their rights.
    pub(super) with_night: bool,
    /// What is deployed is an earlier version, and at noon it is updated to the template of this one.
    pub(super) updates: bool,
    /// The log level of the functions.
    pub(super) log_level: LogLevel,
    /// The users of the console; `None`: the stack has none.
    pub(super) support: Option<&'a SupportDesk>,
}

/// Plays the day, and the night and the next day where the plan has them.
pub(super) async fn play(
    shop: &Shop,
    aws: &LocalAws,
    deployment: &Deployment,
    sam: &Tools,
    plan: &Plan<'_>,
) -> Result<Outcome, SandboxError> {
    let begin = Utc::now();
    let event_url = deployment.event_url()?;
    shop.subscribe(&event_url);
    let queues = Queues::of(aws, deployment).await?;
    shop.norce.configure(|settings| {
        settings.events.copies = COPIES;
        settings.events.reorder_within = REORDERED_WITHIN;
    });
    let conversation = Conversation::default();
    let mut day = Day {
        plan,
        world: World {
            shop,
            aws,
            deployment,
            sam,
            log_level: plan.log_level,
        },
        queues: &queues,
        event_url: &event_url,
        conversation: &conversation,
        expected: Expectations::default(),
    };
    day.morning().await?;
    let updated = day.noon().await?;
    let mut of_this_version = begin;
    if let Some(deployment) = &updated {
        // Before it, the functions of an earlier version wrote what that version writes.
        of_this_version = Utc::now();
        day.world.deployment = deployment;
    }
    day.afternoon().await?;
    let answers = day.evening().await?;
    if plan.with_night {
        day.night().await?;
    }
    let mut in_the_way = day.expected.in_the_way()?;
    let Day {
        world, expected, ..
    } = day;
    let mut outcome = progress::step("Comparing both sides", async {
        Outcome::of(shop, aws, world.deployment, &queues, expected, answers).await
    })
    .await?;
    if plan.with_night {
        let passes = passes::play(&world, &queues).await?;
        in_the_way.warned = passes.warned;
        outcome.add_passes(passes);
        people_ask(&world, &queues, &conversation, &in_the_way, plan.support).await?;
        conversation.save()?;
        outcome.add_conversation(&conversation);
        logs::keep_to_the_level(&world, of_this_version).await?;
        outcome.add_passes(passes::two_applications(&world, plan.template).await?);
    }
    Ok(outcome)
}

/// A person asks `operator` what the day has left, and support does its part in the console.
async fn people_ask(
    world: &World<'_>,
    queues: &Queues,
    conversation: &Conversation,
    in_the_way: &InTheWay,
    support: Option<&SupportDesk>,
) -> Result<(), SandboxError> {
    progress::step(
        "A person asks: what is owed is cleared, lost events are replayed, dead letters are looked at",
        operator::play(world, queues, conversation, in_the_way),
    )
    .await?;
    if let Some(support) = support {
        support.know(world.deployment)?;
        progress::step(
            "Support signs in to the console: a customer is found, the ERP's rule goes, it is tried again",
            support::play(world, queues, conversation),
        )
        .await?;
    }
    Ok(())
}

struct Day<'a> {
    plan: &'a Plan<'a>,
    world: World<'a>,
    queues: &'a Queues,
    event_url: &'a str,
    conversation: &'a Conversation,
    expected: Expectations,
}

/// The parts of the day, each with its title. A part is over when nothing is under way any more.
impl Day<'_> {
    async fn quiet(&self) -> Result<(), SandboxError> {
        self.world.quiet_within(self.queues, LONGEST_PART).await
    }

    async fn morning(&mut self) -> Result<(), SandboxError> {
        let updates = self.plan.updates;
        if updates {
            self.world.shop.erp.answers_any_filter(true);
        }
        let title = format!(
            "Morning: {CUSTOMERS} customers and {COMPANIES} companies order for the first time{}, {OF_OLD} are known of old",
            if updates {
                ""
            } else {
                ", and some who share an address or a number"
            }
        );
        progress::step(&title, async {
            self.first_orders().await?;
            self.quiet().await
        })
        .await
    }

    /// The ERP is down. Returns the deployment of this version, where the stack is updated meanwhile.
    async fn noon(&mut self) -> Result<Option<Deployment>, SandboxError> {
        let updates = self.plan.updates;
        let queues = self.queues;
        let meanwhile = if updates {
            "people keep ordering, Norce takes no imports, and the stack is updated"
        } else {
            "people keep ordering"
        };
        let title = format!("Noon: {}, {meanwhile}", self.world.shop.erp.noon());
        let outage = self.outage();
        progress::step(&title, async {
            if updates {
                upgrade::with_short_visibility(queues, outage).await
            } else {
                outage.await
            }
        })
        .await
    }

    async fn outage(&mut self) -> Result<Option<Deployment>, SandboxError> {
        let over = Instant::now() + OUTAGE;
        let shop = self.world.shop;
        if self.plan.updates {
            let customers = upgrade::norce_fails(&self.world, self.queues).await?;
            self.expected.customers.extend(customers);
        }
        self.begin_outage().await?;
        let mut updated = None;
        if self.plan.updates {
            let pass = upgrade::a_pass_begins(&self.world, self.queues).await?;
            let deployment = upgrade::update(&self.world, self.queues, self.plan.template).await?;
            shop.erp.answers_any_filter(false);
            updated = Some((pass, deployment));
        }
        if self.plan.with_night {
            operator::during_the_outage(&self.world, self.conversation).await?;
        }
        sleep_until(over).await;
        shop.norce.clear_faults();
        shop.erp.end_outage().await?;
        let Some((pass, deployment)) = updated else {
            self.quiet().await?;
            return Ok(None);
        };
        self.quiet().await?;
        upgrade::the_pass_has_ended(&self.world, pass).await?;
        Ok(Some(deployment))
    }

    async fn afternoon(&mut self) -> Result<(), SandboxError> {
        let title = format!(
            "Afternoon: changes, {BURST} of them for one customer, one contact moves, one customer is forgotten and one looks so, one code cannot be imported, Norce Query refuses a part"
        );
        progress::step(&title, async {
            self.poison_and_changes().await?;
            self.quiet().await
        })
        .await
    }

    async fn evening(&self) -> Result<Vec<Answer>, SandboxError> {
        progress::step("Evening: posts that are not Norce's", async {
            let answers = strange_posts(self.world.shop, self.event_url).await?;
            self.quiet().await?;
            Ok(answers)
        })
        .await
    }

    async fn night(&mut self) -> Result<(), SandboxError> {
        progress::step(
            "Night: the queue refuses events, functions are killed at their work, nothing has changed, nonsense is queued",
            self.trouble(),
        )
        .await
    }

    async fn trouble(&mut self) -> Result<(), SandboxError> {
        let (shop, queues) = (self.world.shop, self.queues);
        let (aws, deployment) = (self.world.aws, self.world.deployment);
        night::the_queue_refuses(shop, aws, deployment, self.awake(3)?).await?;
        self.quiet().await?;
        night::nonsense_is_queued(shop, queues, self.awake(4)?).await?;
        self.quiet().await?;
        let customers = night::functions_die(shop, aws, queues, deployment).await?;
        self.expected.customers.extend(customers);
        self.quiet().await?;
        let before = night::writes(shop).await?;
        night::nothing_has_changed(shop, self.event_url, &self.expected.contacts).await?;
        self.quiet().await?;
        let after = night::writes(shop).await?;
        if after == before {
            return Ok(());
        }
        Err(SandboxError::Day(format!(
            "events of which nothing had changed made writes: {before:?} to the ERP and Norce became {after:?}"
        )))
    }

    /// A customer for the night.
    fn awake(&self, place: usize) -> Result<i64, SandboxError> {
        let nobody = || SandboxError::Day("there is no customer for the night".to_owned());
        let customers = &self.expected.customers;
        customers.get(place).copied().ok_or_else(nobody)
    }
}

/// What happens in the parts of the day.
impl Day<'_> {
    /// What an earlier version cannot tell apart is left out when it is the one deployed.
    fn begins_with_this_version(&self) -> bool {
        !self.plan.updates
    }

    async fn first_orders(&mut self) -> Result<(), SandboxError> {
        let shop = self.world.shop;
        for number in 0..OF_OLD {
            let person = shop.newcomer();
            let code = format!("C9{number:04}");
            let moved_on = number == 0;
            let id = shop.register_of_old(&person, &code, moved_on).await?;
            if moved_on && self.begins_with_this_version() {
                self.expected.kept_phone = Some(id);
            }
            self.expected.of_old.push((id, code));
        }
        let first = shop.newcomer();
        let refusal = shop.erp.refuse(&first.email).await?;
        let people = iter::once(first).chain(iter::repeat_with(|| shop.newcomer()));
        let mut customers = Vec::new();
        for (number, person) in people.take(CUSTOMERS).enumerate() {
            let id = shop.register(&person);
            customers.push((id, number % GUEST_EVERY == GUEST_EVERY - 1));
        }
        shop.norce.start_ids_after(FIRST_COMPANY - 1);
        let mut contacts = Vec::new();
        for number in 0..COMPANIES {
            let company = shop.register_company(&Organisation::new(number));
            let [orders, silent] = [(); 2].map(|()| {
                let contact = shop.register(&shop.newcomer());
                shop.norce.link(contact, company, true);
                contact
            });
            contacts.push((orders, company));
            self.expected.companies.push(company);
            self.expected.contacts.extend([orders, silent]);
        }
        if self.begins_with_this_version() {
            self.share(&mut contacts);
        }
        shop.norce.start_ids_after(FIRST_ORDER - 1);
        for (id, guest) in customers {
            shop.order(id, None, guest);
            self.expected.customers.push(id);
            if let Some((contact, company)) = contacts.pop() {
                shop.order(contact, Some(company), false);
            }
            sleep(PAUSE).await;
        }
        let refused = self.expected.customers.first();
        self.expected.refused = refused.map(|id| (*id, refusal));
        Ok(())
    }

    /// Customers and companies that a key does not tell apart: a household with one e-mail address, two schools with the number of their
    /// municipality, two firms that gave none.
    fn share(&mut self, contacts: &mut Vec<(i64, i64)>) {
        let shop = self.world.shop;
        let parent = shop.newcomer();
        let child = Person {
            email: parent.email.clone(),
            ..shop.newcomer()
        };
        for person in [parent, child] {
            let id = shop.register(&person);
            shop.order(id, None, false);
            self.expected.sharing.customers.push(id);
        }
        let municipality = Organisation::new(COMPANIES).number;
        let numbers = [&municipality, &municipality, NO_NUMBER, NO_NUMBER];
        for (place, number) in numbers.into_iter().enumerate() {
            let company = shop.register_company(&Organisation {
                number: number.to_owned(),
                ..Organisation::new(COMPANIES + place)
            });
            let contact = shop.register(&shop.newcomer());
            shop.norce.link(contact, company, true);
            contacts.push((contact, company));
            self.expected.companies.push(company);
            self.expected.contacts.push(contact);
            self.expected.sharing.companies.push(company);
        }
    }

    async fn begin_outage(&mut self) -> Result<(), SandboxError> {
        self.world.shop.erp.begin_outage().await?;
        for _ in 0..CUSTOMERS_IN_OUTAGE {
            let id = self.world.shop.register(&self.world.shop.newcomer());
            self.world.shop.order(id, None, false);
            self.expected.customers.push(id);
            sleep(PAUSE).await;
        }
        for place in 1..=CUSTOMERS_IN_OUTAGE {
            if let Some(&id) = self.expected.customers.get(place) {
                self.moves(id, "Avbrottsvägen");
            }
        }
        Ok(())
    }

    async fn poison_and_changes(&mut self) -> Result<(), SandboxError> {
        let norce = &self.world.shop.norce;
        norce.configure(|settings| settings.query_lacks = vec![REFUSED_PART]);
        for number in 0..CUSTOMERS_WITH_POISON {
            let id = self.world.shop.register(&self.world.shop.newcomer());
            if number == 0 {
                norce.poison(Poison {
                    rows: PoisonRows::Ids(BTreeSet::from([id])),
                    mode: PoisonMode::RowFailsJobFails,
                    message: "The row could not be read.".to_owned(),
                });
                self.expected.poisoned = Some(id);
            }
            self.expected.customers.push(id);
            self.world.shop.order(id, None, false);
        }

        let first = CUSTOMERS / 2;
        for id in self
            .expected
            .customers
            .iter()
            .skip(first)
            .take(CHANGES)
            .copied()
            .collect::<Vec<_>>()
        {
            self.moves(id, "Nygatan");
            sleep(PAUSE).await;
        }
        for (number, company) in self
            .expected
            .companies
            .iter()
            .take(COMPANY_CHANGES)
            .enumerate()
        {
            norce.change_company(*company, |company| {
                company.row.phone_number = Some(format!("08-999 00 {number:02}"));
            });
        }
        for (number, contact) in self
            .expected
            .contacts
            .iter()
            .take(COMPANY_CHANGES)
            .enumerate()
        {
            norce.change_customer(*contact, |contact| {
                contact.row.phone_number = Some(format!("08-888 00 {number:02}"));
            });
        }
        self.expected.burst = self.expected.customers.get(first - 1).copied();
        if let Some(id) = self.expected.burst {
            for number in 0..BURST {
                norce.change_customer(id, |customer| {
                    customer.row.phone_number = Some(format!("08-777 00 {number:02}"));
                });
                sleep(PAUSE / 4).await;
            }
        }
        self.contact_moves()?;
        self.scramble().await?;
        self.forget().await
    }

    /// A contact that has not ordered moves to another company; the events of Norce name the two companies alone.
    fn contact_moves(&mut self) -> Result<(), SandboxError> {
        let nobody = || SandboxError::Day("there is no contact to move".to_owned());
        let norce = &self.world.shop.norce;
        let company_of = |contact: i64| norce.companies_of(contact).first().copied();
        let mover = self
            .expected
            .contacts
            .get(MOVER)
            .copied()
            .ok_or_else(nobody)?;
        let from = company_of(mover).ok_or_else(nobody)?;
        let colleague = self.expected.contacts.iter().copied();
        let mut colleague = colleague.filter(|contact| company_of(*contact) != Some(from));
        let colleague = colleague.next().ok_or_else(nobody)?;
        let to = company_of(colleague).ok_or_else(nobody)?;
        norce.unlink(mover, from);
        norce.link(mover, to, true);
        self.expected.moved = Some((mover, colleague));
        Ok(())
    }

    /// The data of a customer are removed, and nothing says that it is forgotten.
    async fn scramble(&mut self) -> Result<(), SandboxError> {
        let nobody = || SandboxError::Day("there is no customer to be scrambled".to_owned());
        let norce = &self.world.shop.norce;
        let id = self
            .expected
            .customers
            .get(SCRAMBLED)
            .copied()
            .ok_or_else(nobody)?;
        let code = norce
            .customer(id)
            .and_then(|customer| customer.row.customer_code);
        let record = self.world.shop.erp_customer(code.as_deref()).await?;
        norce.scramble_customer(id, &Blank::Null, true);
        self.expected.customers.retain(|customer| *customer != id);
        self.expected.scrambled = Some((id, record.ok_or_else(nobody)?));
        Ok(())
    }

    /// A customer that is in the ERP is forgotten in Norce, which posts an ordinary event.
    async fn forget(&mut self) -> Result<(), SandboxError> {
        let norce = &self.world.shop.norce;
        let nobody = || SandboxError::Day("there is no customer to be forgotten".to_owned());
        let id = self.expected.customers.get(2).copied().ok_or_else(nobody)?;
        let code = norce
            .customer(id)
            .and_then(|customer| customer.row.customer_code);
        let record = self.world.shop.erp_customer(code.as_deref()).await?;
        let record = record.ok_or_else(nobody)?;
        norce.forget_customer(id, &Blank::Placeholder("Forgotten".to_owned()), true);
        self.expected.customers.retain(|customer| *customer != id);
        self.expected.forgotten = Some((id, record));
        Ok(())
    }

    fn moves(&self, id: i64, street: &str) {
        self.world.shop.norce.change_customer(id, |customer| {
            for address in &mut customer.details.addresses {
                address.address_line1 = Some(format!("{street} {id}"));
            }
        });
    }
}

/// Sends posts that are not Norce's or are malformed, and returns the answers.
async fn strange_posts(shop: &Shop, event_url: &str) -> Result<Vec<Answer>, SandboxError> {
    let sink = HttpEventSink::new().map_err(SandboxError::Day)?;
    let client = shop.client_id();
    let event = |customer: i64| {
        format!(
            r#"{{"ClientId":{client},"CustomerId":{customer},"EntityChanged":"tClientCustomer"}}"#
        )
    };
    let large = format!(
        r#"{{"ClientId":{client},"Filler":"{}"}}"#,
        "x".repeat(LARGE_BODY)
    );
    let secret = Some(EVENT_SECRET);
    let changed = "customer-changed";
    let not_json = "CustomerId=1".to_owned();
    let posts = [
        ("without the secret", changed, None, event(1), vec![401]),
        (
            "with a wrong secret",
            changed,
            Some("guess"),
            event(1),
            vec![401],
        ),
        ("not JSON", changed, secret, not_json, vec![400]),
        (
            "of an unknown type",
            "basket-changed",
            secret,
            event(1),
            vec![202],
        ),
        ("of 100 KiB", changed, secret, large, vec![400]),
        (
            "about a customer that does not exist",
            changed,
            secret,
            event(999_999),
            vec![202],
        ),
    ];
    let mut answers = Vec::new();
    for (what, path, secret, body, expected) in posts {
        let secret = secret.map(|secret| ("x-event-secret".to_owned(), secret.to_owned()));
        let post = EventPost {
            event: EventType::CustomerChanged,
            url: format!("{event_url}/{path}"),
            headers: secret.into_iter().collect(),
            body: body.into(),
        };
        let status = sink
            .post(post)
            .await
            .map_err(|error| SandboxError::Day(format!("a post {what}: {error}")))?;
        answers.push(Answer {
            what,
            status,
            expected,
        });
    }
    Ok(answers)
}
