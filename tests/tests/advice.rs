//! The advice in owed records, followed to its end: each way that a text names clears the record, and both sides agree
//! afterwards. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use serde_json::{Value, json};
use shared::{
    domain::{PassMode, Resource},
    mappings::{Binding, Mapping, Mappings},
    owed::{Owed, Subject},
};
use tests::{
    bundle::{Bundle, Options, UNTIL_OWED, customer},
    business_central_simulator::{CustomerRecord, NumberSeries},
    samples::{order_of, person},
};
use uuid::Uuid;

/// Longer than any import of a code is taken to be under way.
const TWO_HOURS: Duration = Duration::from_secs(2 * 3_600);
/// What is owed is tried again at least once a day.
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// Anna, who has ordered and is bound.
struct Scene {
    bundle: Bundle,
    anna: i64,
    /// The ERP record that she was bound to first.
    first: Uuid,
    /// The code that it had.
    code: String,
}

impl Scene {
    async fn new(order_receiver: bool) -> Self {
        let bundle = Bundle::new(&Options {
            order_receiver,
            ..Options::default()
        });
        let anna = bundle.norce.add_customer(person(1));
        bundle.norce.place_order(order_of(anna));
        bundle.run_until_quiet().await;
        let [record] = bundle
            .erp
            .customers(bundle.erp_company())
            .try_into()
            .unwrap();
        tokio::time::sleep(TWO_HOURS).await;
        Self {
            bundle,
            anna,
            first: record.id,
            code: record.number,
        }
    }

    /// Her binding.
    async fn binding(&self) -> Option<Binding> {
        match self.bundle.mappings.get(customer(self.anna)).await.unwrap() {
            Some(Mapping::Bound(binding)) => Some(binding),
            _ => None,
        }
    }

    fn code_in_norce(&self) -> Option<String> {
        self.bundle
            .norce
            .customer(self.anna)
            .unwrap()
            .row
            .customer_code
    }

    fn put_code_in_norce(&self, code: Option<&str>) {
        self.bundle.norce.change_customer(self.anna, |record| {
            record.row.customer_code = code.map(str::to_owned);
        });
    }

    /// Anna changes in the shop.
    fn change(&self, phone: &str) {
        self.bundle.norce.change_customer(self.anna, |record| {
            record.row.phone_number = Some(phone.to_owned());
        });
    }

    /// A person in the ERP makes a record of the same person.
    fn make_in_erp(&self, number: &str) -> Uuid {
        let properties = json!({
            "number": number, "type": "Person", "displayName": "Anna Ek 1", "email": "anna.1@example.com",
        });
        let company = self.bundle.erp_company();
        self.bundle
            .erp
            .add_customer(company, &properties)
            .unwrap()
            .id
    }

    fn delete_in_erp(&self, record: Uuid) {
        let company = self.bundle.erp_company();
        self.bundle.erp.delete_customer(company, record).unwrap();
    }

    fn rename_in_erp(&self, record: Uuid, number: &str) {
        let company = self.bundle.erp_company();
        let renamed = self.bundle.erp.rename_customer(company, record, number);
        renamed.unwrap();
    }

    fn record_with(&self, number: &str) -> Uuid {
        let records = self.bundle.erp.customers(self.bundle.erp_company());
        let mut records = records.iter();
        records.find(|record| record.number == number).unwrap().id
    }

    async fn ask(&self, request: Value) {
        self.bundle.ask(request).await.unwrap();
    }

    async fn owed(&self) -> Vec<Owed> {
        self.bundle.owed.list().await.unwrap()
    }

    /// What the schedules do in two days: a pass runs, and what is owed is tried again.
    async fn two_days_pass(&self) {
        self.bundle.quiet_within(UNTIL_OWED).await;
        for _ in 0..2 {
            tokio::time::sleep(DAY).await;
            self.bundle.pass(PassMode::Delta).await;
            self.bundle.quiet_within(UNTIL_OWED).await;
            self.bundle.retry_owed().await;
            self.bundle.quiet_within(UNTIL_OWED).await;
        }
    }

