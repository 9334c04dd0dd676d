//! Every fixed value of a partner, read back from a real Odoo with a client that shares nothing with the adapter.

use serde_json::{Value, json};
use shared::{
    domain::{Address, CountryCode, Personal},
    erp::{Erp, ErpRecord, Party, PartyKind, UpdateOutcome, odoo::Odoo},
};
use tests::odoo::Odoo as Server;

use crate::{adapter, created, person, settings, soon, without_code};

const FIELDS: [&str; 6] = [
    "lang",
    "user_id",
    "category_id",
    "property_product_pricelist",
    "property_payment_term_id",
    "property_account_position_id",
];

async fn make(server: &Server, model: &str, values: Value) -> i64 {
    let made = server
        .call(model, "create", json!({ "vals_list": [values] }))
        .await;
    made.unwrap()[0].as_i64().unwrap()
}

async fn write(server: &Server, model: &str, id: i64, values: Value) {
    let arguments = json!({ "ids": [id], "vals": values });
    server.call(model, "write", arguments).await.unwrap();
}

async fn partner(server: &Server, record: &ErpRecord) -> Value {
    let id: i64 = record.id.id.parse().unwrap();
    let partner = json!([["id", "=", id]]);
    server
        .partners(partner, &FIELDS)
        .await
        .unwrap()
        .swap_remove(0)
}

fn with(server: &Server, values: &str) -> Odoo {
    adapter(settings(server)).with_fixed_values(values.parse().unwrap())
}

fn of_germany(party: Party) -> Party {
    Party {
        address: Some(Address {
            line1: Personal::parse("Hauptstraße 1"),
            country: "DE".parse().ok(),
            ..Address::default()
        }),
        ..party
    }
}

fn of_sweden(party: Party) -> Party {
    Party {
        address: Some(Address {
            line1: Personal::parse("Storgatan 1"),
            country: Some(CountryCode::SE),
            ..Address::default()
        }),
        ..party
    }
}

/// The languages, and the app Invoicing.
async fn set_up(server: &Server) {
    for code in ["sv_SE", "de_DE"] {
        let language = json!({ "domain": [["code", "=", code]], "fields": ["id"], "context": { "active_test": false } });
        let language = server.call("res.lang", "search_read", language).await;
        let id = language.unwrap()[0]["id"].as_i64().unwrap();
        write(server, "res.lang", id, json!({ "active": true })).await;
    }
    let module = json!({ "domain": [["name", "=", "account"]], "fields": ["id"] });
    let module = server.call("ir.module.module", "search_read", module).await;
    let module = json!({ "ids": [module.unwrap()[0]["id"]] });
    let installed = server.call("ir.module.module", "button_immediate_install", module);
    installed.await.unwrap();
}

