//! The parts of an address besides the postal ones (`Gln`, `ShippingPhoneNumber`, `Code` and `IsPrimary`), in both
//! directions. In one process, with the simulators, on paused time. Business Central has no delivery addresses, so an
//! ERP that has them stands in front of it; `tests/tests/odoo` tests the real one.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use erp_full_pass::PassSettings;
use serde_json::json;
use shared::{
    domain::{
        Address, AddressDetails, CountryCode, EntityKind, ErpDelivery, ErpDetail, FieldGroup,
        FieldGroups, PassMode, Personal, Scope,
    },
    erp::{
        Capabilities, Cursor, Erp, ErpError, ErpId, ErpLayer, ErpRecord, Listing, Party,
        RecordPage, UpdateOutcome,
    },
    http::Deadline,
};
use tests::{
    bundle::{Bundle, Options, UNTIL_AGAIN},
    business_central_simulator::CustomerRecord,
    norce_simulator::{self, Details, Effect, Endpoint, NewAddress, NewCompany, NewCustomer, When},
    samples::order,
};

/// Business Central with delivery addresses in front of it, and with fields for the details of addresses or without.
struct Delivering {
    inner: Arc<dyn Erp>,
    capabilities: Capabilities,
    has_fields: bool,
    /// What it has for each record, by the record's id.
    held: Mutex<HashMap<String, Vec<ErpDelivery>>>,
    /// What it was told for each record, the last last.
    told: Mutex<Vec<Party>>,
}

/// The GLN of every invoice address, where the ERP has a field for it.
const ERPS_GLN: &str = "7300000000099";

impl Delivering {
    async fn around(inner: Arc<dyn Erp>, has_fields: bool) -> Arc<Self> {
        let soon = Deadline::after(Duration::from_secs(60));
        let capabilities = inner.capabilities(soon).await.unwrap().clone();
        let deliveries = FieldGroups::of(&[FieldGroup::DeliveryAddresses]);
        Arc::new(Self {
            capabilities: Capabilities {
                delivery_addresses: true,
                location_numbers: has_fields,
                readable: capabilities.readable.union(deliveries),
                ..capabilities
            },
            inner,
            has_fields,
            held: Mutex::default(),
            told: Mutex::default(),
        })
    }

    fn detail(&self, text: &str) -> ErpDetail {
        match self.has_fields {
            true => ErpDetail::Field(Personal::parse(text)),
            false => ErpDetail::NoField,
        }
    }

    fn whole(&self, mut record: ErpRecord) -> ErpRecord {
        let held = self.held.lock().unwrap();
        record.fields.gln = self.detail(ERPS_GLN);
        let deliveries = held.get(&record.id.id).cloned();
        record.fields.delivery_addresses = deliveries.unwrap_or_default();
        record
    }

    fn hold(&self, record: &CustomerRecord, deliveries: Vec<ErpDelivery>) {
        let id = record.id.to_string();
        self.held.lock().unwrap().insert(id, deliveries);
    }

    fn delivery(&self, id: &str, street: &str, [gln, phone]: [&str; 2]) -> ErpDelivery {
        ErpDelivery {
            id: id.to_owned(),
            address: Address {
                line1: Personal::parse(street),
                country: Some(CountryCode::SE),
                ..Address::default()
            },
            gln: self.detail(gln),
            phone: self.detail(phone),
        }
    }

    fn last_told(&self) -> Party {
        self.told.lock().unwrap().last().unwrap().clone()
    }
}

#[async_trait]
impl ErpLayer for Delivering {
    type Inner = dyn Erp;

    fn inner(&self) -> &Self::Inner {
        &*self.inner
    }

    async fn capabilities(&self, _: Deadline) -> Result<&Capabilities, ErpError> {
        Ok(&self.capabilities)
    }

    async fn get(&self, id: &ErpId, deadline: Deadline) -> Result<Option<ErpRecord>, ErpError> {
        let record = self.inner.get(id, deadline).await?;
        Ok(record.map(|record| self.whole(record)))
    }

    async fn update(
        &self,
        seen: &ErpRecord,
        party: &Party,
        deadline: Deadline,
    ) -> Result<UpdateOutcome, ErpError> {
        self.told.lock().unwrap().push(party.clone());
        self.inner.update(seen, party, deadline).await
    }

