//! The distance of a message from its origin, for every flow.
//!
//! A request of Norce, a schedule or a person is the origin of a chain. A message has one hop for each send between it and its
//! origin, so that a message which the origin itself sends has one. The in-process bundle counts as Lambda does by the trace
//! header: what a function sends while it handles messages has one hop more than the farthest of them.
//!
//! AWS ends a chain of about 16 hops unless the function's `RecursiveLoop` is `Allow`. The template allows it everywhere,
//! because passes, slow jobs and halving go over that in normal operation; so each chain needs a bound of ours.
//!
//! | chain | highest in normal operation | in an outage of nine days | what ends it |
//! |---|---|---|---|
//! | order, change, forgotten customer, posted order, replay, retry of what is owed, with the code's import | 4 | 10 | sent again after 500 deliveries, 12 times at most: then a dead letter |
//! | contact ⇄ company | 3 | 8 | a company that is in the ERP sends only contacts that have no mapping, and a contact sends only a company that has none |
//! | event → import → event, through Norce | an event begins a chain of its own | the same | a code that Norce has lost again is owed, and imported once an hour at most |
//! | steps of a pass or plan | as many as it has | until it is given up | a day without progress, 7 days in all, 10 expired cursors in one listing |
//! | polls of a job | 91 (20 hours) | the same message waits | `ImportGiveUpHours`; 14 days where Norce cannot be read |
//! | `JobCompletedEvent` | 1 | 1 | 10 deliveries |
//! | halving, and lines submitted again | 21 (500 lines, one poison row) | 21 | the size of the batch; `ImportGiveUpHours` since the lines were first submitted |
//! | lines that kill their invocation | – | 209 in six hours | 1,000 deliveries; one batch for each message of the poller; `ImportGiveUpHours` |
//!
//! Below is what was measured; `bounds` drives each loop past its bound.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly, and the table is for people"
)]

mod bounds;
mod listings;

use std::{fmt::Write as _, time::Duration};

use erp_full_pass::PassSettings;
use http::StatusCode;
use serde_json::json;
use shared::{
    domain::{PassMode, PassRequest},
    mappings::{CodeDelivery, Mapping, Mappings},
    owed::Reason,
    runtime::configuration::ForgottenPolicy,
};
use tests::{
    bundle::{Bundle, Hops, Options, SOON, customer},
    business_central_simulator::Fault,
    norce_simulator::{
        Blank, Effect, Endpoint, EventType, ImportedRows, NewCompany, Poison, PoisonMode,
        PoisonRows, When,
    },
    samples::{self, order_of, resident},
};
use uuid::Uuid;

use crate::listings::{Listings, Place};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// More deliveries than a message has, and nearly more time than SQS keeps it.
const OUTAGE: Duration = Duration::from_secs(9 * 24 * 3_600);
/// Lines of the batch with the poison row.
const BATCH: usize = 500;
/// Steps of the long pass at least.
const STEPS: usize = 60;

fn person_in_erp(bundle: &Bundle, number: usize) {
    let properties = json!({"displayName": format!("Anna Ek {number}"), "type": "Person",
        "email": format!("anna.{number}@example.com")});
    let added = bundle.erp.add_customer(bundle.erp_company(), &properties);
    added.unwrap();
}

fn order(bundle: &Bundle, customer: i64) {
    bundle.norce.place_order(order_of(customer));
}

fn change_phone(bundle: &Bundle, customer: i64) {
    bundle.norce.change_customer(customer, |record| {
        record.row.phone_number = Some("08-765 43 21".to_owned());
    });
}

fn phones(bundle: &Bundle) -> Vec<String> {
    let records = bundle.erp.customers(bundle.erp_company());
    records
        .into_iter()
        .map(|record| record.phone_number)
        .collect()
}

/// Norce has the code that the ERP gave, and it is known that it has.
async fn assert_in_step(bundle: &Bundle, id: i64) {
    let code = bundle.customer_code(id).expect("no code in Norce");
    let Some(Mapping::Bound(binding)) = bundle.mappings.get(customer(id)).await.unwrap() else {
        panic!("customer {id} is not bound");
    };
    assert_eq!(binding.code.as_str(), code);
    let is_confirmed = matches!(binding.delivery, CodeDelivery::Confirmed { .. });
    assert!(is_confirmed, "{binding:?}");
}

