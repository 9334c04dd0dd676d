//! Passes in the middle. What a pass stores between two invocations has no public type, so the test takes it from the
//! store: a pass in one process is killed after each of its saves, and the record that it leaves is a fixture. The test
//! builds the same registers, stores the record of the earlier version, and lets the pass resume.

use std::{collections::BTreeMap, future::Future, pin::Pin, time::Duration};

use erp_full_pass::PassSettings;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use shared::{
    domain::{PassMessage, PassMode, PassRequest},
    erp::{ErpId, Resource},
    mappings::{Binding, Bound, CodeDelivery, Mappings as _},
    passes::{Passes as _, Run},
    queues::Queue as _,
};
use tests::{
    bundle::{Bundle, Options, customer},
    business_central_simulator::{CustomerRecord, Entity, Fault},
    interruption::Moment,
    norce_simulator::{Blank, NewCompany, NewCustomer, NewOrder},
};

use crate::{
    fixtures::{self, versions},
    v0_1_0::code,
};

/// A pass in the middle.
#[derive(Serialize, Deserialize)]
pub(crate) struct Middle {
    /// The ERP's ids by codes: another world has others.
    records: BTreeMap<String, String>,
    /// Its record.
    run: Run,
}

/// A plan in the middle: all that is known of it is in its message.
#[derive(Serialize, Deserialize)]
pub(crate) struct MiddleOfPlan {
    records: BTreeMap<String, String>,
    message: PassMessage,
}

/// A world, and the pass that walks over it.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    mode: PassMode,
    /// The ERP takes so long for a page that the pass needs several invocations.
    slow: bool,
    options: fn() -> Options,
    world: for<'a> fn(&'a Bundle) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

/// Pages of the ERP and of Norce: small, so that there are several.
const PAGE: usize = 2;
/// Records of the register, and of the one that takes several invocations: with pages that the ERP takes this long for,
/// which is a little less than its client waits.
const RECORDS: usize = 16;
const SLOW_RECORDS: usize = 48;
const SLOW_PAGE: Duration = Duration::from_secs(14);
/// Invocations for which it is slow: enough for the record of one that has run out of time.
const INVOCATIONS: usize = 2;
const DAY: Duration = Duration::from_secs(24 * 3_600);

pub(crate) fn scenarios() -> Vec<Scenario> {
    let usual = || Scenario {
        name: "register",
        mode: PassMode::Full,
        slow: false,
        options: Options::default,
        world: |bundle| Box::pin(register(bundle, RECORDS)),
    };
    vec![
        Scenario {
            name: "slow-register",
            slow: true,
            world: |bundle| Box::pin(register(bundle, SLOW_RECORDS)),
            ..usual()
        },
        Scenario {
            name: "known",
            world: |bundle| Box::pin(known(bundle)),
            ..usual()
        },
        Scenario {
            name: "relations",
            options: || Options {
                erp_owns: "code,active,company-relations".parse().unwrap(),
                pass: PassSettings {
                    import_unknown: true,
                    ..PassSettings::default()
                },
                ..Options::default()
            },
            world: |bundle| Box::pin(relations(bundle)),
            ..usual()
        },
        Scenario {
            name: "sweep",
            mode: PassMode::Sweep,
            world: |bundle| Box::pin(swept(bundle)),
            ..usual()
        },
        usual(),
    ]
}

fn person(number: usize) -> NewCustomer {
    NewCustomer {
        email: Some(format!("person.{number}@example.com")),
        first_name: Some("Anna".to_owned()),
        last_name: Some(format!("Ek {number}")),
        ..NewCustomer::default()
    }
}

fn in_erp(bundle: &Bundle, properties: &Value) -> CustomerRecord {
    let company = bundle.erp_company();
    bundle.erp.add_customer(company, properties).unwrap()
}

fn person_in_erp(bundle: &Bundle, number: usize) -> CustomerRecord {
    let email = format!("person.{number}@example.com");
    let name = format!("Anna Ek {number}");
    in_erp(
        bundle,
        &json!({"displayName": name, "type": "Person", "email": email}),
    )
}

/// Nobody is bound yet: some have their code in Norce, some have none, some are not there, and one has another.
async fn register(bundle: &Bundle, records: usize) {
    bundle
        .norce
        .configure(|settings| settings.events.drop_chance = 1.0);
    for number in 0..records {
        let record = person_in_erp(bundle, number);
        let code = match number % 4 {
            0 => None,
            1 => Some(record.number),
            2 => Some(format!("OTHER{number}")),
            _ => continue,
        };
        bundle.norce.add_customer(NewCustomer {
            code,
            ..person(number)
        });
    }
    bundle.run_until_quiet().await;
}

