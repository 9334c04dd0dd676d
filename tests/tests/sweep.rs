//! The sweep finds changes whose events were lost: changes of a customer or company itself, of what belongs to it, and
//! changes that Norce shows late. In one process, with the simulators, on paused time.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a suite of tests: what cannot be is to fail loudly"
)]

use std::time::Duration;

use shared::{
    domain::{Clock, PassMode},
    passes::Run,
};
use tests::{
    bundle::{Bundle, Options, SOON},
    norce_simulator::{
        Address, DELIVERY_ADDRESS, Endpoint, Flag, INVOICE_ADDRESS, NewCompany, NewCustomer,
        Settings,
    },
    samples::{self, address, order},
};

const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// A shop with a customer and a company that have an address and a flag each, a contact, and somebody who is none yet. All
/// that can be in the ERP is, and it has been a day since anything happened.
struct Shop {
    bundle: Bundle,
    customer: i64,
    company: i64,
    contact: i64,
    nobody: i64,
}

fn person(number: u32) -> NewCustomer {
    NewCustomer {
        invoice_address: Some(address("Storgatan 1")),
        ..samples::person(number)
    }
}

fn flag(flag_id: i64) -> Flag {
    Flag {
        flag_id,
        is_active: true,
        ..Flag::default()
    }
}

impl Shop {
    async fn new(configure: impl FnOnce(&mut Settings)) -> Self {
        let bundle = Bundle::new(&Options::default());
        bundle.norce.configure(configure);
        let [customer, contact, nobody] = [1, 2, 3].map(|it| bundle.norce.add_customer(person(it)));
        let company = bundle.norce.add_company(NewCompany {
            name: Some("Bolaget AB".to_owned()),
            organization_no: Some("556036-0793".to_owned()),
            vat_no: Some("SE556036079301".to_owned()),
            invoice_address: Some(address("Lillgatan 1")),
            ..NewCompany::default()
        });
        bundle.norce.link(contact, company, false);
        bundle
            .norce
            .change_customer(customer, |it| it.details.flags.push(flag(1)));
        bundle
            .norce
            .change_company(company, |it| it.details.flags.push(flag(1)));
        for (customer, company) in [(customer, None), (contact, Some(company))] {
            bundle.norce.place_order(order(Some(customer), company));
        }
        bundle.run_until_quiet().await;
        // From now on no event arrives.
        bundle
            .norce
            .configure(|settings| settings.events.drop_chance = 1.0);
        bundle.pass(PassMode::Sweep).await;
        tokio::time::sleep(DAY).await;
        let shop = Self {
            bundle,
            customer,
            company,
            contact,
            nobody,
        };
        shop.sweep().await;
        tokio::time::sleep(DAY).await;
        // Nothing has changed since then, nor within the overlap.
        assert_eq!(shop.sweep().await, [""; 0]);
        tokio::time::sleep(HOUR).await;
        shop
    }

    /// What a sweep has checked.
    async fn sweep(&self) -> Vec<String> {
        self.bundle.groups.lock().unwrap().clear();
        let run = self.sweep_run().await;
        self.bundle.quiet_within(SOON).await;
        let mut groups = self.bundle.groups.lock().unwrap().clone();
        groups.sort();
        groups.dedup();
        assert_eq!(run.counts.queued, groups.len() as u64, "{groups:?}");
        groups
    }

    async fn sweep_run(&self) -> Run {
        self.bundle.pass(PassMode::Sweep).await
    }

    fn line1_in_erp(&self, name: &str) -> String {
        let records = self.bundle.erp.customers(self.bundle.erp_company());
        let record = records.into_iter().find(|it| it.display_name == name);
        record.unwrap().address_line1
    }
}

