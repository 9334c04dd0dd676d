//! `export-mappings` and `import-mappings`.

use super::*;

/// A customer of Norce and its unbound record in the ERP.
async fn unbound(bundle: &Bundle, number: i64, code: &str) -> (EntityRef, Uuid) {
    let record = record_in_erp(bundle, code, "Person");
    let id = bundle.norce.add_customer(person(number));
    bundle.run_until_quiet().await;
    (customer(id), record)
}

#[tokio::test(start_paused = true)]
async fn mappings_are_exported_and_imported_and_nothing_is_overwritten() {
    let bundle = Bundle::new(&Options::default());
    let people = [
        somebody(&bundle, 1).await,
        somebody(&bundle, 2).await,
        somebody(&bundle, 3).await,
    ];
    bundle.norce.forget_customer(people[2], &Blank::Null, true);
    bundle.run_until_quiet().await;
    let answer = bundle
        .ask(json!({"action": "export-mappings"}))
        .await
        .unwrap();
    assert_eq!(
        (&answer["lines"], answer.get("next")),
        (&json!(2), None),
        "no tombstone: {answer:#}"
    );
    let lines = exported(&bundle, &answer);
    let from = answer["into"].clone();
    let again = json!({"action": "import-mappings", "from": from});
    let unchanged = bundle.ask(again.clone()).await.unwrap();
    assert_eq!(counts(&unchanged), [0, 2, 0, 0], "{unchanged:#}");

    // A stack that does not know the first one yet: the line is what binds it, and Norce is seen to have the code.
    let anna = customer(people[0]);
    let known = bundle.binding(anna).await.unwrap();
    bundle.mappings.unbind(anna, &known.erp_id).await.unwrap();
    let bound = bundle.ask(again).await.unwrap();
    assert_eq!(counts(&bound), [1, 1, 0, 0], "{bound:#}");
    let imported = bundle.binding(anna).await.unwrap();
    assert_eq!(
        (&imported.code, &imported.erp_id),
        (&known.code, &known.erp_id)
    );
    assert!(
        matches!(imported.delivery, CodeDelivery::Confirmed { .. }),
        "{imported:?}"
    );

    // Stored mappings are not overwritten, and each faulty line is reported by its number.
    let (berta, _) = unbound(&bundle, 4, "K4").await;
    let (cora, of_cora) = unbound(&bundle, 5, "K5").await;
    let other = record_in_erp(&bundle, "K9", "Person");
    let is_customer = Resource::Customer;
    let mut seed: Vec<String> = [
        line(cora, "K5", is_customer, of_cora),
        line(customer(people[1]), "K9", is_customer, other),
    ]
    .iter()
    .map(Value::to_string)
    .collect();
    seed.extend([
        String::new(),
        "no JSON".to_owned(),
        line(berta, "K5", is_customer, of_cora).to_string(),
        line(berta, lines[0].code.as_str(), is_customer, &lines[0].erp.id).to_string(),
        json!({"kind": "customer", "scope": "app-7", "id": 5, "code": "X", "erp": {"resource": "customer", "id": "x"}}).to_string(),
        json!({"kind": "company", "scope": "client", "id": 5, "code": "X", "erp": {"resource": "contact", "id": "x"}}).to_string(),
        json!({"kind": "customer", "scope": "client", "id": 5, "code": "X", "erp": {"resource": "customer", "id": "x"}, "name": "Anna"}).to_string(),
        json!({"kind": "customer", "scope": "client", "id": "Anna Ek", "code": "X", "erp": {"resource": "customer", "id": "x"}}).to_string(),
    ]);
    bundle
        .reports
        .put("mappings/all.jsonl", "", seed.join("\n").into())
        .await
        .unwrap();
    let before = state(&bundle);
    let request = json!({"action": "import-mappings", "from": "mappings/all", "dryRun": true});
    let planned = bundle.ask(request).await.unwrap();
    assert_eq!(state(&bundle), before, "a dry run writes nothing");
    let stored = bundle.binding(customer(people[1])).await;
    let request = json!({"action": "import-mappings", "from": "mappings/all"});
    let done = bundle.ask(request).await.unwrap();
    for answer in [&planned, &done] {
        assert_eq!(counts(answer), [1, 0, 3, 5], "{answer:#}");
        let mut places: Vec<u64> = answer["problems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|problem| problem["line"].as_u64().unwrap())
            .collect();
        places.sort_unstable();
        assert_eq!(places, [2, 4, 5, 6, 7, 8, 9, 10], "{answer:#}");
        assert!(!answer.to_string().contains("Anna"), "P11: {answer:#}");
    }
    assert_eq!(planned["problems"], done["problems"]);
    assert_eq!(bundle.binding(customer(people[1])).await, stored, "P3");
    assert_eq!(bundle.binding(berta).await, None);
    let bound = bundle.binding(cora).await.unwrap();
    assert_eq!(bound.erp_id.id, of_cora.to_string());
    assert_eq!(bound.delivery, CodeDelivery::Pending, "Norce has no code");
    for (from, words) in [
        ("plans/x", "begins with mappings/"),
        ("mappings/none", "nothing under"),
    ] {
        let refused = refusal(&bundle, json!({"action": "import-mappings", "from": from})).await;
        assert!(refused.contains(words), "{refused}");
    }
}

/// Lines of which the last one is wrong.
struct Wrong {
    given: for<'a> fn(&'a Bundle) -> LocalBoxFuture<'a, Vec<Value>>,
    /// What the problem says.
    says: &'static str,
    /// What it says that can be done, and somebody who does it.
    ways: &'static [(&'static str, Correct)],
}