/// Everybody is bound: one code is renamed, a field has changed, a code was refused, and two are owed, of which one is
/// another record by now and one is deleted.
async fn known(bundle: &Bundle) {
    let company = bundle.erp_company();
    let mut records = Vec::new();
    for number in 0..3 {
        bundle.norce.add_customer(person(number));
        records.push(person_in_erp(bundle, number));
    }
    // Two in the ERP have the address of one in Norce: which of them that is cannot be told.
    bundle.norce.add_customer(person(6));
    let [other, gone] = [6, 6].map(|number| person_in_erp(bundle, number));
    bundle.run_until_quiet().await;
    bundle.pass(PassMode::Full).await;
    let edit = |record: &CustomerRecord, properties: &Value| {
        bundle
            .erp
            .edit_customer(company, record.id, properties)
            .unwrap();
    };
    edit(&other, &json!({"email": "else@example.com"}));
    bundle.erp.delete_customer(company, gone.id).unwrap();
    let renamed = bundle
        .erp
        .rename_customer(company, records[0].id, "RENAMED");
    renamed.unwrap();
    edit(&records[1], &json!({"blocked": "All"}));
    let refused = person_in_erp(bundle, 7);
    let id = bundle.norce.add_customer(person(7));
    bundle.run_until_quiet().await;
    let binding = Binding::new(
        code(&refused.number),
        ErpId {
            resource: Resource::Customer,
            id: refused.id.to_string(),
        },
        CodeDelivery::Refused {
            at: tests::bundle::start(),
        },
    );
    let bound = bundle.mappings.bind(customer(id), binding).await;
    assert_eq!(bound.unwrap(), Bound::Done);
}

/// Two organisations, of which Norce has one, each with a contact that Norce has, and one with a contact that it does not have.
async fn relations(bundle: &Bundle) {
    let company = bundle.erp_company();
    let mut number = 0;
    for (name, vat_number) in [("Bolaget", "SE556036079301"), ("Firman", "SE556012579001")] {
        let organisation = in_erp(
            bundle,
            &json!({"displayName": name, "type": "Company", "taxRegistrationNumber": vat_number}),
        );
        if name == "Firman" {
            bundle.norce.add_company(NewCompany {
                name: Some(name.to_owned()),
                code: Some(organisation.number.clone()),
                ..NewCompany::default()
            });
        }
        let contacts = bundle.erp.contacts(company);
        let contact = contacts.iter().find(|it| it.display_name == name).unwrap();
        for is_in_norce in [true, false] {
            number += 1;
            let properties = json!({"displayName": format!("Anna Ek {number}"),
                "type": "Person", "companyNumber": contact.number,
                "email": format!("person.{number}@example.com")});
            bundle.erp.add_contact(company, &properties).unwrap();
            if is_in_norce {
                bundle.norce.add_customer(person(number));
            }
        }
    }
    bundle.run_until_quiet().await;
}

/// Everybody is in the ERP, and Norce loses the events of two changes and of one who is forgotten.
async fn swept(bundle: &Bundle) {
    let order = |customer: Option<i64>, company: Option<i64>| {
        bundle.norce.place_order(NewOrder {
            application_id: 1,
            customer,
            company,
            items: vec![("P1".to_owned(), 1.0)],
            ..NewOrder::default()
        });
    };
    let ids: Vec<i64> = (0..5)
        .map(|number| bundle.norce.add_customer(person(number)))
        .collect();
    let company = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        ..NewCompany::default()
    });
    bundle.norce.link(ids[4], company, true);
    for id in &ids[..4] {
        order(Some(*id), None);
    }
    order(Some(ids[4]), Some(company));
    bundle.run_until_quiet().await;
    tokio::time::sleep(DAY).await;
    bundle.pass(PassMode::Sweep).await;
    tokio::time::sleep(DAY).await;
    bundle
        .norce
        .configure(|settings| settings.events.drop_chance = 1.0);
    bundle.norce.change_company(company, |company| {
        company.row.phone_number = Some("08-99".to_owned());
    });
    for id in [ids[0], ids[2], ids[3]] {
        bundle.norce.change_customer(id, |customer| {
            customer.row.phone_number = Some("08-99".to_owned());
        });
    }
    bundle.norce.forget_customer(ids[1], &Blank::Null, false);
    bundle.run_until_quiet().await;
    tokio::time::sleep(Duration::from_secs(3_600)).await;
}

/// The ERP's ids of everybody in it, by resource and number.
fn records(bundle: &Bundle) -> BTreeMap<String, String> {
    let company = bundle.erp_company();
    let customers = bundle.erp.customers(company).into_iter();
    let customers = customers.map(|it| (format!("customer {}", it.number), it.id.to_string()));
    let contacts = bundle.erp.contacts(company).into_iter();
    let contacts = contacts.map(|it| (format!("contact {}", it.number), it.id.to_string()));
    customers.chain(contacts).collect()
}

