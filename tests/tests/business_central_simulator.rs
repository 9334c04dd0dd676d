//! The Business Central simulator is as strict as the real server: one test per trap of erp-apis §1.

#![allow(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

use std::{collections::BTreeSet, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, header};
use serde_json::{Value, json};
use tests::business_central_simulator::{
    ANSWER_LOST, ApplicationAccess, Business, BusinessCentralSimulator, CompanySettings,
    CustomerTemplate, EmailChains, Entity, Fault, LostAnswer, Settings, TaxNumberFilter,
};
use tower::ServiceExt;
use uuid::Uuid;

const BASE: &str = "https://business-central.test";
const CLIENT_ID: &str = "norce-sync";

/// A client that sends any request, right or wrong.
#[derive(Clone)]
struct Client {
    router: Router,
    simulator: BusinessCentralSimulator,
    token: String,
    company: Uuid,
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap().to_owned()
    }

    fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    fn values(&self, property: &str) -> Vec<String> {
        let body = self.json();
        let rows = body["value"].as_array().unwrap().iter();
        rows.map(|row| row[property].as_str().unwrap().to_owned())
            .collect()
    }
}

async fn call(router: &Router, request: Request<Body>) -> Answer {
    let (parts, body) = router.clone().oneshot(request).await.unwrap().into_parts();
    Answer {
        status: parts.status,
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap(),
    }
}

fn token_request(simulator: &BusinessCentralSimulator, form: &str) -> Request<Body> {
    Request::post(simulator.token_url(BASE))
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(form.to_owned()))
        .unwrap()
}

const GOOD_FORM: &str = "grant_type=client_credentials&client_id=norce-sync&client_secret=business-central-secret\
    &scope=https%3A%2F%2Fapi.businesscentral.dynamics.com%2F.default";

impl Client {
    async fn new(settings: Settings) -> Self {
        let simulator = BusinessCentralSimulator::new(settings);
        let router = simulator.router();
        let answer = call(&router, token_request(&simulator, GOOD_FORM)).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(answer.json()["expires_in"], 3599);
        Self {
            token: answer.json()["access_token"].as_str().unwrap().to_owned(),
            company: simulator.companies()[0],
            router,
            simulator,
        }
    }

    async fn with_defaults() -> Self {
        Self::new(Settings::default()).await
    }

    async fn with_manual_numbers() -> Self {
        let client = Self::with_defaults().await;
        let manual = |company: &mut CompanySettings| company.customer_numbers.manual = true;
        client
            .simulator
            .configure_company(client.company, manual)
            .unwrap();
        client
    }

    fn url(&self, resource: &str) -> String {
        let root = self.simulator.api_root(BASE);
        format!("{root}/companies({})/{resource}", self.company)
    }

    fn request(&self, method: Method, url: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(url)
            .header(header::AUTHORIZATION, format!("Bearer {}", self.token))
    }

    async fn get(&self, resource: &str) -> Answer {
        let request = self.request(Method::GET, &self.url(resource));
        call(&self.router, request.body(Body::empty()).unwrap()).await
    }

    async fn filter(&self, filter: &str) -> Answer {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        self.get(&format!("customers?$filter={filter}")).await
    }

    /// A body whose properties have an order.
    async fn post_text(&self, resource: &str, body: String) -> Answer {
        let request = self.request(Method::POST, &self.url(resource));
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body))
            .unwrap();
        call(&self.router, request).await
    }

    /// Changes the only customer, by a body whose properties have an order.
    async fn update_text(&self, body: &'static str) -> Value {
        let customers = self.get("customers").await.json();
        let record = &customers["value"][0];
        let id = record["id"].as_str().unwrap();
        let request = self.request(Method::PATCH, &self.url(&format!("customers({id})")));
        let request = request
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::IF_MATCH, record["@odata.etag"].as_str().unwrap())
            .body(Body::from(body))
            .unwrap();
        let answer = call(&self.router, request).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.message());
        answer.json()
    }

    async fn post(&self, resource: &str, body: Value) -> Answer {
        let request = self
            .request(Method::POST, &self.url(resource))
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()));
        call(&self.router, request.unwrap()).await
    }

    async fn patch(&self, record: &Value, etag: Option<&str>, body: Value) -> Answer {
        let resource = format!("customers({})", record["id"].as_str().unwrap());
        let mut request = self
            .request(Method::PATCH, &self.url(&resource))
            .header(header::CONTENT_TYPE, "application/json");
        if let Some(etag) = etag {
            request = request.header(header::IF_MATCH, etag);
        }
        call(
            &self.router,
            request.body(Body::from(body.to_string())).unwrap(),
        )
        .await
    }

    /// A patch with the etag that the record came with.
    async fn update(&self, record: &Value, body: Value) -> Answer {
        self.patch(record, record["@odata.etag"].as_str(), body)
            .await
    }

    async fn created(&self, body: Value) -> Value {
        let answer = self.post("customers", body).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.json());
        answer.json()
    }
}

fn refused(answer: &Answer, status: StatusCode, code: &str) {
    assert_eq!((answer.status, answer.code()), (status, code.to_owned()));
    assert!(answer.message().contains("  CorrelationId:  "));
}

