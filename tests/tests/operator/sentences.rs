//! The codes and parameters of the texts in answers. `tests::sentences`, which sees the answers of all suites, checks
//! that every one has them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use operator::{SENTENCES, SWEDISH};
use shared::owed::{NewOwed, OwedRecords, Reason, Stage, Subject};
use tests::{
    business_central_simulator::{CustomerRecord, LostAnswer},
    norce_simulator::{Poison, PoisonMode, PoisonRows},
    sentences::parameters,
};

use super::*;

#[test]
fn every_sentence_has_a_swedish_line_with_exactly_its_parameters() {
    let swedish: BTreeMap<&str, &str> = SWEDISH.iter().copied().collect();
    assert_eq!(swedish.len(), SWEDISH.len());
    let english: BTreeMap<&str, &str> = SENTENCES.iter().copied().collect();
    assert!(swedish.keys().eq(english.keys()));
    for (code, text) in &english {
        let line = swedish[code];
        assert_eq!(parameters(line), parameters(text), "{code}: {line}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_in_swedish_where_that_is_asked_for_with_the_words_of_a_remote_as_they_are() {
    let bundle = Bundle::new(&Options::default());
    let refused = somebody_owed(&bundle, 1).await;
    let ask = async |language: Value| {
        let mut request = json!({ "action": "explain", "id": refused });
        request["language"] = language;
        bundle.ask(request).await.unwrap()
    };
    let english = ask(json!("en")).await;
    assert_eq!(english, ask(Value::Null).await);
    let mut swedish = ask(json!("sv")).await;
    let summary = swedish["summary"].as_str().unwrap();
    let begins =
        format!("customer/client/{refused}: Norce har ingen kod för den, den är okänd här");
    assert!(summary.starts_with(&begins), "{summary}");
    assert!(summary.contains("nekad av systemet"), "{summary}");
    assert_eq!(swedish["summarySaid"], english["summarySaid"]);
    let owed = &mut swedish["owed"][0];
    assert_eq!(owed["detail"], english["owed"][0]["detail"]);
    let fix = owed["fix"].as_str().unwrap();
    assert!(
        fix.starts_with("Affärssystemet godtar inte posten"),
        "{fix}"
    );

    let doctor = json!({ "action": "doctor", "language": "sv" });
    let doctor = bundle.ask(doctor).await.unwrap();
    assert!(summary_of(&doctor).starts_with("Alla "), "{doctor:#}");
    let unknown = json!({ "action": "status", "language": "tlh" });
    let words = refusal(&bundle, unknown).await;
    assert!(words.contains("one of en, sv"), "{words}");
}

fn summary_of(answer: &Value) -> &str {
    answer["summary"].as_str().unwrap()
}

#[test]
fn a_code_stands_once_in_the_table_and_is_kebab_case() {
    let codes: BTreeSet<&str> = SENTENCES.iter().map(|(code, _)| *code).collect();
    assert_eq!(codes.len(), SENTENCES.len());
    let is_kebab = |word: &str| !word.is_empty() && word.chars().all(|it| it.is_ascii_lowercase());
    for code in codes {
        assert!(code.split('-').all(is_kebab), "{code}");
    }
}

/// What a template or a parameter is missing would be found when the code is compiled; what nothing says is found here.
#[test]
fn every_sentence_of_the_table_is_said_somewhere() {
    fn read(folder: &Path, source: &mut String) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                read(&path, source);
            } else if path.file_name().unwrap() != "table.rs" {
                source.push_str(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut source = String::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/operator/src");
    read(&folder, &mut source);
    let source: String = source.split_whitespace().collect();
    for (code, _) in SENTENCES {
        assert!(source.contains(&format!("say!(\"{code}\"")), "{code}");
    }
}

/// What a tool reads without knowing English.
#[tokio::test(start_paused = true)]
async fn a_tool_reads_codes_counts_times_and_what_follows() {
    let bundle = Bundle::new(&Options::default());
    for number in 1..=3 {
        somebody_owed(&bundle, number).await;
    }
    tokio::time::sleep(3 * HOUR).await;
    let listed = bundle.ask(json!({"action": "owed", "limit": 1})).await;
    let said = &listed.unwrap()["summarySaid"];
    assert_eq!(said["code"], "owed-listed");
    assert_eq!(said["params"]["count"], 3);
    let reasons =
        json!([{"code": "owed-of-reason", "params": {"count": 3, "reason": "validation"}}]);
    assert_eq!(said["params"]["reasons"], reasons);
    assert!(said["params"]["age"]["seconds"].as_u64().unwrap() >= 3 * 3_600);
    let then = json!({"code": "owed-some-listed", "params": {"limit": 1}});
    assert_eq!(said["then"], then);

    let anna = somebody(&bundle, 4).await;
    let explained = bundle.ask(json!({"action": "explain", "id": anna})).await;
    let explained = explained.unwrap();
    let params = &explained["summarySaid"]["params"];
    assert_eq!(params["entity"], format!("customer/client/{anna}"));
    assert_eq!(params["norce"]["code"], "norce-has-code");
    assert_eq!(params["known"]["code"], "known-bound");
    assert_eq!(params["owing"]["code"], "owing-nothing");
    assert_eq!(explained["now"]["outcomeSaid"]["code"], "now-unchanged");
    assert_eq!(explained["now"]["outcomeSaid"], params["now"]);
}

/// The words of a remote are a parameter of their own, without what is personal in them.
#[tokio::test(start_paused = true)]
async fn p11_the_words_of_a_remote_are_a_parameter_without_an_address() {
    let mut bundle = Bundle::new(&Options::default());
    let doctor = &mut bundle.operator.doctor;
    doctor.norce = Err("anna.1@example.com may not read this".to_owned());
    let report = bundle
        .ask(json!({"action": "doctor", "part": "norce"}))
        .await;
    let report = report.unwrap();
    let said = &report["checks"][0]["detailSaid"];
    assert_eq!(said["code"], "not-built", "{report:#}");
    let words = json!({"code": "words", "params": {"words": "[e-mail] may not read this"}});
    assert_eq!(said["params"]["words"], words);
}

/// A person at work.
type Act = for<'a> fn(&'a Bundle, i64) -> LocalBoxFuture<'a, ()>;

/// What is owed of a customer that has ordered.
struct Fix {
    code: &'static str,
    customer: fn(NewCustomer) -> NewCustomer,
    /// What goes wrong before the customer orders.
    before: Act,
    /// What goes wrong when it is in step.
    after: Act,
    /// What the fix says, and what a person does who follows it.
    ways: &'static [(&'static str, Act)],
}