    async fn page(
        &self,
        listing: &Listing,
        cursor: Option<&Cursor>,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let page = self.inner.page(listing, cursor, deadline).await?;
        let records = page.records.into_iter();
        Ok(RecordPage {
            records: records.map(|record| self.whole(record)).collect(),
            ..page
        })
    }

    async fn get_many(
        &self,
        ids: &[ErpId],
        fields: FieldGroups,
        deadline: Deadline,
    ) -> Result<RecordPage, ErpError> {
        let page = self.inner.get_many(ids, fields, deadline).await?;
        let records = page.records.into_iter();
        Ok(RecordPage {
            records: records.map(|record| self.whole(record)).collect(),
            ..page
        })
    }
}

/// A bundle whose ERP owns both kinds of addresses.
async fn owning(has_fields: bool) -> (Bundle, Arc<Delivering>) {
    let mut bundle = Bundle::new(&Options::default());
    let erp = stand_in(&mut bundle, has_fields).await;
    own_addresses(&mut bundle);
    (bundle, erp)
}

/// Lets the ERP own both kinds of addresses: only of one with delivery addresses can they be read, which Business Central is
/// not.
fn own_addresses(bundle: &mut Bundle) {
    let owns: FieldGroups = "code,invoice-address,delivery-addresses".parse().unwrap();
    bundle.full_pass.settings.erp_owns = owns.into();
    bundle.change_events.policy.erp_owns = owns.into();
}

