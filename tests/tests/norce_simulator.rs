//! The behaviour of the Norce simulator that other suites rely on.
#![allow(
    clippy::unwrap_used,
    reason = "what the cases share is test code too, which the lint does not see"
)]

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body, to_bytes};
use http::{HeaderMap, Request, StatusCode};
use proptest::prelude::*;
use serde_json::{Value, json};
use tests::{
    norce_simulator::{
        Blank, CodeList, Delivery, DeliveryState, Effect, Endpoint, EventPost, EventSink,
        EventType, Flag, HttpEventSink, ImportedRows, JobPaths, JobStatus, NewAddress, NewCompany,
        NewCustomer, NewOrder, NorceSimulator, OauthClient, OrderReceiver, Poison, PoisonMode,
        PoisonRows, RETRY_DELAYS, Settings, When, tokio_clock,
    },
    samples::order_of,
};
use tokio::time::Instant;
use tower::ServiceExt;
use url::form_urlencoded;
use uuid::Uuid;

const FIRST_KEY: Uuid = Uuid::from_u128(0x11);
const SECOND_KEY: Uuid = Uuid::from_u128(0x22);
const SYSTEM_ACCOUNT: i64 = 77;

/// The type and body of each event that was posted, in the order of arrival.
type Posts = Arc<Mutex<Vec<(EventType, Value)>>>;

/// A simulator, its token, and what was posted.
struct Norce {
    simulator: NorceSimulator,
    token: String,
    posts: Posts,
}

/// A receiver that answers with these statuses, then always with the last one.
fn receiver(statuses: Vec<u16>) -> (Arc<dyn EventSink>, Posts) {
    let posts = Posts::default();
    let seen = posts.clone();
    let sink = move |post: EventPost| {
        let mut seen = seen.lock().unwrap();
        seen.push((post.event, serde_json::from_slice(&post.body).unwrap()));
        let status = statuses[(seen.len() - 1).min(statuses.len() - 1)];
        async move { Ok(status) }
    };
    (Arc::new(sink), posts)
}

async fn norce(settings: Settings) -> Norce {
    norce_with(settings, vec![202]).await
}

async fn norce_with(settings: Settings, statuses: Vec<u16>) -> Norce {
    let (sink, posts) = receiver(statuses);
    let clock = tokio_clock("2026-11-23T10:00:00Z".parse().unwrap());
    let simulator = NorceSimulator::with_clock(settings, sink, clock);
    simulator.add_application(1, FIRST_KEY, "Shop");
    simulator.add_application(2, SECOND_KEY, "Outlet");
    simulator.add_country(1, "SE");
    simulator.add_system_account(SYSTEM_ACCOUNT);
    simulator.add_code(CodeList::Flags, "VIP", 1);
    simulator.add_code(CodeList::Flags, "STAFF", 2);
    simulator.add_oauth_client(OauthClient {
        id: "sync".to_owned(),
        secret: "s3cret".to_owned(),
        scopes: vec!["prod".to_owned()],
    });
    simulator.subscribe_all("http://127.0.0.1:9/events", &[]);
    let mut norce = Norce {
        simulator,
        token: String::new(),
        posts,
    };
    let (_, answer) = norce.ask_token("s3cret").await;
    norce.token = answer["access_token"].as_str().unwrap().to_owned();
    norce
}

impl Norce {
    async fn call(&self, request: Request<Body>) -> (StatusCode, HeaderMap, Value) {
        let response = self.simulator.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        (parts.status, parts.headers, value)
    }