#[tokio::test(start_paused = true)]
async fn tokens_are_for_who_asks_in_full_and_expire() {
    let client = Client::with_defaults().await;
    for (wrong, error) in [
        ("grant_type=client_credentials", "grant_type=password"),
        ("client_secret=business-central-secret", "client_secret=x"),
        (".default", ".other"),
        ("client_id=norce-sync&", ""),
    ] {
        let form = GOOD_FORM.replace(wrong, error);
        let answer = call(&client.router, token_request(&client.simulator, &form)).await;
        assert!(answer.status.is_client_error(), "{form}");
        assert!(answer.json()["error"].is_string());
    }
    assert_eq!(client.get("customers").await.status, StatusCode::OK);
    let nobody = Client {
        token: "made-up".to_owned(),
        ..client.clone()
    };
    let rejected = "Authentication_InvalidCredentials";
    refused(
        &nobody.get("customers").await,
        StatusCode::UNAUTHORIZED,
        rejected,
    );
    tokio::time::advance(Duration::from_secs(3600)).await;
    refused(
        &client.get("customers").await,
        StatusCode::UNAUTHORIZED,
        rejected,
    );
}

#[tokio::test(start_paused = true)]
async fn an_app_that_was_not_added_inside_business_central_is_refused_with_a_valid_token() {
    let client = Client::with_defaults().await;
    for (access, status) in [
        (
            ApplicationAccess::RefusedAsUnknown,
            StatusCode::UNAUTHORIZED,
        ),
        (ApplicationAccess::RefusedAsForbidden, StatusCode::FORBIDDEN),
        (ApplicationAccess::Granted, StatusCode::OK),
    ] {
        client
            .simulator
            .configure(|settings| settings.access = access);
        assert_eq!(client.get("customers").await.status, status);
    }
}

#[tokio::test(start_paused = true)]
async fn filters_find_exactly_what_they_say() {
    let client = Client::with_defaults().await;
    for (name, email) in [
        ("Ada O'Brien", "Ada@example.test"),
        ("Bo", "bo+1@example.test"),
        ("Cy", ""),
    ] {
        client
            .created(json!({"displayName": name, "email": email, "type": "Person"}))
            .await;
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let bo = client.simulator.customers(client.company)[1].clone();
    let modified = bo
        .last_modified_date_time
        .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    for (filter, found) in [
        ("displayName eq 'Ada O''Brien'".to_owned(), vec!["C00010"]),
        ("email eq 'ada@example.test'".to_owned(), vec![]),
        (
            "tolower(email) eq 'ADA@example.test'".to_owned(),
            vec!["C00010"],
        ),
        ("email eq 'bo+1@example.test'".to_owned(), vec!["C00011"]),
        ("email eq ''".to_owned(), vec!["C00012"]),
        ("number eq 'c00011'".to_owned(), vec!["C00011"]),
        (
            "number eq 'C00010' or number eq 'C00012'".to_owned(),
            vec!["C00010", "C00012"],
        ),
        (
            "(number ge 'C00010' and number lt 'C00012') and type eq 'Person'".to_owned(),
            vec!["C00010", "C00011"],
        ),
        (format!("id eq {}", bo.id), vec!["C00011"]),
        (
            format!("lastModifiedDateTime ge {modified}"),
            vec!["C00011", "C00012"],
        ),
        (
            format!("lastModifiedDateTime gt {modified}"),
            vec!["C00012"],
        ),
        (
            "blocked eq ' ' and number ne 'C00011'".to_owned(),
            vec!["C00010", "C00012"],
        ),
    ] {
        let answer = client.filter(&filter).await;
        assert_eq!(answer.status, StatusCode::OK, "{filter}");
        assert_eq!(answer.values("number"), found, "{filter}");
    }
}

#[tokio::test(start_paused = true)]
async fn filters_that_the_server_cannot_translate_are_refused() {
    let client = Client::with_defaults().await;
    for filter in [
        "email eq 'a@b.se' or number eq 'C1'",
        "(number eq 'C1' and email eq 'a@b.se') or number eq 'C2'",
        "number in ('C1','C2')",
        "tolower(toupper(email)) eq 'x'",
        "e_mail eq 'x'",
        "Number eq 'C1'",
        "number eq C1",
        "number eq 'C1",
        "displayName eq 'O'Brien'",
        "(number eq 'C1'",
        "id eq '7f8f9d8e-0c1f-4c0c-9b0a-000000000001'",
        "lastModifiedDateTime gt '2024-01-01T00:00:00Z'",
        "number eq null",
        "",
    ] {
        refused(
            &client.filter(filter).await,
            StatusCode::BAD_REQUEST,
            "BadRequest",
        );
    }
    refused(
        &client.filter("number eq 'A23456789012345678901'").await,
        StatusCode::BAD_REQUEST,
        "Application_FilterErrorException",
    );
    for query in ["$skip=1", "$filter=contains(email,'x')", "$expand=currency"] {
        let answer = client.get(&format!("customers?{query}")).await;
        assert_eq!(answer.status, StatusCode::NOT_IMPLEMENTED, "{query}");
    }
    for query in [
        "$expand=friends",
        "$select=nonsense",
        "$nonsense=1",
        "$top=x",
        "$top=1&$top=2",
    ] {
        refused(
            &client.get(&format!("customers?{query}")).await,
            StatusCode::BAD_REQUEST,
            "BadRequest",
        );
    }
}

#[tokio::test(start_paused = true)]
async fn pages_follow_on_from_each_other_although_records_change_in_between() {
    let client = Client::with_defaults().await;
    for name in ["E", "D", "C", "B", "A"] {
        client.created(json!({"displayName": name})).await;
    }
    let mut url = client.url(
        "customers?$select=displayName&$orderby=displayName%20desc&$filter=displayName%20ne%20'C'",
    );
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let request = client
            .request(Method::GET, &url)
            .header("prefer", "odata.maxpagesize=2");
        let answer = call(&client.router, request.body(Body::empty()).unwrap()).await;
        pages += 1;
        names.extend(answer.values("displayName"));
        let row = answer.json()["value"][0].clone();
        let properties: BTreeSet<&str> = row
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(properties, BTreeSet::from(["@odata.etag", "displayName"]));
        let first = client.simulator.customers(client.company)[0].clone();
        if first.display_name == "E" {
            client
                .simulator
                .delete_customer(client.company, first.id)
                .unwrap();
        }
        match answer.json()["@odata.nextLink"].as_str() {
            Some(next) => next.clone_into(&mut url),
            None => break,
        }
        assert!(url.starts_with(&client.simulator.api_root(BASE)), "{url}");
    }
    assert_eq!((pages, names.join("")), (2, "EDBA".to_owned()));

    let top = client.get("customers?$top=3").await;
    assert_eq!(top.values("displayName"), ["D", "C", "B"]);
    assert!(top.json()["@odata.nextLink"].is_null());
    client
        .simulator
        .configure(|settings| settings.page_size = 2);
    let capped = client.get("customers?$top=3").await;
    assert_eq!(capped.values("displayName"), ["D", "C"]);
    assert!(
        capped.json()["@odata.nextLink"]
            .as_str()
            .unwrap()
            .contains("$top=1&")
    );
}

