//! What only a facade that really runs can answer.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use shared::{
    domain::{Address, CountryCode, EntityKind, EntityRef, FieldGroups, NorceId, Personal, Scope},
    erp::{
        CreateOutcome, Cursor, Erp, ErpError, ErpRecord, FilterProof, IdempotencyKey, KeyField,
        Listing, NaturalKey, Party, PartyKind, Resource, Sale, Unusable,
        http::{HttpErp, HttpErpCredentials, HttpErpSettings},
    },
    http::ReqwestTransport,
};
use tests::{
    samples,
    tryton::{KEY, Tryton},
};

use crate::{register::PAGE_SIZE, settings, soon};

fn adapter(tryton: &Tryton, key: &str) -> HttpErp {
    let credentials = HttpErpCredentials::Key(key.into());
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    HttpErp::new(settings(tryton, credentials), transport).unwrap()
}

fn key(id: i64) -> IdempotencyKey {
    IdempotencyKey {
        entity: EntityRef::customer(Scope::Client, NorceId::try_from(id).unwrap()),
        code: None,
    }
}

fn person(email: &str) -> Party {
    Party {
        email: Personal::parse(email),
        address: Some(Address {
            city: Personal::parse("Lund"),
            country: Some(CountryCode::SE),
            ..Address::default()
        }),
        ..samples::party(PartyKind::Person, "Anna Ek")
    }
}

fn everything() -> Listing {
    Listing {
        resource: Resource::Customer,
        kind: None,
        since: None,
        fields: FieldGroups::CODE,
    }
}

async fn created(erp: &HttpErp, id: i64, party: &Party) -> ErpRecord {
    match erp.create(&key(id), party, soon()).await.unwrap() {
        CreateOutcome::Created(record) => record,
        other => panic!("{other:?}"),
    }
}

/// A breaker would pause all calls if it looked like an outage.
pub(crate) async fn a_record_that_cannot_be_shown_is_no_outage(tryton: &Tryton) {
    let erp = adapter(tryton, KEY);
    let record = created(&erp, 1, &person("elsewhere@example.com")).await;
    let other = created(&erp, 2, &person("other@example.com")).await;
    for command in [
        format!("add-country {}", json!({ "name": "Elsewhere" })),
        format!(
            "change {} {}",
            record.id.id,
            json!({ "country": "Elsewhere" })
        ),
    ] {
        tryton.people(&command).await.unwrap();
    }
    let email = NaturalKey::email("elsewhere@example.com").unwrap();
    let found = erp.find_by_key(&PartyKind::Person, &email, soon());
    for error in [
        erp.get(&record.id, soon()).await.unwrap_err(),
        found.await.unwrap_err(),
        erp.update(&record, &person("elsewhere.now@example.com"), soon())
            .await
            .unwrap_err(),
    ] {
        let ErpError::Refused { code, message, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(code, "unreadable");
        assert!(message.contains(&record.id.id), "{message}");
    }
    // P6: it does not hide the others.
    let asked = [record.id.clone(), other.id.clone()];
    let many = erp.get_many(&asked, FieldGroups::NONE, soon()).await;
    let many = many.unwrap();
    assert_eq!(many.records, std::slice::from_ref(&other));
    assert_eq!(many.unusable.len(), 1);
    assert_eq!(many.unusable[0].id, Some(record.id.clone()));
    // Who holds its key is not known, so that nobody is taken for its only holder.
    let keys = [
        email.clone(),
        NaturalKey::email("other@example.com").unwrap(),
    ];
    let holders = erp.holders_of_keys(EntityKind::Customer, &keys, soon());
    let holders = holders.await.unwrap();
    assert!(holders.contains(&(keys[0].clone(), record.id.clone())));
    assert!(holders.contains(&(keys[1].clone(), other.id.clone())));
    assert_eq!(holders.len(), 2);
    let page = erp.page(&everything(), None, soon()).await.unwrap();
    assert_eq!(page.records, [other]);
    let [unusable] = page.unusable.as_slice() else {
        panic!("{:?}", page.unusable);
    };
    assert_eq!(unusable.id.as_ref(), Some(&record.id));
    assert!(matches!(unusable.reason, Unusable::Unreadable(_)));
}

/// While people write, the facade waits; when that takes too long, it says that nothing was done, which is no unknown outcome.
pub(crate) async fn a_write_waits_for_those_of_people(tryton: &Tryton) {
    let erp = adapter(tryton, KEY);
    let party = person("waits@example.com");
    // It waits three times for five seconds.
    for (id, seconds, is_patient) in [(1, 7, true), (2, 19, false)] {
        let persons = json!([{ "name": "Bo Al", "norce_kind": "person" }]);
        let command = format!("add-many {seconds} {persons}");
        let create = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let create_key = key(id);
            let outcome = erp.create(&create_key, &party, soon()).await;
            // Reading goes on.
            let read = erp.page(&everything(), None, soon()).await;
            assert!(read.is_ok(), "{read:?}");
            outcome
        };
        let (added, outcome) = tokio::join!(tryton.people(&command), create);
        added.unwrap();
        match outcome {
            Ok(CreateOutcome::Created(_)) => assert!(is_patient),
            Err(ErpError::RetryAfter { after, .. }) => {
                assert!(!is_patient && after.is_some());
                created(&erp, id, &party).await;
            }
            other => panic!("{other:?}"),
        }
    }
}