const NOTHING: Act = |_, _| Box::pin(async {});

async fn ask(bundle: &Bundle, request: Value) {
    bundle.ask(request).await.unwrap();
}

async fn retry(bundle: &Bundle) {
    ask(bundle, json!({"action": "owed", "do": "retry"})).await;
}

fn poison(bundle: &Bundle, customer: i64, mode: PoisonMode) {
    bundle.norce.poison(Poison {
        rows: PoisonRows::Ids([customer].into()),
        mode,
        message: "anna.1@example.com is poison".to_owned(),
    });
}

fn scramble(bundle: &Bundle, customer: i64) {
    bundle.norce.scramble_customer(customer, &Blank::Null, true);
}

fn first_record(bundle: &Bundle) -> CustomerRecord {
    bundle.erp.customers(bundle.erp_company()).remove(0)
}

const FIXES: &[Fix] = &[
    Fix {
        code: "fix-refused-by-erp",
        customer: |person| person,
        before: |bundle, _| {
            Box::pin(async {
                bundle
                    .erp
                    .refuse_where(|it| it.display_name.contains("Ek 1"))
            })
        },
        after: NOTHING,
        ways: &[
            (
                "correct what the error names in Norce",
                |bundle, customer| {
                    Box::pin(async move {
                        bundle.norce.change_customer(customer, |record| {
                            record.row.last_name = Some("Berg".to_owned());
                        });
                    })
                },
            ),
            ("or the rule in the ERP, and retry", |bundle, _| {
                Box::pin(async {
                    bundle.erp.refuse_nothing();
                    retry(bundle).await;
                })
            }),
        ],
    },
    Fix {
        code: "fix-refused-by-norce",
        customer: |person| person,
        before: |bundle, customer| {
            Box::pin(async move { poison(bundle, customer, PoisonMode::RowFails) })
        },
        after: NOTHING,
        ways: &[("or the rule in Norce, and retry", |bundle, _| {
            Box::pin(async {
                bundle.norce.clear_poison();
                retry(bundle).await;
            })
        })],
    },
    Fix {
        code: "fix-remote-fault",
        customer: |person| person,
        before: |bundle, customer| {
            Box::pin(async move { poison(bundle, customer, PoisonMode::JobFails) })
        },
        after: NOTHING,
        ways: &[("retry when it works again", |bundle, _| {
            Box::pin(async {
                bundle.norce.clear_poison();
                retry(bundle).await;
            })
        })],
    },
    Fix {
        code: "fix-conflict",
        customer: |person| person,
        before: NOTHING,
        after: |bundle, customer| {
            Box::pin(async move { put_code_in_norce(bundle, entity(customer), Some("OTHER")) })
        },
        ways: &[
            (
                "compare the codes on both sides, and correct",
                |bundle, customer| {
                    Box::pin(async move {
                        let code = first_record(bundle).number;
                        put_code_in_norce(bundle, entity(customer), Some(&code));
                    })
                },
            ),
            ("or remove the wrong one", |bundle, customer| {
                Box::pin(async move { put_code_in_norce(bundle, entity(customer), None) })
            }),
            ("bind it to that one (`rebind`)", |bundle, customer| {
                Box::pin(async move {
                    let properties = json!({
                        "number": "K9", "type": "Person", "displayName": "Anna Ek 1", "email": "anna.1@example.com",
                    });
                    let company = bundle.erp_company();
                    let former = first_record(bundle).id;
                    bundle.erp.add_customer(company, &properties).unwrap();
                    let request = json!({
                        "action": "rebind", "id": customer, "toCode": "K9", "confirm": true, "reason": "a test",
                    });
                    ask(bundle, request).await;
                    bundle.erp.delete_customer(company, former).unwrap();
                })
            }),
        ],
    },
    Fix {
        code: "fix-ambiguous",
        customer: |person| NewCustomer {
            email: None,
            ..person
        },
        before: |bundle, _| {
            Box::pin(async {
                let lost = Fault::lost_answer(LostAnswer::ConnectionClosed);
                bundle
                    .erp
                    .inject(lost.on(Method::POST, Entity::Customers).times(1));
            })
        },
        after: NOTHING,
        ways: &[
            (
                "If it exists, enter its code in Norce",
                |bundle, customer| {
                    Box::pin(async move {
                        let code = first_record(bundle).number;
                        put_code_in_norce(bundle, entity(customer), Some(&code));
                    })
                },
            ),
            (
                "create it and enter its code in Norce",
                |bundle, customer| {
                    Box::pin(async move {
                        let lost = first_record(bundle).id;
                        bundle
                            .erp
                            .delete_customer(bundle.erp_company(), lost)
                            .unwrap();
                        record_in_erp(bundle, "K9", "Person");
                        put_code_in_norce(bundle, entity(customer), Some("K9"));
                    })
                },
            ),
        ],
    },
    Fix {
        code: "fix-forgotten",
        customer: |person| person,
        before: NOTHING,
        after: |bundle, customer| Box::pin(async move { scramble(bundle, customer) }),
        ways: &[
            ("let Norce forget it", |bundle, customer| {
                Box::pin(async move {
                    assert!(bundle.norce.flag_customer_forgotten(customer));
                    retry(bundle).await;
                })
            }),
            ("forget it here (`forget`)", |bundle, customer| {
                Box::pin(async move {
                    let request = json!({"action": "forget", "id": customer, "confirm": true});
                    ask(bundle, request).await;
                })
            }),
            ("or fill in its data in Norce again", |bundle, customer| {
                Box::pin(async move {
                    bundle.norce.change_customer(customer, |record| {
                        record.row.first_name = Some("Anna".to_owned());
                        record.row.last_name = Some("Ek 1".to_owned());
                        record.row.email_address = Some("anna.1@example.com".to_owned());
                    });
                })
            }),
        ],
    },
    Fix {
        code: "fix-missing",
        customer: |person| person,
        before: |bundle, customer| {
            Box::pin(async move {
                let company = bundle.norce.add_company(NewCompany {
                    name: Some("Bolaget AB".to_owned()),
                    ..NewCompany::default()
                });
                relate(bundle, entity(customer), tests::bundle::company(company));
                bundle
                    .erp
                    .refuse_where(|it| it.display_name == "Bolaget AB");
            })
        },
        after: NOTHING,
        ways: &[(
            "usually the company of a contact or what the error names: fix that one",
            |bundle, _| {
                Box::pin(async {
                    bundle.erp.refuse_nothing();
                    let company = json!({"action": "owed", "do": "retry", "kind": "company"});
                    ask(bundle, company).await;
                })
            },
        )],
    },
];

