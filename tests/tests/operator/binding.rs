//! `unbind` and `rebind`.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_entity_is_unbound_once_it_is_confirmed_with_a_reason() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let code = code_of(&bundle, anna);
    let before = state(&bundle);
    let asked = bundle
        .ask(json!({"action": "unbind", "code": code}))
        .await
        .unwrap();
    assert_eq!(state(&bundle), before);
    assert_eq!(asked["done"], false, "{asked:#}");
    let would = format!("unbind customer/client/{anna} from code {code}");
    assert_eq!(asked["would"][0], would, "{asked:#}");
    // What then happens is what would happen to somebody who was never seen.
    let outcome = asked["now"]["outcome"].as_str().unwrap();
    assert!(
        outcome.starts_with(&format!("bound as {code}")),
        "{outcome}"
    );
    assert!(summary(&asked).contains("\"confirm\":true"), "{asked:#}");

    for reason in [json!(null), json!(""), json!("  ")] {
        let request = json!({"action": "unbind", "id": anna, "confirm": true, "reason": reason});
        let refused = refusal(&bundle, request).await;
        assert!(refused.contains("`reason`"), "{refused}");
    }
    assert_eq!(state(&bundle), before);

    let logged = CapturedText::default();
    let done = {
        let _captured = logged.capture(tracing::Level::INFO);
        let request = json!({
            "action": "unbind", "email": "anna.1@example.com", "confirm": true,
            "reason": "bound to the wrong record, says anna.1@example.com",
        });
        bundle.ask(request).await.unwrap()
    };
    assert_eq!(done["done"], true, "{done:#}");
    assert_eq!(bundle.mappings.get(customer(anna)).await.unwrap(), None);
    let logged = logged.text();
    for words in [
        format!("customer/client/{anna}"),
        code.clone(),
        "bound to the wrong record".to_owned(),
    ] {
        assert!(logged.contains(&words), "{words}: {logged}");
    }
    assert!(!logged.contains("example.com"), "{logged}");

    let again = json!({"action": "unbind", "id": anna, "confirm": true, "reason": "again"});
    let refused = refusal(&bundle, again).await;
    assert!(refused.contains("nothing to unbind"), "{refused}");
    // Nothing but the mapping has changed, and the next event finds the record again.
    bundle.norce.change_customer(anna, |record| {
        record.row.phone_number = Some("08-1".to_owned())
    });
    bundle.run_until_quiet().await;
    let mapping = bundle.mappings.get(customer(anna)).await.unwrap();
    assert!(
        matches!(mapping, Some(Mapping::Bound(binding)) if binding.code.as_str() == code),
        "bound again"
    );
    assert_eq!(bundle.erp.customers(bundle.erp_company()).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_entity_is_bound_to_another_record_and_norce_gets_its_code() {
    let by_code: fn(&str, Uuid) -> Value = |code, _| json!({"toCode": code});
    let by_id: fn(&str, Uuid) -> Value =
        |_, id| json!({"toRecord": {"resource": "customer", "id": id}});
    for name in [by_code, by_id] {
        let bundle = Bundle::new(&Options::default());
        let anna = somebody(&bundle, 1).await;
        let former = code_of(&bundle, anna);
        let other = record_in_erp(&bundle, "K9", "Person");
        let mut request = json!({"action": "rebind", "id": anna, "reason": "a duplicate"});
        let fields = request.as_object_mut().unwrap();
        fields.extend(name("K9", other).as_object().unwrap().clone());

        let before = state(&bundle);
        let asked = bundle.ask(request.clone()).await.unwrap();
        assert_eq!(state(&bundle), before);
        assert_eq!(asked["done"], false, "{asked:#}");
        let would = format!("bind customer/client/{anna} to code K9");
        assert!(asked["would"].to_string().contains(&would), "{asked:#}");
        let then = asked["now"]["would"].to_string();
        assert!(then.contains("send the code K9 to Norce"), "{asked:#}");

        request["confirm"] = json!(true);
        let done = bundle.ask(request.clone()).await.unwrap();
        assert_eq!(done["done"], true, "{done:#}");
        let mapping = bundle.mappings.get(customer(anna)).await.unwrap();
        let Some(Mapping::Bound(binding)) = mapping else {
            panic!("not bound");
        };
        assert_eq!(binding.former_code.unwrap().as_str(), former);
        // Norce still has the former code, which is no conflict.
        bundle.norce.change_customer(anna, |record| {
            record.row.phone_number = Some("08-1".to_owned())
        });
        bundle.run_until_quiet().await;
        assert_eq!(code_of(&bundle, anna), "K9");
        assert!(bundle.owed.list().await.unwrap().is_empty());
        let refused = refusal(&bundle, request).await;
        assert!(refused.contains("bound to code K9 already"), "{refused}");
    }
}

#[tokio::test(start_paused = true)]
async fn p15_a_record_that_does_not_fit_is_not_bound_by_hand() {
    let bundle = Bundle::new(&Options::default());
    let anna = somebody(&bundle, 1).await;
    let berta = somebody(&bundle, 2).await;
    record_in_erp(&bundle, "B1", "Company");
    let gone = record_in_erp(&bundle, "K8", "Person");
    let company = bundle.erp_company();
    bundle.erp.delete_customer(company, gone).unwrap();
    record_in_erp(&bundle, "K9", "Person");
    let forgotten = somebody(&bundle, 3).await;
    bundle.norce.forget_customer(forgotten, &Blank::Null, true);
    bundle.run_until_quiet().await;
    // An employee of a bound company, and a contact of another one.
    let (hers, hers_in_erp, _) = firm(&bundle, "F1");
    let (_, _, others) = firm(&bundle, "F2");
    let employee = customer(bundle.norce.add_customer(person(4)));
    relate(&bundle, employee, hers);
    bundle.run_until_quiet().await;
    let bound = [line(hers, "F1", Resource::Customer, hers_in_erp)];
    assert_eq!(counts(&import(&bundle, &bound, false).await), [1, 0, 0, 0]);
    let stranger = contact_in_erp(&bundle, "KT1", &others);
    // Somebody whose code is in Norce and nowhere else yet.
    let record_of_dora = record_in_erp(&bundle, "K6", "Person");
    bundle.norce.unsubscribe(EventType::CustomerChanged);
    let dora = customer(bundle.norce.add_customer(person(5)));
    put_code_in_norce(&bundle, dora, Some("K6"));
    let employee = i64::from(employee.id.get());
    let before = state(&bundle);
    let berta_is = format!("belongs to customer/client/{berta}");
    for (who, to, words) in [
        (
            anna,
            json!({"toCode": code_of(&bundle, berta)}),
            berta_is.as_str(),
        ),
        (anna, json!({"toCode": "B1"}), "is a company"),
        (anna, json!({"toCode": "K7"}), "no such record"),
        (
            anna,
            json!({"toRecord": {"resource": "customer", "id": gone}}),
            "no such record",
        ),
        (anna, json!({}), "`toCode`"),
        (
            anna,
            json!({"toCode": "K9", "toRecord": {"resource": "customer", "id": gone}}),
            "`toCode`",
        ),
        (forgotten, json!({"toCode": "K9"}), "is never bound again"),
        (employee, json!({"toCode": "KT1"}), "another organisation"),
        (
            employee,
            json!({"toRecord": {"resource": "contact", "id": stranger}}),
            "another organisation",
        ),
        (
            anna,
            json!({"toRecord": {"resource": "customer", "id": record_of_dora}}),
            "Norce has code K6 for customer/client/",
        ),
        (987, json!({"toCode": "K9"}), "Norce does not have"),
    ] {
        for confirm in [false, true] {
            let mut request =
                json!({"action": "rebind", "id": who, "confirm": confirm, "reason": "a test"});
            let fields = request.as_object_mut().unwrap();
            fields.extend(to.as_object().unwrap().clone());
            let refused = refusal(&bundle, request).await;
            assert!(refused.contains(words), "{to}, {confirm}: {refused}");
        }
    }
    assert_eq!(state(&bundle), before);
}