/// Nobody has the record that was removed; the customer orders again all the same.
pub(crate) async fn a_key_outlives_no_record(tryton: &Tryton) {
    let erp = adapter(tryton, KEY);
    let party = person("removed@example.com");
    let record = created(&erp, 1, &party).await;
    let remove = format!("remove {}", record.id.id);
    tryton.people(&remove).await.unwrap();
    assert_eq!(erp.get(&record.id, soon()).await.unwrap(), None);
    let again = created(&erp, 1, &party).await;
    assert_ne!(again.id, record.id);
    let colleague = Party {
        kind: PartyKind::Contact {
            company: Some(record.id),
        },
        ..party
    };
    let refused = erp.create(&key(2), &colleague, soon()).await;
    let is_refused = matches!(
        &refused,
        Err(ErpError::Refused { field: Some("company"), code, .. }) if code == "unknown-company"
    );
    assert!(is_refused, "{refused:?}");
}

/// The earlier one ended between its create and its removal, and people have changed the record.
pub(crate) async fn a_trial_that_was_cut_off_is_cleared_up(tryton: &Tryton) {
    let erp = adapter(tryton, KEY);
    let party = person("trial@example.com");
    for change in [None, Some("Another")] {
        let left = created(&erp, 1, &party).await;
        if let Some(name) = change {
            let change = format!("change {} {}", left.id.id, json!({ "name": name }));
            tryton.people(&change).await.unwrap();
        }
        let trial = erp.trial(&key(1), &party, soon()).await.unwrap();
        assert_eq!(trial.code, left.code);
        assert_eq!((trial.altered, trial.left), (change.is_some(), None));
        assert!(matches!(trial.sale, Sale::Unknown(_)), "{:?}", trial.sale);
        assert_eq!(erp.get(&left.id, soon()).await.unwrap(), None);
    }
    assert_eq!(tryton.parties().await.unwrap(), Vec::<Value>::new());
}

/// Somebody has worked on with it meanwhile.
pub(crate) async fn a_trial_leaves_a_record_that_is_referred_to(tryton: &Tryton) {
    let erp = adapter(tryton, KEY);
    let party = Party {
        kind: PartyKind::Company,
        ..person("trial@example.com")
    };
    let company = created(&erp, 1, &party).await;
    let contact = json!({ "name": "Bo Al", "norce_kind": "person", "norce_company": company.id.id.parse::<i64>().unwrap() });
    let contact = format!("add-contact {contact}");
    tryton.people(&contact).await.unwrap();
    let trial = erp.trial(&key(1), &party, soon()).await.unwrap();
    let left = trial.left.unwrap();
    assert!(left.contains("in-use"), "{left}");
    assert_eq!(erp.get(&company.id, soon()).await.unwrap(), Some(company));
}

/// A wrong key is for people to mend, and a cursor of another facade for the listing to start over.
pub(crate) async fn a_wrong_key_and_a_foreign_cursor_are_told_apart(tryton: &Tryton) {
    let stranger = adapter(tryton, "another-key-of-16");
    let refused = stranger.page(&everything(), None, soon()).await;
    assert!(
        matches!(refused, Err(ErpError::Authentication { .. })),
        "{refused:?}"
    );
    let erp = adapter(tryton, KEY);
    let foreign = Cursor("eyJwYWdlIjozfQ==".to_owned());
    let expired = erp.page(&everything(), Some(&foreign), soon()).await;
    assert!(
        matches!(expired, Err(ErpError::CursorExpired)),
        "{expired:?}"
    );
}