/// A text of another world with the ids of this one. What is not there any more keeps its id.
fn translated(mut text: String, from: &BTreeMap<String, String>, bundle: &Bundle) -> String {
    let to = records(bundle);
    for (name, id) in from {
        if let Some(there) = to.get(name) {
            text = text.replace(id, there);
        }
    }
    text
}

/// What is written down of a run in the middle.
fn work(run: &Run) -> Value {
    let work = run.work.as_deref().unwrap_or("{}");
    serde_json::from_str(work).unwrap()
}

/// What tells two runs in the middle apart: where they are, and what of it is written down.
fn shape(run: &Run) -> String {
    fn names(value: &Value) -> Value {
        match value {
            Value::Object(fields) => fields
                .iter()
                .filter(|(_, value)| value.as_array().is_none_or(|list| !list.is_empty()))
                .map(|(name, value)| {
                    // Words, but not the texts of people and ids.
                    let is_word = ["at", "do", "what", "resource", "reason"];
                    let value = match value {
                        Value::String(_) if is_word.contains(&name.as_str()) => value.clone(),
                        value => names(value),
                    };
                    (name.clone(), value)
                })
                .collect(),
            Value::Array(values) => {
                let mut shapes: Vec<String> = values
                    .iter()
                    .map(|value| names(value).to_string())
                    .collect();
                shapes.sort();
                shapes.dedup();
                shapes.into()
            }
            _ => Value::Null,
        }
    }
    let mut work = work(run);
    let part = work["part"].clone();
    work["counts_before"] = Value::Null;
    format!("{} {part} {}", run.watermark_after.is_some(), names(&work))
}

impl Scenario {
    async fn world(&self) -> Bundle {
        let bundle = Bundle::new(&(self.options)());
        bundle.erp.configure(|settings| settings.page_size = PAGE);
        bundle.norce.configure(|settings| settings.page_size = PAGE);
        (self.world)(&bundle).await;
        bundle
    }

    /// The ERP becomes slow, where it does in this scenario.
    fn slow_down(&self, bundle: &Bundle) {
        if self.slow {
            let slow = Fault::slow_answer(SLOW_PAGE).on(Method::GET, Entity::Customers);
            bundle.erp.inject(slow.lasting(DAY));
        }
    }

    /// What a pass leaves behind that is killed after one of its saves: one of each shape.
    pub(crate) async fn middles(&self) -> Vec<Middle> {
        let undisturbed = self.world().await;
        self.slow_down(&undisturbed);
        undisturbed.start_pass(self.mode).await;
        undisturbed.interruption.clear();
        for _ in 0..INVOCATIONS {
            undisturbed.pass_step().await;
        }
        let calls = undisturbed.interruption.calls().into_iter().enumerate();
        // Nothing else changes what is left of a run.
        let saves = calls.filter(|(_, name)| *name == "passes save");
        let mut middles = BTreeMap::new();
        for (call, _) in saves {
            let bundle = self.world().await;
            self.slow_down(&bundle);
            let run = bundle.start_pass(self.mode).await[0];
            bundle.interruption.plan(call, Moment::After);
            while bundle.interruption.is_planned() && bundle.pass_step().await {}
            let Some(run) = bundle.passes.run(run).await.unwrap() else {
                continue;
            };
            if run.work.is_some() {
                let records = records(&bundle);
                middles
                    .entry(shape(&run))
                    .or_insert(Middle { records, run });
            }
        }
        middles.into_values().collect()
    }

    /// The same of a plan, and what it leaves in the end.
    pub(crate) async fn plan(&self) -> (Vec<MiddleOfPlan>, BTreeMap<String, String>) {
        let bundle = self.world().await;
        let request = PassRequest {
            mode: self.mode,
            kind: None,
            application: None,
            dry_run: true,
        };
        self.slow_down(&bundle);
        let run = bundle.start(&request).await[0];
        for _ in 0..INVOCATIONS {
            bundle.pass_step().await;
        }
        bundle.erp.clear_faults();
        bundle.run_until_quiet().await;
        let delivered = bundle.delivered.lock().unwrap();
        let messages = delivered.iter().filter_map(|body| {
            let message: PassMessage = serde_json::from_str(body).ok()?;
            matches!(message, PassMessage::ContinuePlan { .. }).then_some(message)
        });
        let middles = messages.map(|message| MiddleOfPlan {
            records: records(&bundle),
            message,
        });
        let folder = format!("plans/{run}/");
        let left = bundle.reports.all().into_iter();
        let left = left.map(|(key, body)| {
            let text = String::from_utf8(body.to_vec()).unwrap();
            (key.replace(&folder, ""), text)
        });
        (middles.collect(), left.collect())
    }

