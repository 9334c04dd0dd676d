use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use chrono::{TimeDelta, Utc};
use shared::{
    domain::{
        AddressDetails, Application, ApplicationId, ApplicationSettings, Applications, CountryCode,
        EmailKey, EntityKind, EntityRef, FieldGroup, FieldGroups, ImportLine, JobId, Names,
        NorceFields, NorceId, OrderKey, OrderParty, OrganisationNumber, Personal, Registers, Scope,
        VatNumber,
    },
    http::{Deadline, HttpClient, RetryPolicy, Transport},
    norce::{
        CallError, ImportRow, ImportShape, Job, JobStatus, LookupKey, NorceApi, NorceError,
        NorceImports, NorceQuery, Relation, SubmittedImport,
        connect::{ConnectClient, ImportOptions},
        events::Event,
        identity::{NorceCredentials, token_source},
        query::{AddressTypes, QueryClient},
    },
};
use tests::in_process::InProcess;
use tests::norce_simulator::{
    Account, Blank, Effect, Endpoint, EventPost, NewAddress, NewCompany, NewCustomer, NewOrder,
    NorceSimulator, OauthClient, Poison, PoisonMode, PoisonRows, Settings, When,
};
use uuid::Uuid;

const ACCOUNT: i32 = 77;
const SECRET: &str = "s3cret";

/// A shop with two applications, and the clients of it.
struct Shop {
    norce: NorceSimulator,
    connect: ConnectClient,
    query: QueryClient,
    posts: Arc<Mutex<Vec<EventPost>>>,
}

impl Shop {
    fn new(settings: Settings) -> Self {
        Self::with_secret(settings, SECRET)
    }

    fn with_secret(settings: Settings, secret: &str) -> Self {
        let settings = Settings {
            // Of the modules that this is (main.rs).
            query_integers_as_text: module_path!().ends_with("ids_as_texts"),
            zero_for_none: module_path!().ends_with("zeros_for_none"),
            ..settings
        };
        let posts = Arc::new(Mutex::new(Vec::new()));
        let sink = {
            let posts = posts.clone();
            move |post: EventPost| {
                posts.lock().unwrap().push(post);
                async { Ok(200) }
            }
        };
        let by_application = settings.customers_by_application;
        let norce = NorceSimulator::new(settings, Arc::new(sink));
        norce.add_oauth_client(OauthClient {
            id: "client".to_owned(),
            secret: SECRET.to_owned(),
            scopes: vec!["prod".to_owned()],
        });
        norce.add_system_account(ACCOUNT.into());
        for number in [1, 2] {
            norce.add_application(number.into(), key(number), "shop");
        }
        norce.add_country(1, "SE");
        norce.add_country(2, "NO");
        norce.subscribe_all("http://receiver.test/events", &[]);

        let transport: Arc<dyn Transport> = Arc::new(InProcess::new(norce.router()));
        let base_url = "http://norce.test".parse().unwrap();
        let credentials = NorceCredentials {
            client_id: "client".to_owned(),
            client_secret: secret.into(),
            scope: "prod".to_owned(),
        };
        let tokens = token_source(transport.clone(), &base_url, credentials).unwrap();
        let http = HttpClient::new(transport, RetryPolicy::default());
        let api = NorceApi::new(base_url, http, Arc::new(tokens));
        let application = |number: u8| Application {
            id: app(number.into()),
            key: key(number),
            erp_company: None,
        };
        let applications = Applications::new(application(1), vec![application(2)]);
        let shops = ApplicationSettings {
            applications: applications.clone(),
            registers: if by_application {
                Registers::Applications
            } else {
                Registers::Client
            },
        };
        Self {
            norce,
            connect: ConnectClient::new(
                api.clone(),
                ACCOUNT,
                applications,
                ImportOptions::default(),
            ),
            query: QueryClient::new(api, shops, AddressTypes::default()),
            posts,
        }
    }