async fn assert_nothing_owed(bundle: &Bundle) {
    let owed = bundle.owed.list().await.unwrap();
    assert!(owed.is_empty(), "{owed:#?}");
}

/// A customer that both sides have.
async fn known_customer(bundle: &Bundle) -> i64 {
    let id = bundle.norce.add_customer(resident(0));
    order(bundle, id);
    bundle.run_until_quiet().await;
    assert_in_step(bundle, id).await;
    // Events shortly before count as handled.
    tokio::time::sleep(HOUR).await;
    id
}

/// Who does not answer for nine days.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outage {
    Nobody,
    Norce,
    Erp,
    Both,
}

impl Outage {
    const ALL: [Self; 4] = [Self::Nobody, Self::Norce, Self::Erp, Self::Both];

    const fn name(self) -> &'static str {
        match self {
            Self::Nobody => "-",
            Self::Norce => "Norce",
            Self::Erp => "ERP",
            Self::Both => "both",
        }
    }

    /// How long it takes at most until nothing is left to do.
    const fn longest(self) -> Duration {
        match self {
            Self::Nobody => SOON,
            // Between two deliveries of a message there is at most half an hour.
            Self::Norce | Self::Erp | Self::Both => OUTAGE.saturating_add(HOUR),
        }
    }

    fn begins(self, bundle: &Bundle) {
        if matches!(self, Self::Norce | Self::Both) {
            let endpoints = [&Endpoint::CONNECT[..], &Endpoint::QUERY, &[Endpoint::Token]].concat();
            let when = When::For(OUTAGE);
            bundle.norce.inject(&endpoints, when, Effect::status(503));
        }
        if matches!(self, Self::Erp | Self::Both) {
            let down = Fault::status(StatusCode::SERVICE_UNAVAILABLE);
            bundle.erp.inject(down.lasting(OUTAGE));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    FirstOrder,
    CompanyWithContacts,
    Change,
    Forgotten,
    PostedOrder,
    DeltaPass,
    FullPass,
    Sweep,
    PassOfManySteps,
    PlanOfManySteps,
    PassWithInserts,
    SlowJob,
    PoisonRow,
    Replay,
    OwedRetry,
}

impl Flow {
    const ALL: [Self; 15] = [
        Self::FirstOrder,
        Self::CompanyWithContacts,
        Self::Change,
        Self::Forgotten,
        Self::PostedOrder,
        Self::DeltaPass,
        Self::FullPass,
        Self::Sweep,
        Self::PassOfManySteps,
        Self::PlanOfManySteps,
        Self::PassWithInserts,
        Self::SlowJob,
        Self::PoisonRow,
        Self::Replay,
        Self::OwedRetry,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::FirstOrder => "first order",
            Self::CompanyWithContacts => "first order of a company with contacts",
            Self::Change => "change",
            Self::Forgotten => "forgotten customer",
            Self::PostedOrder => "posted order",
            Self::DeltaPass => "delta pass",
            Self::FullPass => "full pass",
            Self::Sweep => "sweep",
            Self::PassOfManySteps => "full pass of 60 steps",
            Self::PlanOfManySteps => "plan of 60 steps",
            Self::PassWithInserts => "pass that inserts a company and its contact",
            Self::SlowJob => "import job of 20 hours",
            Self::PoisonRow => "batch of 500 with one poison row",
            Self::Replay => "replay",
            Self::OwedRetry => "retry of what is owed",
        }
    }

    fn options(self) -> Options {
        Options {
            forgotten: ForgottenPolicy::All,
            order_receiver: self == Self::PostedOrder,
            pass: PassSettings {
                import_unknown: self == Self::PassWithInserts,
                ..PassSettings::default()
            },
            ..Options::default()
        }
    }

    fn bundle(self) -> Bundle {
        let options = self.options();
        match self {
            // One page a step: the next one is read ahead, and then the time is up.
            Self::PassOfManySteps | Self::PlanOfManySteps => {
                Listings::bundle(&options, 5, Duration::from_secs(140), Place::Kept)
            }
            _ => Bundle::new(&options),
        }
    }

    /// Plays the flow to its end, and looks whether it ended as designed. The outage begins with what the flow is
    /// about, or, where nothing of it would begin then, in the middle of it.
    async fn play(self, bundle: &Bundle, outage: Outage) -> Hops {
        match self {
            Self::FirstOrder => {
                let id = bundle.norce.add_customer(resident(0));
                outage.begins(bundle);
                order(bundle, id);
                bundle.quiet_within(outage.longest()).await;
                assert_in_step(bundle, id).await;
                assert_nothing_owed(bundle).await;
            }
            Self::CompanyWithContacts => company_with_contacts(bundle, outage).await,
            Self::Change => {
                let id = known_customer(bundle).await;
                bundle.take_hops();
                outage.begins(bundle);
                change_phone(bundle, id);
                bundle.quiet_within(outage.longest()).await;
                assert_eq!(phones(bundle), ["08-765 43 21"]);
            }
            Self::Forgotten => {
                let id = known_customer(bundle).await;
                bundle.take_hops();
                outage.begins(bundle);
                bundle.norce.forget_customer(id, &Blank::Null, true);
                bundle.quiet_within(outage.longest()).await;
                let mapping = bundle.mappings.get(customer(id)).await.unwrap();
                assert_eq!(mapping, Some(Mapping::Forgotten));
            }
            Self::PostedOrder => {
                let id = bundle.norce.add_customer(resident(0));
                outage.begins(bundle);
                order(bundle, id);
                bundle.quiet_within(outage.longest()).await;
                assert_in_step(bundle, id).await;
                assert_nothing_owed(bundle).await;
                assert_eq!(bundle.outgoing_orders.len(), 1);
            }
            Self::DeltaPass => small_pass(bundle, PassMode::Delta, outage).await,
            Self::FullPass => small_pass(bundle, PassMode::Full, outage).await,
            Self::Sweep => sweep(bundle, outage).await,
            Self::PassOfManySteps | Self::PlanOfManySteps => {
                pass_of_many_steps(bundle, self == Self::PlanOfManySteps, outage).await;
            }
            Self::PassWithInserts => pass_with_inserts(bundle, outage).await,
            Self::SlowJob => {
                bundle.norce.configure(|settings| {
                    settings.jobs.delay = 20 * HOUR;
                    settings.events.job_completed = false;
                });
                let id = bundle.norce.add_customer(resident(0));
                order(bundle, id);
                bundle.run_for(HOUR).await;
                outage.begins(bundle);
                // Without an outage the job takes most of a day.
                bundle.quiet_within(DAY.max(outage.longest())).await;
                assert_in_step(bundle, id).await;
                assert_nothing_owed(bundle).await;
            }
            Self::PoisonRow => return poison_row(bundle, outage).await,
            Self::Replay => {
                let id = known_customer(bundle).await;
                unheard(bundle, || change_phone(bundle, id));
                bundle.take_hops();
                outage.begins(bundle);
                let request = json!({"action": "replay", "entity": customer(id).to_string()});
                assert_eq!(bundle.ask(request).await.unwrap()["sent"], 1);
                bundle.quiet_within(outage.longest()).await;
                assert_eq!(phones(bundle), ["08-765 43 21"]);
            }
            Self::OwedRetry => {
                bundle.erp.refuse_where(|_| true);
                let id = bundle.norce.add_customer(resident(0));
                order(bundle, id);
                bundle.run_until_quiet().await;
                bundle.erp.refuse_nothing();
                tokio::time::sleep(HOUR).await;
                bundle.take_hops();
                outage.begins(bundle);
                assert_eq!(bundle.retry_owed().await.retried, 1);
                bundle.quiet_within(outage.longest()).await;
                assert_in_step(bundle, id).await;
                assert_nothing_owed(bundle).await;
            }
        }
        bundle.take_hops()
    }
}