/// A change of one row, and the entity that the sweep must find for it.
type Change = (&'static str, fn(&Shop), fn(&Shop) -> Vec<String>);

fn customer(shop: &Shop) -> Vec<String> {
    vec![format!("customer/client/{}", shop.customer)]
}

fn company(shop: &Shop) -> Vec<String> {
    vec![format!("company/client/{}", shop.company)]
}

fn company_and(shop: &Shop, customer: i64) -> Vec<String> {
    let customer = format!("customer/client/{customer}");
    company(shop).into_iter().chain([customer]).collect()
}

fn move_to(addresses: &mut [Address], line1: &str) {
    let invoice = addresses
        .iter_mut()
        .find(|it| it.type_id == INVOICE_ADDRESS);
    invoice.unwrap().address_line1 = Some(line1.to_owned());
}

fn new_address() -> Address {
    Address {
        id: 9_001,
        type_id: DELIVERY_ADDRESS,
        address_line1: Some("Nygatan 1".to_owned()),
        ..Address::default()
    }
}

/// The first ones are of relations whose times Query documents (norce-api §5.2).
const CHANGES: [Change; 11] = [
    (
        "the customer",
        |shop| {
            let id = shop.customer;
            shop.bundle
                .norce
                .change_customer(id, |it| it.row.phone_number = Some("08-1".to_owned()));
        },
        customer,
    ),
    (
        "the company",
        |shop| {
            let id = shop.company;
            shop.bundle
                .norce
                .change_company(id, |it| it.row.phone_number = Some("08-1".to_owned()));
        },
        company,
    ),
    (
        "an address of the customer",
        |shop| {
            let id = shop.customer;
            shop.bundle
                .norce
                .change_customer(id, |it| move_to(&mut it.details.addresses, "Nygatan 1"));
        },
        customer,
    ),
    (
        "a new address of the customer",
        |shop| {
            let id = shop.customer;
            shop.bundle
                .norce
                .change_customer(id, |it| it.details.addresses.push(new_address()));
        },
        customer,
    ),
    (
        "a new relation",
        |shop| shop.bundle.norce.link(shop.nobody, shop.company, false),
        |shop| company_and(shop, shop.nobody),
    ),
    (
        "a changed relation",
        |shop| shop.bundle.norce.link(shop.contact, shop.company, true),
        |shop| company_and(shop, shop.contact),
    ),
    (
        "an address of the company",
        |shop| {
            let id = shop.company;
            shop.bundle
                .norce
                .change_company(id, |it| move_to(&mut it.details.addresses, "Nygatan 1"));
        },
        company,
    ),
    (
        "a flag of the customer",
        |shop| {
            let id = shop.customer;
            shop.bundle
                .norce
                .change_customer(id, |it| it.details.flags[0].is_active = false);
        },
        customer,
    ),
    (
        "a new flag of the customer",
        |shop| {
            let id = shop.customer;
            shop.bundle
                .norce
                .change_customer(id, |it| it.details.flags.push(flag(2)));
        },
        customer,
    ),
    (
        "a flag of the company",
        |shop| {
            let id = shop.company;
            shop.bundle
                .norce
                .change_company(id, |it| it.details.flags[0].is_active = false);
        },
        company,
    ),
    (
        "a new flag of the company",
        |shop| {
            let id = shop.company;
            shop.bundle
                .norce
                .change_company(id, |it| it.details.flags.push(flag(2)));
        },
        company,
    ),
];
/// How many of them are of the rows themselves, and how many of these and of relations whose times are documented.
const OWN: usize = 2;
const DOCUMENTED: usize = 6;

#[tokio::test(start_paused = true)]
async fn a_lost_change_of_anything_that_belongs_to_a_customer_or_company_is_found() {
    for moves_parents in [false, true] {
        for (what, change, found) in CHANGES {
            let shop =
                Shop::new(|settings| settings.child_changes_move_parents = moves_parents).await;
            change(&shop);
            let mut expected = found(&shop);
            // The company also makes the sweep check its contact.
            expected.sort();
            assert_eq!(shop.sweep().await, expected, "{what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_address_reaches_the_erp_and_a_lost_relation_makes_a_contact() {
    let shop = Shop::new(|_| {}).await;
    let (norce, erp) = (&shop.bundle.norce, &shop.bundle.erp);
    norce.change_customer(shop.customer, |it| {
        move_to(&mut it.details.addresses, "Nygatan 1")
    });
    norce.change_company(shop.company, |it| {
        move_to(&mut it.details.addresses, "Nygatan 2")
    });
    norce.link(shop.nobody, shop.company, false);
    let is_contact = || {
        let contacts = erp.contacts(shop.bundle.erp_company());
        contacts
            .iter()
            .any(|contact| contact.display_name == "Anna Ek 3")
    };
    assert!(!is_contact());
    shop.sweep_run().await;
    shop.bundle.quiet_within(SOON).await;
    assert_eq!(shop.line1_in_erp("Anna Ek 1"), "Nygatan 1");
    assert_eq!(shop.line1_in_erp("Bolaget AB"), "Nygatan 2");
    assert!(is_contact());
}

/// How a tenant is set up that does not take every filter.
type Refusal = fn(&mut Settings);

/// Norce does not document which filters it takes.
#[tokio::test(start_paused = true)]
async fn a_tenant_that_refuses_the_filter_is_swept_by_the_times_that_it_takes() {
    let refusals: [(Refusal, usize); 2] = [
        (|settings| settings.query_flag_times = false, DOCUMENTED),
        (|settings| settings.query_any = false, OWN),
    ];
    for (refuse, found_of) in refusals {
        for (what, change, found) in &CHANGES[..found_of] {
            let shop = Shop::new(refuse).await;
            change(&shop);
            assert_eq!(shop.sweep().await, found(&shop), "{what}");
        }
        // It is asked once: from then on a sweep costs what it costs everywhere.
        let shop = Shop::new(refuse).await;
        let asked = || {
            let of = |endpoint| shop.bundle.norce.requests_to(endpoint);
            of(Endpoint::Customers) + of(Endpoint::Companies)
        };
        let before = asked();
        let run = shop.sweep_run().await;
        // One empty page of changed companies, of changed customers and of forgotten ones.
        assert_eq!((run.cost.query_calls, asked() - before), (3, 3));
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_over_an_unchanged_register_costs_three_requests() {
    let shop = Shop::new(|_| {}).await;
    let run = shop.sweep_run().await;
    assert_eq!(
        (run.cost.query_calls, run.cost.pages, run.counts.seen),
        (3, 3, 0)
    );
}

/// A transaction that begins before the last fetch and ends after it has a time before it.
#[tokio::test(start_paused = true)]
async fn p7_a_change_that_norce_shows_late_is_found_within_the_overlap() {
    let shop = Shop::new(|_| {}).await;
    let bundle = &shop.bundle;
    let began = bundle.clock.now();
    tokio::time::sleep(HOUR / 6).await;
    // The customer is fetched meanwhile, and a sweep ends.
    let rename = |phone: &str| {
        let phone = Some(phone.to_owned());
        move |it: &mut tests::norce_simulator::CustomerRecord| it.row.phone_number = phone
    };
    bundle.norce.change_customer(shop.customer, rename("08-1"));
    assert_eq!(shop.sweep().await, customer(&shop));
    tokio::time::sleep(HOUR / 6).await;
    assert!(
        bundle
            .norce
            .change_customer_late(shop.customer, began, rename("08-2"))
    );
    for hours in 0..7 {
        if hours == 0 {
            assert_eq!(shop.sweep().await, customer(&shop));
            let records = bundle.erp.customers(bundle.erp_company());
            assert!(records.iter().any(|record| record.phone_number == "08-2"));
        } else {
            // Changes within the overlap are checked again, without a write.
            let writes = bundle.erp.requests().writes.len();
            assert_eq!(shop.sweep().await, customer(&shop), "{hours}");
            assert_eq!(bundle.erp.requests().writes.len(), writes);
        }
        tokio::time::sleep(HOUR).await;
    }
    assert_eq!(shop.sweep().await, [""; 0]);
}
