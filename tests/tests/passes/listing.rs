//! What a pass reads from the ERP, and how it resumes a listing or an invocation that was cut off.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use axum::Router;
use bytes::Bytes;
use chrono::TimeDelta;
use http::{Request, Response, StatusCode};
use serde_json::json;
use shared::{
    domain::{Clock, EntityKind, ErpId, PassMode, PassRequest, Resource},
    http::{Transport, TransportError},
    mappings::{Binding, Bound, CodeDelivery, Mappings},
    passes::{Counts, Run},
};
use tests::{
    bundle::{Bundle, Options, customer},
    business_central_simulator::{ContactRecord, CustomerRecord},
    in_process::InProcess,
    norce_simulator::NewCompany,
};

use crate::{
    DAY, ended,
    fields::{contact_in_erp, organisation_in_erp},
    many_cases, person, person_in_erp,
};

const SECOND: Duration = Duration::from_secs(1);
/// `PASS_OVERLAP_MINUTES`, unless it is configured.
const OVERLAP: Duration = Duration::from_secs(5 * 60);

/// One person, one organisation and one contact of it.
struct Register {
    person: CustomerRecord,
    organisation: CustomerRecord,
    contact: ContactRecord,
}

impl Register {
    fn of(bundle: &Bundle) -> Self {
        let organisation = organisation_in_erp(bundle);
        Self {
            person: person_in_erp(bundle, 1),
            contact: contact_in_erp(bundle, &organisation, 2),
            organisation,
        }
    }

    fn edit_person(&self, bundle: &Bundle) {
        edit_customer(bundle, &self.person);
    }

    fn edit_organisation(&self, bundle: &Bundle) {
        edit_customer(bundle, &self.organisation);
    }

    fn edit_contact(&self, bundle: &Bundle) {
        let company = bundle.erp_company();
        let edit = json!({"addressLine2": bundle.clock.now().to_string()});
        bundle
            .erp
            .edit_contact(company, self.contact.id, &edit)
            .unwrap();
    }
}

fn edit_customer(bundle: &Bundle, record: &CustomerRecord) {
    let edit = json!({"addressLine2": bundle.clock.now().to_string()});
    bundle
        .erp
        .edit_customer(bundle.erp_company(), record.id, &edit)
        .unwrap();
}

/// Lets a pass run; how many records it has seen.
async fn seen(bundle: &Bundle, mode: PassMode, kind: Option<EntityKind>) -> u64 {
    let request = PassRequest {
        mode,
        kind,
        application: None,
        dry_run: false,
    };
    let run = bundle.start(&request).await[0];
    bundle.run_until_quiet().await;
    ended(&bundle.run(run).await).seen
}

#[tokio::test(start_paused = true)]
async fn a_delta_pass_reads_what_has_changed_and_a_full_pass_everything() {
    use PassMode::{Delta, Full};
    type Edit = fn(&Register, &Bundle);
    let bundle = Bundle::new(&Options::default());
    let register = Register::of(&bundle);
    tokio::time::sleep(DAY).await;
    assert_eq!(seen(&bundle, Full, None).await, 3);
    let edits: [(Edit, u64); 3] = [
        (Register::edit_person, 1),
        // Its contact had the same telephone number and gets the new one.
        (Register::edit_organisation, 2),
        (Register::edit_contact, 1),
    ];
    for (edit, changed) in edits {
        tokio::time::sleep(DAY).await;
        assert_eq!(seen(&bundle, Delta, None).await, 0);
        assert_eq!(seen(&bundle, Full, None).await, 3);
        tokio::time::sleep(DAY).await;
        edit(&register, &bundle);
        tokio::time::sleep(DAY).await;
        assert_eq!(seen(&bundle, Delta, None).await, changed);
    }
}

/// A change of just before the watermark may have been committed after the walk.
#[tokio::test(start_paused = true)]
async fn p7_a_delta_pass_reads_from_the_overlap_before_the_watermark_and_not_from_earlier() {
    // Business Central tells its time in whole seconds.
    const PRECISION: Duration = SECOND.saturating_mul(2);
    for overlap in [OVERLAP, Duration::from_secs(3_600)] {
        let mut options = Options::default();
        options.pass.overlap = TimeDelta::from_std(overlap).unwrap();
        let bundle = Bundle::new(&options);
        let register = Register::of(&bundle);
        tokio::time::sleep(DAY).await;
        register.edit_person(&bundle);
        tokio::time::sleep(2 * PRECISION).await;
        register.edit_organisation(&bundle);
        tokio::time::sleep(overlap - PRECISION).await;
        // The watermark: one change is longer ago than the overlap, the other is not.
        assert_eq!(seen(&bundle, PassMode::Full, None).await, 3);
        tokio::time::sleep(DAY).await;
        // The organisation, and its contact.
        assert_eq!(seen(&bundle, PassMode::Delta, None).await, 2);
    }
}