/// Something of which no event comes.
fn unheard(bundle: &Bundle, happens: impl FnOnce()) {
    let drop = |chance| {
        move |settings: &mut tests::norce_simulator::Settings| settings.events.drop_chance = chance
    };
    bundle.norce.configure(drop(1.0));
    happens();
    bundle.norce.configure(drop(0.0));
}

async fn company_with_contacts(bundle: &Bundle, outage: Outage) {
    let company = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        invoice_address: resident(0).invoice_address,
        ..NewCompany::default()
    });
    let contacts: Vec<i64> = (0..3)
        .map(|number| bundle.norce.add_customer(resident(number)))
        .collect();
    for contact in &contacts {
        bundle.norce.link(*contact, company, true);
    }
    outage.begins(bundle);
    bundle
        .norce
        .place_order(samples::order(Some(contacts[0]), Some(company)));
    bundle.quiet_within(outage.longest()).await;
    for contact in contacts {
        assert_in_step(bundle, contact).await;
    }
    let company = bundle.norce.company(company).unwrap();
    assert!(company.row.company_code.is_some());
    assert_nothing_owed(bundle).await;
}

/// The end of a run that works during an outage: it is given up after a day, and the next one starts from the same place.
async fn assert_ended(bundle: &Bundle, run: Uuid, is_given_up: bool) {
    let ended = bundle.run(run).await.ended.expect("the run has not ended");
    assert_eq!(ended.failed.is_some(), is_given_up, "{ended:?}");
}