fn entity(customer: i64) -> EntityRef {
    tests::bundle::customer(customer)
}

#[tokio::test(start_paused = true)]
async fn every_way_that_a_fix_of_something_owed_names_clears_it() {
    for Fix {
        code,
        customer,
        before,
        after,
        ways,
    } in FIXES
    {
        for (says, follow) in *ways {
            let bundle = Bundle::new(&Options::default());
            let anna = bundle.norce.add_customer(customer(person(1)));
            before(&bundle, anna).await;
            bundle.norce.place_order(order_of(anna));
            bundle.quiet_within(2 * UNTIL_OWED).await;
            after(&bundle, anna).await;
            bundle.quiet_within(UNTIL_OWED).await;
            let subject = entity(anna).to_string();
            let request = json!({"action": "owed", "subject": subject});
            let listed = bundle.ask(request.clone()).await.unwrap();
            let line = &listed["owed"][0];
            assert_eq!(line["fixSaid"]["code"], *code, "{listed:#}");
            assert!(
                line["fix"].as_str().unwrap().contains(says),
                "{says}: {line}"
            );
            // Its group says the same.
            let groups = json!({"action": "owed", "subject": subject, "groups": true});
            let groups = bundle.ask(groups).await.unwrap();
            assert_eq!(groups["groups"][0]["fix"], line["fix"]);
            // Longer than any import is taken to be under way.
            tokio::time::sleep(3 * HOUR).await;
            follow(&bundle, anna).await;
            bundle.quiet_within(UNTIL_OWED).await;
            // As the schedule does: a day later all automatic steps are done.
            tokio::time::sleep(24 * HOUR).await;
            bundle.retry_owed().await;
            bundle.quiet_within(UNTIL_OWED).await;
            let listed = bundle.ask(request).await.unwrap();
            assert_eq!(listed["found"], 0, "{code}, {says}: {listed:#}");
        }
    }
}