/// Puts an ERP with delivery addresses in front of the bundle's.
async fn stand_in(bundle: &mut Bundle, has_fields: bool) -> Arc<Delivering> {
    let inner = bundle.submit_imports.erps[&Scope::Client].clone();
    let delivering = Delivering::around(inner, has_fields).await;
    let erp: Arc<dyn Erp> = delivering.clone();
    bundle.submit_imports.erps = [(Scope::Client, erp.clone())].into();
    bundle.full_pass.erps = [(Scope::Client, erp.clone())].into();
    bundle.change_events.erps = [(Scope::Client, erp)].into();
    delivering
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// An address in Norce with a GLN, a telephone and a code of its own.
fn address(line1: &str, [gln, phone, code]: [&str; 3], is_primary: bool) -> NewAddress {
    NewAddress {
        line1: some(line1),
        country_code: some("SE"),
        gln: some(gln),
        shipping_phone: some(phone),
        code: some(code),
        is_primary,
        ..NewAddress::default()
    }
}

/// A customer or a company in Norce with these addresses, under a code of the ERP if there is one.
fn entity(
    bundle: &Bundle,
    kind: EntityKind,
    number: usize,
    code: Option<&str>,
    invoice_address: NewAddress,
    delivery_addresses: Vec<NewAddress>,
) -> i64 {
    let invoice_address = Some(invoice_address);
    let code = code.map(str::to_owned);
    match kind {
        EntityKind::Customer => bundle.norce.add_customer(NewCustomer {
            code,
            email: Some(format!("anna.{number}@example.com")),
            first_name: some("Anna"),
            last_name: some("Ek"),
            invoice_address,
            delivery_addresses,
            ..NewCustomer::default()
        }),
        EntityKind::Company => bundle.norce.add_company(NewCompany {
            code,
            name: Some(format!("Bolaget {number} AB")),
            organization_no: some("556036-0793"),
            invoice_address,
            delivery_addresses,
            ..NewCompany::default()
        }),
    }
}

/// Its record in the ERP.
fn in_erp(bundle: &Bundle, kind: EntityKind, number: usize, street: &str) -> CustomerRecord {
    let code = format!("K{number}");
    let properties = match kind {
        EntityKind::Customer => json!({
            "number": code, "type": "Person", "displayName": "Anna Ek", "email": format!("anna.{number}@example.com"),
            "addressLine1": street, "country": "SE",
        }),
        EntityKind::Company => json!({
            "number": code, "type": "Company", "displayName": format!("Bolaget {number} AB"),
            "taxRegistrationNumber": "SE556036079301", "addressLine1": street, "country": "SE",
        }),
    };
    let record = bundle.erp.add_customer(bundle.erp_company(), &properties);
    record.unwrap()
}

fn details(bundle: &Bundle, kind: EntityKind, id: i64) -> Details {
    match kind {
        EntityKind::Customer => bundle.norce.customer(id).unwrap().details,
        EntityKind::Company => bundle.norce.company(id).unwrap().details,
    }
}

/// Changes an address in the shop, the invoice address being the first.
fn change(
    bundle: &Bundle,
    kind: EntityKind,
    id: i64,
    place: usize,
    change: impl FnOnce(&mut norce_simulator::Address),
) {
    match kind {
        EntityKind::Customer => bundle
            .norce
            .change_customer(id, |it| change(&mut it.details.addresses[place])),
        EntityKind::Company => bundle
            .norce
            .change_company(id, |it| change(&mut it.details.addresses[place])),
    };
}

/// Street, GLN, telephone, code, and whether it is the primary one.
fn shown(details: &Details) -> Vec<[String; 5]> {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    let addresses = details.addresses.iter();
    addresses
        .map(|address| {
            [
                text(&address.address_line1),
                text(&address.gln),
                text(&address.shipping_phone_number),
                text(&address.code),
                address.is_primary.to_string(),
            ]
        })
        .collect()
}

/// What the ERP has a field for is the ERP's, and what it has none for stays Norce's, of the same address: of the invoice
/// address, of the delivery address with the ERP's id as its code, and of the one at the same place.
#[tokio::test(start_paused = true)]
async fn an_address_of_the_erp_keeps_in_norce_what_the_erp_has_no_field_for() {
    for kind in [EntityKind::Customer, EntityKind::Company] {
        for has_fields in [false, true] {
            let context = format!("{kind}, has fields: {has_fields}");
            let (bundle, erp) = owning(has_fields).await;
            let record = in_erp(&bundle, kind, 1, "Nya gatan 1");
            erp.hold(
                &record,
                vec![
                    erp.delivery("76", "Lagret 1", ["7300000000076", "08-76"]),
                    erp.delivery("77", "LAGRET 2", ["7300000000077", "08-77"]),
                    erp.delivery("78", "Flyttade 3", ["7300000000078", ""]),
                    erp.delivery("79", "Nytt 4", ["", "08-79"]),
                ],
            );
            let id = entity(
                &bundle,
                kind,
                1,
                Some("K1"),
                address("Storgatan 1", ["7300000000001", "08-1", "I-1"], true),
                vec![
                    address("Lagret 3", ["7300000000003", "08-3", "78"], true),
                    address("Lagret 2", ["7300000000002", "08-2", "D-2"], false),
                    address("Lagret 1", ["7300000000004", "08-4", ""], true),
                    address("Borttaget 5", ["7300000000005", "08-5", "D-5"], false),
                ],
            );
            bundle.run_until_quiet().await;
            let run = bundle.pass(PassMode::Full).await;
            let expected = match has_fields {
                false => [
                    ["Nya gatan 1", "7300000000001", "08-1", "I-1", "true"],
                    ["Lagret 1", "7300000000004", "08-4", "76", "true"],
                    ["LAGRET 2", "7300000000002", "08-2", "D-2", "false"],
                    ["Flyttade 3", "7300000000003", "08-3", "78", "true"],
                    ["Nytt 4", "", "", "79", "false"],
                ],
                true => [
                    ["Nya gatan 1", ERPS_GLN, "08-1", "I-1", "true"],
                    ["Lagret 1", "7300000000076", "08-76", "76", "true"],
                    ["LAGRET 2", "7300000000077", "08-77", "D-2", "false"],
                    ["Flyttade 3", "7300000000078", "", "78", "true"],
                    ["Nytt 4", "", "08-79", "79", "false"],
                ],
            };
            let first = details(&bundle, kind, id);
            assert_eq!(shown(&first), expected, "{context}: {run:?}");

            // What people enter in Norce meanwhile stays, too, and an address is known again by the code that it got.
            change(&bundle, kind, id, 4, |address| {
                address.shipping_phone_number = some("08-9");
                address.is_primary = true;
            });
            erp.hold(
                &record,
                vec![erp.delivery("79", "Flyttat 4", ["", "08-79"])],
            );
            bundle.run_until_quiet().await;
            bundle.pass(PassMode::Full).await;
            let phone = if has_fields { "08-79" } else { "08-9" };
            let second = details(&bundle, kind, id);
            let expected = [expected[0], ["Flyttat 4", "", phone, "79", "true"]];
            assert_eq!(shown(&second), expected, "{context}");
            assert_eq!(second.addresses[1].id, first.addresses[4].id, "{context}");
            assert_eq!(bundle.owed.list().await.unwrap(), [], "{context}");
            assert_eq!(bundle.norce.contract_notes(), [""; 0], "{context}");
        }
    }
}

/// Norce has nothing of it yet: what the ERP has goes with the insert, and its ids become the codes.
#[tokio::test(start_paused = true)]
async fn an_inserted_customer_has_the_details_that_the_erp_has() {
    for has_fields in [false, true] {
        let mut bundle = Bundle::new(&Options {
            pass: PassSettings {
                import_unknown: true,
                ..PassSettings::default()
            },
            ..Options::default()
        });
        let erp = stand_in(&mut bundle, has_fields).await;
        own_addresses(&mut bundle);
        let record = in_erp(&bundle, EntityKind::Customer, 1, "Nya gatan 1");
        let delivery = erp.delivery("76", "Lagret 1", ["7300000000076", "08-76"]);
        erp.hold(&record, vec![delivery]);
        bundle.pass(PassMode::Full).await;
        let id = bundle.norce.customers().remove(0).row.id;
        let expected = match has_fields {
            false => [
                ["Nya gatan 1", "", "", "", "false"],
                ["Lagret 1", "", "", "76", "false"],
            ],
            true => [
                ["Nya gatan 1", ERPS_GLN, "", "", "false"],
                ["Lagret 1", "7300000000076", "08-76", "76", "false"],
            ],
        };
        let inserted = details(&bundle, EntityKind::Customer, id);
        assert_eq!(shown(&inserted), expected, "has fields: {has_fields}");
        assert_eq!(bundle.norce.contract_notes(), [""; 0]);
    }
}

/// `gln` of `ErpExtraFields`.
#[tokio::test(start_paused = true)]
async fn a_gln_in_an_extension_of_business_central_reaches_norce() {
    for kind in [EntityKind::Customer, EntityKind::Company] {
        let bundle = Bundle::new(&Options {
            erp_owns: "code,invoice-address".parse().unwrap(),
            extended_erp: true,
            ..Options::default()
        });
        let record = in_erp(&bundle, kind, 1, "Nya gatan 1");
        let write = |gln: &str| {
            let properties = json!({ "gln": gln });
            let company = bundle.erp_company();
            bundle
                .erp
                .edit_customer(company, record.id, &properties)
                .unwrap();
        };
        write("7300000000009");
        let invoice = address("Storgatan 1", ["7300000000001", "08-1", "I-1"], true);
        let delivery = address("Lagret 1", ["7300000000002", "08-2", "D-1"], false);
        let id = entity(&bundle, kind, 1, Some("K1"), invoice, vec![delivery]);
        bundle.run_until_quiet().await;
        for gln in ["7300000000009", "7300000000008", ""] {
            write(gln);
            bundle.pass(PassMode::Full).await;
            let expected = [
                ["Nya gatan 1", gln, "08-1", "I-1", "true"],
                ["Lagret 1", "7300000000002", "08-2", "D-1", "false"],
            ];
            assert_eq!(shown(&details(&bundle, kind, id)), expected, "{kind}");
        }
        let imports = bundle.norce.imports().len();
        bundle.pass(PassMode::Full).await;
        assert_eq!(bundle.norce.imports().len(), imports, "nothing has changed");
    }
}

/// P9: without what Norce has, nothing is imported, and when it can be read the lines go on.
#[tokio::test(start_paused = true)]
async fn an_address_is_not_imported_while_norce_query_does_not_answer() {
    let (bundle, _) = owning(false).await;
    in_erp(&bundle, EntityKind::Customer, 1, "Nya gatan 1");
    let invoice = address("Storgatan 1", ["7300000000001", "08-1", "I-1"], true);
    let id = entity(
        &bundle,
        EntityKind::Customer,
        1,
        Some("K1"),
        invoice,
        vec![],
    );
    bundle.run_until_quiet().await;
    bundle.start_pass(PassMode::Full).await;
    while bundle.pass_step().await {}
    assert!(bundle.imports.next_visible_at().is_some());
    bundle
        .norce
        .inject(&[Endpoint::Customers], When::Always, Effect::status(503));
    bundle.run_for(Duration::from_secs(600)).await;
    assert_eq!(bundle.norce.imports().len(), 0);
    bundle.norce.clear_faults();
    bundle.quiet_within(UNTIL_AGAIN).await;
    let expected = [["Nya gatan 1", "7300000000001", "08-1", "I-1", "true"]];
    let now = details(&bundle, EntityKind::Customer, id);
    assert_eq!(shown(&now), expected);
}

/// The addresses of a hundred entities are one request, and so is whether they are forgotten; a bare code costs none.
#[tokio::test(start_paused = true)]
async fn what_norce_has_of_a_hundred_entities_are_two_requests_at_most() {
    const CUSTOMERS: usize = 100;
    let requests = async |owns: &str| {
        let bundle = Bundle::new(&Options {
            erp_owns: owns.parse().unwrap(),
            ..Options::default()
        });
        for number in 0..CUSTOMERS {
            in_erp(&bundle, EntityKind::Customer, number, "Nya gatan 1");
            let invoice = address("Storgatan 1", ["7300000000001", "", ""], false);
            entity(&bundle, EntityKind::Customer, number, None, invoice, vec![]);
        }
        bundle.run_until_quiet().await;
        bundle.start_pass(PassMode::Full).await;
        while bundle.pass_step().await {}
        let asked = || bundle.norce.requests_to(Endpoint::Customers);
        let before = asked();
        tokio::time::sleep(Duration::from_secs(2)).await;
        while bundle.submit_within(Duration::from_secs(50)).await {}
        let rows = bundle.norce.imports().iter().map(|it| it.rows.len()).sum();
        (asked() - before, rows)
    };
    assert_eq!(requests("code,invoice-address").await, (2, CUSTOMERS));
    assert_eq!(requests("code,contact-details").await, (1, CUSTOMERS));
    assert_eq!(requests("code").await, (0, CUSTOMERS));
}

fn order_of(bundle: &Bundle, kind: EntityKind, id: i64) {
    let (customer, company) = match kind {
        EntityKind::Customer => (Some(id), None),
        EntityKind::Company => (None, Some(id)),
    };
    bundle.norce.place_order(order(customer, company));
}

fn detail(gln: &str, phone: &str) -> AddressDetails {
    AddressDetails {
        gln: Personal::parse(gln),
        phone: Personal::parse(phone),
        ..AddressDetails::default()
    }
}

/// The GLN and the telephone reach an ERP that has fields for them, and the primary delivery address is the first. An ERP
/// without delivery addresses is not asked for anything when one of these alone changes.
#[tokio::test(start_paused = true)]
async fn the_details_of_an_address_reach_an_erp_that_has_fields_for_them() {
    for kind in [EntityKind::Customer, EntityKind::Company] {
        for has_fields in [false, true] {
            let context = format!("{kind}, has fields: {has_fields}");
            let mut bundle = Bundle::new(&Options::default());
            let erp = stand_in(&mut bundle, has_fields).await;
            let id = entity(
                &bundle,
                kind,
                1,
                None,
                address("Storgatan 1", ["7300000000001", "08-1", "I-1"], true),
                vec![
                    address("Lagret 1", ["7300000000002", "08-2", "D-1"], false),
                    address("Lagret 2", ["7300000000003", "08-3", "D-2"], true),
                ],
            );
            order_of(&bundle, kind, id);
            bundle.run_until_quiet().await;
            let gln = |gln: &'static str| if has_fields { gln } else { "" };
            let told = || {
                let party = erp.last_told();
                let deliveries = party.delivery_addresses.unwrap();
                let deliveries: Vec<_> = deliveries
                    .into_iter()
                    .map(|it| (it.address.line1.unwrap().expose().to_owned(), it.details))
                    .collect();
                (party.gln, deliveries)
            };
            let first = ("Lagret 2".to_owned(), detail(gln("7300000000003"), "08-3"));
            let second = ("Lagret 1".to_owned(), detail(gln("7300000000002"), "08-2"));
            let expected = (Personal::parse(gln("7300000000001")), vec![first, second]);
            assert_eq!(told(), expected, "{context}");

            // Each of them is a change by itself.
            change(&bundle, kind, id, 0, |it| it.gln = some("7300000000009"));
            bundle.run_until_quiet().await;
            assert_eq!(told().0, Personal::parse(gln("7300000000009")), "{context}");
            change(&bundle, kind, id, 1, |it| {
                it.shipping_phone_number = some("08-9");
            });
            bundle.run_until_quiet().await;
            assert_eq!(
                told().1[1].1,
                detail(gln("7300000000002"), "08-9"),
                "{context}"
            );
            change(&bundle, kind, id, 1, |it| it.is_primary = true);
            change(&bundle, kind, id, 2, |it| it.is_primary = false);
            bundle.run_until_quiet().await;
            assert_eq!(told().1[0].0, "Lagret 1", "{context}");
            // Norce's own code has no place in an ERP.
            let updates = erp.told.lock().unwrap().len();
            change(&bundle, kind, id, 1, |it| it.code = some("D-9"));
            change(&bundle, kind, id, 0, |it| {
                it.shipping_phone_number = some("08-8");
            });
            bundle.run_until_quiet().await;
            assert_eq!(erp.told.lock().unwrap().len(), updates, "{context}");
        }
    }
}

/// An address that the ERP keeps since its first binding stays as it is when the shop gets a GLN for its own: the hash of it
/// is that of the postal parts.
#[tokio::test(start_paused = true)]
async fn e10_an_address_that_the_erp_keeps_stays_kept_when_the_shop_gets_a_gln() {
    let kinds = [EntityKind::Customer, EntityKind::Company];
    // The two differ in the street, or in nothing but the GLN.
    let ways = [("Gamla vägen 9", ""), ("Storgatan 1", "7300000000001")];
    for (kind, (erps, gln)) in kinds
        .into_iter()
        .flat_map(|kind| ways.map(|way| (kind, way)))
    {
        let mut bundle = Bundle::new(&Options::default());
        let erp = stand_in(&mut bundle, true).await;
        in_erp(&bundle, kind, 1, erps);
        let invoice = address("Storgatan 1", [gln, "", ""], false);
        let id = entity(&bundle, kind, 1, Some("K1"), invoice, vec![]);
        bundle.run_until_quiet().await;
        let street = || {
            let records = bundle.erp.customers(bundle.erp_company());
            records[0].address_line1.clone()
        };
        assert_eq!(street(), erps, "{kind}");
        let updates = erp.told.lock().unwrap().len();
        assert_eq!(erp.last_told().gln, None, "{kind}, {erps}");
        change(&bundle, kind, id, 0, |it| it.gln = some("7300000000009"));
        bundle.run_until_quiet().await;
        assert_eq!(street(), erps, "{kind}");
        assert_eq!(erp.told.lock().unwrap().len(), updates + 1, "{kind}");
        assert_eq!(erp.last_told().gln, None, "a GLN of another address");
        // The shop moves: from then on both are the shop's.
        change(&bundle, kind, id, 0, |it| {
            it.address_line1 = some("Storgatan 2");
        });
        bundle.run_until_quiet().await;
        assert_eq!(street(), "Storgatan 2", "{kind}");
        assert_eq!(erp.last_told().gln, Personal::parse("7300000000009"));
    }
}

/// Where this tenant's Query lacks one of the names, the others are read all the same.
#[tokio::test(start_paused = true)]
async fn a_detail_that_norce_query_lacks_is_left_out_alone() {
    for (kind, of) in [
        (EntityKind::Customer, "CustomerAddress"),
        (EntityKind::Company, "CompanyAddress"),
    ] {
        let (bundle, _) = owning(false).await;
        bundle
            .norce
            .configure(|settings| settings.query_lacks = vec![(of, "Gln")]);
        in_erp(&bundle, kind, 1, "Nya gatan 1");
        let invoice = address("Storgatan 1", ["7300000000001", "08-1", "I-1"], true);
        let id = entity(&bundle, kind, 1, Some("K1"), invoice, vec![]);
        bundle.run_until_quiet().await;
        bundle.pass(PassMode::Full).await;
        let expected = [["Nya gatan 1", "", "08-1", "I-1", "true"]];
        assert_eq!(shown(&details(&bundle, kind, id)), expected, "{kind}");
        assert_eq!(bundle.owed.list().await.unwrap(), [], "{kind}");
    }
}