/// The search by VAT numbers is tried although the first pages have none.
pub(crate) async fn a_search_is_tried_in_a_register_that_begins_with_persons(tryton: &Tryton) {
    let erp = adapter(tryton, KEY);
    let unknown = erp.key_filter(KeyField::VatNumber, soon()).await;
    assert_eq!(unknown, Ok(FilterProof::Unknown));
    let person = json!({ "name": "Bo Al", "norce_kind": "person", "email": "bo@example.com" });
    let persons = json!(vec![person; PAGE_SIZE + 1]);
    let company =
        json!({ "name": "Ek AB", "norce_kind": "organisation", "eu_vat": "SE556036079301" });
    for command in [
        format!("add-many 0 {persons}"),
        format!("add-customer {company}"),
    ] {
        tryton.people(&command).await.unwrap();
    }
    let proof = erp.key_filter(KeyField::VatNumber, soon()).await;
    assert_eq!(proof, Ok(FilterProof::Filters));
}

/// More than one search can ask for, and spelled as people spell.
pub(crate) async fn many_are_found_in_several_searches(tryton: &Tryton) {
    let persons: Vec<_> = (0..230)
        .map(|number| json!({ "name": "Bo Al", "norce_kind": "person", "code": format!("Å {number}/B") }))
        .collect();
    let added = format!("add-many 0 {}", json!(persons));
    let added = tryton.people(&added).await.unwrap();
    let customer = |id: &str| shared::domain::ErpId {
        resource: Resource::Customer,
        id: id.to_owned(),
    };
    let ids: Vec<_> = added.split(' ').map(customer).collect();
    let erp = adapter(tryton, KEY);
    let many = erp.get_many(&ids, FieldGroups::CODE, soon()).await;
    let many = many.unwrap().records;
    assert_eq!(many.len(), ids.len());
    let code = "Å 229/B".parse().unwrap();
    let found = erp.find_by_code(Resource::Customer, &code, soon()).await;
    assert_eq!(found.unwrap().len(), 1);
    let codes: Vec<_> = many
        .into_iter()
        .map(|record| (record.id, record.code))
        .collect();
    let kind = shared::domain::EntityKind::Customer;
    let rivals = erp.other_holders_of_codes(kind, &codes, soon()).await;
    assert_eq!(rivals.unwrap(), []);
}

/// Two applications that name different companies do not share a register, and a wrong name makes no register look empty.
pub(crate) async fn a_company_that_is_not_there_is_no_empty_register(tryton: &Tryton) {
    let transport = Arc::new(ReqwestTransport::new().unwrap());
    let credentials = HttpErpCredentials::Key(KEY.into());
    let settings = HttpErpSettings {
        company: Some("outlet".to_owned()),
        ..settings(tryton, credentials)
    };
    let erp = HttpErp::new(settings, transport).unwrap();
    let page = erp.page(&everything(), None, soon()).await;
    for error in [
        erp.capabilities(soon()).await.map(|_| ()).unwrap_err(),
        page.map(|_| ()).unwrap_err(),
    ] {
        let ErpError::Authentication { reason } = &error else {
            panic!("{error}");
        };
        assert!(reason.contains("unknown-company"), "{reason}");
    }
}

/// A breaker would pause all calls if it looked like an outage.
pub(crate) async fn a_rule_of_the_database_refuses_and_is_no_outage(tryton: &Tryton) {
    let erp = adapter(tryton, KEY);
    let party = person("refused@example.com");
    tryton.people("refuse refused@example.com").await.unwrap();
    let error = erp.create(&key(1), &party, soon()).await.unwrap_err();
    let ErpError::Refused { field, code, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*field, code.as_str()), (Some("email"), "invalid-email"));
    assert!(!error.to_string().contains("refused@"), "{error}");
    assert_eq!(tryton.parties().await.unwrap().len(), 0);
    tryton.people("refuse-nothing").await.unwrap();
    created(&erp, 1, &party).await;
}