pub(crate) async fn every_fixed_value_is_read_back(server: &Server) {
    no_language_is_sent_by_default(server, 910_010).await;
    missing_apps_are_named(server).await;
    set_up(server).await;
    let own = json!([["login", "=", server.access().login]]);
    let own = json!({ "domain": own, "fields": ["id"] });
    let own = server.call("res.users", "search_read", own).await;
    let own = own.unwrap()[0]["id"].as_i64().unwrap();
    write(server, "res.users", own, json!({ "lang": "sv_SE" })).await;
    no_language_is_sent_by_default(server, 910_011).await;
    let list = make(server, "product.pricelist", json!({ "name": "Webb" })).await;
    let terms = make(
        server,
        "account.payment.term",
        json!({ "name": "30 dagar" }),
    )
    .await;
    let position = make(
        server,
        "account.fiscal.position",
        json!({ "name": "EU B2B" }),
    )
    .await;
    let web = make(server, "res.partner.category", json!({ "name": "Web" })).await;
    let business = make(
        server,
        "res.partner.category",
        json!({ "name": "Business" }),
    )
    .await;
    // The merchant knows it by its Swedish name.
    let swedish =
        json!({ "ids": [business], "vals": { "name": "Företag" }, "context": { "lang": "sv_SE" } });
    server
        .call("res.partner.category", "write", swedish)
        .await
        .unwrap();
    let seller = json!({ "name": "Seller", "login": "seller@example.com" });
    let seller = make(server, "res.users", seller).await;

    let everything = |also: &str| {
        format!(
            r#"[{{"set":{{"lang":"sv_SE","salesperson":"seller@example.com","tags":["Web","Företag"],
                "priceList":"Webb","paymentTerms":"30 dagar","fiscalPosition":"EU B2B"}}{also}}},
                {{"when":{{"country":"DE"}},"set":{{"lang":"de_DE"}}{also}}}]"#
        )
    };
    let erp = with(server, &everything(""));
    assert_eq!(erp.unknown_fixed_values(soon()).await.unwrap(), []);
    let anna = of_sweden(person("fixed.1@example.com"));
    let record = created(&erp, &without_code(910_001), &anna).await;
    let there = partner(server, &record).await;
    assert_eq!(there["lang"], "sv_SE");
    assert_eq!(there["user_id"][0], seller);
    assert_eq!(there["category_id"], json!([business, web]));
    assert_eq!(there["property_product_pricelist"][0], list);
    assert_eq!(there["property_payment_term_id"][0], terms);
    assert_eq!(there["property_account_position_id"][0], position);

    // By country; and a contact has what is not its company's.
    let firm = Party {
        kind: PartyKind::Company,
        ..of_germany(person("fixed.2@example.com"))
    };
    let firm = created(&erp, &without_code(910_002), &firm).await;
    assert_eq!(partner(server, &firm).await["lang"], "de_DE");
    let contact = Party {
        kind: PartyKind::Contact {
            company: Some(firm.id.clone()),
        },
        ..person("fixed.3@example.com")
    };
    let contact = created(&erp, &without_code(910_003), &contact).await;
    let there = partner(server, &contact).await;
    assert_eq!(there["lang"], "sv_SE");
    assert_eq!(there["category_id"], json!([business, web]));

    updates_write_them_where_the_rule_says_so(server, &record, &everything(r#","also":"update""#))
        .await;
}

/// JSON-2 replaces the context of the user by that of the request, so that the language of the user is lost.
async fn no_language_is_sent_by_default(server: &Server, entity: i64) {
    let record = created(
        &adapter(settings(server)),
        &without_code(entity),
        &person("fixed.4@example.com"),
    )
    .await;
    let id: i64 = record.id.id.parse().unwrap();
    let partner = server.partners(json!([["id", "=", id]]), &["lang"]).await;
    assert_eq!(partner.unwrap()[0]["lang"], "en_US");
}

async fn missing_apps_are_named(server: &Server) {
    let erp = with(
        server,
        r#"[{"set":{"lang":"sv_SE","paymentTerms":"30 dagar","tags":["Nobody's"]}}]"#,
    );
    let unknown = erp.unknown_fixed_values(soon()).await.unwrap();
    let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
    assert_eq!(
        unknown,
        [
            "rule 1 of ErpFixedValues sets `paymentTerms` to `30 dagar`, and Odoo has no payment terms in this database: install the app Invoicing there, or correct the parameter",
            "rule 1 of ErpFixedValues sets `lang` to `sv_SE`, and Odoo has no active language with this code: activate it under Settings, Languages, or correct the parameter",
            "rule 1 of ErpFixedValues sets `tags` to `Nobody's`, and Odoo has no contact tags with this name: make it there, or correct the parameter",
        ]
    );
}

async fn updates_write_them_where_the_rule_says_so(
    server: &Server,
    record: &ErpRecord,
    values: &str,
) {
    let id: i64 = record.id.id.parse().unwrap();
    let own = make(server, "res.partner.category", json!({ "name": "Own" })).await;
    let changes = json!({ "lang": "en_US", "user_id": false, "category_id": [[6, 0, [own]]],
        "property_payment_term_id": false, "property_account_position_id": false,
        "property_product_pricelist": false });
    write(server, "res.partner", id, changes).await;
    let wanted = |phone: &str| Party {
        phone: Personal::parse(phone),
        ..of_sweden(person("fixed.1@example.com"))
    };
    // A rule for creates leaves all of it alone.
    let erp = adapter(settings(server));
    let update = async |erp: &Odoo, party: &Party| {
        let seen = erp.get(&record.id, soon()).await.unwrap().unwrap();
        erp.update(&seen, party, soon()).await.unwrap()
    };
    let updated = update(&erp, &wanted("08-1")).await;
    assert!(matches!(updated, UpdateOutcome::Updated(_)), "{updated:?}");
    assert_eq!(partner(server, record).await["lang"], "en_US");

    let erp = with(server, values);
    let updated = update(&erp, &wanted("08-1")).await;
    assert!(matches!(updated, UpdateOutcome::Updated(_)), "{updated:?}");
    let there = partner(server, record).await;
    assert_eq!(there["lang"], "sv_SE");
    for field in [
        "user_id",
        "property_product_pricelist",
        "property_payment_term_id",
        "property_account_position_id",
    ] {
        assert!(there[field].is_array(), "{field}: {there}");
    }
    let tags = there["category_id"].as_array().unwrap();
    assert_eq!(tags.len(), 3, "{there}");
    assert!(tags.contains(&json!(own)));
    // P5
    let again = update(&erp, &wanted("08-1")).await;
    assert!(matches!(again, UpdateOutcome::Unchanged(_)), "{again:?}");
}