    /// Both sides have the same code for Anna, it is that of a record of hers, and nothing is owed.
    async fn assert_agreed(&self, way: &str) {
        let owed = self.owed().await;
        assert!(owed.is_empty(), "{way}: {owed:#?}");
        let binding = self
            .binding()
            .await
            .unwrap_or_else(|| panic!("{way}: not bound"));
        assert_eq!(binding.gone_at, None, "{way}");
        assert_eq!(
            self.code_in_norce().as_deref(),
            Some(binding.code.as_str()),
            "{way}"
        );
        let records = self.bundle.erp.customers(self.bundle.erp_company());
        let record = records
            .iter()
            .find(|record| record.id.to_string() == binding.erp_id.id);
        let record = record.unwrap_or_else(|| panic!("{way}: the record is gone"));
        assert_eq!(record.number, binding.code.as_str(), "{way}");
        assert_eq!(record.email, "anna.1@example.com", "{way}");
        assert!(self.bundle.changes.dead_letters().is_empty(), "{way}");
    }
}

type Act = for<'a> fn(&'a Scene) -> LocalBoxFuture<'a, ()>;

/// How something comes to be owed, and what a person can do about it.
struct Advice {
    /// What is done until something is owed.
    given: Act,
    /// The beginning of the text, or a part of it that tells it from others.
    owed: &'static str,
    /// What the text says, and what a person does who follows it.
    ways: &'static [(&'static str, Act)],
}