/// Of several watermarks the earliest counts, and one that is missing means that nothing was read yet.
#[tokio::test(start_paused = true)]
async fn p7_a_delta_pass_reads_from_the_earliest_watermark_of_its_kinds() {
    use EntityKind::{Company, Customer};
    let bundle = Bundle::new(&Options::default());
    let register = Register::of(&bundle);
    let delta = async |kind| {
        tokio::time::sleep(DAY).await;
        seen(&bundle, PassMode::Delta, kind).await
    };
    assert_eq!(delta(Some(Company)).await, 1, "the first one of companies");
    assert_eq!(delta(Some(Company)).await, 0);
    assert_eq!(delta(None).await, 3, "the first one of customers");
    assert_eq!(delta(None).await, 0);
    // The other kind has not been read since: it and all customers of the ERP are read again; the contacts, which are
    // customers in Norce, only where these were not read.
    for (kind, of_kind, of_both) in [(Company, 1, 3), (Customer, 2, 2)] {
        register.edit_person(&bundle);
        register.edit_organisation(&bundle);
        register.edit_contact(&bundle);
        assert_eq!(delta(Some(kind)).await, of_kind);
        assert_eq!(delta(None).await, of_both);
        assert_eq!(delta(None).await, 0);
    }
}

/// Norce's rows land out of order by hours, which is why a sweep overlaps by so much. What it reads was not heard of.
#[tokio::test(start_paused = true)]
async fn p7_a_sweep_reads_from_the_overlap_before_its_watermark_and_not_from_earlier() {
    for hours in [1, 6] {
        let overlap = Duration::from_secs(hours * 3_600);
        let mut options = Options::default();
        options.pass.sweep_overlap = TimeDelta::from_std(overlap).unwrap();
        let bundle = Bundle::new(&options);
        bundle
            .norce
            .configure(|settings| settings.events.drop_chance = 1.0);
        let ids = [1, 2].map(|number| bundle.norce.add_customer(person(number)));
        let company = bundle.norce.add_company(NewCompany {
            name: Some("Bolaget AB".to_owned()),
            ..NewCompany::default()
        });
        tokio::time::sleep(DAY).await;
        let change = |id| {
            bundle.norce.change_customer(id, |customer| {
                customer.row.phone_number = Some("08-1".to_owned());
            });
        };
        change(ids[0]);
        tokio::time::sleep(2 * SECOND).await;
        change(ids[1]);
        bundle.norce.change_company(company, |company| {
            company.row.phone_number = Some("08-1".to_owned());
        });
        tokio::time::sleep(overlap - SECOND).await;
        // The watermark: one change is longer ago than the overlap, the others are not. The first sweep has none yet.
        for _ in 0..2 {
            assert_eq!(seen(&bundle, PassMode::Sweep, None).await, 2, "{hours} h");
            tokio::time::sleep(DAY).await;
        }
        assert_eq!(seen(&bundle, PassMode::Sweep, None).await, 0, "{hours} h");
    }
}

/// How an ERP lists its records.
#[derive(Default)]
pub(crate) struct Listing {
    /// The number of further pages of customers before its cursor expires.
    pub(crate) remembers: u32,
    /// What each of them takes.
    pub(crate) time: Duration,
    /// How often it then forgets the place.
    pub(crate) forgets: u32,
    /// And in the listing of contacts.
    pub(crate) forgets_in_contacts: u32,
}

impl Listing {
    /// A bundle with such an ERP, and so many records in a page.
    pub(crate) fn bundle(&self, page_size: usize) -> Bundle {
        let bundle = Bundle::with_transport(&Options::default(), |router: Router| {
            Arc::new(Lister {
                simulator: InProcess::new(router),
                time: self.time,
                remembers: self.remembers.into(),
                forgets: self.forgets.into(),
                forgets_in_contacts: self.forgets_in_contacts.into(),
            })
        });
        bundle
            .erp
            .configure(|settings| settings.page_size = page_size);
        bundle
    }
}

struct Lister {
    simulator: InProcess,
    time: Duration,
    remembers: AtomicU32,
    forgets: AtomicU32,
    forgets_in_contacts: AtomicU32,
}