async fn small_pass(bundle: &Bundle, mode: PassMode, outage: Outage) {
    let id = bundle.norce.add_customer(resident(0));
    bundle.run_until_quiet().await;
    person_in_erp(bundle, 0);
    bundle.take_hops();
    outage.begins(bundle);
    let run = bundle.start_pass(mode).await[0];
    bundle.quiet_within(outage.longest()).await;
    assert_ended(bundle, run, outage != Outage::Nobody).await;
    assert_eq!(bundle.customer_code(id).is_some(), outage == Outage::Nobody);
}

async fn sweep(bundle: &Bundle, outage: Outage) {
    let id = known_customer(bundle).await;
    bundle.pass(PassMode::Sweep).await;
    tokio::time::sleep(DAY).await;
    unheard(bundle, || change_phone(bundle, id));
    bundle.take_hops();
    outage.begins(bundle);
    let run = bundle.start_pass(PassMode::Sweep).await[0];
    bundle.quiet_within(outage.longest()).await;
    let is_given_up = matches!(outage, Outage::Norce | Outage::Both);
    assert_ended(bundle, run, is_given_up).await;
    assert_eq!(
        phones(bundle).contains(&"08-765 43 21".to_owned()),
        !is_given_up
    );
}

async fn pass_of_many_steps(bundle: &Bundle, dry_run: bool, outage: Outage) {
    for number in 0..STEPS * 5 + 3 {
        person_in_erp(bundle, number);
    }
    let last = bundle.norce.add_customer(resident(STEPS * 5));
    bundle.run_until_quiet().await;
    bundle.take_hops();
    let request = PassRequest {
        mode: PassMode::Full,
        kind: None,
        application: None,
        dry_run,
    };
    let run = bundle.start(&request).await[0];
    // It has come some way.
    bundle.run_for(HOUR).await;
    outage.begins(bundle);
    // Every step reads two pages, each of which takes more than two minutes.
    bundle.quiet_within(outage.longest().max(5 * HOUR)).await;
    let is_given_up = outage != Outage::Nobody;
    if dry_run {
        let report = format!("plans/{run}/report.html");
        assert_eq!(bundle.reports.all().contains_key(&report), !is_given_up);
        assert_eq!(bundle.customer_code(last), None);
    } else {
        assert_ended(bundle, run, is_given_up).await;
        assert_eq!(bundle.customer_code(last).is_some(), !is_given_up);
    }
}

