//! `explain`: what is known about an entity, and what would happen to it now.

use super::*;

#[tokio::test(start_paused = true)]
async fn explain_tells_the_last_events() {
    let bundle = Bundle::new(&Options::default());
    let _captured = bundle.logs.capture();
    let customer = somebody(&bundle, 1).await;
    for number in 0..30 {
        bundle.norce.change_customer(customer, |record| {
            record.row.phone_number = Some(format!("08-765 43 {number:02}"));
        });
        bundle.run_until_quiet().await;
    }
    let other = format!("customer/client/{customer}7");
    bundle.logs.change_events.write(
        bundle.clock.now(),
        format!(r#"{{"fields":{{"message":"change handled","subject":"{other}"}}}}"#),
    );
    let explained = bundle
        .ask(json!({"action": "explain", "id": customer}))
        .await
        .unwrap();
    let last = explained["last"]["events"].as_array().unwrap();

    assert_eq!(last.len(), 20, "{explained:#}");
    assert!(explained["last"].get("incomplete").is_none());
    let said = |event: &Value| event["said"].as_str().unwrap().to_owned();
    let of = |function| {
        let mut events = last.iter().filter(|event| event["function"] == function);
        said(events.next_back().unwrap())
    };
    let (accepted, handled) = (of("receive-events"), of("change-events"));
    assert!(accepted.starts_with("event accepted"), "{accepted}");
    assert!(accepted.contains(r#"event="CustomerChangedNotification""#));
    assert!(
        handled.starts_with("change handled") && handled.contains(r#"outcome="updated"#),
        "{handled}"
    );
    let thread = |said: &str| said.split(r#"correlation=""#).nth(1).unwrap()[..36].to_owned();
    assert_eq!(thread(&accepted), thread(&handled));
    assert!(
        !last.iter().any(|event| said(event).contains(&other)),
        "{explained:#}"
    );

    // What cannot be searched is said, and the rest is answered.
    let mut bundle = bundle;
    let dead = dead_aws().await;
    let ports = bundle.operator.ports.as_mut().unwrap();
    ports.logs[1].logs = Arc::new(CloudWatchLogs::new(&dead, "none"));
    let explained = bundle
        .ask(json!({"action": "explain", "id": customer}))
        .await
        .unwrap();
    let incomplete = explained["last"]["incomplete"].as_str().unwrap();
    assert!(
        incomplete.starts_with("change-events: the log cannot be searched"),
        "{incomplete}"
    );
    assert!(!explained["last"]["events"].as_array().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn explain_says_what_then_happens_and_writes_nothing() {
    let bundle = Bundle::new(&Options {
        code_pattern: Some("{kind}{id}"),
        forgotten: ForgottenPolicy::All,
        ..Options::default()
    });
    // Every entity is checked by hand.
    for event in [
        EventType::CustomerChanged,
        EventType::CompanyChanged,
        EventType::OrderReceived,
        EventType::OrderConfirmed,
    ] {
        bundle.norce.unsubscribe(event);
    }
    let add = |number| bundle.norce.add_customer(person(number));
    let look = async |id: i64| {
        bundle
            .change_events
            .look_at(customer(id), Cause::Changed, deadline())
            .await
    };

    let no_order = add(1);
    let [
        ordered,
        twin_of_the_erp,
        changed,
        in_step,
        renamed,
        forgotten,
        refused,
    ] = [2, 3, 4, 5, 6, 7, 8].map(|number| {
        let id = add(number);
        bundle.norce.place_order(order_of(id));
        id
    });
    bundle
        .erp
        .add_customer(bundle.erp_company(), &json!({"number": "BC1", "displayName": "Anna Ek 3", "type": "Person", "email": "anna.3@example.com"}))
        .unwrap();
    for id in [changed, in_step, renamed, forgotten] {
        look(id).await.unwrap();
    }
    bundle.run_until_quiet().await;
    for id in [changed, in_step, renamed, forgotten] {
        look(id).await.unwrap();
    }
    bundle.norce.change_customer(changed, |record| {
        record.row.phone_number = Some("08-123 45 67".to_owned())
    });
    bundle.norce.change_customer(renamed, |record| {
        record.row.customer_code = Some("OTHER".to_owned())
    });
    bundle.norce.forget_customer(forgotten, &Blank::Null, false);
    let with_code = add(9);
    bundle.norce.change_customer(with_code, |record| {
        record.row.customer_code = Some("NOWHERE".to_owned())
    });
    let company = bundle.norce.add_company(NewCompany {
        name: Some("Bolaget AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        ..NewCompany::default()
    });
    let contact = add(10);
    bundle.norce.link(contact, company, true);
    bundle.norce.place_order(order_of(contact));
    let nobody = 99_999;

    /// Of what would be done, that it is nothing.
    const NOTHING: &str = "[]";
    for (id, words, would) in [
        (no_order, "no order yet", NOTHING),
        (
            ordered,
            "created in the ERP as P",
            "create a customer in the ERP, under code P",
        ),
        (
            twin_of_the_erp,
            "found in the ERP as BC1",
            "bind customer/client/",
        ),
        (changed, "updated", "compare the ERP's record"),
        (in_step, "unchanged", NOTHING),
        (renamed, "owed (conflict): Norce has code OTHER", NOTHING),
        (forgotten, "forgotten; blocked in the ERP", "block P"),
        (with_code, "owed (conflict)", NOTHING),
        (
            contact,
            "owed (missing-prerequisite)",
            "check company/client/",
        ),
        (nobody, "is not in Norce", NOTHING),
        (refused, "created", "create"),
    ] {
        let before = state(&bundle);
        let explained = bundle
            .ask(json!({"action": "explain", "id": id}))
            .await
            .unwrap();
        assert_eq!(state(&bundle), before, "{words}: asking writes nothing");
        let outcome = explained["now"]["outcome"].as_str().unwrap().to_owned();
        let real = match look(id).await {
            Ok(done) => done.words.into_owned(),
            Err(Failure::Owed { reason, detail }) => {
                format!("owed ({}): {detail}", reason.as_str())
            }
            Err(Failure::Later { reason, .. }) => panic!("{id} waits: {reason}"),
        };
        assert!(real.contains(words), "{words}: {real}");
        let steps = explained["now"]["would"].to_string();
        if steps.contains("compare the ERP's record") {
            // Whether anything differs is found out by writing only, and only there both outcomes are one.
            assert!(outcome.contains("updated in the ERP"), "{outcome}");
            let either = |words: &str| {
                words
                    .replace("unchanged", "updated in the ERP")
                    .replace(" and updated in the ERP", "")
            };
            assert_eq!(either(&outcome), either(&real), "{explained:#}");
        } else {
            assert_eq!(outcome, real, "{explained:#}");
        }
        match would {
            NOTHING => assert_eq!(steps, NOTHING, "{words}"),
            would => assert!(steps.contains(would), "{would}: {steps}"),
        }
        assert!(!explained.to_string().contains("anna."), "{explained:#}");
        assert!(
            summary(&explained).contains("If an event came now"),
            "{explained:#}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn explain_finds_the_customer_that_a_person_means() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let name = format!("customer/client/{anna}");
    let code = bundle
        .norce
        .customer(anna)
        .unwrap()
        .row
        .customer_code
        .unwrap();
    for selector in [
        json!({"id": anna}),
        json!({"entity": name}),
        json!({"code": code}),
        json!({"email": " Anna.1@EXAMPLE.com"}),
    ] {
        let mut request = json!({"action": "explain"});
        request
            .as_object_mut()
            .unwrap()
            .extend(selector.as_object().unwrap().clone());
        let parsed = format!("{:?}", operator::Request::parse(request.clone()).unwrap());
        assert!(
            !parsed.to_lowercase().contains("example.com"),
            "P11: {parsed}"
        );
        let explained = bundle.ask(request).await.unwrap();
        assert_eq!(explained["entity"], name, "{selector}");
        assert_eq!(
            (
                &explained["mapping"]["state"],
                &explained["mapping"]["code"]
            ),
            (&json!("bound"), &json!(code))
        );
        assert_eq!(explained["norce"]["code"], json!(code));
    }
    bundle.norce.add_customer(person(1));
    for (request, words) in [
        (json!({"action": "explain"}), "one of `entity`"),
        (
            json!({"action": "explain", "id": 1, "code": "x"}),
            "one of `entity`",
        ),
        (
            json!({"action": "explain", "email": "anna.1@example.com"}),
            "name one by `entity`",
        ),
        (
            json!({"action": "explain", "email": "nobody@example.com"}),
            "no customer has this e-mail address",
        ),
        (
            json!({"action": "explain", "email": "x", "kind": "company"}),
            "not looked up by e-mail",
        ),
        (
            json!({"action": "explain", "entity": "customer/app-7/1"}),
            "there is no scope app-7",
        ),
        (
            json!({"action": "explain", "entity": "anna.1@example.com"}),
            "customer/client/<id>",
        ),
    ] {
        let refused = refusal(&bundle, request).await;
        assert!(refused.contains(words), "{refused}");
        assert!(!refused.contains("@"), "P11: {refused}");
    }
    let two = Bundle::new(&Options {
        registers: Registers::Applications,
        ..Options::default()
    });
    let refused = refusal(&two, json!({"action": "explain", "id": 1})).await;
    assert!(refused.contains("app-1, app-2"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn p2_a_create_that_is_under_way_is_explained_and_not_bound_over() {
    let bundle = Bundle::new(&Options::default());
    let anna = bundle.norce.add_customer(person(1));
    bundle.norce.place_order(order_of(anna));
    let now = bundle.clock.now();
    let reservation = Reservation {
        token: Uuid::new_v4(),
        since: now,
        until: now + TimeDelta::minutes(10),
        natural_key: None,
    };
    let reserved = bundle.mappings.reserve(customer(anna), reservation).await;
    reserved.unwrap();
    let explained = bundle.ask(json!({"action": "explain", "id": anna})).await;
    let explained = explained.unwrap();
    assert_eq!(explained["mapping"]["state"], "reserved", "{explained:#}");
    let outcome = explained["now"]["outcome"].as_str().unwrap();
    assert!(outcome.contains("may still be under way"), "{outcome}");

    let line = json!({"kind": "customer", "scope": "client", "id": anna, "code": "A1", "erp": {"resource": "customer", "id": "r"}});
    let body = line.to_string().into();
    bundle.reports.put("mappings/a", "", body).await.unwrap();
    let imported = bundle
        .ask(json!({"action": "import-mappings", "from": "mappings/a"}))
        .await
        .unwrap();
    assert_eq!(imported["conflicts"], 1, "{imported:#}");
    let kept = bundle.mappings.get(customer(anna)).await.unwrap();
    assert!(matches!(kept, Some(Mapping::Reserved(_))), "{kept:?}");
}