/// Every text about who is who in which a person can do something.
const ADVICE: &[Advice] = &[
    Advice {
        given: |scene| {
            Box::pin(async {
                scene.delete_in_erp(scene.first);
                scene.change("08-1");
            })
        },
        owed: "is gone, and the ERP has no record with code",
        ways: &[
            ("make the record again in the ERP with code", |scene| {
                Box::pin(async {
                    scene.make_in_erp(&scene.code);
                })
            }),
            ("put the code of another record on it in Norce", |scene| {
                Box::pin(async {
                    scene.make_in_erp("K9");
                    scene.put_code_in_norce(Some("K9"));
                })
            }),
            ("remove the code in Norce to start over", |scene| {
                Box::pin(async { scene.put_code_in_norce(None) })
            }),
            // Not in the text, because not everybody has the right to it.
            ("", |scene| {
                Box::pin(async {
                    scene.make_in_erp("K9");
                    let request = json!({
                        "action": "rebind", "id": scene.anna, "toCode": "K9", "confirm": true, "reason": "a test",
                    });
                    scene.ask(request).await;
                })
            }),
        ],
    },
    // The record was deleted, and one with another number stays: "Merge Duplicate" does that.
    Advice {
        given: |scene| {
            Box::pin(async {
                scene.make_in_erp("K9");
                scene.delete_in_erp(scene.first);
                scene.bundle.pass(PassMode::Delta).await;
            })
        },
        owed: "has the e-mail address of ERP record K9, but another code",
        ways: &[
            ("put code K9 on it", |scene| {
                Box::pin(async { scene.put_code_in_norce(Some("K9")) })
            }),
            ("remove the wrong one", |scene| {
                Box::pin(async { scene.put_code_in_norce(None) })
            }),
        ],
    },
    Advice {
        given: |scene| {
            Box::pin(async {
                let request = json!({
                    "action": "unbind", "id": scene.anna, "confirm": true, "reason": "a test",
                });
                scene.ask(request).await;
                scene.put_code_in_norce(Some("K8"));
            })
        },
        owed: "but the ERP has no such record",
        ways: &[
            ("correct the code in Norce", |scene| {
                Box::pin(async { scene.put_code_in_norce(Some(&scene.code)) })
            }),
            ("remove it there", |scene| {
                Box::pin(async { scene.put_code_in_norce(None) })
            }),
            ("make the record in the ERP", |scene| {
                Box::pin(async {
                    scene.delete_in_erp(scene.first);
                    scene.make_in_erp("K8");
                })
            }),
        ],
    },
    Advice {
        given: |scene| {
            Box::pin(async {
                scene.make_in_erp("K9");
                scene.put_code_in_norce(Some("K9"));
            })
        },
        owed: "whose record the ERP still has",
        ways: &[
            ("correct the code in Norce", |scene| {
                Box::pin(async {
                    scene.put_code_in_norce(Some(&scene.code));
                })
            }),
            (
                "bind it to the record with code K9 by the operator action `rebind`",
                |scene| {
                    Box::pin(async {
                        let request = json!({
                            "action": "rebind", "id": scene.anna, "toCode": "K9", "confirm": true, "reason": "a test",
                        });
                        scene.ask(request).await;
                        scene.delete_in_erp(scene.first);
                    })
                },
            ),
            // The same from the ERP's side.
            ("", |scene| {
                Box::pin(async {
                    scene.delete_in_erp(scene.record_with("K9"));
                    scene.rename_in_erp(scene.first, "K9");
                })
            }),
        ],
    },
    // The same, which a pass sees from the record with the code.
    Advice {
        given: |scene| {
            Box::pin(async {
                scene.make_in_erp("K9");
                scene.put_code_in_norce(Some("K9"));
                scene.bundle.quiet_within(UNTIL_OWED).await;
                scene.bundle.pass(PassMode::Delta).await;
            })
        },
        owed: "it fits customer/client/1, which is bound to code",
        ways: &[
            ("correct the code in Norce", |scene| {
                Box::pin(async {
                    scene.put_code_in_norce(Some(&scene.code));
                    scene.delete_in_erp(scene.record_with("K9"));
                })
            }),
            ("merge the two records in the ERP", |scene| {
                Box::pin(async {
                    scene.delete_in_erp(scene.first);
                })
            }),
            (
                "bind customer/client/1 to the record with code K9 by the operator action `rebind`",
                |scene| {
                    Box::pin(async {
                        let request = json!({
                            "action": "rebind", "id": scene.anna, "toCode": "K9", "confirm": true, "reason": "a test",
                        });
                        scene.ask(request).await;
                        scene.delete_in_erp(scene.first);
                    })
                },
            ),
        ],
    },
    Advice {
        given: |scene| {
            Box::pin(async {
                scene.put_code_in_norce(Some("K7"));
                scene.rename_in_erp(scene.first, "K9");
                scene.bundle.pass(PassMode::Delta).await;
            })
        },
        owed: "the ERP renamed code",
        ways: &[
            ("put code K9 on it in Norce", |scene| {
                Box::pin(async { scene.put_code_in_norce(Some("K9")) })
            }),
            ("or rename the record in the ERP", |scene| {
                Box::pin(async { scene.rename_in_erp(scene.first, "K7") })
            }),
        ],
    },
];

#[tokio::test(start_paused = true)]
async fn every_way_that_an_owed_text_names_clears_it() {
    for advice in ADVICE {
        for (says, follow) in advice.ways {
            let scene = Scene::new(false).await;
            (advice.given)(&scene).await;
            scene.bundle.quiet_within(UNTIL_OWED).await;
            let owed = scene.owed().await;
            let text = owed.iter().find(|owed| owed.detail.contains(advice.owed));
            let text = &text
                .unwrap_or_else(|| panic!("{}: {owed:#?}", advice.owed))
                .detail;
            assert!(text.contains(says), "{says}: {text}");
            follow(&scene).await;
            scene.two_days_pass().await;
            let way = format!("{text} -> {says}");
            if advice.owed.starts_with("whose record") && says.starts_with("correct") {
                // What the duplicate is was never the question; the pass says that it is one.
                scene.delete_in_erp(scene.record_with("K9"));
                scene.two_days_pass().await;
            }
            scene.assert_agreed(&way).await;
        }
    }
}