impl Lister {
    /// Asks for a further page; `None`: the cursor has expired.
    async fn further_page(&self, of_customers: bool) -> Option<()> {
        let relaxed = Ordering::Relaxed;
        let counts_down = |left: &AtomicU32| {
            let down = |left: u32| left.checked_sub(1);
            left.fetch_update(relaxed, relaxed, down).is_ok()
        };
        if !of_customers {
            return (!counts_down(&self.forgets_in_contacts)).then_some(());
        }
        if counts_down(&self.remembers) {
            tokio::time::sleep(self.time).await;
            return Some(());
        }
        (!counts_down(&self.forgets)).then_some(())
    }
}

#[async_trait]
impl Transport for Lister {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let (path, query) = (request.uri().path(), request.uri().query());
        let has = |text| query.is_some_and(|query| query.contains(text));
        let of_customers = path.ends_with("/customers");
        // Customers that are asked for by their ids have a filter; all contacts that are listed do.
        let is_further_page = has("skiptoken") && !(of_customers && has("filter="));
        if is_further_page && self.further_page(of_customers).await.is_none() {
            let response = Response::builder().status(StatusCode::BAD_REQUEST);
            return Ok(response.body(Bytes::new()).unwrap());
        }
        self.simulator.send(request, timeout).await
    }
}

/// So that some records of a page still wait for their look-up when the next one fails.
const ROWS: usize = 130;
/// The time of a page: an invocation ends after two further ones.
const SLOW: Duration = Duration::from_secs(140);