    /// A pass of an earlier version goes on to its end, and does what that had written down to be done.
    async fn goes_on(&self, middle: &Middle) {
        let what = format!("{}: {}", self.name, shape(&middle.run));
        let bundle = self.world().await;
        let text = serde_json::to_string(&middle.run).unwrap();
        let run: Run = serde_json::from_str(&translated(text, &middle.records, &bundle)).unwrap();
        for version in 1..=run.version {
            let saved = Run {
                version,
                ..run.clone()
            };
            assert!(bundle.passes.save(&saved).await.unwrap());
        }
        let message = PassMessage::Continue { run: run.id };
        let sent = bundle.passes_queue.send(&[message], Duration::ZERO).await;
        sent.unwrap();
        bundle.run_until_quiet().await;
        let ended = bundle.run(run.id).await.ended;
        assert_eq!(ended.expect(&what).failed, None, "{what}");
        assert_eq!(bundle.passes_queue.dead_letters(), [], "{what}");
        for action in work(&run)["outbox"].as_array().into_iter().flatten() {
            assert_done(&bundle, &run, action, &what);
        }
        // Nothing is left that a pass could trip over.
        let again = bundle.pass(PassMode::Full).await;
        assert_eq!(again.ended.expect(&what).failed, None, "{what}");
        assert!(bundle.norce.contract_notes().is_empty(), "{what}");
    }
}

/// What can be seen from outside of an action that was written down.
fn assert_done(bundle: &Bundle, run: &Run, action: &Value, what: &str) {
    let id = action["id"].as_i64();
    let fields = action["fields"].as_str().unwrap_or_default();
    match (action["do"].as_str().unwrap(), id) {
        ("tell", Some(id)) if fields.split(',').any(|group| group == "code") => {
            let code = match action["kind"].as_str().unwrap() {
                "company" => bundle.norce.company(id).unwrap().row.company_code,
                _ => bundle.norce.customer(id).unwrap().row.customer_code,
            };
            assert_eq!(code.as_deref(), action["code"].as_str(), "{what}");
        }
        ("look", _) => {
            let delivered = bundle.delivered.lock().unwrap();
            let looked_at = delivered.iter().any(|body| {
                let body: Value = serde_json::from_str(body).unwrap();
                body["entity"] == action["entity"] && body["correlation"] == run.id.to_string()
            });
            assert!(looked_at, "{what}: {action}");
        }
        _ => {}
    }
}

#[tokio::test(start_paused = true)]
async fn passes_of_an_earlier_version_go_on_to_their_end() {
    for version in versions() {
        for scenario in scenarios() {
            let file = format!("passes/{}.json", scenario.name);
            let middles: Vec<Middle> =
                serde_json::from_value(fixtures::read_json(&version, &file)).unwrap();
            assert!(!middles.is_empty(), "{version} {file}");
            for middle in &middles {
                scenario.goes_on(middle).await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn plans_of_an_earlier_version_go_on_to_their_end() {
    let scenario = slow();
    let mut all = Vec::new();
    for version in versions() {
        let middles = fixtures::read_json(&version, "passes/plans.json");
        let middles: Vec<MiddleOfPlan> = serde_json::from_value(middles).unwrap();
        assert!(!middles.is_empty(), "{version}");
        all.extend(middles);
    }
    for MiddleOfPlan { records, message } in all {
        let bundle = scenario.world().await;
        let text = serde_json::to_string(&message).unwrap();
        let message: PassMessage =
            serde_json::from_str(&translated(text, &records, &bundle)).unwrap();
        let PassMessage::ContinuePlan { run } = &message else {
            panic!("not of a plan");
        };
        let run: Run = serde_json::from_str(run).unwrap();
        let sent = bundle.passes_queue.send(&[message], Duration::ZERO).await;
        sent.unwrap();
        bundle.run_until_quiet().await;
        let summary = &bundle.reports.all()[&format!("plans/{}/summary.json", run.id)];
        let summary: Run = serde_json::from_slice(summary).unwrap();
        assert_eq!(summary.ended.unwrap().failed, None);
        // What the earlier version had seen is counted with what this one has.
        assert!(summary.counts.seen > run.counts.seen);
        assert_eq!(summary.counts.seen, SLOW_RECORDS as u64);
    }
}

/// The scenario in which a pass, and a plan, need several invocations.
pub(crate) fn slow() -> Scenario {
    let slow = scenarios().into_iter().find(|scenario| scenario.slow);
    slow.unwrap()
}