    fn customer(&self, email: &str) -> i64 {
        self.norce.add_customer(NewCustomer {
            email: Some(email.to_owned()),
            first_name: Some("Anna".to_owned()),
            last_name: Some("O'Brien".to_owned()),
            cell_phone: Some("+46 70 123 45 67".to_owned()),
            invoice_address: Some(NewAddress {
                line1: Some("Storgatan 1".to_owned()),
                city: Some("Stockholm".to_owned()),
                country_code: Some("SE".to_owned()),
                gln: Some("7300000000001".to_owned()),
                ..NewAddress::default()
            }),
            delivery_addresses: vec![
                NewAddress {
                    city: Some("Elsewhere".to_owned()),
                    ..NewAddress::default()
                },
                NewAddress {
                    city: Some("Malmö".to_owned()),
                    shipping_phone: Some("040-1".to_owned()),
                    code: Some("D-1".to_owned()),
                    is_primary: true,
                    ..NewAddress::default()
                },
            ],
            ..NewCustomer::default()
        })
    }

    fn company(&self, organization_no: &str) -> i64 {
        self.norce.add_company(NewCompany {
            name: Some("Ek & co AB".to_owned()),
            organization_no: Some(organization_no.to_owned()),
            ..NewCompany::default()
        })
    }

    /// The codes of customers, on their way.
    async fn submitted(&self, lines: &[ImportRow]) -> SubmittedImport {
        let (kind, shape) = (EntityKind::Customer, ImportShape::CODE);
        let submitted = self
            .connect
            .import(kind, Scope::Client, shape, lines, minute());
        submitted.await.unwrap()
    }

    async fn finished(&self, job: JobId) -> Job {
        self.norce.settled().await;
        self.connect.job(job, minute()).await.unwrap().unwrap()
    }
}

fn key(number: u8) -> Uuid {
    Uuid::from_bytes([number; 16])
}

fn app(id: i64) -> ApplicationId {
    id.try_into().unwrap()
}

fn id(id: i64) -> NorceId {
    id.try_into().unwrap()
}

fn minute() -> Deadline {
    Deadline::after(Duration::from_secs(60))
}

fn line(number: i64, code: &str) -> ImportRow {
    ImportRow {
        line: ImportLine::code(id(number), code.parse().unwrap(), Uuid::nil()),
        values: NorceFields::default(),
        relations: Vec::new(),
    }
}

fn customer(number: i64) -> EntityRef {
    EntityRef::customer(Scope::Client, id(number))
}