#[tokio::test(start_paused = true)]
async fn a_change_needs_the_etag_of_the_record_as_it_is() {
    let client = Client::with_defaults().await;
    let first = client.created(json!({"displayName": "Ada"})).await;
    let change = || json!({"addressLine1": "Storgatan 1"});
    for etag in [None, Some("\"1\""), Some("W/\"nonsense\"")] {
        refused(
            &client.patch(&first, etag, change()).await,
            StatusCode::BAD_REQUEST,
            "BadRequest_InvalidToken",
        );
    }
    let second = client.update(&first, change()).await;
    assert_eq!(second.status, StatusCode::OK);
    let second = second.json();
    assert_eq!(second["addressLine1"], "Storgatan 1");
    assert_ne!(second["@odata.etag"], first["@odata.etag"]);
    assert!(second["lastModifiedDateTime"].as_str() > first["lastModifiedDateTime"].as_str());
    refused(
        &client.update(&first, change()).await,
        StatusCode::CONFLICT,
        "Request_EntityChanged",
    );
    assert_eq!(
        client.patch(&second, Some("*"), change()).await.status,
        StatusCode::OK
    );

    let seen = client.get("customers").await.json()["value"][0].clone();
    let id = first["id"].as_str().unwrap().parse().unwrap();
    client
        .simulator
        .edit_customer(client.company, id, &json!({"city": "Lund"}))
        .unwrap();
    assert_eq!(
        client.update(&seen, change()).await.status,
        StatusCode::CONFLICT
    );
    client
        .simulator
        .delete_customer(client.company, id)
        .unwrap();
    refused(
        &client.patch(&seen, Some("*"), change()).await,
        StatusCode::NOT_FOUND,
        "Internal_RecordNotFound",
    );
}