/// The outage begins when everything is on its way.
async fn pass_with_inserts(bundle: &Bundle, outage: Outage) {
    // Every process has a token of Norce, so that an import is on its way when the outage begins, and its answer is lost.
    let known = bundle.norce.add_customer(resident(0));
    order(bundle, known);
    bundle.run_until_quiet().await;
    bundle.take_hops();
    let erp_company = bundle.erp_company();
    let organisation = json!({"displayName": "Bolaget Aktiebolag", "type": "Company",
        "taxRegistrationNumber": "SE556036079301"});
    bundle.erp.add_customer(erp_company, &organisation).unwrap();
    let organisation = bundle.erp.contacts(erp_company).pop().unwrap();
    let contact = json!({"displayName": "Anna Ek", "type": "Person",
        "companyNumber": organisation.number, "email": "anna.1@example.com"});
    bundle.erp.add_contact(erp_company, &contact).unwrap();
    let run = bundle.start_pass(PassMode::Full).await[0];
    while bundle.pass_step().await {}
    outage.begins(bundle);
    bundle.quiet_within(outage.longest()).await;
    assert_ended(bundle, run, false).await;
    if outage == Outage::Norce {
        // They were under way when it began, and the time to give up was over when it ended: the next pass does it.
        let owed = bundle.owed.list().await.unwrap();
        assert!(owed.iter().any(|owed| owed.reason == Reason::TimedOut));
        bundle.pass(PassMode::Full).await;
    }
    let company = bundle.norce.companies().remove(0).row;
    let contact = bundle.norce.customers().remove(1).row;
    assert!(bundle.norce.companies_of(contact.id).contains(&company.id));
}

/// A pass sends all of them, so that they become one job. The outage begins when Norce has it.
async fn poison_row(bundle: &Bundle, outage: Outage) -> Hops {
    // A row is found out only by halving.
    let poison = Poison {
        rows: PoisonRows::Matching(std::sync::Arc::new(|row| {
            row["Code"]
                .as_str()
                .is_some_and(|code| code.ends_with("321"))
        })),
        mode: PoisonMode::ValidationFails,
        message: "the row is poison".to_owned(),
    };
    bundle.norce.poison(poison);
    bundle
        .norce
        .configure(|settings| settings.jobs.imported_rows = ImportedRows::Null);
    // What the import changes is not the flow that is measured, and comes for each of them.
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    let ids: Vec<i64> = (0..BATCH)
        .map(|number| {
            person_in_erp(bundle, number);
            bundle.norce.add_customer(resident(number))
        })
        .collect();
    bundle.run_until_quiet().await;
    bundle.start_pass(PassMode::Full).await;
    bundle.run_for(Duration::from_secs(4)).await;
    let imports = bundle.norce.imports();
    assert_eq!((imports.len(), imports[0].rows.len()), (1, BATCH));
    outage.begins(bundle);
    bundle.quiet_within(outage.longest()).await;
    // The retries below begin chains of their own, and how deep they halve depends on who is retried with the poison row.
    let hops = bundle.take_hops();
    if matches!(outage, Outage::Norce | Outage::Both) {
        // The time to give up was over when it ended: all of them are owed, and the schedule tries them again.
        while bundle.owed.list().await.unwrap().len() > 1 {
            tokio::time::sleep(HOUR).await;
            assert!(bundle.retry_owed().await.retried > 0);
            bundle.run_until_quiet().await;
        }
    }
    let without: Vec<i64> = ids
        .into_iter()
        .filter(|id| bundle.customer_code(*id).is_none())
        .collect();
    assert_eq!(without.len(), 1);
    let owed = bundle.owed.list().await.unwrap();
    assert_eq!(
        (owed.len(), owed[0].reason),
        (1, Reason::Validation),
        "{owed:#?}"
    );
    hops
}

/// Plays a flow in a time of its own.
fn measure(flow: Flow, outage: Outage) -> Hops {
    // The jitter of waits.
    fastrand::seed(7);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let bundle = flow.bundle();
        let hops = flow.play(&bundle, outage).await;
        let queues = [
            bundle.changes.dead_letters(),
            bundle.imports.dead_letters(),
            bundle.jobs.dead_letters(),
            bundle.passes_queue.dead_letters(),
        ];
        assert!(queues.iter().all(Vec::is_empty), "{queues:?}");
        hops
    })
}

fn row(table: &mut String, flow: &str, outage: &str, hops: [impl std::fmt::Display; 4]) {
    let [changes, imports, jobs, passes] = hops;
    let line = format!("{flow:<45} {outage:<6} {changes:>7} {imports:>7} {jobs:>6} {passes:>7}");
    writeln!(table, "{}", line.trim_end()).unwrap();
}