/// The ERP gives the code that Anna is bound to out again, to the record of somebody else's first order. Returns whose.
async fn code_given_out_again(scene: &Scene) -> i64 {
    let company = scene.bundle.erp_company();
    let again = NumberSeries::starting_at(&scene.code);
    let configured = scene
        .bundle
        .erp
        .configure_company(company, |settings| settings.customer_numbers = again);
    configured.unwrap();
    let berta = scene.bundle.norce.add_customer(person(2));
    scene.bundle.norce.place_order(order_of(berta));
    scene.bundle.quiet_within(UNTIL_OWED).await;
    berta
}

/// How a code becomes free in the ERP, and what the text says that a person then does.
const CODE_FREED: [(&str, Act, Act); 2] = [
    (
        "was renamed in the ERP, the next pass settles this",
        |scene| {
            Box::pin(async {
                let company = scene.bundle.erp_company();
                let renamed = scene.bundle.erp.rename_customer(company, scene.first, "B9");
                renamed.unwrap();
            })
        },
        |scene| {
            Box::pin(async {
                scene.bundle.pass(PassMode::Delta).await;
            })
        },
    ),
    (
        "was deleted there, remove code",
        |scene| Box::pin(async { scene.delete_in_erp(scene.first) }),
        |scene| Box::pin(async { scene.put_code_in_norce(None) }),
    ),
];

/// Nobody is a duplicate of anybody there, and two customers are not to be merged for it.
#[tokio::test(start_paused = true)]
async fn p15_the_text_about_a_code_that_the_erp_gave_out_again_leads_to_a_record_for_each() {
    for (says, free, follow) in CODE_FREED {
        let scene = Scene::new(false).await;
        free(&scene).await;
        let berta = code_given_out_again(&scene).await;
        let records_of_berta = || {
            let records = scene.bundle.erp.customers(scene.bundle.erp_company());
            let is_hers = |record: &CustomerRecord| record.email == "anna.2@example.com";
            records.into_iter().filter(is_hers).collect::<Vec<_>>()
        };
        // The automatic retry makes no second record (P2).
        for _ in 0..3 {
            let owed = scene.owed().await;
            let [owed] = owed.as_slice() else {
                panic!("{says}: {owed:#?}");
            };
            assert_eq!(owed.subject, Subject::Entity(customer(berta)), "{owed:#?}");
            assert!(owed.detail.contains(says), "{says}: {owed:#?}");
            let other = customer(scene.anna).to_string();
            assert!(owed.detail.contains(&other), "{owed:#?}");
            assert_eq!(records_of_berta().len(), 1, "{says}");
            tokio::time::sleep(DAY).await;
            scene.bundle.retry_owed().await;
            scene.bundle.quiet_within(UNTIL_OWED).await;
        }
        follow(&scene).await;
        scene.two_days_pass().await;
        scene.assert_agreed(says).await;
        let records = records_of_berta();
        let [record] = records.as_slice() else {
            panic!("{says}: {records:#?}");
        };
        let mapping = scene.bundle.mappings.get(customer(berta)).await.unwrap();
        let Some(Mapping::Bound(binding)) = mapping else {
            panic!("{says}: {mapping:#?}");
        };
        assert_eq!(binding.erp_id.id, record.id.to_string(), "{says}");
        let in_norce = scene.bundle.norce.customer(berta).unwrap();
        assert_eq!(in_norce.row.customer_code.as_ref(), Some(&record.number));
        assert_ne!(scene.code_in_norce().as_ref(), Some(&record.number));
    }
}