fn entity_of(line: &Value) -> EntityRef {
    let line: MappingLine = serde_json::from_value(line.clone()).unwrap();
    EntityRef {
        kind: line.kind,
        scope: line.scope,
        id: line.id,
    }
}

fn record_of(line: &Value) -> Uuid {
    line["erp"]["id"].as_str().unwrap().parse().unwrap()
}

fn put_number_in_norce(bundle: &Bundle, company: EntityRef, number: &str) {
    bundle
        .norce
        .change_company(company.id.get().into(), |record| {
            record.row.organization_no = Some(number.to_owned());
        });
}

const NAME_ANOTHER: (&str, Correct) = ("name another record", |bundle, mut lines| {
    Box::pin(async {
        let entity = entity_of(lines.last().unwrap());
        let kind = match entity.kind {
            EntityKind::Customer => "Person",
            EntityKind::Company => "Company",
        };
        let other = record_in_erp(bundle, "K77", kind);
        *lines.last_mut().unwrap() = line(entity, "K77", Resource::Customer, other);
        lines
    })
});

const LEAVE_OUT: (&str, Correct) = ("leave it out", |_, mut lines| {
    Box::pin(async {
        lines.pop();
        lines
    })
});

/// Every way in which a line cannot be right.
const WRONG_LINES: &[Wrong] = &[
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let erp_company = bundle.erp_company();
                bundle.erp.delete_customer(erp_company, record).unwrap();
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "the ERP has no customer with id",
        ways: &[("correct the id of the record", NAME_ANOTHER.1)],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, _) = unbound(bundle, 1, "K1").await;
                vec![line(anna, "K1", Resource::Customer, "4711")]
            })
        },
        says: "is no id of Business Central",
        ways: &[("whose ids are GUIDs", NAME_ANOTHER.1)],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                vec![line(anna, "K2", Resource::Customer, record)]
            })
        },
        says: "has code K1, not K2",
        ways: &[
            ("correct the code", |_, mut lines| {
                Box::pin(async {
                    lines[0]["code"] = json!("K1");
                    lines
                })
            }),
            ("or the id of the record", |bundle, mut lines| {
                Box::pin(async {
                    let other = record_in_erp(bundle, "K2", "Person");
                    lines[0]["erp"]["id"] = json!(other);
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let anna = customer(bundle.norce.add_customer(person(1)));
                let record = record_in_erp(bundle, "K1", "Company");
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "the ERP record with code K1 is a company, and customer/client/",
        ways: &[
            ("correct its type in the ERP", |bundle, lines| {
                Box::pin(async {
                    let (erp_company, record) = (bundle.erp_company(), record_of(&lines[0]));
                    let person = json!({"type": "Person"});
                    let edited = bundle.erp.edit_customer(erp_company, record, &person);
                    edited.unwrap();
                    lines
                })
            }),
            NAME_ANOTHER,
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (firm, _, _) = firm(bundle, "B1");
                let record = record_in_erp(bundle, "K1", "Person");
                vec![line(firm, "K1", Resource::Customer, record)]
            })
        },
        says: "the ERP record with code K1 is a customer, and company/client/",
        ways: &[NAME_ANOTHER],
    },
    // The contact has the code of its company in Norce, as in old registers.
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (firm, record, _) = firm(bundle, "B1");
                let anna = customer(bundle.norce.add_customer(NewCustomer {
                    code: Some("B1".to_owned()),
                    ..person(1)
                }));
                relate(bundle, anna, firm);
                vec![line(anna, "B1", Resource::Customer, record)]
            })
        },
        says: "the ERP record with code B1 is a company, and customer/client/",
        ways: &[],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (firm, record, _) = firm(bundle, "B1");
                let erp_company = bundle.erp_company();
                let numbers = json!({"country": "SE", "registrationNumber": "556036-0793"});
                let edited = bundle.erp.edit_customer(erp_company, record, &numbers);
                edited.unwrap();
                put_number_in_norce(bundle, firm, "556012-5790");
                vec![line(firm, "B1", Resource::Customer, record)]
            })
        },
        says: "has another organisation number than company/client/",
        ways: &[
            NAME_ANOTHER,
            ("correct the number where it is wrong", |bundle, lines| {
                Box::pin(async {
                    put_number_in_norce(bundle, entity_of(&lines[0]), "556036-0793");
                    lines
                })
            }),
            ("correct the number where it is wrong", |bundle, lines| {
                Box::pin(async {
                    let (erp_company, record) = (bundle.erp_company(), record_of(&lines[0]));
                    let number = json!({"registrationNumber": "556012-5790"});
                    let edited = bundle.erp.edit_customer(erp_company, record, &number);
                    edited.unwrap();
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (hers, hers_in_erp, _) = firm(bundle, "B1");
                let (_, _, others) = firm(bundle, "B2");
                let anna = customer(bundle.norce.add_customer(person(1)));
                relate(bundle, anna, hers);
                let contact = contact_in_erp(bundle, "KT1", &others);
                vec![
                    line(hers, "B1", Resource::Customer, hers_in_erp),
                    line(anna, "KT1", Resource::Contact, contact),
                ]
            })
        },
        says: "belongs to another organisation than customer/client/",
        ways: &[
            ("name another record", |bundle, mut lines| {
                Box::pin(async {
                    let contacts = bundle.erp.contacts(bundle.erp_company());
                    let mut contacts = contacts.into_iter();
                    let hers = contacts.find(|it| it.display_name == "Bolaget B1 AB");
                    let contact = contact_in_erp(bundle, "KT2", &hers.unwrap().number);
                    let anna = entity_of(&lines[1]);
                    lines[1] = line(anna, "KT2", Resource::Contact, contact);
                    lines
                })
            }),
            ("to that organisation in Norce", |bundle, mut lines| {
                Box::pin(async {
                    let anna = entity_of(&lines[1]);
                    let [hers, others] = bundle.norce.companies().try_into().unwrap();
                    bundle.norce.unlink(anna.id.get().into(), hers.row.id);
                    relate(bundle, anna, company(others.row.id));
                    let records = bundle.erp.customers(bundle.erp_company());
                    let record = records.iter().find(|it| it.number == "B2").unwrap();
                    // Its line comes after hers.
                    lines.push(line(
                        company(others.row.id),
                        "B2",
                        Resource::Customer,
                        record.id,
                    ));
                    lines
                })
            }),
            ("move the contact in the ERP", |bundle, lines| {
                Box::pin(async {
                    let erp_company = bundle.erp_company();
                    let contacts = bundle.erp.contacts(erp_company);
                    let mut contacts = contacts.into_iter();
                    let hers = contacts.find(|it| it.display_name == "Bolaget B1 AB");
                    let to = json!({"companyNumber": hers.unwrap().number});
                    let moved = bundle
                        .erp
                        .edit_contact(erp_company, record_of(&lines[1]), &to);
                    moved.unwrap();
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (hers, _, contact_of) = firm(bundle, "B1");
                let anna = customer(bundle.norce.add_customer(person(1)));
                relate(bundle, anna, hers);
                let contact = contact_in_erp(bundle, "KT1", &contact_of);
                vec![line(anna, "KT1", Resource::Contact, contact)]
            })
        },
        says: "which is not bound to an ERP record",
        ways: &[(
            "by a line of `import-mappings`, together with",
            |bundle, mut lines| {
                Box::pin(async {
                    let [hers] = bundle.norce.companies().try_into().unwrap();
                    let [record] = bundle
                        .erp
                        .customers(bundle.erp_company())
                        .try_into()
                        .unwrap();
                    let hers = company(hers.row.id);
                    lines.push(line(hers, "B1", Resource::Customer, record.id));
                    lines
                })
            },
        )],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let id = anna.id.get().into();
                bundle.norce.forget_customer(id, &Blank::Null, false);
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "is forgotten in Norce and is never bound again",
        ways: &[LEAVE_OUT],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let record = record_in_erp(bundle, "K1", "Person");
                vec![line(customer(987), "K1", Resource::Customer, record)]
            })
        },
        says: "Norce does not have customer/client/987",
        ways: &[
            LEAVE_OUT,
            ("correct its id", |bundle, mut lines| {
                Box::pin(async {
                    lines[0]["id"] = json!(bundle.norce.add_customer(person(1)));
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let survivor = bundle.norce.add_customer(person(2));
                let id = anna.id.get().into();
                bundle.norce.merge_customer(id, survivor, false);
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "was merged into customer/client/",
        ways: &[("name customer/client/", |bundle, mut lines| {
            Box::pin(async {
                let merged = bundle.norce.customer(lines[0]["id"].as_i64().unwrap());
                lines[0]["id"] = json!(merged.unwrap().row.replacement_customer_id);
                lines
            })
        })],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let berta = customer(bundle.norce.add_customer(person(2)));
                put_code_in_norce(bundle, berta, Some("K1"));
                replay(bundle, berta).await;
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "the ERP record with code K1 belongs to customer/client/",
        ways: &[
            NAME_ANOTHER,
            ("rebind customer/client/", |bundle, lines| {
                Box::pin(async {
                    record_in_erp(bundle, "K2", "Person");
                    let rebind = json!({
                        "action": "rebind", "email": "anna.2@example.com", "toCode": "K2",
                        "confirm": true, "reason": "a test",
                    });
                    bundle.ask(rebind).await.unwrap();
                    bundle.run_until_quiet().await;
                    lines
                })
            }),
        ],
    },
    // Nothing binds the other one yet.
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                let berta = customer(bundle.norce.add_customer(person(2)));
                put_code_in_norce(bundle, berta, Some("K1"));
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "Norce has code K1 for customer/client/",
        ways: &[
            NAME_ANOTHER,
            ("remove the code from customer/client/", |bundle, lines| {
                Box::pin(async {
                    let mut customers = bundle.norce.customers().into_iter();
                    let has_code = |it: &CustomerRecord| it.row.customer_code.is_some();
                    let berta = customers.find(has_code).unwrap();
                    put_code_in_norce(bundle, customer(berta.row.id), None);
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let (anna, record) = unbound(bundle, 1, "K1").await;
                put_code_in_norce(bundle, anna, Some("K8"));
                vec![line(anna, "K1", Resource::Customer, record)]
            })
        },
        says: "Norce has code K8 for customer/client/",
        ways: &[
            ("name the record with code K8", |bundle, mut lines| {
                Box::pin(async {
                    let other = record_in_erp(bundle, "K8", "Person");
                    lines[0] = line(entity_of(&lines[0]), "K8", Resource::Customer, other);
                    lines
                })
            }),
            ("correct the code in Norce", |bundle, lines| {
                Box::pin(async {
                    put_code_in_norce(bundle, entity_of(&lines[0]), Some("K1"));
                    lines
                })
            }),
            ("or remove it there", |bundle, lines| {
                Box::pin(async {
                    put_code_in_norce(bundle, entity_of(&lines[0]), None);
                    lines
                })
            }),
        ],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let forgotten = somebody(bundle, 2).await;
                let of_forgotten = bundle.binding(customer(forgotten)).await.unwrap();
                let forget = json!({"action": "forget", "id": forgotten, "confirm": true});
                bundle.ask(forget).await.unwrap();
                let anna = customer(bundle.norce.add_customer(person(1)));
                let code = of_forgotten.code.as_str();
                vec![line(anna, code, Resource::Customer, of_forgotten.erp_id.id)]
            })
        },
        says: "belonged to a forgotten customer",
        ways: &[NAME_ANOTHER],
    },
    Wrong {
        given: |bundle| {
            Box::pin(async {
                let record = record_in_erp(bundle, "K1", "Person");
                let anna = bundle.norce.add_customer(NewCustomer {
                    first_name: None,
                    last_name: None,
                    ..person(1)
                });
                vec![line(customer(anna), "K1", Resource::Customer, record)]
            })
        },
        says: "has no name in Norce",
        ways: &[("fill it in there", |bundle, lines| {
            Box::pin(async {
                let id = lines[0]["id"].as_i64().unwrap();
                bundle.norce.change_customer(id, |record| {
                    record.row.last_name = Some("Ek".to_owned());
                });
                lines
            })
        })],
    },
];

/// A line is a claim: the same rule as everywhere says whether the record can be the entity's (P15), and what a problem says
/// that can be done leads to a bound entity with which nothing is wrong.
#[tokio::test(start_paused = true)]
async fn p15_a_line_that_norce_or_the_erp_contradicts_is_not_bound_and_its_advice_helps() {
    for wrong in WRONG_LINES {
        let none: &[(&str, Correct)] = &[("", LEAVE_OUT.1)];
        let ways = if wrong.ways.is_empty() {
            none
        } else {
            wrong.ways
        };
        for (says, correct) in ways {
            // An ERP that tells organisation numbers apart.
            let bundle = Bundle::new(&Options {
                extended_erp: true,
                ..Options::default()
            });
            // Nothing but the lines binds anybody.
            bundle.norce.unsubscribe(EventType::CustomerChanged);
            bundle.norce.unsubscribe(EventType::CompanyChanged);
            let lines = (wrong.given)(&bundle).await;
            let others = u64::try_from(lines.len() - 1).unwrap();
            let before = state(&bundle);
            let planned = import(&bundle, &lines, true).await;
            assert_eq!(state(&bundle), before, "{}", wrong.says);
            let done = import(&bundle, &lines, false).await;
            for answer in [&planned, &done] {
                assert_eq!(
                    counts(answer),
                    [others, 0, 1, 0],
                    "{}: {answer:#}",
                    wrong.says
                );
                let [problem] = answer["problems"].as_array().unwrap().as_slice() else {
                    panic!("{answer:#}");
                };
                assert_eq!(problem["line"], lines.len(), "{answer:#}");
                let reason = problem["reason"].as_str().unwrap();
                assert!(reason.contains(wrong.says), "{}: {reason}", wrong.says);
                assert!(reason.contains(says), "{says}: {reason}");
                assert!(!reason.contains("Ek") && !reason.contains("example"), "P11");
            }
            let wrong_entity = entity_of(lines.last().unwrap());
            assert_eq!(bundle.binding(wrong_entity).await, None, "{}", wrong.says);

            let corrected = correct(&bundle, lines).await;
            let way = format!("{} -> {says}", wrong.says);
            let all = u64::try_from(corrected.len()).unwrap();
            let planned = import(&bundle, &corrected, true).await;
            let done = import(&bundle, &corrected, false).await;
            for answer in [&planned, &done] {
                let [bound, unchanged, conflicts, invalid] = counts(answer);
                assert_eq!((conflicts, invalid), (0, 0), "{way}: {answer:#}");
                assert_eq!(bound + unchanged, all, "{way}: {answer:#}");
            }
            bundle.run_until_quiet().await;
            for line in &corrected {
                let entity = entity_of(line);
                replay(&bundle, entity).await;
                let bound = bundle.binding(entity).await.unwrap();
                assert_eq!(bound.erp_id.id, record_of(line).to_string(), "{way}");
                let id = entity.id.get().into();
                let in_norce = match entity.kind {
                    EntityKind::Customer => bundle.norce.customer(id).unwrap().row.customer_code,
                    EntityKind::Company => bundle.norce.company(id).unwrap().row.company_code,
                };
                assert_eq!(in_norce.as_deref(), Some(bound.code.as_str()), "{way}");
            }
            let owed = bundle.owed.list().await.unwrap();
            assert!(owed.is_empty(), "{way}: {owed:#?}");
        }
    }
}

/// What the README says that a line costs: calls to Norce Query, and to the ERP.
#[tokio::test(start_paused = true)]
async fn a_line_costs_as_many_calls_as_the_readme_says() {
    let bundle = Bundle::new(&Options::default());
    bundle.unsubscribe();
    let (anna, of_anna) = unbound(&bundle, 1, "K1").await;
    put_code_in_norce(&bundle, anna, Some("K1"));
    let (berta, of_berta) = unbound(&bundle, 2, "K2").await;
    let (firm, of_firm, organisation) = firm(&bundle, "B1");
    let (cora, of_cora) = (
        customer(bundle.norce.add_customer(person(3))),
        contact_in_erp(&bundle, "KT3", &organisation),
    );
    relate(&bundle, cora, firm);
    // The first calls fetch what is kept afterwards, tokens for example.
    let _ = bundle
        .ask(json!({"action": "explain", "id": cora.id}))
        .await;
    let asked = |bundle: &Bundle| {
        let of_norce = [
            Endpoint::Customers,
            Endpoint::Companies,
            Endpoint::CustomerCompanies,
        ];
        let of_norce = of_norce.map(|it| bundle.norce.requests_to(it));
        let requests = bundle.erp.requests();
        let of_erp = [
            Entity::Customers,
            Entity::Contacts,
            Entity::ContactsInformation,
        ];
        let of_erp = of_erp.map(|it| requests.count(&Method::GET, it));
        (of_norce.iter().sum::<u64>(), of_erp.iter().sum::<usize>())
    };
    for (line, expected) in [
        (line(anna, "K1", Resource::Customer, of_anna), (1, 1)),
        (line(berta, "K2", Resource::Customer, of_berta), (2, 1)),
        (line(firm, "B1", Resource::Customer, of_firm), (2, 1)),
        (line(cora, "KT3", Resource::Contact, of_cora), (2, 4)),
    ] {
        let before = asked(&bundle);
        let answer = import(&bundle, &[line], false).await;
        assert_eq!(counts(&answer), [1, 0, 0, 0], "{answer:#}");
        let after = asked(&bundle);
        let cost = (after.0 - before.0, after.1 - before.1);
        assert_eq!(cost, expected, "{answer:#}");
    }
}

/// The ERP ignores the case of a code, and what is stored is the code as the ERP has it.
#[tokio::test(start_paused = true)]
async fn a_line_is_bound_whatever_the_case_of_its_code_where_the_erp_ignores_it() {
    let bundle = Bundle::new(&Options::default());
    let (anna, record) = unbound(&bundle, 1, "K1").await;
    let lines = [line(anna, "k1", Resource::Customer, record)];
    assert_eq!(counts(&import(&bundle, &lines, false).await), [1, 0, 0, 0]);
    assert_eq!(bundle.binding(anna).await.unwrap().code.as_str(), "K1");
    assert_eq!(counts(&import(&bundle, &lines, false).await), [0, 1, 0, 0]);
}

/// A code that is not the ERP's gives way to the record's, as on a first order.
#[tokio::test(start_paused = true)]
async fn a_code_in_norce_that_is_not_the_erps_gives_way_to_that_of_a_line() {
    for erp_codes in [ErpCodes::Known, ErpCodes::Forms(vec!["K*".to_owned()])] {
        let bundle = Bundle::new(&Options {
            matching: MatchingPolicy {
                erp_codes: erp_codes.clone(),
                ..MatchingPolicy::default()
            },
            ..Options::default()
        });
        let (anna, record) = unbound(&bundle, 1, "K1").await;
        put_code_in_norce(&bundle, anna, Some("WEB-1"));
        bundle.run_until_quiet().await;
        let lines = [line(anna, "K1", Resource::Customer, record)];
        let answer = import(&bundle, &lines, false).await;
        assert_eq!(counts(&answer), [1, 0, 0, 0], "{erp_codes:?}: {answer:#}");
        replay(&bundle, anna).await;
        assert_eq!(code_of(&bundle, anna.id.get().into()), "K1");
        assert!(bundle.owed.list().await.unwrap().is_empty());
    }
}
