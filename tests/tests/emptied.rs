//! A field that the shop empties is emptied in the ERP where the shop owns it (K8), and no other field is. In one
//! process, with the simulators, on paused time. `tests/conformance` checks the same for every ERP.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use serde_json::json;
use shared::{domain::KeptWhenEmptied, owed::Reason};
use tests::{
    bundle::{Bundle, Options},
    business_central_simulator::CustomerRecord as ErpCustomer,
    norce_simulator::{CustomerRecord, NewAddress, NewCompany, NewCustomer},
    samples::{self, order},
};

const DAY: Duration = Duration::from_secs(24 * 3_600);

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn address() -> NewAddress {
    NewAddress {
        line2: some("Lgh 1102"),
        region: some("Stockholms län"),
        ..samples::address("Storgatan 1")
    }
}

/// A customer with a value in every field, in the ERP.
async fn anna(bundle: &Bundle) -> i64 {
    let id = bundle.norce.add_customer(NewCustomer {
        phone: some("08-123 45"),
        cell_phone: some("070-123 45 67"),
        invoice_address: Some(address()),
        ..samples::anna()
    });
    ordered(bundle, Some(id), None).await;
    id
}

/// A company with an e-mail address, in the ERP.
async fn bolaget(bundle: &Bundle, company: NewCompany) -> i64 {
    let id = bundle.norce.add_company(NewCompany {
        name: some("Bolaget AB"),
        email: some("info@bolaget.example"),
        ..company
    });
    ordered(bundle, None, Some(id)).await;
    id
}

/// Places an order, and waits until the ERP has its customer or company.
async fn ordered(bundle: &Bundle, customer: Option<i64>, company: Option<i64>) {
    bundle.norce.place_order(order(customer, company));
    bundle.run_until_quiet().await;
}

fn in_erp(bundle: &Bundle) -> ErpCustomer {
    bundle.erp.customers(bundle.erp_company()).remove(0)
}

/// The fields of the ERP's record that can be emptied.
fn fields(record: &ErpCustomer) -> [(&'static str, &str); 7] {
    [
        ("phone", &record.phone_number),
        ("line1", &record.address_line1),
        ("line2", &record.address_line2),
        ("postal_code", &record.postal_code),
        ("city", &record.city),
        ("state", &record.state),
        ("email", &record.email),
    ]
}

fn empty_fields(record: &ErpCustomer) -> Vec<&'static str> {
    let fields = fields(record).into_iter();
    let empty = fields.filter(|(_, value)| value.is_empty());
    empty.map(|(name, _)| name).collect()
}

type Edit = fn(&mut CustomerRecord);

const TABLE: [(Edit, &[&str]); 8] = [
    // The mobile number takes its place.
    (|it| it.row.phone_number = None, &[]),
    (
        |it| {
            it.row.phone_number = None;
            it.row.cell_phone_number = None;
        },
        &["phone"],
    ),
    (
        |it| it.details.addresses[0].address_line2 = None,
        &["line2"],
    ),
    (
        |it| {
            it.details.addresses[0].address_line1 = None;
            it.details.addresses[0].address_line2 = None;
        },
        &["line1", "line2"],
    ),
    (
        |it| it.details.addresses[0].zip_code = None,
        &["postal_code"],
    ),
    (|it| it.details.addresses[0].city = None, &["city"]),
    (|it| it.details.addresses[0].region = None, &["state"]),
    (
        |it| it.details.addresses.clear(),
        &["line1", "line2", "postal_code", "city", "state"],
    ),
];