/// The register in which every rule has something to do, and an ERP that forgets nothing; forgets the place before the
/// second page; or is slow first and forgets the place in the third invocation. And how many invocations a pass takes.
pub(crate) async fn many_cases_whose_listing_starts_over() -> [(Bundle, u64); 3] {
    let listings = [
        (Listing::default(), 1),
        (
            Listing {
                forgets: 1,
                ..Listing::default()
            },
            2,
        ),
        (
            Listing {
                remembers: 4,
                time: SLOW,
                forgets: 1,
                ..Listing::default()
            },
            4,
        ),
    ];
    let mut bundles = Vec::new();
    for (listing, invocations) in listings {
        let bundle = listing.bundle(ROWS);
        many_cases(&bundle).await;
        bundles.push((bundle, invocations));
    }
    bundles.try_into().ok().expect("as many")
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_starts_over_does_and_counts_everything_once() {
    let pass = async |bundle: &Bundle| -> (Run, BTreeMap<String, usize>) {
        let run = bundle.pass(PassMode::Full).await;
        let mut rows = BTreeMap::new();
        for row in bundle.norce.imports().iter().flat_map(|it| &it.rows) {
            *rows.entry(row.to_string()).or_default() += 1;
        }
        (run, rows)
    };
    let [(undisturbed, _), again @ ..] = many_cases_whose_listing_starts_over().await;
    let (undisturbed, expected) = pass(&undisturbed).await;
    assert_eq!(undisturbed.cost.invocations, 1);
    assert!(expected.values().all(|times| *times == 1));
    for (bundle, invocations) in again {
        let (run, rows) = pass(&bundle).await;
        assert_eq!(run.cost.invocations, invocations);
        assert_eq!(rows, expected);
        let mut counts = ended(&run).clone();
        // What was done before is unchanged when it is seen again.
        assert!(counts.unchanged > ended(&undisturbed).unchanged);
        counts.unchanged = ended(&undisturbed).unchanged;
        assert_eq!(counts, undisturbed.counts);
    }
}

/// Customers and contacts on several pages each, and an ERP that forgets the place so often.
fn in_two_listings(forgets: u32, forgets_in_contacts: u32) -> Bundle {
    let listing = Listing {
        forgets,
        forgets_in_contacts,
        ..Listing::default()
    };
    let bundle = listing.bundle(5);
    let organisation = organisation_in_erp(&bundle);
    for number in 0..8 {
        person_in_erp(&bundle, number);
        contact_in_erp(&bundle, &organisation, 100 + number);
    }
    bundle
}

/// The second pass, over what is known.
#[tokio::test(start_paused = true)]
async fn p5_what_is_unchanged_is_counted_once_by_a_listing_that_starts_over() {
    const FURTHER_PAGES: u32 = 5;
    let listing = Listing {
        remembers: FURTHER_PAGES + 1,
        forgets: 2,
        ..Listing::default()
    };
    let bundle = listing.bundle(ROWS);
    many_cases(&bundle).await;
    let first = bundle.pass(PassMode::Full).await;
    assert_eq!(first.cost.invocations, 1);
    let (first, imports) = (ended(&first).clone(), bundle.norce.imports().len());
    let second = bundle.pass(PassMode::Full).await;
    assert_eq!(second.cost.invocations, 3);
    let expected = Counts {
        unchanged: first.codes + first.bound,
        codes: 0,
        bound: 0,
        ..first
    };
    assert_eq!(*ended(&second), expected);
    assert_eq!(bundle.norce.imports().len(), imports);
}

#[tokio::test(start_paused = true)]
async fn the_erp_may_forget_the_place_ten_times_in_each_listing_and_not_once_more() {
    for (customers, contacts, ends) in [(10, 10, true), (11, 0, false), (0, 11, false)] {
        let bundle = in_two_listings(customers, contacts);
        let run = bundle.pass(PassMode::Full).await;
        let failed = run.ended.as_ref().expect("an end").failed.clone();
        assert_eq!(
            failed.is_none(),
            ends,
            "{customers}, {contacts}: {failed:?}"
        );
        if ends {
            assert_eq!(run.counts.seen, 17);
        } else {
            assert!(failed.unwrap().contains("11 times"));
        }
    }
}

/// A plan starts over as a whole.
#[tokio::test(start_paused = true)]
async fn the_erp_may_forget_the_place_ten_times_in_a_plan_and_not_once_more() {
    for (customers, contacts, ends) in [
        (10, 0, true),
        (5, 5, true),
        (11, 0, false),
        (5, 6, false),
        (0, 11, false),
    ] {
        let bundle = in_two_listings(customers, contacts);
        let request = PassRequest {
            mode: PassMode::Full,
            kind: None,
            application: None,
            dry_run: true,
        };
        bundle.start(&request).await;
        bundle.run_until_quiet().await;
        let reports = bundle.reports.all();
        let has_page = reports.keys().any(|key| key.ends_with("report.html"));
        assert_eq!(has_page, ends, "{customers}, {contacts}");
    }
}

/// The invocation's time is up while questions about records are still open. The next one asks them again, each as what
/// it was.
#[tokio::test(start_paused = true)]
async fn open_questions_survive_the_end_of_an_invocation() {
    const OF_EACH: usize = 2;
    let listing = Listing {
        remembers: u32::MAX,
        time: SLOW,
        ..Listing::default()
    };
    let bundle = listing.bundle(1);
    bundle
        .norce
        .configure(|settings| settings.events.drop_chance = 1.0);
    let on_both_sides = |numbers: std::ops::Range<usize>| -> Vec<(i64, CustomerRecord)> {
        let pair = |number| {
            (
                bundle.norce.add_customer(person(number)),
                person_in_erp(&bundle, number),
            )
        };
        numbers.map(pair).collect()
    };
    let renamed = on_both_sides(0..OF_EACH);
    let run = bundle.pass(PassMode::Full).await;
    assert_eq!(ended(&run).codes, OF_EACH as u64);
    for (_, record) in &renamed {
        let number = format!("{}-R", record.number);
        bundle
            .erp
            .rename_customer(bundle.erp_company(), record.id, &number)
            .unwrap();
    }
    // Handed over long ago, and never confirmed.
    let lost = on_both_sides(10..10 + OF_EACH);
    for (id, record) in &lost {
        let binding = Binding::new(
            record.number.parse().unwrap(),
            ErpId {
                resource: Resource::Customer,
                id: record.id.to_string(),
            },
            CodeDelivery::HandedOver {
                at: bundle.clock.now() - TimeDelta::days(1),
            },
        );
        let bound = bundle.mappings.bind(customer(*id), binding).await;
        assert_eq!(bound.unwrap(), Bound::Done);
    }
    let unknown = on_both_sides(20..20 + OF_EACH);
    bundle.run_until_quiet().await;

    let run = bundle.pass(PassMode::Full).await;
    assert!(run.cost.invocations > 1, "{run:#?}");
    let counts = ended(&run);
    assert_eq!(
        (counts.seen, counts.renamed, counts.codes, counts.unchanged),
        (3 * OF_EACH as u64, OF_EACH as u64, 2 * OF_EACH as u64, 0)
    );
    for (id, record) in &renamed {
        let number = format!("{}-R", record.number);
        assert_eq!(bundle.customer_code(*id), Some(number));
    }
    for (id, record) in lost.iter().chain(&unknown) {
        assert_eq!(bundle.customer_code(*id).as_ref(), Some(&record.number));
    }
    assert_eq!(crate::owed(&bundle).await, []);
}