    async fn ask_token(&self, secret: &str) -> (StatusCode, Value) {
        let form = format!(
            "grant_type=client_credentials&client_id=sync&client_secret={secret}&scope=prod"
        );
        let request = Request::post("/identity/1.0/connect/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap();
        let (status, _, body) = self.call(request).await;
        (status, body)
    }

    async fn get(&self, path_and_query: &str) -> (StatusCode, Value) {
        let request = Request::get(path_and_query)
            .header("host", "norce.example")
            .header("authorization", format!("Bearer {}", self.token))
            .header("application-id", "1")
            .body(Body::empty())
            .unwrap();
        let (status, _, body) = self.call(request).await;
        (status, body)
    }

    async fn query(&self, set: &str, options: &[(&str, &str)]) -> (StatusCode, Value) {
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(options)
            .finish();
        self.get(&format!("/commerce/query/2.0/{set}?{query}"))
            .await
    }

    async fn ids(&self, set: &str, filter: &str) -> Vec<i64> {
        let (status, body) = self.query(set, &[("$filter", filter)]).await;
        assert_eq!(status, 200, "{filter}: {body}");
        let rows = body["value"].as_array().unwrap();
        rows.iter().map(|row| row["Id"].as_i64().unwrap()).collect()
    }

    async fn post_import(
        &self,
        what: &str,
        header: Value,
        body: impl Into<Body>,
    ) -> (StatusCode, Value) {
        let request = Request::post(format!("/commerce/connect/4.0/Customer/{what}"))
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {}", self.token))
            .header("x-stormconnect-header", header.to_string())
            .body(body.into())
            .unwrap();
        let (status, _, answer) = self.call(request).await;
        (status, answer)
    }

    /// Imports customers and waits for the job's end.
    async fn import_customers(&self, fields: &[&str], rows: Value) -> JobStatus {
        let mut header = json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": fields});
        if fields.contains(&"Companies") {
            header["CompanyFieldsThatAreSet"] = json!(["Id", "OrganizationNo"]);
        }
        let (status, answer) = self
            .post_import("ImportCustomers", header, rows.to_string())
            .await;
        assert_eq!(status, 200, "{answer}");
        self.simulator.settled().await;
        self.simulator.jobs().last().unwrap().status
    }

    /// Imports companies of the first application and waits for the job's end.
    async fn import_companies(&self, fields: &[&str], mut rows: Value) -> JobStatus {
        for row in rows.as_array_mut().unwrap() {
            row["ApplicationKey"] = json!(FIRST_KEY);
        }
        let header = json!({"AccountId": SYSTEM_ACCOUNT, "CompanyFieldsThatAreSet": fields});
        let (status, answer) = self
            .post_import("ImportCompanies", header, rows.to_string())
            .await;
        assert_eq!(status, 200, "{answer}");
        self.simulator.settled().await;
        self.simulator.jobs().last().unwrap().status
    }

    fn last_errors(&self) -> Vec<(String, Option<String>)> {
        let jobs = self.simulator.jobs();
        let log = &jobs.last().unwrap().log;
        log.iter()
            .filter(|line| line.severity_id == 3)
            .map(|line| (line.message.clone(), line.imported_row.clone()))
            .collect()
    }

    fn posted(&self, event: EventType) -> Vec<Value> {
        let posts = self.posts.lock().unwrap();
        posts
            .iter()
            .filter(|(kind, _)| *kind == event)
            .map(|(_, body)| body.clone())
            .collect()
    }
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn person(first: &str, email: &str) -> NewCustomer {
    NewCustomer {
        first_name: some(first),
        last_name: some("Ek"),
        email: some(email),
        ..NewCustomer::default()
    }
}

fn firm(name: &str, number: &str) -> NewCompany {
    NewCompany {
        name: some(name),
        organization_no: some(number),
        ..NewCompany::default()
    }
}

// Identity

#[tokio::test(start_paused = true)]
async fn a_token_is_needed_and_expires() {
    let norce = norce(Settings::default()).await;
    let (status, _) = norce.query("Customers/Customers", &[]).await;
    assert_eq!(status, 200);
    let anonymous = Request::get("/commerce/connect/4.0/Job/Ping").body(Body::empty());
    let (status, headers, _) = norce.call(anonymous.unwrap()).await;
    assert_eq!(
        (status, &headers["www-authenticate"]),
        (StatusCode::UNAUTHORIZED, &"Bearer".parse().unwrap())
    );
    tokio::time::advance(Duration::from_secs(3600)).await;
    let (status, _) = norce.query("Customers/Customers", &[]).await;
    assert_eq!(status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_client_grant_or_scope_is_refused_by_name() {
    let norce = norce(Settings::default()).await;
    let (status, body) = norce.ask_token("wrong").await;
    assert_eq!(
        (status, body),
        (StatusCode::BAD_REQUEST, json!({"error": "invalid_client"}))
    );
    for (form, error) in [
        (
            "grant_type=password&client_id=sync&client_secret=s3cret&scope=prod",
            "unsupported_grant_type",
        ),
        (
            "grant_type=client_credentials&client_id=sync&client_secret=s3cret&scope=stage",
            "invalid_scope",
        ),
        (
            "grant_type=client_credentials&client_id=sync&client_secret=s3cret",
            "invalid_scope",
        ),
    ] {
        let request = Request::post("/identity/1.0/connect/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form));
        let (status, _, body) = norce.call(request.unwrap()).await;
        assert_eq!(
            (status, body),
            (StatusCode::BAD_REQUEST, json!({"error": error}))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_are_limited_to_three_a_minute_after_a_burst_of_twenty() {
    let norce = norce(Settings::default()).await;
    // Setting up has taken the first.
    for _ in 1..20 {
        assert_eq!(norce.ask_token("s3cret").await.0, 200);
    }
    assert_eq!(norce.ask_token("s3cret").await.0, 429);
    tokio::time::advance(Duration::from_secs(60)).await;
    for _ in 0..3 {
        assert_eq!(norce.ask_token("s3cret").await.0, 200);
    }
    assert_eq!(norce.ask_token("s3cret").await.0, 429);
}

// Query

#[tokio::test(start_paused = true)]
async fn filters_find_exactly_what_they_say() {
    let norce = norce(Settings::default()).await;
    let simulator = &norce.simulator;
    simulator.start_ids_after(0);
    simulator.add_customer(person("Anna", "Anna@Example.com"));
    simulator.add_customer(NewCustomer {
        last_name: some("O'Hara"),
        code: some("C-2"),
        ..person("Bo", "bo@example.com")
    });
    simulator.add_customer(person("Cia", "cia@example.com"));
    tokio::time::advance(Duration::from_secs(3600)).await;
    simulator.change_customer(3, |record| record.row.is_active = false);
    let key = simulator.customer(2).unwrap().row.key;
    let by_key = format!("Key eq {key}");
    norce
        .simulator
        .configure(|settings| settings.token_lifetime = Duration::from_secs(9000));
    let token = norce.ask_token("s3cret").await.1["access_token"].clone();
    let norce = Norce {
        token: token.as_str().unwrap().to_owned(),
        ..norce
    };
    let cases: &[(&str, &[i64])] = &[
        ("Id eq 2", &[2]),
        ("2 eq Id", &[2]),
        ("Id ne 2", &[1, 3]),
        ("Id gt 1 and Id le 3", &[2, 3]),
        ("1 lt Id", &[2, 3]),
        ("Id ge 2.5", &[3]),
        ("Id lt 1", &[]),
        ("Id lt 3", &[1, 2]),
        ("Id ne 1 and Id ne 3", &[2]),
        ("Id eq 1 or Id eq 3", &[1, 3]),
        ("Id eq 1 or Id eq 2 and Id eq 3", &[1]),
        ("(Id eq 1 or Id eq 2) and Id eq 2", &[2]),
        ("not (Id eq 2)", &[1, 3]),
        ("not contains(FirstName,'o')", &[1, 3]),
        ("IsActive", &[1, 2]),
        ("not IsActive", &[3]),
        ("IsActive eq true", &[1, 2]),
        ("IsActive ne true", &[3]),
        ("LastName eq 'O''Hara'", &[2]),
        ("FirstName eq 'anna'", &[]),
        ("EmailAddress eq 'ANNA@example.COM'", &[1]),
        ("tolower(FirstName) eq 'anna'", &[1]),
        ("startswith(LastName,'O') and endswith(LastName,'a')", &[2]),
        ("contains(EmailAddress,'EXAMPLE')", &[1, 2, 3]),
        ("CustomerCode eq null", &[1, 3]),
        ("CustomerCode ne null", &[2]),
        ("CustomerCode ge null", &[]),
        ("CustomerCode ne 'C-2'", &[1, 3]),
        ("CustomerCode gt 'A'", &[2]),
        ("not contains(CustomerCode,'C')", &[]),
        ("Updated ge 2026-11-23T11:00:00Z", &[3]),
        ("Updated ge 2026-11-23T11:00:00.001Z", &[]),
        (
            "(Updated ge 2026-11-23T10:30:00Z or (Updated eq null and Created ge 2026-11-23T10:00:00Z))",
            &[1, 2, 3],
        ),
        (&by_key, &[2]),
    ];
    for (filter, expected) in cases {
        assert_eq!(
            norce.ids("Customers/Customers", filter).await,
            *expected,
            "{filter}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn filters_that_are_not_odata_are_refused() {
    let norce = norce(Settings {
        query_any: false,
        ..Settings::default()
    })
    .await;
    for filter in [
        "",
        "Id",
        "Id eq",
        "eq 1",
        "Id == 1",
        "Id eq 1 and",
        "Id eq 1 Id eq 2",
        "(Id eq 1",
        "Id eq 1)",
        "id eq 1",
        "Id EQ 1",
        "Id eq '1'",
        "FirstName eq 1",
        "FirstName eq Anna",
        "FirstName eq 'Anna",
        "FirstName eq 'O'Hara'",
        "FirstName eq \"Anna\"",
        "Key eq '00000000-0000-0000-0000-000000000011'",
        "Created ge '2026-11-23T10:00:00Z'",
        "Created ge 2026-11-23",
        "Created ge datetime'2026-11-23T10:00:00'",
        "Created ge 2026-11-23T10:00:00+01:00",
        "IsActive eq 1",
        "IsActive gt false",
        "not Id",
        "substringof('x',FirstName)",
        "contains(FirstName)",
        "contains(Id,'1')",
        "Id in (1,2)",
        "Companies/any(c: c/CompanyId eq 1)",
        "Nonsense eq 1",
    ] {
        let (status, body) = norce
            .query("Customers/Customers", &[("$filter", filter)])
            .await;
        assert_eq!(status, 400, "{filter}");
        assert!(body["error"]["message"].is_string(), "{filter}: {body}");
    }
    let deep = format!("{}Id eq 1{}", "(".repeat(10_000), ")".repeat(10_000));
    let (status, _) = norce
        .query("Customers/Customers", &[("$filter", &deep)])
        .await;
    assert_eq!(status, 400);
}

#[tokio::test(start_paused = true)]
async fn what_norce_is_not_known_to_take_can_be_switched_on() {
    let norce = norce(Settings {
        query_in_operator: true,
        query_navigation_paths: true,
        ..Settings::default()
    })
    .await;
    let anna = norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    let order = norce.simulator.place_order(NewOrder {
        application_id: 1,
        customer: Some(anna),
        ..NewOrder::default()
    });
    let filter = format!("Id in (0, {anna})");
    assert_eq!(norce.ids("Customers/Customers", &filter).await, [anna]);
    let filter = "Buyer/EmailAddress eq 'anna@example.com'";
    assert_eq!(norce.ids("Orders/Orders", filter).await, [order.id]);
}

/// A condition over ids 1 to 8 as text, and the ids of which it is true.
fn conditions() -> impl Strategy<Value = (String, BTreeSet<i64>)> {
    let leaf = (0_i64..10, 0_usize..6).prop_map(|(value, operator)| {
        let (name, holds): (&str, fn(i64, i64) -> bool) = [
            ("eq", (|left, right| left == right) as fn(i64, i64) -> bool),
            ("ne", |left, right| left != right),
            ("gt", |left, right| left > right),
            ("ge", |left, right| left >= right),
            ("lt", |left, right| left < right),
            ("le", |left, right| left <= right),
        ][operator];
        let ids: BTreeSet<i64> = (1..=8).filter(|id| holds(*id, value)).collect();
        (format!("Id {name} {value}"), ids)
    });
    leaf.prop_recursive(4, 24, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|((left, a), (right, b))| (
                format!("({left}) and ({right})"),
                a.intersection(&b).copied().collect()
            )),
            (inner.clone(), inner.clone()).prop_map(|((left, a), (right, b))| (
                format!("({left}) or ({right})"),
                a.union(&b).copied().collect()
            )),
            inner.prop_map(|(text, ids): (String, BTreeSet<i64>)| (
                format!("not ({text})"),
                (1..=8).filter(|id| !ids.contains(id)).collect()
            )),
        ]
    })
}

fn in_runtime<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn conditions_are_evaluated_as_logic_has_it((filter, expected) in conditions()) {
        let found = in_runtime(async {
            let norce = norce(Settings::default()).await;
            norce.simulator.start_ids_after(0);
            for _ in 0..8 {
                norce.simulator.add_customer(NewCustomer::default());
            }
            norce.ids("Customers/Customers", &filter).await
        });
        prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn a_quoted_text_finds_itself_and_nothing_else(text in "\\PC{0,20}") {
        in_runtime(async {
            let norce = norce(Settings::default()).await;
            let id = norce.simulator.add_company(firm(&text, "1"));
            norce.simulator.add_company(firm(&format!("{text}x"), "2"));
            let filter = format!("Name eq '{}'", text.replace('\'', "''"));
            assert_eq!(norce.ids("Customers/Companies", &filter).await, [id]);
        });
    }

    #[test]
    fn no_filter_makes_it_fall_over(filter in "[ -~]{0,40}") {
        let status = in_runtime(async {
            let norce = norce(Settings::default()).await;
            norce.query("Customers/Customers", &[("$filter", &filter)]).await.0
        });
        prop_assert!(status == 200 || status == 400);
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_is_paged_by_absolute_links_that_carry_every_option() {
    let norce = norce(Settings {
        page_size: 2,
        ..Settings::default()
    })
    .await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(
            norce
                .simulator
                .add_customer(person("A", &format!("{number}@example.com"))),
        );
    }
    let options = [
        ("$filter", "IsActive eq true and LastName eq 'Ek'"),
        ("$select", "Id"),
        ("$expand", "Companies($select=CompanyId)"),
        ("$orderby", "Id desc"),
    ];
    let (_, mut page) = norce.query("Customers/Customers", &options).await;
    let mut seen = Vec::new();
    loop {
        for row in page["value"].as_array().unwrap() {
            assert_eq!(row.as_object().unwrap().len(), 2, "{row}");
            seen.push(row["Id"].as_i64().unwrap());
        }
        let Some(next) = page["@odata.nextLink"].as_str() else {
            break;
        };
        let path = next.strip_prefix("http://norce.example").unwrap();
        let (status, body) = norce.get(path).await;
        assert_eq!(status, 200, "{path}: {body}");
        page = body;
    }
    ids.reverse();
    assert_eq!(seen, ids);
    let (_, cut) = norce.query("Customers/Customers", &[("$top", "4")]).await;
    assert_eq!(cut["value"].as_array().unwrap().len(), 2);
    assert!(cut.get("@odata.nextLink").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_read_shows_the_documented_properties_and_expands_what_is_asked_for() {
    let norce = norce(Settings::default()).await;
    let simulator = &norce.simulator;
    let anna = simulator.add_customer(NewCustomer {
        invoice_address: Some(NewAddress {
            line1: some("Storgatan 1"),
            country_code: some("SE"),
            ..NewAddress::default()
        }),
        ..person("Anna", "anna@example.com")
    });
    let acme = simulator.add_company(firm("Acme AB", "556016-0680"));
    let other = simulator.add_company(firm("Other AB", "556036-0793"));
    simulator.link(anna, acme, true);
    simulator.link(anna, other, false);
    let path = format!(
        "/commerce/Query/2.0/customers/customers({anna})?$expand=Addresses,Companies($filter=IsPrimary%20eq%20true;$expand=Company($select=Id,NormalizedOrganizationNo)),Flags,Account"
    );
    let (status, body) = norce.get(&path).await;
    assert_eq!(status, 200, "{body}");
    assert!(body.get("@odata.context").is_none());
    assert_eq!(
        body["Companies"][0]["Company"],
        json!({"Id": acme, "NormalizedOrganizationNo": "5560160680"})
    );
    assert_eq!(body["Companies"].as_array().unwrap().len(), 1);
    assert_eq!(body["Addresses"][0]["CustomerId"], anna);
    assert_eq!(body["Addresses"][0]["CountryId"], 1);
    assert_eq!((&body["Flags"], &body["Account"]), (&json!([]), &json!([])));
    for property in [
        "CustomerCode",
        "IsForgotten",
        "LastOrderDate",
        "CrmId",
        "Updated",
    ] {
        assert!(body.get(property).is_some(), "{property}");
    }
    for absent in ["Code", "Infos", "Orders"] {
        assert!(body.get(absent).is_none(), "{absent}");
    }
    let pair = format!(
        "/commerce/query/2.0/Customers/CustomerCompanies(CustomerId={anna},CompanyId={acme})"
    );
    assert_eq!(norce.get(&pair).await.1["IsPrimary"], true);
    for (path, status) in [
        ("Customers/Customers(9999)", 404),
        ("Customers/Customers('x')", 400),
        ("Customers/Addresses", 404),
        ("Orders/OrderItems", 404),
        ("Core/Countries(1)", 200),
        ("Customers/Customers?$count=true", 400),
        ("Customers/Customers?$select=Nonsense", 400),
        ("Customers/Customers?$expand=Orders", 400),
        (
            "Customers/Customers?$expand=Companies($expand=Company($expand=Customers($expand=Customer)))",
            400,
        ),
        ("Customers/Customers?$top=-1", 400),
        ("Customers/Customers?$top=1&$top=2", 400),
        ("Customers/Customers?filter=Id%20eq%201", 400),
    ] {
        let (answered, body) = norce.get(&format!("/commerce/query/2.0/{path}")).await;
        assert_eq!(answered, status, "{path}: {body}");
    }
}

#[tokio::test(start_paused = true)]
async fn query_without_an_application_answers_500() {
    let norce = norce(Settings::default()).await;
    let ask = |name: &'static str| {
        let request = Request::get("/commerce/query/2.0/Core/Applications")
            .header("authorization", format!("Bearer {}", norce.token))
            .header(name, "1");
        norce.call(request.body(Body::empty()).unwrap())
    };
    assert_eq!(ask("application-id").await.0, 200);
    assert_eq!(ask("applicationId").await.0, 200);
    assert_eq!(ask("x-other").await.0, 500);
    norce
        .simulator
        .configure(|settings| settings.query_needs_application = false);
    assert_eq!(ask("x-other").await.0, 200);
}

// Imports

#[tokio::test(start_paused = true)]
async fn only_listed_fields_are_written_and_the_rest_is_noted() {
    let norce = norce(Settings::default()).await;
    let anna = norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    let row = json!([{"Id": anna, "Code": "C-1"}]);
    assert_eq!(
        norce.import_customers(&["Id", "Code"], row).await,
        JobStatus::Succeeded
    );
    let row = norce.simulator.customer(anna).unwrap().row;
    assert_eq!(
        (row.customer_code, row.first_name),
        (some("C-1"), some("Anna"))
    );
    assert_eq!(norce.simulator.contract_notes(), [""; 0]);

    let row = json!([{"Id": anna, "FirstName": "Eve"}]);
    norce.import_customers(&["Id", "LastName"], row).await;
    let row = norce.simulator.customer(anna).unwrap().row;
    assert_eq!((row.first_name, row.last_name), (some("Anna"), None));
    let notes = norce.simulator.contract_notes();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes
            .iter()
            .any(|note| note.contains("FirstName is sent but not listed"))
    );
    assert!(
        notes
            .iter()
            .any(|note| note.contains("LastName is listed but not sent"))
    );
}

/// norce-api §3.3: what a row leaves out of an address is emptied, but for `IsPrimary`. A delivery address is known again by
/// its `Code`.
#[tokio::test(start_paused = true)]
async fn an_address_is_imported_whole_and_query_shows_all_of_it() {
    let norce = norce(Settings::default()).await;
    let address = |line1: &str, code: &str| NewAddress {
        line1: some(line1),
        gln: some("7300000000001"),
        shipping_phone: some("08-1"),
        code: some(code),
        is_primary: true,
        ..NewAddress::default()
    };
    let id = norce.simulator.add_customer(NewCustomer {
        invoice_address: Some(address("Storgatan 1", "i")),
        delivery_addresses: vec![address("Lagret 1", "d"), address("Lagret 2", "e")],
        ..person("Anna", "anna@example.com")
    });
    let shown = async || {
        let select = "Addresses($select=AddressLine1,Gln,ShippingPhoneNumber,Code,IsPrimary)";
        let options = [("$filter", "Id gt 0"), ("$expand", select)];
        let (_, body) = norce.query("Customers/Customers", &options).await;
        let rows = body["value"][0]["Addresses"].as_array().unwrap().clone();
        let text = |row: &Value| {
            [
                "AddressLine1",
                "Gln",
                "ShippingPhoneNumber",
                "Code",
                "IsPrimary",
            ]
            .map(|name| match &row[name] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            })
            .join(" ")
        };
        rows.iter().map(text).collect::<Vec<String>>()
    };
    let delivery = || {
        let record = norce.simulator.customer(id).unwrap();
        let addresses = record.details.addresses.into_iter();
        let mut ids: Vec<i64> = addresses.map(|address| address.id).collect();
        ids.remove(0);
        ids
    };
    assert_eq!(
        shown().await,
        [
            "Storgatan 1 7300000000001 08-1 i true",
            "Lagret 1 7300000000001 08-1 d true",
            "Lagret 2 7300000000001 08-1 e true",
        ]
    );
    let before = delivery();
    let fields = ["Id", "InvoiceAddress", "DeliveryAddresses"];
    let row = json!([{
        "Id": id, "InvoiceAddress": {"AddressLine1": "Storgatan 2"},
        "DeliveryAddresses": [
            {"AddressLine1": "Lagret 9", "Code": "d", "Gln": "7300000000002", "ShippingPhoneNumber": "08-2"},
            {"AddressLine1": "Lagret 2"},
        ],
    }]);
    norce.import_customers(&fields, row).await;
    assert_eq!(
        shown().await,
        [
            "Storgatan 2 null null null true",
            "Lagret 9 7300000000002 08-2 d true",
            "Lagret 2 null null null false",
        ]
    );
    let after = delivery();
    assert_eq!(after[0], before[0], "known again by its code");
    assert_ne!(after[1], before[1], "nothing of it is repeated");
    let row = json!([{"Id": id, "InvoiceAddress": {"Code": "c".repeat(51)}}]);
    norce.import_customers(&["Id", "InvoiceAddress"], row).await;
    assert_eq!(
        norce.last_errors()[0].0,
        "Code is longer than 50 characters"
    );

    norce.simulator.configure(|settings| {
        settings.query_lacks = vec![("CustomerAddress", "Gln")];
    });
    let (status, _) = norce
        .query(
            "Customers/Customers",
            &[("$expand", "Addresses($select=Gln)")],
        )
        .await;
    assert_eq!(status, 400);
    let (_, body) = norce
        .query("Customers/Customers", &[("$expand", "Addresses")])
        .await;
    let row = &body["value"][0]["Addresses"][0];
    assert!(row.get("Gln").is_none(), "{row}");
    assert!(row.get("Code").is_some(), "{row}");
}

#[tokio::test(start_paused = true)]
async fn rows_match_by_id_then_code_then_natural_key() {
    let norce = norce(Settings::default()).await;
    let simulator = &norce.simulator;
    let anna = simulator.add_customer(person("Anna", "anna@example.com"));
    let acme = simulator.add_company(firm("Acme AB", "556016-0680"));
    let code = |id: i64| simulator.customer(id).unwrap().row.customer_code;
    let by_email = json!([{"EmailAddress": "ANNA@example.com", "Title": "Dr"}]);
    norce
        .import_customers(&["EmailAddress", "Title"], by_email)
        .await;
    assert_eq!(simulator.customer(anna).unwrap().row.title, some("Dr"));
    // A code that is given leads nowhere else: this is an insert, and it is not complete.
    let fields = ["Code", "EmailAddress"];
    let row = json!([{"Code": "C-1", "EmailAddress": "anna@example.com"}]);
    norce.import_customers(&fields, row).await;
    assert_eq!((code(anna), norce.last_errors().len()), (None, 1));
    norce
        .import_customers(&["Id", "Code"], json!([{"Id": anna, "Code": "C-1"}]))
        .await;
    norce
        .import_customers(
            &["Code", "Title"],
            json!([{"Code": "C-1", "Title": "Prof"}]),
        )
        .await;
    assert_eq!(simulator.customer(anna).unwrap().row.title, some("Prof"));
    norce
        .import_customers(&["Id", "Code"], json!([{"Id": 9999, "Code": "C-9"}]))
        .await;
    assert_eq!(
        norce.last_errors()[0].0,
        "There is no customer with Id 9999"
    );
    // An id that is sent but not listed leads nowhere.
    let row = json!([{"Id": 9999, "Code": "C-1", "Title": "Ms"}]);
    norce.import_customers(&["Code", "Title"], row).await;
    assert_eq!(simulator.customer(anna).unwrap().row.title, some("Ms"));
    let row = json!([{"OrganizationNo": "5560160680", "VatNo": "SE556016068001"}]);
    norce
        .import_companies(&["OrganizationNo", "VatNo"], row)
        .await;
    assert_eq!(
        simulator.company(acme).unwrap().row.vat_no,
        some("SE556016068001")
    );
    simulator.add_company(firm("Acme Nord AB", "5560160680"));
    let row = json!([{"OrganizationNo": "5560160680", "VatNo": null}]);
    norce
        .import_companies(&["OrganizationNo", "VatNo"], row)
        .await;
    assert_eq!(
        norce.last_errors()[0].0,
        "More than one company has this key"
    );
}

#[tokio::test(start_paused = true)]
async fn an_insert_needs_its_fields_and_no_twin() {
    let norce = norce(Settings::default()).await;
    let fields = ["Code", "FirstName", "LastName", "EmailAddress"];
    let row = |code: &str, email: &str| json!([{"Code": code, "FirstName": "Bo", "LastName": "Ek", "EmailAddress": email}]);
    norce
        .import_customers(&fields, row("C-1", "bo@example.com"))
        .await;
    assert_eq!(norce.simulator.customers().len(), 1);
    assert!(norce.simulator.customers()[0].row.is_active);
    norce
        .import_customers(&fields, row("C-2", "BO@example.com"))
        .await;
    assert_eq!(norce.simulator.customers().len(), 1);
    let by_code = [&fields[..], &["SearchOnlyByCode"]].concat();
    norce
        .import_customers(&by_code, row("C-2", "BO@example.com"))
        .await;
    assert_eq!(norce.simulator.customers().len(), 2);
    norce.import_customers(&fields, row("C-3", "")).await;
    assert_eq!(
        norce.last_errors()[0].0,
        "A new customer needs EmailAddress"
    );
    let second = norce.simulator.customers()[1].row.id;
    norce
        .import_customers(&["Id", "Code"], json!([{"Id": second, "Code": "C-1"}]))
        .await;
    assert_eq!(
        norce.last_errors()[0].0,
        "The code C-1 belongs to another customer"
    );
    assert_eq!(norce.simulator.contract_notes(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_relation_list_replaces_unless_it_is_a_delta() {
    let norce = norce(Settings::default()).await;
    let simulator = &norce.simulator;
    let anna = simulator.add_customer(person("Anna", "anna@example.com"));
    let bo = simulator.add_customer(person("Bo", "bo@example.com"));
    let [first, second, third] =
        ["1", "2", "3"].map(|number| simulator.add_company(firm(number, number)));
    simulator.link(anna, first, true);
    let fields = ["Id", "Companies"];
    let delta = json!([{"Id": anna, "IsCompanyListDelta": true, "Companies": [{"Id": second}]}]);
    norce.import_customers(&fields, delta).await;
    assert_eq!(simulator.companies_of(anna), [first, second].into());
    let primary = json!([{"Id": anna, "IsCompanyListDelta": true, "Companies": [
        {"OrganizationNo": "2", "IsPrimary": true}, {"Id": third, "IsPrimary": true},
    ]}]);
    norce.import_customers(&fields, primary).await;
    let primaries: Vec<i64> = simulator
        .relations()
        .iter()
        .filter(|relation| relation.is_primary)
        .map(|relation| relation.company_id)
        .collect();
    assert_eq!(primaries, [second]);
    let replace = json!([{"Id": anna, "Companies": [{"Id": third}]}]);
    norce.import_customers(&fields, replace).await;
    assert_eq!(simulator.companies_of(anna), [third].into());
    let missing = json!([{"Id": anna, "Companies": [{"Id": 9999}]}]);
    norce.import_customers(&fields, missing).await;
    assert_eq!(simulator.companies_of(anna), [third].into());
    assert_eq!(norce.last_errors().len(), 1);
    let contacts = json!([{"Id": third, "Customers": [{"Id": bo}]}]);
    norce.import_companies(&["Id", "Customers"], contacts).await;
    assert_eq!(
        (simulator.companies_of(anna), simulator.companies_of(bo)),
        ([].into(), [third].into())
    );
}

#[tokio::test(start_paused = true)]
async fn flags_are_replaced_unless_they_are_preserved() {
    let norce = norce(Settings::default()).await;
    let anna = norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    let flags = || {
        let record = norce.simulator.customer(anna).unwrap();
        record
            .details
            .flags
            .iter()
            .map(|flag| flag.flag_id)
            .collect::<Vec<_>>()
    };
    let row = |code: &str| json!([{"Id": anna, "Flags": [{"Code": code}]}]);
    norce.import_customers(&["Id", "Flags"], row("VIP")).await;
    norce
        .import_customers(&["Id", "Flags", "PreserveFlags"], row("STAFF"))
        .await;
    assert_eq!(flags(), [1, 2]);
    norce.import_customers(&["Id", "Flags"], row("STAFF")).await;
    assert_eq!(flags(), [2]);
    norce
        .simulator
        .configure(|settings| settings.jobs.unknown_references_fail = true);
    norce.import_customers(&["Id", "Flags"], row("NONE")).await;
    assert_eq!((flags(), norce.last_errors().len()), (vec![2], 1));
}

#[tokio::test(start_paused = true)]
async fn what_norce_does_not_know_is_left_out_of_a_row_with_a_warning() {
    for (rows, shown) in [
        (
            ImportedRows::Whole,
            Some(r#"{"Flags":[{"Code":"NONE"}],"Id":1,"Title":"Dr"}"#),
        ),
        (ImportedRows::Truncated(9), Some(r#"{"Flags":"#)),
        (ImportedRows::Null, None),
    ] {
        let norce = norce(Settings::default()).await;
        let simulator = &norce.simulator;
        simulator.configure(|settings| settings.jobs.imported_rows = rows);
        let anna = simulator.add_customer(person("Anna", "anna@example.com"));
        let row = json!([{"Id": anna, "Title": "Dr", "Flags": [{"Code": "NONE"}]}]);
        let status = norce.import_customers(&["Id", "Title", "Flags"], row).await;
        assert_eq!(status, JobStatus::Succeeded);
        let job = simulator.jobs().pop().unwrap();
        let severities: Vec<i64> = job.log.iter().map(|line| line.severity_id).collect();
        assert_eq!((job.fail, severities), (0, vec![1, 2, 1]));
        assert_eq!(job.log[1].imported_row.as_deref(), shown);
        assert_eq!(simulator.customer(anna).unwrap().row.title, some("Dr"));
    }
}

#[tokio::test(start_paused = true)]
async fn companies_of_a_customer_and_their_fields_need_each_other() {
    let norce = norce(Settings::default()).await;
    let anna = norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    let acme = norce.simulator.add_company(firm("Acme", "1"));
    let row = json!([{"Id": anna, "IsCompanyListDelta": true, "Companies": [{"Id": acme}]}]);
    let import = async |customers: &[&str], companies: &[&str]| {
        let mut header =
            json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": customers});
        if !companies.is_empty() {
            header["CompanyFieldsThatAreSet"] = json!(companies);
        }
        let answer = norce
            .post_import("ImportCustomers", header, row.to_string())
            .await;
        norce.simulator.settled().await;
        answer.0
    };
    assert_eq!(import(&["Id", "Companies"], &[]).await, 400);
    assert_eq!(import(&["Id"], &["Id"]).await, 400);
    // An identifier that is not listed is not read.
    assert_eq!(import(&["Id", "Companies"], &["Code"]).await, 200);
    assert_eq!(norce.simulator.companies_of(anna), [].into());
    assert_eq!(import(&["Id", "Companies"], &["Id"]).await, 200);
    assert_eq!(norce.simulator.companies_of(anna), [acme].into());
}

#[tokio::test(start_paused = true)]
async fn jobs_are_asked_for_at_one_of_two_paths() {
    for (paths, there, elsewhere) in [
        (JobPaths::BelowApi, "api/Job", "Job"),
        (JobPaths::Direct, "Job", "api/Job"),
    ] {
        let norce = norce(Settings::default()).await;
        norce
            .simulator
            .configure(|settings| settings.jobs.paths = paths);
        let anna = norce
            .simulator
            .add_customer(person("Anna", "anna@example.com"));
        norce
            .import_customers(&["Id", "Code"], json!([{"Id": anna, "Code": "C"}]))
            .await;
        for method in ["Get", "GetLog"] {
            let status = async |path: &str| {
                let path = format!("/commerce/connect/4.0/{path}/{method}?id=1");
                norce.get(&path).await.0
            };
            assert_eq!(
                (status(there).await, status(elsewhere).await),
                (StatusCode::OK, StatusCode::NOT_FOUND)
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_breaks_the_contract_is_refused() {
    let norce = norce(Settings::default()).await;
    let row = r#"[{"Id": 1, "Code": "C"}]"#;
    let good = json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": [1, "Code"]});
    let refused = [
        (json!({"CustomerFieldsThatAreSet": ["Id"]}), row),
        (
            json!({"AccountId": 1, "CustomerFieldsThatAreSet": ["Id"]}),
            row,
        ),
        (json!({"AccountId": SYSTEM_ACCOUNT}), row),
        (
            json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": []}),
            row,
        ),
        (
            json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": ["Nonsense"]}),
            row,
        ),
        (
            json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": [99]}),
            row,
        ),
        (
            json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": ["Id"], "FullFile": true}),
            row,
        ),
        (json!("text"), row),
        (good.clone(), "[]"),
        (good.clone(), "{"),
        (good.clone(), "[1]"),
        (good.clone(), r#"[{"Id": "1"}]"#),
        (good.clone(), r#"[{"CustomerCode": "C"}]"#),
        (good.clone(), r#"[{"ApplicationKey": 1}]"#),
    ];
    for (header, body) in refused {
        let (status, answer) = norce
            .post_import("ImportCustomers", header.clone(), body)
            .await;
        assert_eq!(status, 400, "{header} {body}");
        assert!(answer["Message"].is_string());
    }
    let (status, _) = norce
        .post_import("ImportCompanies", good.clone(), row)
        .await;
    assert_eq!(status, 400);
    assert!(norce.simulator.imports().is_empty() && norce.simulator.jobs().is_empty());

    let concatenated = r#"{"Id": 1, "Code": "C"}{"Id": 2, "Code": "D"}"#;
    let (status, answer) = norce
        .post_import("ImportCustomers", good, concatenated)
        .await;
    assert_eq!((status, &answer["JobId"]), (StatusCode::OK, &json!("1")));
    assert_eq!(norce.simulator.imports()[0].rows.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_company_without_an_application_key_fails_the_validation_of_its_job() {
    let norce = norce(Settings::default()).await;
    let acme = norce.simulator.add_company(firm("Acme AB", "1"));
    let header = json!({"AccountId": SYSTEM_ACCOUNT, "CompanyFieldsThatAreSet": ["Id", "Code"]});
    let rows = json!([{"Id": acme, "Code": "K-1"}]).to_string();
    let (_, answer) = norce.post_import("ImportCompanies", header, rows).await;
    assert_eq!(answer["ValidationSummary"]["NrOfValidationFailures"], 1);
    norce.simulator.settled().await;
    assert_eq!(
        norce.simulator.jobs()[0].status,
        JobStatus::ValidationFailed
    );
    assert_eq!(
        norce.simulator.company(acme).unwrap().row.company_code,
        None
    );
}

#[tokio::test(start_paused = true)]
async fn applications_have_registers_of_their_own_where_they_are_set_up_so() {
    let norce = norce(Settings {
        customers_by_application: true,
        ..Settings::default()
    })
    .await;
    let simulator = &norce.simulator;
    let customer = |application| NewCustomer {
        application_id: Some(application),
        ..person("Anna", "anna@example.com")
    };
    let (first, second) = (
        simulator.add_customer(customer(1)),
        simulator.add_customer(customer(2)),
    );
    let row =
        json!([{"ApplicationKey": SECOND_KEY, "EmailAddress": "anna@example.com", "Title": "Dr"}]);
    norce
        .import_customers(&["ApplicationKey", "EmailAddress", "Title"], row)
        .await;
    let title = |id| simulator.customer(id).unwrap().row.title;
    assert_eq!((title(first), title(second)), (None, some("Dr")));
    let row = json!([{"ApplicationKey": SECOND_KEY, "Id": first, "Code": "C"}]);
    norce
        .import_customers(&["ApplicationKey", "Id", "Code"], row)
        .await;
    assert_eq!(norce.last_errors().len(), 1);
    let events = norce.posted(EventType::CustomerChanged);
    assert_eq!(events.last().unwrap()["ApplicationId"], 2);
}

// Jobs

#[tokio::test(start_paused = true)]
async fn a_job_goes_from_initialized_to_its_end_and_says_so() {
    let norce = norce(Settings::default()).await;
    let anna = norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    norce.simulator.settled().await;
    let header = json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": ["Id", "Code"]});
    let rows = json!([{"Id": anna, "Code": "C-1"}, {"Id": 9999, "Code": "C-2"}]);
    norce
        .post_import("ImportCustomers", header, rows.to_string())
        .await;
    let state = async || {
        let (status, job) = norce.get("/commerce/connect/4.0/api/Job/Get?id=1").await;
        assert_eq!(status, 200);
        job
    };
    assert_eq!(state().await["StatusId"], 1);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let queued = state().await;
    assert_eq!(
        (&queued["StatusId"], &queued["IsFinished"], &queued["Stop"]),
        (&json!(6), &json!(false), &Value::Null)
    );
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(state().await["StatusId"], 5);
    norce.simulator.settled().await;
    let done = state().await;
    assert_eq!(done["StatusId"], 2);
    assert_eq!(
        (
            &done["Totals"],
            &done["Fail"],
            &done["Insert"],
            &done["Updates"]
        ),
        (&json!(2), &json!(1), &json!(0), &json!(1))
    );
    assert_eq!(done["RunTime"], "00:00:02.0000000");
    let (_, log) = norce.get("/commerce/connect/4.0/api/Job/GetLog?id=1").await;
    let error = log
        .as_array()
        .unwrap()
        .iter()
        .find(|line| line["SeverityId"] == 3)
        .unwrap();
    let row: Value = serde_json::from_str(error["ImportedRow"].as_str().unwrap()).unwrap();
    assert_eq!(row, json!({"Id": 9999, "Code": "C-2"}));
    let completed = norce.posted(EventType::JobCompleted);
    assert_eq!(
        completed,
        [json!({"ClientId": 1006, "JobId": 1, "StatusId": 2})]
    );
    assert_eq!(
        norce.get("/commerce/connect/4.0/api/Job/Get?id=99").await.0,
        404
    );
    assert_eq!(norce.get("/commerce/connect/4.0/api/Job/Get").await.0, 400);
    assert_eq!(norce.get("/commerce/connect/4.0/Job/Ping").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn poison_rows_do_what_their_mode_says() {
    // Mode, final status, rows that fail, good row imported, lines of the log that name their row.
    let cases = [
        (PoisonMode::RowFails, JobStatus::Succeeded, 1, true, 1),
        (PoisonMode::RowFailsJobFails, JobStatus::Failed, 1, true, 1),
        (PoisonMode::JobFails, JobStatus::Failed, 2, false, 0),
        (
            PoisonMode::ValidationFails,
            JobStatus::ValidationFailed,
            1,
            false,
            1,
        ),
    ];
    for (mode, status, fail, imported, named) in cases {
        let norce = norce(Settings::default()).await;
        let good = norce
            .simulator
            .add_customer(person("Anna", "anna@example.com"));
        let bad = norce.simulator.add_customer(person("Bo", "bo@example.com"));
        norce.simulator.poison(Poison {
            rows: PoisonRows::Ids([bad].into()),
            mode,
            message: "Object reference not set to an instance of an object".to_owned(),
        });
        let rows = json!([{"Id": good, "Code": "C-1"}, {"Id": bad, "Code": "C-2"}]);
        assert_eq!(
            norce.import_customers(&["Id", "Code"], rows).await,
            status,
            "{mode:?}"
        );
        let job = norce.simulator.jobs().remove(0);
        assert_eq!(job.fail, fail, "{mode:?}");
        let code = |id| norce.simulator.customer(id).unwrap().row.customer_code;
        assert_eq!(
            (code(good).is_some(), code(bad)),
            (imported, None),
            "{mode:?}"
        );
        let lines = norce.last_errors();
        let with_row = lines.iter().filter(|(_, row)| row.is_some()).count();
        assert_eq!((lines.len(), with_row), (1, named), "{mode:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_can_be_imported_with_a_warning() {
    let norce = norce(Settings::default()).await;
    let id = norce.simulator.add_customer(person("Bo", "bo@example.com"));
    norce.simulator.poison(Poison {
        rows: PoisonRows::Ids([id].into()),
        mode: PoisonMode::RowWarns,
        message: "the price list is unknown".to_owned(),
    });
    let rows = json!([{"Id": id, "Code": "C-2"}]);
    let status = norce.import_customers(&["Id", "Code"], rows).await;
    let job = norce.simulator.jobs().remove(0);
    assert_eq!((status, job.fail), (JobStatus::Succeeded, 0));
    let customer = norce.simulator.customer(id).unwrap().row;
    assert_eq!(customer.customer_code.as_deref(), Some("C-2"));
    let warnings = job.log.iter().filter(|line| line.severity_id == 2);
    assert_eq!(warnings.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn jobs_can_stay_queued_and_their_end_can_be_kept_quiet() {
    let mut settings = Settings::default();
    settings.events.job_completed = false;
    settings.events.echo_of_imports = false;
    let norce = norce(settings).await;
    let anna = norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    norce
        .import_customers(&["Id", "Code"], json!([{"Id": anna, "Code": "C-1"}]))
        .await;
    assert_eq!(
        norce.posts.lock().unwrap().len(),
        1,
        "only the new customer's own"
    );
    norce
        .simulator
        .configure(|settings| settings.jobs.never_finish = true);
    let status = norce
        .import_customers(&["Id", "Code"], json!([{"Id": anna, "Code": "C-2"}]))
        .await;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!(status, JobStatus::Queued);
    assert_eq!(
        norce.simulator.customer(anna).unwrap().row.customer_code,
        some("C-1")
    );
}

// Events

#[tokio::test(start_paused = true)]
async fn changes_orders_and_imports_raise_their_events() {
    let norce = norce(Settings::default()).await;
    let simulator = &norce.simulator;
    let anna = simulator.add_customer(person("Anna", "anna@example.com"));
    simulator.change_customer(anna, |record| record.row.phone_number = some("08-1"));
    simulator.change_customer(anna, |_| {});
    let order = simulator.place_order(NewOrder {
        application_id: 1,
        customer: Some(anna),
        ..NewOrder::default()
    });
    simulator.confirm_order(order.id, "E-1");
    norce
        .import_customers(&["Id", "Code"], json!([{"Id": anna, "Code": "C-1"}]))
        .await;
    // The same again changes nothing.
    norce
        .import_customers(&["Id", "Code"], json!([{"Id": anna, "Code": "C-1"}]))
        .await;
    let changed = json!({"ClientId": 1006, "CustomerId": anna, "EntityChanged": "tClientCustomer"});
    assert_eq!(norce.posted(EventType::CustomerChanged), vec![changed; 3]);
    let received = norce.posted(EventType::OrderReceived).remove(0);
    assert_eq!(received["ClientOrderRef"], order.client_order_ref);
    assert!(received.get("OrderId").is_none() && received.get("CustomerId").is_none());
    let confirmed = norce.posted(EventType::OrderConfirmed).remove(0);
    assert_eq!(
        (&confirmed["OrderId"], &confirmed["OrderNo"]),
        (&json!(order.id), &json!("E-1"))
    );
    assert_eq!(norce.posted(EventType::JobCompleted).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_order_leads_to_its_buyer_unless_it_was_a_guest() {
    let norce = norce(Settings {
        order_delay: Duration::from_secs(30),
        ..Settings::default()
    })
    .await;
    let simulator = &norce.simulator;
    let anna = simulator.add_customer(person("Anna", "anna@example.com"));
    let acme = simulator.add_company(firm("Acme AB", "556016-0680"));
    let order = |guest| {
        simulator.place_order(NewOrder {
            application_id: 1,
            customer: Some(anna),
            company: Some(acme),
            guest,
            items: vec![("P-1".to_owned(), 100.0)],
            ..NewOrder::default()
        })
    };
    let (known, guest) = (order(false), order(true));
    let by_reference = format!("QuotationId eq {}", known.client_order_ref);
    assert_eq!(norce.ids("Orders/Orders", &by_reference).await, [0; 0]);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(norce.ids("Orders/Orders", &by_reference).await, [known.id]);
    let read = async |id: i64| {
        let path = format!(
            "/commerce/query/2.0/Orders/Orders({id})?$expand=Items,Payer,Buyer,ShipTo,Infos"
        );
        norce.get(&path).await.1
    };
    let known = read(known.id).await;
    assert_eq!(
        (&known["BuyerCustomerId"], &known["PayerCompanyId"]),
        (&json!(anna), &json!(acme))
    );
    assert_eq!(known["Items"][0]["PartNo"], "P-1");
    let guest = read(guest.id).await;
    assert_eq!(
        (&guest["BuyerCustomerId"], &guest["PayerCustomerId"]),
        (&Value::Null, &Value::Null)
    );
    assert_eq!(guest["Buyer"]["EmailAddress"], "anna@example.com");
    assert!(
        simulator
            .customer(anna)
            .unwrap()
            .row
            .last_order_date
            .is_some()
    );
}

#[tokio::test(start_paused = true)]
async fn a_post_is_tried_again_up_the_ladder_and_then_dead() {
    let norce = norce_with(Settings::default(), vec![500]).await;
    let start = Instant::now();
    norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    norce.simulator.settled().await;
    let delivery = norce.simulator.deliveries().remove(0);
    assert_eq!(delivery.state, DeliveryState::Dead);
    let pauses: Vec<Duration> = delivery
        .attempts
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at)
        .collect();
    assert_eq!(pauses, RETRY_DELAYS);
    assert_eq!(start.elapsed(), RETRY_DELAYS.iter().sum::<Duration>());
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_answered_in_time_with_20x_is_delivered() {
    let mut settings = Settings::default();
    settings.events.time_scale = 0.1;
    let norce = norce_with(settings, vec![503, 301, 400, 204]).await;
    let start = Instant::now();
    norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    norce.simulator.settled().await;
    let delivery = norce.simulator.deliveries().remove(0);
    assert_eq!(
        (delivery.state, delivery.attempts.len()),
        (DeliveryState::Delivered, 4)
    );
    assert_eq!(
        start.elapsed(),
        Duration::from_secs(3),
        "5 + 10 + 15 seconds at a tenth"
    );

    let late = |_: EventPost| async {
        tokio::time::sleep(Duration::from_secs(6)).await;
        Ok(200)
    };
    let simulator = NorceSimulator::new(Settings::default(), Arc::new(late));
    simulator.subscribe_all("http://127.0.0.1:9", &[]);
    simulator.add_customer(NewCustomer::default());
    simulator.settled().await;
    let delivery = simulator.deliveries().remove(0);
    assert_eq!(delivery.state, DeliveryState::Dead);
    assert!(
        delivery
            .attempts
            .iter()
            .all(|attempt| attempt.outcome.is_err())
    );
}

#[tokio::test(start_paused = true)]
async fn events_can_be_duplicated_reordered_and_lost() {
    let mut settings = Settings::default();
    settings.events.copies = 3;
    settings.events.reorder_within = Duration::from_secs(60);
    let norce = norce(settings).await;
    let ids: Vec<i64> = (0..20)
        .map(|_| norce.simulator.add_customer(NewCustomer::default()))
        .collect();
    norce.simulator.settled().await;
    let arrived: Vec<i64> = norce
        .posted(EventType::CustomerChanged)
        .iter()
        .map(|body| body["CustomerId"].as_i64().unwrap())
        .collect();
    for id in &ids {
        assert_eq!(arrived.iter().filter(|other| *other == id).count(), 3);
    }
    assert!(!arrived.is_sorted());
    norce
        .simulator
        .configure(|settings| settings.events.drop_chance = 1.0);
    norce.simulator.add_customer(NewCustomer::default());
    norce.simulator.unsubscribe(EventType::CompanyChanged);
    norce.simulator.add_company(NewCompany::default());
    norce.simulator.settled().await;
    assert_eq!(norce.posted(EventType::CustomerChanged).len(), 60);
    let states: Vec<DeliveryState> = norce.simulator.deliveries()[60..]
        .iter()
        .map(|delivery: &Delivery| delivery.state)
        .collect();
    let dropped = [DeliveryState::Dropped; 3];
    assert_eq!(
        (&states[..3], states[3]),
        (&dropped[..], DeliveryState::NotSubscribed)
    );
}

#[tokio::test(start_paused = true)]
async fn a_filter_may_ask_whether_any_related_row_fits() {
    let norce = norce(Settings {
        query_flag_times: false,
        ..Settings::default()
    })
    .await;
    let [anna, bo] = ["Anna", "Bo"].map(|name| {
        let email = format!("{name}@example.com");
        norce.simulator.add_customer(person(name, &email))
    });
    let company = norce.simulator.add_company(NewCompany::default());
    norce.simulator.link(anna, company, false);
    let of = |filter: &str| {
        let filter = filter.to_owned();
        let norce = &norce;
        async move { norce.ids("Customers/Customers", &filter).await }
    };
    assert_eq!(
        of(&format!("Companies/any(c:c/CompanyId eq {company})")).await,
        [anna]
    );
    assert_eq!(
        of("Companies/any(row: row/IsPrimary or row/CompanyId eq 0)").await,
        [0; 0]
    );
    let or_bo = format!("FirstName eq 'Bo' or Companies/any(c:c/CompanyId eq {company})");
    assert_eq!(of(&or_bo).await, [anna, bo]);
    assert_eq!(of("Flags/any(f:f/IsActive)").await, [0; 0]);
    for filter in [
        "Companies/any()",
        "Companies/any(CompanyId eq 1)",
        "Companies/any(c:CompanyId eq 1)",
        "Companies/any(c:d/CompanyId eq 1)",
        "Companies/any(c:c/CompanyId)",
        "Companies/any(c:c/Nonsense eq 1)",
        "Companies/all(c:c/CompanyId eq 1)",
        "Nonsense/any(c:c/CompanyId eq 1)",
        "Flags/any(f:f/Updated ge 2026-11-23T10:00:00Z)",
    ] {
        let query = [("$filter", filter)];
        let (status, _) = norce.query("Customers/Customers", &query).await;
        assert_eq!(status, 400, "{filter}");
    }
}

#[tokio::test(start_paused = true)]
async fn rows_that_belong_to_a_customer_have_times_of_their_own() {
    for moves_parents in [false, true] {
        let norce = norce(Settings {
            child_changes_move_parents: moves_parents,
            ..Settings::default()
        })
        .await;
        let simulator = &norce.simulator;
        let anna = simulator.add_customer(person("Anna", "anna@example.com"));
        let company = simulator.add_company(NewCompany::default());
        let flag = Flag {
            flag_id: 1,
            ..Flag::default()
        };
        simulator.change_customer(anna, |it| it.details.flags.push(flag));
        simulator.link(anna, company, false);
        let made = simulator.now();
        let row = |id| simulator.customer(id).unwrap();
        assert_eq!(row(anna).details.flags[0].created, made);
        assert_eq!(row(anna).details.flags[0].updated, None);
        tokio::time::sleep(Duration::from_secs(60)).await;
        simulator.change_customer(anna, |it| it.details.flags[0].is_active = true);
        simulator.link(anna, company, true);
        let changed = Some(simulator.now());
        assert_ne!(changed, Some(made));
        assert_eq!(row(anna).details.flags[0].updated, changed);
        let relation = &simulator.relations()[0];
        assert_eq!((relation.created, relation.updated), (made, changed));
        let moved = simulator.company(company).unwrap().row.updated;
        assert_eq!(row(anna).row.updated == changed, moves_parents);
        assert_eq!(moved == changed, moves_parents);
        // What does not change keeps its times.
        tokio::time::sleep(Duration::from_secs(60)).await;
        simulator.change_customer(anna, |_| {});
        simulator.link(anna, company, true);
        assert_eq!(row(anna).details.flags[0].updated, changed);
        assert_eq!(simulator.relations()[0].updated, changed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_customer_is_blank_and_inactive() {
    let norce = norce(Settings::default()).await;
    let anna = norce
        .simulator
        .add_customer(person("Anna", "anna@example.com"));
    let bo = norce.simulator.add_customer(person("Bo", "bo@example.com"));
    norce.simulator.forget_customer(anna, &Blank::Null, false);
    norce
        .simulator
        .forget_customer(bo, &Blank::Placeholder("*****".to_owned()), true);
    norce.simulator.settled().await;
    assert_eq!(
        norce
            .ids(
                "Customers/Customers",
                "IsForgotten eq true and EmailAddress eq null"
            )
            .await,
        [anna]
    );
    assert_eq!(
        norce
            .ids(
                "Customers/Customers",
                "FirstName eq '*****' and not IsActive"
            )
            .await,
        [bo]
    );
    assert_eq!(norce.posted(EventType::CustomerChanged).len(), 3);
    norce
        .import_customers(&["Id", "Code"], json!([{"Id": anna, "Code": "C"}]))
        .await;
    assert_eq!(norce.simulator.contract_notes().len(), 1);
}

// Faults and the wire

#[tokio::test(start_paused = true)]
async fn faults_strike_where_and_for_as_long_as_they_are_told() {
    let norce = norce(Settings::default()).await;
    let simulator = &norce.simulator;
    let busy = Effect::Status {
        status: 429,
        retry_after: some("7"),
    };
    simulator.inject(&[Endpoint::Customers], When::Times(1), busy);
    let request = || {
        Request::get("/commerce/query/2.0/Customers/Customers")
            .header("authorization", format!("Bearer {}", norce.token))
            .header("application-id", "1")
            .body(Body::empty())
            .unwrap()
    };
    let (status, headers, _) = norce.call(request()).await;
    assert_eq!(
        (status, &headers["retry-after"]),
        (StatusCode::TOO_MANY_REQUESTS, &"7".parse().unwrap())
    );
    assert_eq!(norce.call(request()).await.0, 200);

    simulator.inject(
        &Endpoint::QUERY,
        When::For(Duration::from_secs(10)),
        Effect::Html { status: 503 },
    );
    let (status, headers, _) = norce.call(request()).await;
    assert_eq!(
        (status, &headers["content-type"]),
        (
            StatusCode::SERVICE_UNAVAILABLE,
            &"text/html".parse().unwrap()
        )
    );
    assert_eq!(norce.get("/commerce/connect/4.0/Job/Ping").await.0, 200);
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(norce.call(request()).await.0, 200);

    let anna = simulator.add_customer(person("Anna", "anna@example.com"));
    simulator.inject(
        &[Endpoint::ImportCustomers],
        When::Times(1),
        Effect::DoneThenStatus { status: 504 },
    );
    let header = json!({"AccountId": SYSTEM_ACCOUNT, "CustomerFieldsThatAreSet": ["Id", "Code"]});
    let rows = json!([{"Id": anna, "Code": "C-1"}]).to_string();
    let (status, _) = norce.post_import("ImportCustomers", header, rows).await;
    assert_eq!(status, 504);
    simulator.settled().await;
    assert_eq!(
        simulator.customer(anna).unwrap().row.customer_code,
        some("C-1")
    );

    simulator.inject(
        &[Endpoint::Customers],
        When::Chance(0.5),
        Effect::status(500),
    );
    let mut failed = 0;
    for _ in 0..100 {
        failed += i32::from(norce.call(request()).await.0 == 500);
    }
    assert!((20..=80).contains(&failed), "{failed}");
    simulator.clear_faults();
    simulator.inject(&[Endpoint::Customers], When::Times(1), Effect::Close);
    let response = simulator.router().oneshot(request()).await.unwrap();
    assert!(to_bytes(response.into_body(), usize::MAX).await.is_err());
    assert_eq!(simulator.requests_to(Endpoint::Customers), 105);
}

#[tokio::test]
async fn it_serves_on_a_port_and_posts_over_http() {
    let (got, mut posts) = tokio::sync::mpsc::unbounded_channel();
    let receiver = axum::Router::new().fallback(move |request: axum::extract::Request| {
        let secret = request.headers()["x-event-secret"].clone();
        let _ = got.send((request.uri().path().to_owned(), secret));
        async { StatusCode::ACCEPTED }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let events_url = format!("http://{}/events", listener.local_addr().unwrap());
    let receiving = tokio::spawn(async move { axum::serve(listener, receiver).await });
    let simulator =
        NorceSimulator::new(Settings::default(), Arc::new(HttpEventSink::new().unwrap()));
    let headers = [("x-event-secret".to_owned(), "hush".to_owned())];
    simulator.subscribe_all(&events_url, &headers);
    simulator.add_customer(person("Anna", "anna@example.com"));
    let (path, secret) = posts.recv().await.unwrap();
    assert_eq!(
        (path.as_str(), secret.to_str().unwrap()),
        ("/events/customer-changed", "hush")
    );
    simulator.settled().await;
    assert_eq!(simulator.deliveries()[0].state, DeliveryState::Delivered);
    receiving.abort();

    let server = simulator.serve().await.unwrap();
    let address = server.base_url.strip_prefix("http://").unwrap();
    let ask = async || {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request =
            "GET /commerce/connect/4.0/Job/Ping HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(ask().await.starts_with("HTTP/1.1 401"));
    simulator.inject(&[Endpoint::JobPing], When::Times(1), Effect::Close);
    let answer = ask().await;
    assert!(
        !answer.ends_with("0\r\n\r\n"),
        "the answer is complete: {answer}"
    );
}

/// Over HTTP, with the fields of the fact sheet (norce-api §10.1), until the answer is an `OrderResponse` that says "OK".
#[tokio::test]
async fn an_order_is_posted_to_its_receiver_until_it_is_taken() {
    let answers = Mutex::new(vec![
        (StatusCode::SERVICE_UNAVAILABLE, json!({})),
        (StatusCode::OK, json!({ "StatusCode": "OK" })),
        (
            StatusCode::OK,
            json!({ "StatusCode": "Failed", "Description": "", "HasErpOrderNo": false, "ErpOrderNo": "" }),
        ),
        (
            StatusCode::OK,
            json!({ "StatusCode": "OK", "Description": "", "HasErpOrderNo": false, "ErpOrderNo": "" }),
        ),
    ]);
    let answers = Arc::new(answers);
    let (sender, mut posts) = tokio::sync::mpsc::unbounded_channel();
    let router = axum::Router::new().fallback(
        move |headers: HeaderMap, axum::Json(order): axum::Json<Value>| async move {
            sender.send((headers, order)).unwrap();
            let (status, answer) = answers.lock().unwrap().remove(0);
            (status, axum::Json(answer))
        },
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/orders", listener.local_addr().unwrap());
    let receiving = tokio::spawn(async move { axum::serve(listener, router).await });
    let http = Arc::new(HttpEventSink::new().unwrap());
    let simulator = NorceSimulator::new(Settings::default(), http.clone());
    simulator.add_application(1, FIRST_KEY, "shop");
    let admin = OrderReceiver {
        url,
        username: "norce".to_owned(),
        password: "hush".to_owned(),
        retries: vec![Duration::from_millis(1); 5],
        copies: 1,
    };
    simulator.post_orders_to(admin, http);
    let customer = simulator.add_customer(person("Anna", "anna@example.com"));
    let order = simulator.place_order(order_of(customer));
    simulator.settled().await;
    let delivery = simulator.order_deliveries().remove(0);
    assert!(delivery.taken);
    assert_eq!(delivery.attempts.len(), 4);
    let (headers, body) = posts.recv().await.unwrap();
    assert_eq!(headers["authorization"], "Basic bm9yY2U6aHVzaA==");
    assert_eq!(body["ClientOrderRef"], order.client_order_ref);
    assert_eq!(body["Header"]["ApplicationKey"], FIRST_KEY.to_string());
    let fields: BTreeSet<&str> = body
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = "Header SellTo BillTo ShipTo SalesContactCode SalesContactDivision DoHold ClientOrderRef ErpOrderNo \
        CustomerOrderRef CustomerOrderComment SubmitDate CurrencyCode ReferId Payments Discounts ShippingAdvice Items Fees \
        AdditionalInfo OrderType Source CustomerInvoiceRef DiscountCode";
    assert_eq!(fields, expected.split_whitespace().collect());
    let person = &body["SellTo"]["Person"];
    assert_eq!(person["Email"], "anna@example.com");
    assert_eq!(
        (&person["CustomerCode"], &body["SellTo"]["Company"]),
        (&Value::Null, &Value::Null)
    );
    receiving.abort();
}