/// `cargo test -p tests --test hops -- --nocapture` prints the table.
#[test]
fn the_hops_of_every_flow_are_known_in_normal_operation_and_in_an_outage() {
    let measured = std::thread::scope(|scope| {
        let measurements = Outage::ALL
            .map(|outage| scope.spawn(move || Flow::ALL.map(|flow| measure(flow, outage))));
        measurements.map(|measurement| measurement.join().unwrap())
    });
    let mut table = String::new();
    let queues = ["changes", "imports", "jobs", "passes"];
    row(&mut table, "flow", "outage", queues);
    for (place, flow) in Flow::ALL.into_iter().enumerate() {
        for (outage, of_outage) in Outage::ALL.into_iter().zip(&measured) {
            let hops = of_outage[place];
            let hops = [hops.changes, hops.imports, hops.jobs, hops.passes];
            row(&mut table, flow.name(), outage.name(), hops);
        }
    }
    println!("{table}");
    insta::assert_snapshot!(table, @"
    flow                                          outage changes imports   jobs  passes
    first order                                   -            2       2      3       0
    first order                                   Norce        4       5      6       0
    first order                                   ERP          6       7      8       0
    first order                                   both         4       5      6       0
    first order of a company with contacts        -            3       3      4       0
    first order of a company with contacts        Norce        4       5      6       0
    first order of a company with contacts        ERP          8       9     10       0
    first order of a company with contacts        both         4       5      6       0
    change                                        -            1       0      0       0
    change                                        Norce        3       0      0       0
    change                                        ERP          3       0      0       0
    change                                        both         3       0      0       0
    forgotten customer                            -            1       0      0       0
    forgotten customer                            Norce        3       0      0       0
    forgotten customer                            ERP          3       0      0       0
    forgotten customer                            both         3       0      0       0
    posted order                                  -            2       2      3       0
    posted order                                  Norce        4       4      5       0
    posted order                                  ERP          8       7      8       0
    posted order                                  both         4       4      5       0
    delta pass                                    -            1       2      3       1
    delta pass                                    Norce        0       0      0       1
    delta pass                                    ERP          0       0      0       1
    delta pass                                    both         0       0      0       1
    full pass                                     -            1       2      3       1
    full pass                                     Norce        0       0      0       1
    full pass                                     ERP          0       0      0       1
    full pass                                     both         0       0      0       1
    sweep                                         -            2       0      0       1
    sweep                                         Norce        0       0      0       1
    sweep                                         ERP          4       0      0       1
    sweep                                         both         0       0      0       1
    full pass of 60 steps                         -            1      62     63      61
    full pass of 60 steps                         Norce        0       0      0      20
    full pass of 60 steps                         ERP          0       0      0      13
    full pass of 60 steps                         both         0       0      0      13
    plan of 60 steps                              -            0       0      0      61
    plan of 60 steps                              Norce        0       0      0      20
    plan of 60 steps                              ERP          0       0      0      13
    plan of 60 steps                              both         0       0      0      13
    pass that inserts a company and its contact   -            1       4      5       1
    pass that inserts a company and its contact   Norce        1       4     11       1
    pass that inserts a company and its contact   ERP          1       6      7       1
    pass that inserts a company and its contact   both         1       6      7       1
    import job of 20 hours                        -            2       2     91       0
    import job of 20 hours                        Norce        3       2     17       0
    import job of 20 hours                        ERP          2       2     91       0
    import job of 20 hours                        both         3       2     17       0
    batch of 500 with one poison row              -            0      20     21       1
    batch of 500 with one poison row              Norce        0       2      5       1
    batch of 500 with one poison row              ERP          0      20     21       1
    batch of 500 with one poison row              both         0       2      5       1
    replay                                        -            1       0      0       0
    replay                                        Norce        3       0      0       0
    replay                                        ERP          3       0      0       0
    replay                                        both         3       0      0       0
    retry of what is owed                         -            1       2      3       0
    retry of what is owed                         Norce        3       4      5       0
    retry of what is owed                         ERP          3       4      5       0
    retry of what is owed                         both         3       4      5       0
    ");
}