#[tokio::test(start_paused = true)]
async fn k8_what_the_shop_empties_is_emptied_in_the_erp_and_nothing_else() {
    for (number, (edit, expected)) in TABLE.into_iter().enumerate() {
        let bundle = Bundle::new(&Options::default());
        let id = anna(&bundle).await;
        assert_eq!(empty_fields(&in_erp(&bundle)), [""; 0], "row {number}");
        assert!(bundle.norce.change_customer(id, edit));
        bundle.run_until_quiet().await;
        let record = in_erp(&bundle);
        assert_eq!(empty_fields(&record), expected, "row {number}");
        assert_eq!(record.country, "SE", "an ERP needs a country");
        assert_eq!(bundle.owed.list().await.unwrap(), []);
        // What somebody fills in in the ERP then stays: the shop has not changed it.
        let (company, filled) = (bundle.erp_company(), json!({"phoneNumber": "08-999"}));
        bundle
            .erp
            .edit_customer(company, record.id, &filled)
            .unwrap();
        bundle
            .norce
            .change_customer(id, |it| it.row.first_name = Some("Annika".to_owned()));
        bundle.run_until_quiet().await;
        let record = in_erp(&bundle);
        assert_eq!(record.display_name, "Annika Ek");
        if expected == ["phone"] {
            assert_eq!(record.phone_number, "08-999");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_field_that_the_shop_never_had_a_value_for_stays_as_the_erp_has_it() {
    let bundle = Bundle::new(&Options::default());
    let id = anna(&bundle).await;
    bundle.norce.change_customer(id, |it| {
        it.row.phone_number = None;
        it.row.cell_phone_number = None;
    });
    bundle.run_until_quiet().await;
    let company = bundle.erp_company();
    let record = in_erp(&bundle);
    for phone in ["08-1", "08-2"] {
        let filled = json!({"phoneNumber": phone});
        bundle
            .erp
            .edit_customer(company, record.id, &filled)
            .unwrap();
        bundle
            .norce
            .change_customer(id, |it| it.row.last_name = Some(format!("Ek {phone}")));
        bundle.run_until_quiet().await;
        assert_eq!(in_erp(&bundle).phone_number, phone);
    }
}

#[tokio::test(start_paused = true)]
async fn a_field_that_the_erp_owns_or_is_to_keep_is_not_emptied() {
    let owned = Options {
        erp_owns: "code,contact-details,invoice-address".parse().unwrap(),
        ..Options::default()
    };
    let kept = Options {
        kept_when_emptied: "phone, mobile, address".parse().unwrap(),
        ..Options::default()
    };
    for options in [owned, kept] {
        let bundle = Bundle::new(&options);
        let id = anna(&bundle).await;
        let before = in_erp(&bundle);
        bundle.norce.change_customer(id, |it| {
            it.row.last_name = Some("Berg".to_owned());
            it.row.phone_number = None;
            it.row.cell_phone_number = None;
            it.details.addresses.clear();
        });
        bundle.run_until_quiet().await;
        let after = in_erp(&bundle);
        assert_eq!(after.display_name, "Anna Berg");
        assert_eq!(fields(&after), fields(&before));
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_erp_has_kept_since_the_binding_is_not_emptied() {
    let bundle = Bundle::new(&Options::default());
    let company = bundle.erp_company();
    let there = json!({"displayName": "Anna Ek", "type": "Person", "email": "anna@example.com",
        "phoneNumber": "08-999"});
    bundle.erp.add_customer(company, &there).unwrap();
    let id = anna(&bundle).await;
    assert_eq!(in_erp(&bundle).phone_number, "08-999");
    bundle.norce.change_customer(id, |it| {
        it.row.phone_number = None;
        it.row.cell_phone_number = None;
        it.row.last_name = Some("Berg".to_owned());
    });
    bundle.run_until_quiet().await;
    let record = in_erp(&bundle);
    assert_eq!(
        (&*record.display_name, &*record.phone_number),
        ("Anna Berg", "08-999")
    );
}

#[tokio::test(start_paused = true)]
async fn an_organisation_keeps_its_numbers_unless_the_erp_is_to_lose_them() {
    let lost = Options {
        kept_when_emptied: KeptWhenEmptied::nothing(),
        ..Options::default()
    };
    for (options, expected) in [(Options::default(), "SE556036079301"), (lost, "")] {
        let bundle = Bundle::new(&options);
        let id = bolaget(
            &bundle,
            NewCompany {
                vat_no: some("SE556036079301"),
                invoice_address: Some(address()),
                ..NewCompany::default()
            },
        )
        .await;
        bundle.norce.change_company(id, |it| {
            it.row.vat_no = None;
            it.row.email_address = None;
        });
        bundle.run_until_quiet().await;
        let record = in_erp(&bundle);
        assert_eq!(record.tax_registration_number, expected);
        assert_eq!(record.email, "");
    }
}

/// An ERP that needs a value refuses the update; the customer is owed with a way forward, and either way ends it.
#[tokio::test(start_paused = true)]
async fn a_value_that_the_erp_needs_is_owed_with_advice_that_ends_it() {
    for filled_in in [true, false] {
        let mut bundle = Bundle::new(&Options::default());
        let id = bolaget(
            &bundle,
            NewCompany {
                organization_no: some("556036-0793"),
                ..NewCompany::default()
            },
        )
        .await;
        bundle
            .erp
            .refuse_where(|candidate| candidate.email.is_empty());
        bundle
            .norce
            .change_company(id, |it| it.row.email_address = None);
        bundle.run_until_quiet().await;
        let owed = bundle.owed.list().await.unwrap();
        assert_eq!(owed[0].reason, Reason::Validation);
        let advice = "fill it in in Norce, or name the field in KeptWhenEmptied";
        assert!(
            owed[0].detail.contains("emptied: email. "),
            "{}",
            owed[0].detail
        );
        assert!(owed[0].detail.ends_with(advice), "{}", owed[0].detail);
        if filled_in {
            bundle.norce.change_company(id, |it| {
                it.row.email_address = Some("faktura@bolaget.example".to_owned());
            });
        } else {
            bundle.change_events.policy.kept_when_emptied = "email".parse().unwrap();
            tokio::time::sleep(DAY).await;
            bundle.retry_owed().await;
        }
        bundle.run_until_quiet().await;
        assert_eq!(bundle.owed.list().await.unwrap(), []);
        let expected = match filled_in {
            true => "faktura@bolaget.example",
            false => "info@bolaget.example",
        };
        assert_eq!(in_erp(&bundle).email, expected);
    }
}

#[test]
fn kept_when_emptied_is_a_list_of_fields_or_nothing() {
    assert_eq!("nothing".parse(), Ok(KeptWhenEmptied::nothing()));
    assert_eq!(
        "vat_number,organisation_number".parse(),
        Ok(KeptWhenEmptied::default())
    );
    for nonsense in ["name", "phones", "delivery_addresses"] {
        let fault = nonsense.parse::<KeptWhenEmptied>().unwrap_err();
        assert!(
            fault.starts_with("it is `nothing` or a list of: "),
            "{fault}"
        );
    }
}

/// A part that Norce Query refuses for a while is not empty in the shop.
#[tokio::test(start_paused = true)]
async fn what_query_does_not_show_is_not_emptied() {
    let bundle = Bundle::new(&Options::default());
    let id = bolaget(
        &bundle,
        NewCompany {
            organization_no: some("556036-0793"),
            invoice_address: Some(address()),
            ..NewCompany::default()
        },
    )
    .await;
    let before = in_erp(&bundle);
    bundle
        .norce
        .configure(|settings| settings.query_lacks = vec![("Company", "Addresses")]);
    bundle.norce.change_company(id, |it| {
        it.row.phone_number = some("08-999");
        it.row.email_address = None;
    });
    bundle.run_until_quiet().await;
    let after = in_erp(&bundle);
    assert_eq!((&*after.phone_number, &*after.email), ("08-999", ""));
    assert_eq!(
        (after.address_line1, after.postal_code, after.city),
        (before.address_line1, before.postal_code, before.city)
    );
}