#[tokio::test(start_paused = true)]
async fn a_deleted_record_is_gone_without_a_trace() {
    let client = Client::with_defaults().await;
    let ada = client.created(json!({"displayName": "Ada"})).await;
    let url = client.url(&format!("customers({})", ada["id"].as_str().unwrap()));
    for (stale, status) in [
        (Some("W/\"JzIw000000000000MDsn\""), StatusCode::CONFLICT),
        (None, StatusCode::NO_CONTENT),
        (None, StatusCode::NOT_FOUND),
    ] {
        let mut request = client.request(Method::DELETE, &url);
        if let Some(etag) = stale {
            request = request.header(header::IF_MATCH, etag);
        }
        let answer = call(&client.router, request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status);
    }
    let changed = "lastModifiedDateTime ge 2000-01-01T00:00:00Z";
    assert_eq!(client.filter(changed).await.values("number"), [""; 0]);
    let url = client.url("contactsInformation");
    let request = client.request(Method::POST, &url).body(Body::empty());
    let answer = call(&client.router, request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test(start_paused = true)]
async fn every_create_without_a_number_consumes_one_and_makes_another_customer() {
    let client = Client::with_defaults().await;
    client
        .simulator
        .add_customer(
            client.company,
            &json!({"displayName": "Old", "number": "c00011 "}),
        )
        .unwrap();
    for _ in 0..2 {
        client
            .created(json!({"displayName": "Ada", "email": "ada@example.test"}))
            .await;
    }
    let numbers: Vec<String> = client
        .simulator
        .customers(client.company)
        .into_iter()
        .map(|customer| customer.number)
        .collect();
    assert_eq!(numbers, ["C00010", "C00011", "C00012"]);
    let fields: Vec<&str> = client
        .simulator
        .duplicates(client.company)
        .iter()
        .map(|duplicate| duplicate.field)
        .collect();
    assert_eq!(fields, ["displayName", "email"]);
}

#[tokio::test(start_paused = true)]
async fn a_number_of_ones_own_needs_manual_numbers_and_is_unique() {
    let ada = || json!({"displayName": "Ada", "number": " n1 "});
    let client = Client::with_defaults().await;
    let answer = client.post("customers", ada()).await;
    refused(
        &answer,
        StatusCode::BAD_REQUEST,
        "Application_DialogException",
    );
    assert!(
        answer
            .message()
            .starts_with("You may not enter numbers manually.")
    );

    let client = Client::with_manual_numbers().await;
    assert_eq!(client.created(ada()).await["number"], "N1");
    for status in [StatusCode::BAD_REQUEST, StatusCode::CONFLICT] {
        client
            .simulator
            .configure(|settings| settings.same_key_status = status);
        let answer = client.post("customers", ada()).await;
        refused(&answer, status, "Internal_EntityWithSameKeyExists");
    }
    let bo = client
        .created(json!({"displayName": "Bo", "number": "N2"}))
        .await;
    refused(
        &client.update(&bo, json!({"number": "N1"})).await,
        StatusCode::CONFLICT,
        "Internal_EntityWithSameKeyExists",
    );
    let renamed = client.update(&bo, json!({"number": "N3"})).await.json();
    assert_eq!(
        (&renamed["number"], &renamed["id"]),
        (&json!("N3"), &bo["id"])
    );
    assert_eq!(
        client.filter("number eq 'N2'").await.values("number"),
        [""; 0]
    );
}

#[tokio::test(start_paused = true)]
async fn values_must_fit_their_fields() {
    let client = Client::with_defaults().await;
    let long = |length| "å".repeat(length);
    for (property, value, code) in [
        ("displayName", json!(""), "Application_DialogException"),
        (
            "displayName",
            json!(long(101)),
            "Application_StringExceededLength",
        ),
        (
            "addressLine2",
            json!(long(51)),
            "Application_StringExceededLength",
        ),
        ("city", json!(long(31)), "Application_StringExceededLength"),
        (
            "email",
            json!(format!("{}@example.test", long(80))),
            "Application_StringExceededLength",
        ),
        (
            "email",
            json!("not an address"),
            "Application_DialogException",
        ),
        (
            "email",
            json!("a@example.test;b"),
            "Application_DialogException",
        ),
        (
            "phoneNumber",
            json!("070-1234 ext 5"),
            "Application_FieldValidationException",
        ),
        ("country", json!("XX"), "Internal_InvalidTableRelation"),
        (
            "salespersonCode",
            json!("JO"),
            "Internal_InvalidTableRelation",
        ),
        ("type", json!("Organisation"), "BadRequest"),
        ("blocked", json!("Everything"), "BadRequest"),
        ("city", json!(null), "BadRequest"),
        ("city", json!(1), "BadRequest"),
        ("taxLiable", json!("yes"), "BadRequest"),
        (
            "lastModifiedDateTime",
            json!("2024-01-01T00:00:00Z"),
            "BadRequest",
        ),
        ("id", json!(Uuid::new_v4()), "BadRequest"),
        ("mobilePhoneNumber", json!("070"), "BadRequest"),
        ("registrationNumber", json!("556036-0793"), "BadRequest"),
    ] {
        let mut customer = json!({"displayName": "Ada"});
        customer[property] = value;
        let answer = client.post("customers", customer).await;
        refused(&answer, StatusCode::BAD_REQUEST, code);
    }
    refused(
        &client
            .post("customers", json!({"email": "a@example.test"}))
            .await,
        StatusCode::BAD_REQUEST,
        "Application_DialogException",
    );
    assert!(client.simulator.customers(client.company).is_empty());

    let ada = client
        .created(json!({"displayName": long(100), "email": "a@example.test; b@example.test", "country": "se"}))
        .await;
    assert_eq!(ada["country"], "SE");
    assert_eq!(ada["blocked"], "_x0020_");
    assert_eq!(ada["currencyId"], Uuid::nil().to_string());
    assert_eq!(ada["website"], "");
    let blocked = client.update(&ada, json!({"blocked": "All"})).await.json();
    let open = client
        .update(&blocked, json!({"blocked": " "}))
        .await
        .json();
    assert_eq!(
        (&blocked["blocked"], &open["blocked"]),
        (&json!("All"), &json!("_x0020_"))
    );
    let id = ada["id"].as_str().unwrap().parse().unwrap();
    client
        .simulator
        .block_for_privacy(client.company, id)
        .unwrap();
    refused(
        &client
            .patch(&open, Some("*"), json!({"blocked": " "}))
            .await,
        StatusCode::BAD_REQUEST,
        "Application_DialogException",
    );
}

/// The property is no field of the table (erp-apis §1.5).
#[tokio::test(start_paused = true)]
async fn a_filter_on_vat_numbers_does_what_the_settings_say() {
    for (mode, expected) in [
        (TaxNumberFilter::Refused, None),
        (TaxNumberFilter::Ignored, Some(2)),
        (TaxNumberFilter::MatchesNothing, Some(0)),
        (TaxNumberFilter::Filters, Some(1)),
    ] {
        let client = Client::new(Settings {
            tax_number_filter: mode,
            ..Settings::default()
        })
        .await;
        for number in ["SE556036079301", "SE556012579001"] {
            let named =
                json!({"displayName": "Acme", "type": "Company", "taxRegistrationNumber": number});
            client.created(named).await;
        }
        client
            .created(json!({"displayName": "Anna", "type": "Person"}))
            .await;
        let answer = client
            .filter("taxRegistrationNumber eq 'SE556036079301' and type eq 'Company'")
            .await;
        match expected {
            Some(rows) => assert_eq!(
                answer.json()["value"].as_array().unwrap().len(),
                rows,
                "{mode:?}"
            ),
            None => refused(&answer, StatusCode::BAD_REQUEST, "BadRequest"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn several_addresses_in_one_filter_need_the_schema_version_or_are_refused() {
    let chain = "(tolower(email) eq 'a@example.com' or tolower(email) eq 'b@example.com') and type eq 'Person'";
    let chain: String = url::form_urlencoded::byte_serialize(chain.as_bytes()).collect();
    for (chains, with_version) in [
        (EmailChains::WithSchemaVersion, StatusCode::OK),
        (EmailChains::Refused, StatusCode::BAD_REQUEST),
    ] {
        let client = Client::new(Settings {
            email_chains: chains,
            ..Settings::default()
        })
        .await;
        let url = format!("customers?$filter={chain}");
        assert_eq!(client.get(&url).await.status, StatusCode::BAD_REQUEST);
        let url = format!("{url}&$schemaversion=2.1");
        assert_eq!(client.get(&url).await.status, with_version);
        let one = client.filter("tolower(email) eq 'a@example.com'").await;
        assert_eq!(one.status, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn vat_numbers_follow_the_formats_of_their_country_but_are_not_unique() {
    let client = Client::new(Settings {
        tax_number_filter: TaxNumberFilter::Filters,
        ..Settings::default()
    })
    .await;
    let acme = |country: &str, number: &str| json!({"displayName": "Acme", "country": country, "taxRegistrationNumber": number});
    for (country, number) in [
        ("SE", "5560360793"),
        ("", "5560360793"),
        ("NO", "NO923609016"),
    ] {
        let answer = client.post("customers", acme(country, number)).await;
        refused(
            &answer,
            StatusCode::BAD_REQUEST,
            "Application_DialogException",
        );
        assert!(
            answer
                .message()
                .contains("is not in agreement with the format specified for Country/Region Code")
        );
    }
    for (country, number) in [
        ("SE", "se556036079301"),
        ("SE", "SE556036079301"),
        ("DK", "13748136"),
        ("US", "anything"),
    ] {
        assert_eq!(
            client.created(acme(country, number)).await["taxRegistrationNumber"],
            number.to_uppercase()
        );
    }
    let swedish = client
        .filter("taxRegistrationNumber eq 'SE556036079301'")
        .await
        .json();
    assert_eq!(swedish["value"].as_array().unwrap().len(), 2);
    let moved = client
        .update(&swedish["value"][0], json!({"country": "NO"}))
        .await;
    refused(
        &moved,
        StatusCode::BAD_REQUEST,
        "Application_DialogException",
    );
}

fn placed(customer: &Value) -> [&str; 3] {
    ["city", "postalCode", "country"].map(|property| customer[property].as_str().unwrap())
}

#[tokio::test(start_paused = true)]
async fn addresses_are_rewritten_by_the_server() {
    let client = Client::with_defaults().await;
    let ada = client
        .created(json!({"displayName": "Ada", "postalCode": "111 20", "city": "Sthlm"}))
        .await;
    assert_eq!(
        (&ada["city"], &ada["country"]),
        (&json!("STOCKHOLM"), &json!("SE"))
    );

    let cleared = client.update(&ada, json!({"country": "NO"})).await.json();
    assert_eq!(
        (&cleared["city"], &cleared["postalCode"]),
        (&json!(""), &json!(""))
    );
    // In the order of the body: a city after its postal code stands, one before it is replaced.
    let written = |body| client.update_text(body);
    let together = written(r#"{"country":"SE","postalCode":"111 20","city":"Sthlm"}"#).await;
    assert_eq!(placed(&together), ["Sthlm", "111 20", "SE"]);
    let before = written(r#"{"city":"Sthlm","postalCode":"111 20"}"#).await;
    assert_eq!(placed(&before), ["STOCKHOLM", "111 20", "SE"]);
    // A postal code that only another country has takes the address there.
    let abroad = written(r#"{"country":"NO","postalCode":"111 20","city":"Oslo"}"#).await;
    assert_eq!(placed(&abroad), ["Oslo", "111 20", "SE"]);
    let requires = |company: &mut CompanySettings| company.country_required_in_addresses = true;
    client
        .simulator
        .configure_company(client.company, requires)
        .unwrap();
    let kept = written(r#"{"country":"DK"}"#).await;
    assert_eq!(placed(&kept), ["Oslo", "111 20", "DK"]);
    let blank = client
        .created(json!({"displayName": "Bo", "city": "Oslo"}))
        .await;
    let first_country = client.update(&blank, json!({"country": "NO"})).await.json();
    assert_eq!(
        first_country["city"], "Oslo",
        "only a country that was set before clears"
    );
}

#[tokio::test(start_paused = true)]
async fn a_customer_brings_its_contact_along_and_persons_belong_to_that() {
    let client = Client::with_defaults().await;
    let acme = client
        .created(json!({"displayName": "Acme", "type": "Company", "email": "info@acme.test"}))
        .await;
    let id = acme["id"].as_str().unwrap();
    let information = client
        .get(&format!("customers({id})/contactsInformation"))
        .await;
    assert_eq!(information.values("contactType"), ["Company"]);
    assert_eq!(information.values("relatedId"), [id]);
    let company = information.values("contactNumber")[0].clone();
    let flat = client.get("contactsInformation").await;
    refused(
        &flat,
        StatusCode::BAD_REQUEST,
        "Application_DialogException",
    );
    assert!(flat.message().starts_with("You must specify a parent ID"));

    let person = |number: &str, title: &str| {
        format!(
            r#"{{"displayName":"Ada","type":"Person","companyNumber":"{number}","jobTitle":"{title}",
                "email":"ada@acme.test","mobilePhoneNumber":"070-1"}}"#
        )
    };
    refused(
        &client
            .post_text(
                "contacts",
                person(acme["number"].as_str().unwrap(), "Buyer"),
            )
            .await,
        StatusCode::BAD_REQUEST,
        "Internal_InvalidTableRelation",
    );
    // Every new contact is a company until its type is set.
    let too_early =
        format!(r#"{{"displayName":"Ada","companyNumber":"{company}","type":"Person"}}"#);
    refused(
        &client.post_text("contacts", too_early).await,
        StatusCode::BAD_REQUEST,
        "Application_DialogException",
    );
    refused(
        &client
            .post_text("contacts", person(&company, &"j".repeat(31)))
            .await,
        StatusCode::BAD_REQUEST,
        "Application_StringExceededLength",
    );
    let ada = client
        .post_text("contacts", person(&company, "Buyer"))
        .await;
    assert_eq!(ada.status, StatusCode::CREATED);
    assert_eq!(ada.json()["companyName"], "Acme");
    let filter =
        format!("contacts?$filter=companyNumber%20eq%20'{company}'%20and%20type%20eq%20'Person'");
    assert_eq!(client.get(&filter).await.values("displayName"), ["Ada"]);
    let information = client
        .get(&format!("customers({id})/contactsInformation"))
        .await;
    assert_eq!(information.values("contactName").len(), 2);
    let expanded = client.get("customers?$expand=contactsInformation").await;
    assert_eq!(
        expanded.json()["value"][0]["contactsInformation"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    assert_eq!(
        client
            .update(&acme, json!({"displayName": "Acme Nord"}))
            .await
            .status,
        StatusCode::OK
    );
    let names: Vec<String> = client
        .simulator
        .contacts(client.company)
        .into_iter()
        .map(|contact| contact.company_name)
        .collect();
    assert_eq!(names, ["Acme Nord", "Acme Nord"]);

    let off = |company: &mut CompanySettings| company.contact_for_new_customer = false;
    client
        .simulator
        .configure_company(client.company, off)
        .unwrap();
    let bo = client
        .created(json!({"displayName": "Bo", "type": "Person"}))
        .await;
    let id = bo["id"].as_str().unwrap();
    let information = client
        .get(&format!("customers({id})/contactsInformation"))
        .await;
    assert_eq!(information.values("contactName"), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_vat_number_and_a_country_are_checked_against_each_other_one_after_the_other() {
    let client = Client::with_defaults().await;
    let made = r#"{"displayName":"Ek","country":"SE","taxRegistrationNumber":"SE556036079301"}"#;
    let made = client.post_text("customers", made.to_owned()).await.json();
    for refused_order in [
        // The old number against the new country, and the new number against the old country.
        json!({"country": "DK", "taxRegistrationNumber": "DK13748136"}),
        json!({"taxRegistrationNumber": "DK13748136"}),
    ] {
        let answer = client.update(&made, refused_order).await;
        refused(
            &answer,
            StatusCode::BAD_REQUEST,
            "Application_DialogException",
        );
    }
    client.update_text(r#"{"taxRegistrationNumber":""}"#).await;
    let moved = r#"{"country":"DK","taxRegistrationNumber":"DK13748136"}"#;
    assert_eq!(client.update_text(moved).await["country"], "DK");
}

#[tokio::test(start_paused = true)]
async fn a_customer_is_sold_to_with_posting_groups_and_without_a_block() {
    let client = Client::with_defaults().await;
    let company = client.company;
    let sell = |customer: &Value, business| {
        let id = customer["id"].as_str().unwrap().parse().unwrap();
        client.simulator.do_business(company, id, business)
    };
    let configure = |templates: Vec<CustomerTemplate>| {
        let change = |company: &mut CompanySettings| company.customer_templates = templates;
        client.simulator.configure_company(company, change).unwrap();
    };
    let ada = client.created(json!({"displayName": "Ada"})).await;
    assert!(sell(&ada, Business::Order).is_ok());
    configure(vec![CustomerTemplate::domestic().for_country("SE")]);
    let abroad = client
        .created(json!({"country": "NO", "displayName": "Bo"}))
        .await;
    let message = sell(&abroad, Business::Order).unwrap_err().message;
    assert!(
        message.starts_with("Gen. Bus. Posting Group must have a value"),
        "{message}"
    );
    let domestic = client
        .created(json!({"country": "SE", "displayName": "Cy"}))
        .await;
    assert!(sell(&domestic, Business::Order).is_ok());

    let stopped = |blocked: &str| {
        let id = ada["id"].as_str().unwrap().parse().unwrap();
        let blocked = json!({ "blocked": blocked });
        client
            .simulator
            .edit_customer(company, id, &blocked)
            .unwrap();
        let stopped = Business::ALL
            .into_iter()
            .filter(|business| sell(&ada, *business).is_err());
        stopped.collect::<Vec<_>>()
    };
    assert_eq!(stopped("Ship"), [Business::Order, Business::Shipment]);
    assert_eq!(
        stopped("Invoice"),
        [Business::Order, Business::Shipment, Business::Invoice]
    );
    assert_eq!(stopped("All"), Business::ALL);
}

#[tokio::test(start_paused = true)]
async fn what_changes_in_a_company_changes_for_its_people_where_it_was_the_same() {
    let client = Client::with_defaults().await;
    let acme = client
        .created(json!({"addressLine1": "Storgatan 1", "displayName": "Acme", "phoneNumber": "08-1", "type": "Company"}))
        .await;
    let id = acme["id"].as_str().unwrap();
    let information = client
        .get(&format!("customers({id})/contactsInformation"))
        .await;
    let company = &information.values("contactNumber")[0];
    let person = |name: &str, phone: &str| {
        format!(
            r#"{{"displayName":"{name}","type":"Person","companyNumber":"{company}","phoneNumber":"{phone}"}}"#
        )
    };
    let same = client
        .post_text("contacts", person("Ada", "08-1"))
        .await
        .json();
    assert_eq!(same["addressLine1"], "Storgatan 1", "inherited");
    client.post_text("contacts", person("Bo", "08-2")).await;
    client
        .update_text(r#"{"phoneNumber":"08-9","addressLine1":"Lillgatan 2"}"#)
        .await;
    let mut people = client.simulator.contacts(client.company);
    people.retain(|contact| contact.r#type == "Person");
    let people: Vec<_> = people
        .iter()
        .map(|it| (&*it.phone_number, &*it.address_line1))
        .collect();
    assert_eq!(people, [("08-9", "Lillgatan 2"), ("08-2", "Lillgatan 2")]);
}

#[tokio::test(start_paused = true)]
async fn p14_companies_do_not_see_each_other() {
    let client = Client::new(Settings {
        companies: vec![CompanySettings::named("One"), CompanySettings::named("Two")],
        ..Settings::default()
    })
    .await;
    let [one, two] = client.simulator.companies()[..] else {
        unreachable!("two companies were set up")
    };
    let other = Client {
        company: two,
        ..client.clone()
    };
    let list = format!("{}/companies?$select=id", client.simulator.api_root(BASE));
    let request = client.request(Method::GET, &list).body(Body::empty());
    let listed: BTreeSet<String> = call(&client.router, request.unwrap())
        .await
        .values("id")
        .into_iter()
        .collect();
    assert_eq!(listed, BTreeSet::from([one.to_string(), two.to_string()]));
    let fault = Fault::status(StatusCode::SERVICE_UNAVAILABLE).in_company(two);
    client.simulator.inject(fault);
    let ada = client.created(json!({"displayName": "Ada"})).await;
    assert_eq!(
        other.get("customers").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    client.simulator.clear_faults();
    assert_eq!(other.get("customers").await.values("number"), [""; 0]);
    assert_eq!(
        other.created(json!({"displayName": "Bo"})).await["number"],
        ada["number"]
    );
    let id = ada["id"].as_str().unwrap();
    assert_eq!(
        other.get(&format!("customers({id})")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(client.simulator.customers(one).len(), 1);
    let unknown = Client {
        company: Uuid::new_v4(),
        ..client
    };
    refused(
        &unknown.get("customers").await,
        StatusCode::NOT_FOUND,
        "Internal_CompanyNotFound",
    );
}

#[tokio::test(start_paused = true)]
async fn the_rate_limit_slides() {
    let client = Client::new(Settings {
        requests_per_window: 3,
        ..Settings::default()
    })
    .await;
    let minute = Duration::from_secs(60);
    for _ in 0..3 {
        assert_eq!(client.get("customers").await.status, StatusCode::OK);
        tokio::time::advance(minute).await;
    }
    let throttled = client.get("customers").await;
    refused(&throttled, StatusCode::TOO_MANY_REQUESTS, "Unknown");
    assert!(!throttled.headers.contains_key(header::RETRY_AFTER));
    tokio::time::advance(2 * minute).await;
    assert_eq!(client.get("customers").await.status, StatusCode::OK);
    assert_eq!(
        client.get("customers").await.status,
        StatusCode::TOO_MANY_REQUESTS
    );
    assert_eq!(client.simulator.load(CLIENT_ID).throttled, 2);
}

#[tokio::test(start_paused = true)]
async fn five_requests_run_while_the_others_wait_and_too_many_are_refused() {
    let client = Client::with_defaults().await;
    client
        .simulator
        .inject(Fault::slow_answer(Duration::from_secs(1)));
    let started = tokio::time::Instant::now();
    let answers = futures_util::future::join_all((0..101).map(|_| client.get("customers"))).await;
    let throttled = answers
        .iter()
        .filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS)
        .count();
    assert_eq!(throttled, 1);
    assert_eq!(started.elapsed().as_secs(), 20, "100 requests, 5 at a time");
    assert_eq!(client.simulator.load(CLIENT_ID).most_at_once, 100);
}

#[tokio::test(start_paused = true)]
async fn faults_come_as_often_and_where_they_were_asked_for() {
    let client = Client::with_defaults().await;
    let fault = Fault::status(StatusCode::SERVICE_UNAVAILABLE)
        .retry_after(Duration::from_secs(7))
        .on(Method::POST, Entity::Customers)
        .after(1)
        .times(1);
    client.simulator.inject(fault);
    client.created(json!({"displayName": "Ada"})).await;
    let refusal = client.post("customers", json!({"displayName": "Bo"})).await;
    assert_eq!(refusal.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusal.headers[header::RETRY_AFTER], "7");
    client.created(json!({"displayName": "Bo"})).await;

    client.simulator.inject(
        Fault::status(StatusCode::BAD_GATEWAY)
            .as_html()
            .lasting(Duration::from_secs(5)),
    );
    let page = client.get("customers").await;
    assert!(page.body.starts_with(b"<html>"));
    tokio::time::advance(Duration::from_secs(5)).await;
    assert_eq!(client.get("customers").await.status, StatusCode::OK);

    let mut runs = Vec::new();
    for _ in 0..2 {
        client.simulator.clear_faults();
        client
            .simulator
            .inject(Fault::status(StatusCode::INTERNAL_SERVER_ERROR).with_probability(0.5, 42));
        let mut run = Vec::new();
        for _ in 0..16 {
            run.push(client.get("customers").await.status.is_success());
        }
        runs.push(run);
    }
    assert_eq!(runs[0], runs[1]);
    assert!(runs[0].contains(&true) && runs[0].contains(&false));

    let requests = client.simulator.requests();
    assert_eq!(requests.count(&Method::POST, Entity::Customers), 3);
    assert_eq!(requests.writes.len(), 3);
    assert_eq!(requests.carried_out().count(), 2);
    assert_eq!(requests.writes[0].body, json!({"displayName": "Ada"}));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_lost_after_the_work_is_done() {
    let client = Client::with_defaults().await;
    for (made, instead) in [
        LostAnswer::GatewayTimeout,
        LostAnswer::BadGatewayPage,
        LostAnswer::ConnectionClosed,
        LostAnswer::TruncatedBody,
    ]
    .into_iter()
    .enumerate()
    {
        client
            .simulator
            .inject(Fault::lost_answer(instead).times(1));
        assert_eq!(client.get("customers").await.status, StatusCode::OK);
        let answer = client
            .post("customers", json!({"displayName": "Ada"}))
            .await;
        match instead {
            LostAnswer::GatewayTimeout => assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT),
            LostAnswer::BadGatewayPage => assert_eq!(answer.status, StatusCode::BAD_GATEWAY),
            LostAnswer::ConnectionClosed => assert!(answer.headers.contains_key(ANSWER_LOST)),
            LostAnswer::TruncatedBody => {
                assert_eq!(answer.status, StatusCode::CREATED);
                assert!(serde_json::from_slice::<Value>(&answer.body).is_err());
            }
        }
        assert_eq!(client.simulator.customers(client.company).len(), made + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn work_goes_on_after_the_client_has_hung_up() {
    let client = Client::with_defaults().await;
    client
        .simulator
        .inject(Fault::slow_work(Duration::from_secs(60)).times(1));
    let create = client.post("customers", json!({"displayName": "Ada"}));
    let gave_up = tokio::time::timeout(Duration::from_secs(30), create).await;
    assert!(gave_up.is_err());
    assert!(client.simulator.customers(client.company).is_empty());
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(client.simulator.customers(client.company).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_record_can_be_refused_among_others() {
    let client = Client::with_defaults().await;
    client
        .simulator
        .refuse_where(|candidate| candidate.email == "no@example.test");
    refused(
        &client
            .post(
                "customers",
                json!({"displayName": "No", "email": "no@example.test"}),
            )
            .await,
        StatusCode::BAD_REQUEST,
        "Application_DialogException",
    );
    client
        .created(json!({"displayName": "Yes", "email": "yes@example.test"}))
        .await;
    client.simulator.refuse_nothing();
    client
        .created(json!({"displayName": "No", "email": "no@example.test"}))
        .await;
}

#[tokio::test]
async fn on_a_port_a_lost_answer_is_a_closed_connection() {
    let simulator = BusinessCentralSimulator::new(Settings::default());
    let company = simulator.companies()[0];
    let server = simulator.serve().await.unwrap();
    let post = |url: String, headers: Vec<(&'static str, String)>, body: String| {
        let address = server.address;
        async move {
            use tokio::io::{AsyncReadExt, AsyncWriteExt};
            let mut connection = tokio::net::TcpStream::connect(address).await.unwrap();
            let path = url.split_once(&address.to_string()).unwrap().1.to_owned();
            let headers: String = headers
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let length = body.len();
            let request = format!(
                "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
            );
            connection.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            let _ = connection.read_to_string(&mut answer).await;
            answer
        }
    };
    let form = vec![(
        "content-type",
        "application/x-www-form-urlencoded".to_owned(),
    )];
    let answer = post(
        simulator.token_url(&server.base_url),
        form,
        GOOD_FORM.to_owned(),
    )
    .await;
    let token: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    let token = token["access_token"].as_str().unwrap();

    let url = format!(
        "{}/companies({company})/customers",
        simulator.api_root(&server.base_url)
    );
    let headers = || {
        vec![
            ("content-type", "application/json".to_owned()),
            ("authorization", format!("Bearer {token}")),
        ]
    };
    let ada = json!({"displayName": "Ada"}).to_string();
    let answer = post(url.clone(), headers(), ada.clone()).await;
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    simulator.inject(Fault::lost_answer(LostAnswer::ConnectionClosed).times(1));
    let answer = post(url, headers(), ada).await;
    assert_eq!(answer, "");
    assert_eq!(simulator.customers(company).len(), 2);
}