/// Whatever is owed, a person reads what to do.
#[tokio::test(start_paused = true)]
async fn there_is_a_fix_for_every_reason_at_every_stage() {
    let bundle = Bundle::new(&Options::default());
    let mut number = 0;
    for reason in Reason::ALL {
        for stage in [Stage::ToErp, Stage::CodeToNorce, Stage::FieldsToNorce] {
            number += 1;
            let owed = NewOwed {
                subject: Subject::Entity(entity(number)),
                stage,
                reason,
                detail: "a test".to_owned(),
                code: None,
                at: bundle.clock.now(),
                correlation: Uuid::new_v4(),
                cause: None,
            };
            bundle.owed.put(owed).await.unwrap();
        }
    }
    let answer = bundle.ask(json!({"action": "owed"})).await.unwrap();
    let lines = answer["owed"].as_array().unwrap().iter();
    let reasons: BTreeSet<(String, String)> = lines
        .map(|line| {
            (
                line["fixSaid"]["code"].to_string(),
                line["reason"].to_string(),
            )
        })
        .collect();
    let codes: BTreeSet<&String> = reasons.iter().map(|(code, _)| code).collect();
    // No two reasons share one.
    assert_eq!(codes.len(), reasons.len(), "{reasons:?}");
    assert_eq!(answer["found"], 24);
    assert_eq!(codes.len(), Reason::ALL.len() + 2);
}

/// What the README shows is what `operator` answers.
#[tokio::test(start_paused = true)]
async fn the_readme_shows_a_sentence_as_it_is_answered() {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/operator/README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let (_, section) = readme.split_once("## What answers say").unwrap();
    let (_, shown) = section.split_once("```json\n").unwrap();
    let (shown, _) = shown.split_once("```").unwrap();
    let shown: Value = serde_json::from_str(shown).unwrap();
    let bundle = Bundle::new(&Options::default());
    for number in 1..=2 {
        somebody_owed(&bundle, number).await;
        tokio::time::sleep(2 * HOUR).await;
    }
    let mut answer = bundle
        .ask(json!({"action": "owed", "limit": 1}))
        .await
        .unwrap();
    answer
        .as_object_mut()
        .unwrap()
        .retain(|name, _| shown.get(name).is_some());
    // How long it took until it was owed is no promise.
    answer["summarySaid"]["params"]["age"] = shown["summarySaid"]["params"]["age"].clone();
    assert_eq!(answer["summarySaid"], shown["summarySaid"]);
    tests::sentences::check(&shown);
}