#[tokio::test(start_paused = true)]
async fn until_something_is_done_the_same_is_owed_and_nothing_is_written() {
    let scene = Scene::new(false).await;
    scene.delete_in_erp(scene.first);
    scene.change("08-1");
    scene.bundle.run_until_quiet().await;
    let before = scene.owed().await;
    scene.two_days_pass().await;
    let after = scene.owed().await;
    assert_eq!(before.len(), 1, "{before:#?}");
    assert_eq!(after.len(), 1, "{after:#?}");
    assert_eq!(before[0].detail, after[0].detail);
    assert!(
        scene
            .bundle
            .erp
            .customers(scene.bundle.erp_company())
            .is_empty()
    );
    assert_eq!(scene.code_in_norce().as_ref(), Some(&scene.code));
    // Also when the shop has what was last sent again.
    scene.bundle.norce.change_customer(scene.anna, |record| {
        record.row.phone_number = None;
    });
    scene.bundle.run_until_quiet().await;
    assert_eq!(scene.owed().await.len(), 1);
    let explained = scene
        .bundle
        .ask(json!({"action": "explain", "id": scene.anna}))
        .await
        .unwrap();
    assert!(!explained["mapping"]["goneAt"].is_null(), "{explained:#}");
}

#[tokio::test(start_paused = true)]
async fn a_pass_follows_a_record_that_was_made_again_with_the_same_number() {
    let scene = Scene::new(false).await;
    scene.delete_in_erp(scene.first);
    let again = scene.make_in_erp(&scene.code);
    let planned = scene
        .bundle
        .ask(json!({"action": "plan", "mode": "delta"}))
        .await;
    planned.unwrap();
    scene.bundle.run_until_quiet().await;
    let plan: Vec<String> = scene
        .bundle
        .reports
        .all()
        .into_values()
        .map(|body| String::from_utf8(body.to_vec()).unwrap())
        .collect();
    let plan = plan.concat();
    assert!(
        plan.contains("which the ERP does not have any more"),
        "{plan}"
    );
    assert_eq!(
        scene.binding().await.unwrap().erp_id.id,
        scene.first.to_string()
    );

    let run = scene.bundle.pass(PassMode::Delta).await;
    assert_eq!((run.counts.bound, run.counts.conflicts), (1, 0), "{run:#?}");
    let binding = scene.binding().await.unwrap();
    assert_eq!(binding.erp_id.id, again.to_string());
    scene.change("08-1");
    scene.bundle.run_until_quiet().await;
    scene.assert_agreed("made again").await;
}