#[tokio::test(start_paused = true)]
async fn customers_and_companies_are_read_with_what_belongs_to_them() {
    let shop = Shop::new(Settings::default());
    let anna = shop.customer("anna@example.com");
    let company = shop.company("556036-0793");
    shop.norce.link(anna, company, true);

    let read = shop.query.customer(customer(anna), minute()).await;
    let read = read.unwrap().unwrap();
    assert_eq!(read.full_name(), Personal::parse("Anna O'Brien"));
    assert_eq!(read.email, Personal::parse("anna@example.com"));
    let company_in_norce = EntityRef::company(Scope::Client, id(company));
    assert_eq!(read.main_company(), Some(company_in_norce));
    let address = read.invoice_address.unwrap();
    assert_eq!(address.city, Personal::parse("Stockholm"));
    assert_eq!(address.country, Some(CountryCode::SE));
    let details = |gln: &str, phone: &str, code: &str, primary| AddressDetails {
        gln: Personal::parse(gln),
        phone: Personal::parse(phone),
        code: Personal::parse(code),
        primary: Some(primary),
    };
    let invoice = details("7300000000001", "", "", false);
    assert_eq!(read.invoice_details, invoice);
    let deliveries = read.delivery_addresses.into_iter();
    let deliveries: Vec<_> = deliveries
        .map(|delivery| (delivery.address.city, delivery.details))
        .collect();
    let primary = (Personal::parse("Malmö"), details("", "040-1", "D-1", true));
    let other = (Personal::parse("Elsewhere"), details("", "", "", false));
    assert_eq!(deliveries, [primary.clone(), other.clone()]);
    // For an import: by the types that they have, the oldest first.
    let (kind, scope) = (EntityKind::Customer, Scope::Client);
    let ids = [id(anna)];
    let found = shop.query.addresses(kind, scope, &ids, minute());
    let found = found.await.unwrap().remove(&id(anna)).unwrap();
    assert_eq!(found.invoice.unwrap().details, invoice);
    let deliveries = found.deliveries.into_iter();
    let deliveries: Vec<_> = deliveries.map(|it| (it.address.city, it.details)).collect();
    assert_eq!(deliveries, [other, primary]);
    assert_eq!(
        (read.active, read.forgotten, read.code),
        (true, false, None)
    );

    let read = shop.query.company(company_in_norce, minute()).await;
    let read = read.unwrap().unwrap();
    assert_eq!(read.contacts, [customer(anna)]);
    assert_eq!(
        read.organisation_number,
        OrganisationNumber::parse("5560360793")
    );

    let nobody = shop.query.customer(customer(999_999), minute()).await;
    assert_eq!(nobody, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn relations_logins_look_ups_and_sweeps_name_their_customer() {
    let shop = Shop::new(Settings::default());
    let anna = shop.customer("anna@example.com");
    let company = shop.company("556036-0793");
    shop.norce.link(anna, company, true);
    shop.norce.change_customer(anna, |it| {
        it.row.customer_code = Some("C1".to_owned());
        it.accounts.push(Account {
            application_id: 1,
            login_name: Some("old@example.com".to_owned()),
            ..Account::default()
        });
    });
    let gone = shop.customer("bo@example.com");
    shop.norce.forget_customer(gone, &Blank::Null, false);
    let (kind, scope, ids) = (EntityKind::Customer, Scope::Client, [id(anna)]);

    let relations = shop.query.relations(scope, &ids, minute()).await.unwrap();
    let relation = Relation {
        company: id(company),
        is_primary: true,
    };
    assert_eq!(relations.get(&id(anna)), Some(&vec![relation]));
    let logins = shop.query.with_another_login(scope, &ids, minute());
    assert_eq!(logins.await, Ok(vec![id(anna)]));
    let asked = [LookupKey {
        code: "C1".parse().unwrap(),
        keys: Vec::new(),
    }];
    let found = shop.query.look_up(kind, scope, &asked, minute()).await;
    let found: Vec<NorceId> = found.unwrap().found.iter().map(|hit| hit.id).collect();
    assert_eq!(found, ids);
    for (kind, number) in [(EntityKind::Customer, anna), (EntityKind::Company, company)] {
        let page = shop.query.changed_since(kind, scope, None, None, minute());
        let page = page.await.unwrap().entities;
        assert!(page.iter().any(|it| it.id == id(number)), "{page:?}");
    }
    let page = shop.query.forgotten(scope, None, minute()).await.unwrap();
    let forgotten: Vec<NorceId> = page.entities.iter().map(|it| it.id).collect();
    assert_eq!(forgotten, [id(gone)]);
    let orders = Utc::now() - TimeDelta::days(1)..Utc::now() + TimeDelta::days(1);
    assert_eq!(shop.query.has_orders(&orders, minute()).await, Ok(false));
    for kind in [EntityKind::Customer, EntityKind::Company] {
        assert_eq!(shop.query.has_shared(kind, minute()).await, Ok(true));
    }
}

/// OData lets a service page what is expanded too; a page of it taken for the whole would end relations.
#[tokio::test(start_paused = true)]
async fn every_related_row_is_read_however_few_query_sends_at_once() {
    let shop = Shop::new(Settings {
        query_expanded_page_size: Some(2),
        ..Settings::default()
    });
    let people: Vec<i64> = (0..5)
        .map(|number| shop.customer(&format!("{number}@example.com")))
        .collect();
    let companies: Vec<i64> = (0..5).map(|_| shop.company("556036-0793")).collect();
    for person in &people {
        shop.norce.link(*person, companies[0], true);
    }
    for company in &companies[1..] {
        shop.norce.link(people[0], *company, false);
    }
    let entity = EntityRef::company(Scope::Client, id(companies[0]));
    let read = shop.query.company(entity, minute()).await;
    let contacts: Vec<EntityRef> = people.iter().map(|person| customer(*person)).collect();
    assert_eq!(read.unwrap().unwrap().contacts, contacts);
    let read = shop.query.customer(customer(people[0]), minute()).await;
    assert_eq!(read.unwrap().unwrap().companies.len(), 5);
    let ids = [id(people[0])];
    let relations = shop.query.relations(Scope::Client, &ids, minute()).await;
    assert_eq!(relations.unwrap()[&ids[0]].len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_contact_of_an_inactive_company_is_not_its_contact() {
    let shop = Shop::new(Settings::default());
    let anna = shop.customer("anna@example.com");
    let company = shop.company("556036-0793");
    shop.norce.link(anna, company, true);
    shop.norce
        .change_company(company, |it| it.row.is_active = false);
    let read = shop.query.customer(customer(anna), minute()).await;
    assert_eq!(read.unwrap().unwrap().companies, []);
}

#[tokio::test(start_paused = true)]
async fn p12_a_forgotten_customer_is_read_as_such_and_not_found_by_email() {
    let shop = Shop::new(Settings::default());
    let anna = shop.customer("anna@example.com");
    let blank = Blank::Placeholder("anna@example.com".to_owned());
    shop.norce.forget_customer(anna, &blank, false);
    let read = shop.query.customer(customer(anna), minute()).await;
    assert!(read.unwrap().unwrap().forgotten);
    let email = EmailKey::parse("anna@example.com").unwrap();
    let found = shop
        .query
        .customers_by_email(Scope::Client, &email, minute());
    assert_eq!(found.await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn codes_travel_to_norce_and_touch_nothing_else() {
    let shop = Shop::new(Settings::default());
    let (anna, bo) = (
        shop.customer("anna@example.com"),
        shop.customer("bo@example.com"),
    );
    let before = shop.norce.customer(anna).unwrap();
    let lines = [line(anna, "C1"), line(bo, "C'2")];
    let submitted = shop.submitted(&lines).await;
    let running = shop.connect.job(submitted.job, minute()).await.unwrap();
    assert_eq!(running.unwrap().status, JobStatus::Running);
    let job = shop.finished(submitted.job).await;
    assert_eq!(
        (job.status, job.failed, job.total),
        (JobStatus::Succeeded, 0, 2)
    );

    let codes = shop
        .query
        .codes(
            EntityKind::Customer,
            Scope::Client,
            &[id(anna), id(bo), id(999_999)],
            minute(),
        )
        .await
        .unwrap();
    let expected = |number, code: &str| (id(number), Some(code.parse().unwrap()));
    assert_eq!(codes, [expected(anna, "C1"), expected(bo, "C'2")]);

    let mut after = shop.norce.customer(anna).unwrap();
    after.row.customer_code = None;
    after.row.updated = before.row.updated;
    after.row.updated_by = before.row.updated_by;
    assert_eq!(after, before);
    assert_eq!(shop.norce.contract_notes(), Vec::<String>::new());
}

/// Norce compares `NormalizedOrganizationNo` (norce-api §3.4): numbers go there in that form, however the ERP writes them.
#[tokio::test(start_paused = true)]
async fn an_inserted_company_has_its_numbers_in_their_normal_form() {
    let shop = Shop::new(Settings::default());
    let mut row = line(1, "C7");
    row.line.id = None;
    row.line.fields = FieldGroups::of(&[FieldGroup::Code, FieldGroup::Names, FieldGroup::Active]);
    row.values.active = true;
    row.values.names = Some(Names::Company(Personal::parse("Ek AB").unwrap()));
    row.values.organisation_number = OrganisationNumber::parse("556036-0793");
    row.values.vat_number = VatNumber::parse("se 556036-0793 01");
    let shape = ImportShape::of(EntityKind::Company, &row.line, false);
    let rows = [row];
    let submitted = shop
        .connect
        .import(EntityKind::Company, Scope::Client, shape, &rows, minute())
        .await
        .unwrap();
    assert_eq!(shop.finished(submitted.job).await.failed, 0);
    let party = numbered("556036-0793");
    let found = shop
        .query
        .companies_of_party(Scope::Client, &party, minute())
        .await
        .unwrap();
    let [company] = found[..] else {
        panic!("{found:?}");
    };
    let stored = shop.norce.company(company.id.get().into()).unwrap().row;
    assert_eq!(stored.organization_no.as_deref(), Some("5560360793"));
    assert_eq!(stored.vat_no.as_deref(), Some("SE556036079301"));
}

fn numbered(number: &str) -> OrderParty {
    OrderParty {
        organisation_number: OrganisationNumber::parse(number),
        ..OrderParty::default()
    }
}

#[tokio::test(start_paused = true)]
async fn p14_codes_reach_the_application_that_they_belong_to() {
    let shop = Shop::new(Settings {
        customers_by_application: true,
        ..Settings::default()
    });
    let company = shop.norce.add_company(NewCompany {
        application_id: Some(2),
        name: Some("Ek AB".to_owned()),
        organization_no: Some("556036-0793".to_owned()),
        ..NewCompany::default()
    });
    let (own, other) = (Scope::Application(app(2)), Scope::Application(app(1)));
    let lines = [line(company, "C7")];
    let submitted = shop
        .connect
        .import(
            EntityKind::Company,
            own,
            ImportShape::CODE,
            &lines,
            minute(),
        )
        .await
        .unwrap();
    assert_eq!(shop.finished(submitted.job).await.failed, 0);
    assert_eq!(shop.norce.contract_notes(), Vec::<String>::new());

    let read = |scope| {
        let entity = EntityRef::company(scope, id(company));
        shop.query.company(entity, minute())
    };
    assert_eq!(
        read(own).await.unwrap().unwrap().code,
        Some("C7".parse().unwrap())
    );
    assert_eq!(read(other).await, Ok(None));
    let ids = [id(company)];
    for (scope, expected) in [(own, vec![id(company)]), (other, vec![])] {
        let addresses = shop
            .query
            .addresses(EntityKind::Company, scope, &ids, minute());
        let found: Vec<NorceId> = addresses.await.unwrap().into_keys().collect();
        assert_eq!(found, expected, "{scope}");
    }
    let party = numbered("5560360793");
    let find = |scope| shop.query.companies_of_party(scope, &party, minute());
    let expected = EntityRef::company(own, id(company));
    assert_eq!(find(own).await, Ok(vec![expected]));
    assert_eq!(find(other).await, Ok(vec![]));
}

#[tokio::test(start_paused = true)]
async fn p9_a_poison_row_is_found_in_the_log() {
    let shop = Shop::new(Settings::default());
    let (anna, bo) = (
        shop.customer("anna@example.com"),
        shop.customer("bo@example.com"),
    );
    shop.norce.poison(Poison {
        rows: PoisonRows::Ids(BTreeSet::from([bo])),
        mode: PoisonMode::RowFails,
        message: "The code of bo@example.com is taken".to_owned(),
    });
    let lines = [line(anna, "C1"), line(bo, "C2")];
    let submitted = shop.submitted(&lines).await;
    assert_eq!(shop.finished(submitted.job).await.failed, 1);
    let log = shop.connect.job_log(submitted.job, minute()).await.unwrap();
    let errors: Vec<_> = log.iter().filter(|entry| entry.is_error).collect();
    assert_eq!(errors.len(), 1);
    let row = errors[0].row.as_ref().unwrap();
    assert_eq!(
        (row.id, row.code.as_ref()),
        (Some(id(bo)), Some(&lines[1].line.code))
    );
    assert_eq!(errors[0].message, "The code of [e-mail] is taken");
}

/// A line of the log is a warning, an error, or neither.
#[tokio::test(start_paused = true)]
async fn warnings_in_the_log_are_distinguished_from_errors_and_from_information() {
    let shop = Shop::new(Settings::default());
    let people = ["anna", "bo", "eva"].map(|name| shop.customer(&format!("{name}@example.com")));
    for (person, mode) in people
        .into_iter()
        .zip([PoisonMode::RowWarns, PoisonMode::RowFails])
    {
        shop.norce.poison(Poison {
            rows: PoisonRows::Ids(BTreeSet::from([person])),
            mode,
            message: "something".to_owned(),
        });
    }
    let lines: Vec<_> = people
        .iter()
        .map(|person| line(*person, &format!("C{person}")))
        .collect();
    let submitted = shop.submitted(&lines).await;
    shop.finished(submitted.job).await;
    let log = shop.connect.job_log(submitted.job, minute()).await.unwrap();
    let of = |person: i64| {
        let of_row = log.iter().find(|entry| {
            entry
                .row
                .as_ref()
                .is_some_and(|row| row.id == Some(id(person)))
        });
        of_row.map(|entry| (entry.is_warning, entry.is_error))
    };
    let [warned, failed, _] = people;
    assert_eq!(of(warned), Some((true, false)));
    assert_eq!(of(failed), Some((false, true)));
    let flags = |entry: &shared::norce::JobLogEntry| (entry.is_warning, entry.is_error);
    let said = log.iter().filter(|entry| flags(entry) == (false, false));
    assert!(said.count() > 0, "{log:?}");
}

#[tokio::test(start_paused = true)]
async fn p2_an_import_whose_answer_is_lost_is_one_job_and_its_outcome_is_unknown() {
    for effect in [
        Effect::DoneThenClose,
        Effect::DoneThenStatus { status: 502 },
    ] {
        let shop = Shop::new(Settings::default());
        let lines = [line(shop.customer("anna@example.com"), "C1")];
        shop.norce
            .inject(&[Endpoint::ImportCustomers], When::Times(1), effect);
        let outcome = shop
            .connect
            .import(
                EntityKind::Customer,
                Scope::Client,
                ImportShape::CODE,
                &lines,
                minute(),
            )
            .await;
        assert!(
            matches!(outcome, Err(CallError::OutcomeUnknown(_))),
            "{outcome:?}"
        );
        assert_eq!(shop.norce.imports().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_revoked_token_is_replaced_and_a_burst_asks_for_one() {
    let shop = Shop::new(Settings::default());
    let lines = [line(shop.customer("anna@example.com"), "C1")];
    let burst = async || {
        let pings = (0..30).map(|_| shop.connect.ping(minute()));
        futures_util::future::join_all(pings).await
    };
    assert!(burst().await.iter().all(Result::is_ok));
    assert_eq!(shop.norce.requests_to(Endpoint::Token), 1);
    shop.norce.revoke_tokens();
    assert!(burst().await.iter().all(Result::is_ok));
    assert_eq!(shop.norce.requests_to(Endpoint::Token), 2);
    shop.norce.revoke_tokens();
    let submitted = shop
        .connect
        .import(
            EntityKind::Customer,
            Scope::Client,
            ImportShape::CODE,
            &lines,
            minute(),
        )
        .await;
    assert!(submitted.is_ok());
    assert_eq!(shop.norce.imports().len(), 1);
    // An hour later it has expired, and nobody has to be refused for that to be known.
    tokio::time::advance(Duration::from_secs(3600 - 60)).await;
    let refused = shop.norce.requests_to(Endpoint::JobPing);
    shop.connect.ping(minute()).await.unwrap();
    assert_eq!(shop.norce.requests_to(Endpoint::JobPing), refused + 1);
    assert_eq!(shop.norce.requests_to(Endpoint::Token), 4);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_secret_is_told_as_such() {
    let shop = Shop::with_secret(Settings::default(), "wrong");
    let error = shop.connect.ping(minute()).await.unwrap_err();
    assert!(
        matches!(error, NorceError::Authentication { .. }),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_order_leads_to_its_people_whatever_it_names() {
    let shop = Shop::new(Settings::default());
    let anna = shop.customer("anna@example.com");
    let company = shop.company("556036-0793");
    let order = |new: NewOrder| {
        let placed = shop.norce.place_order(NewOrder {
            application_id: 2,
            ..new
        });
        (placed.id, OrderKey::ClientOrderRef(placed.client_order_ref))
    };
    let company_has = || {
        let entity = EntityRef::company(Scope::Client, id(company));
        shop.query.has_order(entity, minute())
    };
    assert_eq!(
        shop.query.has_order(customer(anna), minute()).await,
        Ok(false)
    );
    let (number, reference) = order(NewOrder {
        customer: Some(anna),
        payer_company: Some(company),
        ..NewOrder::default()
    });
    for key in [OrderKey::Id(number), reference] {
        let read = shop.query.order(&key, app(2), minute()).await;
        let read = read.unwrap().unwrap();
        assert_eq!((read.id, read.application), (number, app(2)));
        assert_eq!(read.buyer.customer, Some(customer(anna)));
        let payer = EntityRef::company(Scope::Client, id(company));
        assert_eq!(read.payer.company, Some(payer));
        // The header does not restrict orders; the filter does (P14).
        assert_eq!(shop.query.order(&key, app(1), minute()).await, Ok(None));
    }
    assert_eq!(
        shop.query.has_order(customer(anna), minute()).await,
        Ok(true)
    );
    assert_eq!(company_has().await, Ok(true));

    let (_, guest) = order(NewOrder {
        customer: Some(anna),
        guest: true,
        ..NewOrder::default()
    });
    let read = shop.query.order(&guest, app(2), minute()).await;
    let read = read.unwrap().unwrap();
    assert_eq!(read.buyer.customer, None);
    let email = EmailKey::of(read.buyer.email.as_ref()).unwrap();
    let found = shop
        .query
        .customers_by_email(Scope::Client, &email, minute());
    assert_eq!(found.await, Ok(vec![customer(anna)]));
}

#[tokio::test(start_paused = true)]
async fn p3_a_value_full_of_syntax_is_a_value() {
    let shop = Shop::new(Settings::default());
    let strange = shop.customer("o'brien+a&b%'or@example.com");
    shop.customer("innocent@example.com");
    for (email, expected) in [
        ("o'brien+a&b%'or@example.com", vec![customer(strange)]),
        ("x'or'Id'gt'0'or'a@example.com", vec![]),
    ] {
        let email = EmailKey::parse(email).unwrap();
        let found = shop
            .query
            .customers_by_email(Scope::Client, &email, minute());
        assert_eq!(found.await, Ok(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn many_codes_are_read_over_many_pages() {
    let shop = Shop::new(Settings {
        page_size: 7,
        query_string_limit: Some(2048),
        ..Settings::default()
    });
    shop.norce.start_ids_after(2_147_000_000);
    let ids: Vec<NorceId> = (0..50)
        .map(|number| id(shop.customer(&format!("{number}@example.com"))))
        .collect();
    let codes = shop
        .query
        .codes(EntityKind::Customer, Scope::Client, &ids, minute())
        .await
        .unwrap();
    let read: Vec<_> = codes.into_iter().map(|(id, _)| id).collect();
    assert_eq!(read, ids);
    let listed = shop.query.applications(minute()).await.unwrap();
    let listed: Vec<_> = listed.into_iter().map(|it| (it.id, it.key)).collect();
    assert_eq!(listed, [(app(1), Some(key(1))), (app(2), Some(key(2)))]);
}

#[tokio::test(start_paused = true)]
async fn p8_a_norce_that_is_down_is_told_as_later_and_a_hiccup_is_not_noticed() {
    let shop = Shop::new(Settings::default());
    let anna = shop.customer("anna@example.com");
    let query = [Endpoint::Customers];
    shop.norce
        .inject(&query, When::Times(2), Effect::Html { status: 503 });
    assert!(shop.query.customer(customer(anna), minute()).await.is_ok());
    shop.norce.inject(&query, When::Always, Effect::Close);
    let outcome = shop.query.customer(customer(anna), minute()).await;
    assert!(
        matches!(outcome, Err(NorceError::RetryAfter { .. })),
        "{outcome:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn what_norce_posts_is_read() {
    let shop = Shop::new(Settings::default());
    let anna = shop.customer("anna@example.com");
    let company = shop.company("556036-0793");
    let placed = shop.norce.place_order(NewOrder {
        application_id: 1,
        customer: Some(anna),
        ..NewOrder::default()
    });
    shop.norce.confirm_order(placed.id, "ERP-1");
    let lines = [line(anna, "C1")];
    let submitted = shop.submitted(&lines).await;
    shop.norce.settled().await;

    let posts = shop.posts.lock().unwrap().clone();
    let events: Vec<Event> = posts
        .iter()
        .map(|post| {
            let event_type = post.event.name().parse().unwrap();
            let segment = post.url.rsplit('/').next().unwrap();
            if let Ok(by_path) = segment.parse() {
                assert_eq!(event_type, by_path);
            }
            Event::parse(event_type, &post.body).unwrap()
        })
        .collect();
    let any = |test: &dyn Fn(&Event) -> bool| assert!(events.iter().any(test), "{events:#?}");
    any(&|event| {
        matches!(event, Event::CustomerChanged(it)
            if it.customer == id(anna) && it.application.is_none())
    });
    any(&|event| matches!(event, Event::CompanyChanged(it) if it.company == id(company)));
    any(&|event| {
        matches!(event, Event::OrderReceived(it)
            if it.client_order_ref == placed.client_order_ref && it.application == app(1))
    });
    any(&|event| matches!(event, Event::OrderConfirmed(it) if it.order_id == placed.id));
    any(&|event| matches!(event, Event::JobCompleted(it) if it.job == submitted.job));
}