#[tokio::test(start_paused = true)]
async fn p15_two_living_records_with_one_code_stay_a_conflict_until_one_gets_another_number() {
    let scene = Scene::new(false).await;
    let company = scene.bundle.erp_company();
    let firm = json!({"number": "B1", "type": "Company", "displayName": "Bolaget AB"});
    scene.bundle.erp.add_customer(company, &firm).unwrap();
    let organisations = scene.bundle.erp.contacts(company);
    let organisation = organisations
        .iter()
        .find(|it| it.display_name == "Bolaget AB")
        .unwrap();
    let contact = json!({
        "number": scene.code, "type": "Person", "displayName": "Bo Ek", "companyNumber": organisation.number,
    });
    let contact = scene.bundle.erp.add_contact(company, &contact).unwrap();
    scene.bundle.pass(PassMode::Delta).await;
    let owed = scene.owed().await;
    let [owed] = owed.as_slice() else {
        panic!("{owed:#?}");
    };
    assert!(
        owed.detail
            .contains("give one of the two records another number"),
        "{owed:#?}"
    );
    let number = json!({"number": "KT9"});
    scene
        .bundle
        .erp
        .edit_contact(company, contact.id, &number)
        .unwrap();
    scene.two_days_pass().await;
    scene.assert_agreed("another number").await;
    assert_eq!(
        scene.binding().await.unwrap().erp_id.resource,
        Resource::Customer
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_code_is_not_forwarded_and_the_order_continues_with_the_next_one() {
    let follow: [Act; 3] = [
        |scene| {
            Box::pin(async {
                scene.make_in_erp("K9");
                scene.put_code_in_norce(Some("K9"));
            })
        },
        |scene| Box::pin(async { scene.put_code_in_norce(None) }),
        |scene| {
            Box::pin(async {
                scene.make_in_erp("K9");
                let request = json!({
                    "action": "rebind", "id": scene.anna, "toCode": "K9", "confirm": true, "reason": "a test",
                });
                scene.ask(request).await;
            })
        },
    ];
    for (number, follow) in follow.into_iter().enumerate() {
        let scene = Scene::new(true).await;
        assert_eq!(scene.bundle.take_outgoing_orders().len(), 1);
        scene.delete_in_erp(scene.first);
        scene.change("08-1");
        scene.bundle.run_until_quiet().await;
        scene.bundle.norce.place_order(order_of(scene.anna));
        scene.bundle.quiet_within(UNTIL_OWED).await;
        assert!(scene.bundle.outgoing_orders.is_empty(), "way {number}");
        assert_eq!(scene.owed().await.len(), 2, "the customer and the order");

        follow(&scene).await;
        scene.bundle.quiet_within(UNTIL_OWED).await;
        let handed = scene.bundle.take_outgoing_orders();
        let [order] = handed.as_slice() else {
            panic!("way {number}: {:#?}", scene.owed().await);
        };
        let code = scene.code_in_norce().unwrap();
        assert_ne!(code, scene.code, "way {number}");
        assert!(
            order.body.contains(&format!("\"CustomerCode\":\"{code}\"")),
            "way {number}"
        );
        assert!(
            !order.body.contains(&format!("\"{}\"", scene.code)),
            "way {number}"
        );
        scene.two_days_pass().await;
        scene.assert_agreed(&format!("way {number}")).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_order_with_a_code_of_another_living_record_stays_a_conflict() {
    let scene = Scene::new(true).await;
    scene.bundle.take_outgoing_orders();
    scene.make_in_erp("K9");
    // Norce posts the order with the code that the customer has at that moment.
    scene.put_code_in_norce(Some("K9"));
    scene.bundle.norce.place_order(order_of(scene.anna));
    scene.bundle.quiet_within(UNTIL_OWED).await;
    assert!(scene.bundle.outgoing_orders.is_empty());
    let owed = scene.owed().await;
    assert!(
        owed.iter()
            .any(|owed| owed.detail.contains("the order is held")),
        "{owed:#?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_order_with_another_code_goes_on_once_the_record_has_that_code_in_the_erp() {
    let scene = Scene::new(true).await;
    scene.bundle.take_outgoing_orders();
    scene.delete_in_erp(scene.first);
    scene.change("08-1");
    scene.bundle.run_until_quiet().await;
    scene.bundle.norce.place_order(order_of(scene.anna));
    scene.bundle.quiet_within(UNTIL_OWED).await;
    // Nothing tells afterwards that the order's code was hers.
    let unbind = json!({"action": "unbind", "id": scene.anna, "confirm": true, "reason": "a test"});
    scene.ask(unbind).await;
    scene.put_code_in_norce(None);
    scene.bundle.quiet_within(UNTIL_OWED).await;
    let owed = scene.owed().await;
    let [owed] = owed.as_slice() else {
        panic!("{owed:#?}");
    };
    assert!(
        owed.detail.contains("give the record that code in the ERP"),
        "{owed:#?}"
    );
    let company = scene.bundle.erp_company();
    let [record] = scene.bundle.erp.customers(company).try_into().unwrap();
    let renamed = scene
        .bundle
        .erp
        .rename_customer(company, record.id, &scene.code);
    renamed.unwrap();
    scene.two_days_pass().await;
    assert_eq!(scene.bundle.take_outgoing_orders().len(), 1);
    scene.assert_agreed("given in the ERP").await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_is_detected_when_norce_has_no_code_or_another_one() {
    for code in [None, Some("K9")] {
        let scene = Scene::new(false).await;
        scene.delete_in_erp(scene.first);
        if let Some(code) = code {
            scene.make_in_erp(code);
        }
        // Nothing else has changed in the shop.
        scene.put_code_in_norce(code);
        scene.bundle.run_until_quiet().await;
        scene.assert_agreed("without a change in the shop").await;
        assert_ne!(scene.code_in_norce().as_ref(), Some(&scene.code));
    }
}
