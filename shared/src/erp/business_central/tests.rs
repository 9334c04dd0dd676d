//! What goes over the wire, and what is made of the answers.

use std::{slice, sync::Mutex, time::Duration};

use bytes::Bytes;
use http::{Request, Response};
use proptest::prelude::*;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{fields::Fields, record::Row, *};
use crate::{
    domain::{
        Address, Countries, CountryCode, EntityRef, NorceId, OrganisationNumber, Personal, Scope,
        ShopFields, VatNumber,
    },
    erp::ExtraFields,
    http::TransportError,
};

const CUSTOMER: &str = "5d115c9c-44e3-ea11-bb43-000d3a2feca1";
const CONTACT: &str = "7a2f1b34-0000-4000-8000-0000000000c7";

type Answer = Result<Response<Bytes>, TransportError>;

/// Answers from a script, gives out tokens `token-1`, `token-2`, … and keeps what it was sent.
#[derive(Default)]
struct Server {
    answers: Mutex<Vec<Answer>>,
    requests: Mutex<Vec<String>>,
    tokens: Mutex<u32>,
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, request: Request<Bytes>, timeout: Duration) -> Answer {
        if request.uri().host() == Some("login.example") {
            let mut tokens = self.tokens.lock().unwrap();
            *tokens += 1;
            let token = json!({ "access_token": format!("token-{tokens}"), "expires_in": 3599 });
            return answer(200, &token);
        }
        let mut text = format!("{} {}\n", request.method(), request.uri());
        for name in [
            "authorization",
            "accept-language",
            "content-type",
            "if-match",
            "prefer",
        ] {
            if let Some(value) = request.headers().get(name) {
                text += &format!("{name}: {}\n", value.to_str().unwrap());
            }
        }
        assert!(!request.headers().contains_key("data-access-intent"));
        text += &format!("time-out: {} s\n", timeout.as_secs());
        text += std::str::from_utf8(request.body()).unwrap();
        self.requests.lock().unwrap().push(text);
        let answer = self.answers.lock().unwrap().remove(0);
        match answer {
            Ok(answer) if answer.headers().contains_key(TAKES) => {
                let row: Value = serde_json::from_slice(answer.body()).unwrap();
                let sent: Value = serde_json::from_slice(request.body()).unwrap();
                let status = answer.status().as_u16();
                self::answer(status, &with(row, &sent))
            }
            answer => answer,
        }
    }
}

impl Server {
    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        let first = |request: &String| request.lines().next().unwrap_or_default().to_owned();
        self.requests().iter().map(first).collect()
    }

    fn last_body(&self) -> Value {
        let requests = self.requests();
        serde_json::from_str(requests.last().unwrap().lines().last().unwrap()).unwrap()
    }
}

fn server(answers: Vec<Answer>) -> (Arc<Server>, BusinessCentral) {
    let server = Arc::new(Server {
        answers: Mutex::new(answers),
        ..Server::default()
    });
    let settings = BusinessCentralSettings {
        api_root: "https://bc.example/v2.0/t/prod/api/v2.0/".parse().unwrap(),
        company: Uuid::from_u128(0xc0),
        token_url: "https://login.example/t/oauth2/v2.0/token".parse().unwrap(),
        client_id: "app".to_owned(),
        client_secret: "s3cret".into(),
        extra_fields: ExtraFields::default(),
        extra_root: None,
        countries: Countries::default(),
    };
    let erp = BusinessCentral::new(settings, server.clone()).unwrap();
    (server, erp)
}

fn answer(status: u16, body: &Value) -> Answer {
    let response = Response::builder().status(status);
    Ok(response.body(Bytes::from(body.to_string())).unwrap())
}

/// Marks an answer with the values of the request in place of its own.
const TAKES: &str = "x-takes";

/// The answer to a write of which the server takes every value.
fn taken(status: u16, row: &Value) -> Answer {
    let response = Response::builder().status(status).header(TAKES, "all");
    Ok(response.body(Bytes::from(row.to_string())).unwrap())
}

fn failed(status: u16, code: &str) -> Answer {
    answer(
        status,
        &json!({ "error": { "code": code, "message": "No.  CorrelationId:  1." } }),
    )
}

fn page(status: u16) -> Answer {
    let response = Response::builder().status(status);
    Ok(response.body(Bytes::from("<html>Sorry</html>")).unwrap())
}

fn lost() -> Answer {
    Err(TransportError::AnswerLost("time-out".to_owned()))
}

fn not_sent() -> Answer {
    Err(TransportError::NotSent("no connection".to_owned()))
}

fn rows(rows: &[Value]) -> Answer {
    answer(200, &json!({ "@odata.context": "…", "value": rows }))
}

fn person_row() -> Value {
    json!({
        "@odata.etag": "W/\"JzE5O1==\"", "id": CUSTOMER, "number": "N12", "displayName": "Anna Ek",
        "type": "Person", "addressLine1": "Storgatan 1", "addressLine2": "", "city": "Lund",
        "state": "", "country": "SE", "postalCode": "222 22", "phoneNumber": "046-12 34 56",
        "email": "Anna@Example.com", "taxRegistrationNumber": "", "blocked": "_x0020_",
        "lastModifiedDateTime": "2026-11-23T10:00:00.963Z",
    })
}

fn with(mut row: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        row[name] = value.clone();
    }
    row
}

fn company_row() -> Value {
    with(
        person_row(),
        &json!({ "type": "Company", "number": "N7", "displayName": "Ek AB",
                 "taxRegistrationNumber": "SE556036079301", "email": "a@ek.se;b@ek.se" }),
    )
}

fn contact_row() -> Value {
    json!({
        "@odata.etag": "W/\"c\"", "id": CONTACT, "number": "CT00012", "displayName": "Bo Ek",
        "type": "Person", "jobTitle": "VD", "email": "bo@ek.se", "mobilePhoneNumber": "070-1",
        "phoneNumber": "", "privacyBlocked": false, "lastModifiedDateTime": "2026-11-23T10:00:00Z",
        "addressLine1": "", "postalCode": "222 22", "city": "Lund", "country": "SE",
    })
}

fn text(text: &str) -> Option<Personal> {
    Personal::parse(text)
}

fn person() -> Party {
    Party {
        kind: PartyKind::Person,
        name: text("Anna Ek").unwrap(),
        email: text("Anna@Example.com"),
        phone: text("046-12 34 56"),
        mobile: text("070-123 45 67"),
        title: text("Dr"),
        organisation_number: None,
        vat_number: None,
        address: Some(Address {
            line1: text("Storgatan 1"),
            postal_code: text("222 22"),
            city: text("Lund"),
            country: Some(CountryCode::SE),
            ..Address::default()
        }),
        delivery_addresses: None,
        emptied: ShopFields::new(),
        unread: ShopFields::new(),
        default_country: None,
        gln: None,
    }
}

fn company() -> Party {
    Party {
        kind: PartyKind::Company,
        name: text("Ek AB").unwrap(),
        organisation_number: OrganisationNumber::parse("556036-0793"),
        ..person()
    }
}

fn customer_id() -> ErpId {
    ErpId {
        resource: Resource::Customer,
        id: CUSTOMER.to_owned(),
    }
}

fn contact_kind() -> PartyKind {
    PartyKind::Contact {
        company: Some(customer_id()),
    }
}

fn contact() -> Party {
    Party {
        kind: contact_kind(),
        ..person()
    }
}

fn contacts_of_the_company() -> Answer {
    rows(&[
        json!({ "contactNumber": "CT00012", "contactType": "Person" }),
        json!({ "contactNumber": "CT00007", "contactType": "Company" }),
    ])
}

fn keyed(code: Option<&str>) -> IdempotencyKey {
    IdempotencyKey {
        entity: EntityRef::customer(Scope::Client, NorceId::try_from(12).unwrap()),
        code: code.map(|code| code.parse().unwrap()),
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(120))
}

fn record(row: Value, resource: Resource) -> ErpRecord {
    let row: Row = serde_json::from_value(row).unwrap();
    row.into_record(resource, &Countries::default()).unwrap()
}

fn seen() -> ErpRecord {
    record(person_row(), Resource::Customer)
}

fn email_key(text: &str) -> NaturalKey {
    NaturalKey::email(text).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_person_is_created_with_what_is_known_and_nothing_else() {
    let (server, erp) = server(vec![answer(201, &person_row())]);
    let outcome = erp.create(&keyed(Some("n12")), &person(), soon()).await;
    assert_eq!(outcome, Ok(CreateOutcome::Created(seen())));
    insta::assert_snapshot!(server.requests()[0], @r#"
    POST https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers
    authorization: Bearer token-1
    accept-language: en-US
    content-type: application/json
    time-out: 60 s
    {"number":"N12","type":"Person","displayName":"Anna Ek","email":"Anna@Example.com","phoneNumber":"046-12 34 56","country":"SE","addressLine1":"Storgatan 1","postalCode":"222 22","city":"Lund"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_company_is_created_with_the_vat_number_of_its_organisation_number() {
    let (server, erp) = server(vec![answer(201, &company_row())]);
    erp.create(&keyed(None), &company(), soon()).await.unwrap();
    insta::assert_json_snapshot!(server.last_body(), @r#"
    {
      "addressLine1": "Storgatan 1",
      "city": "Lund",
      "country": "SE",
      "displayName": "Ek AB",
      "email": "Anna@Example.com",
      "phoneNumber": "046-12 34 56",
      "postalCode": "222 22",
      "taxRegistrationNumber": "SE556036079301",
      "type": "Company"
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_contact_is_created_under_the_company_contact() {
    let (server, erp) = server(vec![contacts_of_the_company(), taken(201, &contact_row())]);
    let outcome = erp.create(&keyed(None), &contact(), soon()).await;
    assert!(matches!(outcome, Ok(CreateOutcome::Created(_))));
    insta::assert_snapshot!(server.requests().join("\n"), @r#"
    GET https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers(5d115c9c-44e3-ea11-bb43-000d3a2feca1)/contactsInformation?$select=contactId%2CcontactNumber%2CcontactType
    authorization: Bearer token-1
    accept-language: en-US
    prefer: odata.maxpagesize=100
    time-out: 15 s

    POST https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/contacts
    authorization: Bearer token-1
    accept-language: en-US
    content-type: application/json
    time-out: 60 s
    {"type":"Person","companyNumber":"CT00007","addressLine2":"","state":"","displayName":"Anna Ek","email":"Anna@Example.com","phoneNumber":"046-12 34 56","mobilePhoneNumber":"070-123 45 67","jobTitle":"Dr","country":"SE","addressLine1":"Storgatan 1","postalCode":"222 22","city":"Lund"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_contact_of_a_customer_without_a_company_contact_is_refused_with_what_to_do() {
    let (server, erp) = server(vec![rows(&[])]);
    let error = erp.create(&keyed(None), &contact(), soon()).await;
    insta::assert_snapshot!(error.unwrap_err(), @r#"the ERP refuses the record (field companyNumber): no-company-contact: customer 5d115c9c-44e3-ea11-bb43-000d3a2feca1 has no company contact in Business Central, to which its people could belong: set "Bus. Rel. Code for Customers" in Marketing Setup and create contacts from customers there"#);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_does_not_fit_is_refused_before_anything_is_sent() {
    let (server, erp) = server(vec![]);
    let party = Party {
        name: text(&"x".repeat(101)).unwrap(),
        ..person()
    };
    let error = erp.create(&keyed(None), &party, soon()).await.unwrap_err();
    let ErpError::Refused { field, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(field, Some("displayName"));
    let key = keyed(Some(&"N".repeat(21)));
    let outcome = erp.create(&key, &person(), soon()).await;
    assert!(matches!(outcome, Err(ErpError::Refused { .. })));
    assert!(server.requests().is_empty());
}

/// What may come instead of an answer that says what was done.
fn unknown_outcomes() -> Vec<Answer> {
    vec![
        lost(),
        page(500),
        page(502),
        failed(503, "Internal_TenantUnavailable"),
        failed(408, "Unknown"),
        page(201),
        page(204),
        answer(201, &json!({ "id": CUSTOMER })),
    ]
}

#[tokio::test(start_paused = true)]
async fn p2_a_create_of_unknown_outcome_is_looked_up_once_and_never_repeated() {
    for unknown in unknown_outcomes() {
        let (server, erp) = server(vec![unknown, rows(&[person_row()])]);
        let outcome = erp.create(&keyed(Some("N12")), &person(), soon()).await;
        assert_eq!(outcome, Ok(CreateOutcome::AlreadyThere(seen())));
        let lines = server.lines();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].starts_with("POST "));
        assert!(lines[1].contains("$filter=number%20eq%20%27N12%27&$top=2"));
    }
}

#[tokio::test(start_paused = true)]
async fn p2_a_create_of_unknown_outcome_that_is_not_found_is_ambiguous() {
    for unknown in unknown_outcomes() {
        let (server, erp) = server(vec![unknown.clone(), rows(&[])]);
        let outcome = erp.create(&keyed(Some("N12")), &person(), soon()).await;
        assert!(matches!(outcome, Ok(CreateOutcome::Ambiguous { .. })));
        assert_eq!(server.requests().len(), 2);

        let (server, erp) = self::server(vec![unknown, lost(), page(503), page(503)]);
        let outcome = erp.create(&keyed(Some("N12")), &person(), soon()).await;
        assert!(matches!(outcome, Ok(CreateOutcome::Ambiguous { .. })));
        let posts = server
            .lines()
            .iter()
            .filter(|it| it.starts_with("POST"))
            .count();
        assert_eq!(posts, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn p2_without_a_number_an_unknown_outcome_is_left_to_the_caller() {
    for unknown in unknown_outcomes() {
        let (server, erp) = server(vec![unknown]);
        let outcome = erp.create(&keyed(None), &person(), soon()).await;
        assert!(matches!(outcome, Ok(CreateOutcome::Ambiguous { .. })));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn p2_an_error_of_a_create_means_that_nothing_was_created() {
    for (answers, expected) in [
        (vec![not_sent(), not_sent(), not_sent()], "RetryAfter"),
        (vec![page(429), page(429), page(429)], "RetryAfter"),
        (vec![failed(409, "Internal_Deadlock")], "RetryAfter"),
        (vec![page(401), page(401)], "Authentication"),
        (vec![failed(403, "Authorization_Denied")], "Authentication"),
        (
            vec![failed(404, "Internal_CompanyNotFound")],
            "Authentication",
        ),
        (vec![failed(400, "Application_DialogException")], "Refused"),
        (
            vec![failed(400, "Internal_InvalidTableRelation")],
            "Refused",
        ),
        (vec![failed(500, "Application_DialogException")], "Refused"),
        (vec![page(400)], "Refused"),
        (vec![page(404)], "Unreadable"),
        (vec![page(302)], "Unreadable"),
    ] {
        let calls = answers.len();
        let (server, erp) = server(answers);
        let error = erp
            .create(&keyed(Some("N12")), &person(), soon())
            .await
            .unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        assert_eq!(server.requests().len(), calls);
    }
}

#[tokio::test(start_paused = true)]
async fn p2_a_number_that_exists_is_looked_up_whatever_the_status() {
    for status in [400, 409, 500] {
        let duplicate = failed(status, "Internal_EntityWithSameKeyExists");
        let (_, erp) = server(vec![duplicate, rows(&[person_row()])]);
        let outcome = erp.create(&keyed(Some("N12")), &person(), soon()).await;
        assert_eq!(outcome, Ok(CreateOutcome::AlreadyThere(seen())));
    }
}

#[tokio::test(start_paused = true)]
async fn p2_a_number_of_another_type_of_record_is_not_adopted() {
    let holder = company_row();
    let duplicate = failed(400, "Internal_EntityWithSameKeyExists");
    for (first, hits) in [
        (duplicate.clone(), vec![holder.clone()]),
        (duplicate, vec![]),
        (lost(), vec![holder]),
    ] {
        let (_, erp) = server(vec![first, rows(&hits)]);
        let error = erp.create(&keyed(Some("N12")), &person(), soon()).await;
        insta::allow_duplicates! {
            insta::assert_snapshot!(error.unwrap_err(), @"the ERP refuses the record (field number): number-taken: the number N12 belongs to a record of another type, or to one that the app may not see: check ERP_CODE_PATTERN and that record");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_renewed_once_and_a_create_is_still_made_once() {
    let (server, erp) = server(vec![page(401), answer(201, &person_row())]);
    let outcome = erp.create(&keyed(None), &person(), soon()).await;
    assert!(matches!(outcome, Ok(CreateOutcome::Created(_))));
    assert!(server.requests()[0].contains("Bearer token-1"));
    assert!(server.requests()[1].contains("Bearer token-2"));
}

#[tokio::test(start_paused = true)]
async fn p8_a_rate_limit_says_when_to_come_back() {
    let limited = || {
        let response = Response::builder().status(429).header("retry-after", "300");
        Ok(response.body(Bytes::new()).unwrap())
    };
    let (server, erp) = server(vec![limited()]);
    let error = erp.get(&customer_id(), soon()).await.unwrap_err();
    let ErpError::RetryAfter { after, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(after, Some(Duration::from_secs(300)));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn p5_a_record_that_has_the_values_already_is_not_written() {
    let (server, erp) = server(vec![]);
    let outcome = erp.update(&seen(), &person(), soon()).await;
    assert_eq!(outcome, Ok(UpdateOutcome::Unchanged(seen())));
    let fewer = Party {
        email: None,
        phone: None,
        mobile: None,
        address: None,
        ..person()
    };
    let outcome = erp.update(&seen(), &fewer, soon()).await;
    assert_eq!(outcome, Ok(UpdateOutcome::Unchanged(seen())));
    assert!(server.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn p5_what_the_server_normalises_is_no_difference() {
    let (_, erp) = server(vec![]);
    let row = with(
        company_row(),
        &json!({ "postalCode": "SW1A 1AA", "country": "GB", "city": "LUND", "taxRegistrationNumber": "GB 123 4567 82" }),
    );
    let seen = record(row, Resource::Customer);
    let mut party = company();
    party.vat_number = VatNumber::parse("gb123456782");
    // One of two addresses that finance keeps there.
    party.email = text("B@ek.se");
    party.name = text("Ek \n AB").unwrap();
    if let Some(address) = &mut party.address {
        address.postal_code = text("sw1a 1aa");
        address.country = "gb".parse().ok();
    }
    let outcome = erp.update(&seen, &party, soon()).await;
    assert_eq!(outcome, Ok(UpdateOutcome::Unchanged(seen)));
}

#[tokio::test(start_paused = true)]
async fn only_what_differs_is_written_on_condition_of_the_version() {
    let changed = with(
        person_row(),
        &json!({ "@odata.etag": "W/\"2\"", "displayName": "Anna Eksson" }),
    );
    let (server, erp) = server(vec![answer(200, &changed)]);
    let party = Party {
        name: text("Anna Eksson").unwrap(),
        ..person()
    };
    let outcome = erp.update(&seen(), &party, soon()).await;
    let expected = record(changed, Resource::Customer);
    assert_eq!(outcome, Ok(UpdateOutcome::Updated(expected)));
    insta::assert_snapshot!(server.requests()[0], @r#"
    PATCH https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers(5d115c9c-44e3-ea11-bb43-000d3a2feca1)
    authorization: Bearer token-1
    accept-language: en-US
    content-type: application/json
    if-match: W/"JzE5O1=="
    time-out: 60 s
    {"displayName":"Anna Eksson"}
    "#);
}

fn moved(address: Address) -> Party {
    Party {
        address: Some(address),
        ..person()
    }
}

#[tokio::test(start_paused = true)]
async fn the_place_goes_together_and_an_old_second_line_goes_away() {
    let there = with(person_row(), &json!({ "addressLine2": "Lgh 1102" }));
    let oslo = with(person_row(), &json!({ "country": "NO" }));
    let (server, erp) = server(vec![taken(200, &oslo)]);
    let party = moved(Address {
        line1: text("Karl Johans gate 1"),
        country: Some(CountryCode::NO),
        ..Address::default()
    });
    let there = record(there, Resource::Customer);
    erp.update(&there, &party, soon()).await.unwrap();
    insta::assert_snapshot!(server.requests()[0].lines().last().unwrap(), @r#"{"addressLine1":"Karl Johans gate 1","addressLine2":"","country":"NO","postalCode":"","city":""}"#);
}

/// Part by part: only the lines go together, and the place.
#[tokio::test(start_paused = true)]
async fn a_part_that_the_shop_does_not_know_is_left_until_the_address_moves() {
    let nothing = Address::default;
    let there = with(
        person_row(),
        &json!({ "addressLine1": "Storgatan 1", "addressLine2": "Lgh 1102", "state": "Skåne" }),
    );
    let table = [
        (nothing(), json!({})),
        (
            Address {
                care_of: text("Bo Ek"),
                ..nothing()
            },
            json!({ "addressLine1": "c/o Bo Ek", "addressLine2": "" }),
        ),
        (
            Address {
                line1: text("Lillgatan 2"),
                ..nothing()
            },
            json!({ "addressLine1": "Lillgatan 2", "addressLine2": "" }),
        ),
        (
            Address {
                line2: text("Box 12"),
                ..nothing()
            },
            json!({ "addressLine1": "", "addressLine2": "Box 12" }),
        ),
        (
            Address {
                postal_code: text("111 11"),
                ..nothing()
            },
            json!({ "addressLine1": "", "addressLine2": "", "state": "", "postalCode": "111 11", "city": "" }),
        ),
        (
            Address {
                city: text("Malmö"),
                ..nothing()
            },
            json!({ "addressLine1": "", "addressLine2": "", "state": "", "postalCode": "", "city": "Malmö" }),
        ),
        (
            Address {
                country: Some(CountryCode::NO),
                ..nothing()
            },
            json!({ "country": "NO", "addressLine1": "", "addressLine2": "", "state": "", "postalCode": "", "city": "" }),
        ),
        (
            Address {
                region: text("Blekinge"),
                ..nothing()
            },
            json!({ "addressLine1": "", "addressLine2": "", "state": "Blekinge", "postalCode": "", "city": "" }),
        ),
    ];
    for (address, expected) in table {
        let (server, erp) = server(vec![taken(200, &there)]);
        let seen = record(there.clone(), Resource::Customer);
        erp.update(&seen, &moved(address), soon()).await.unwrap();
        let sent = match server.requests().is_empty() {
            true => json!({}),
            false => server.last_body(),
        };
        assert_eq!(sent, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_field_has_cleared_is_written_again() {
    let cleared = with(
        person_row(),
        &json!({ "@odata.etag": "W/\"2\"", "country": "NO", "postalCode": "0154", "city": "" }),
    );
    let whole = with(
        cleared.clone(),
        &json!({ "@odata.etag": "W/\"3\"", "city": "Oslo" }),
    );
    let (server, erp) = server(vec![answer(200, &cleared), answer(200, &whole)]);
    let party = moved(Address {
        line1: text("Storgatan 1"),
        postal_code: text("0154"),
        city: text("Oslo"),
        country: Some(CountryCode::NO),
        ..Address::default()
    });
    let outcome = erp.update(&seen(), &party, soon()).await;
    let expected = record(whole, Resource::Customer);
    assert_eq!(outcome, Ok(UpdateOutcome::Updated(expected)));
    insta::assert_snapshot!(server.requests().join("\n"), @r#"
    PATCH https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers(5d115c9c-44e3-ea11-bb43-000d3a2feca1)
    authorization: Bearer token-1
    accept-language: en-US
    content-type: application/json
    if-match: W/"JzE5O1=="
    time-out: 60 s
    {"country":"NO","postalCode":"0154","city":"Oslo"}
    PATCH https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers(5d115c9c-44e3-ea11-bb43-000d3a2feca1)
    authorization: Bearer token-1
    accept-language: en-US
    content-type: application/json
    if-match: W/"2"
    time-out: 60 s
    {"country":"NO","postalCode":"0154","city":"Oslo"}
    "#);
}

#[tokio::test(start_paused = true)]
async fn a_contact_has_a_title_and_a_mobile_telephone_and_a_customer_the_one_telephone() {
    let (server, erp) = server(vec![
        contacts_of_the_company(),
        taken(200, &contact_row()),
        taken(200, &person_row()),
    ]);
    let mut row = contact_row();
    row["companyNumber"] = json!("CT00007");
    let there = record(row, Resource::Contact);
    erp.update(&there, &contact(), soon()).await.unwrap();
    insta::assert_json_snapshot!(server.last_body(), @r#"
    {
      "addressLine1": "Storgatan 1",
      "displayName": "Anna Ek",
      "email": "Anna@Example.com",
      "jobTitle": "Dr",
      "mobilePhoneNumber": "070-123 45 67",
      "phoneNumber": "046-12 34 56"
    }
    "#);
    let party = Party {
        phone: None,
        ..person()
    };
    erp.update(&seen(), &party, soon()).await.unwrap();
    insta::assert_json_snapshot!(server.last_body(), @r#"
    {
      "phoneNumber": "070-123 45 67"
    }
    "#);
}

#[tokio::test(start_paused = true)]
async fn an_update_of_an_old_version_is_stale_and_one_of_no_record_gone() {
    let changed = with(
        person_row(),
        &json!({ "@odata.etag": "W/\"2\"", "displayName": "Ek AB", "taxRegistrationNumber": "SE556036079301" }),
    );
    for (answers, expected) in [
        (
            vec![failed(409, "Request_EntityChanged")],
            UpdateOutcome::Stale,
        ),
        (vec![page(412)], UpdateOutcome::Stale),
        // The first attempt came through, and its answer did not.
        (
            vec![lost(), failed(409, "Request_EntityChanged")],
            UpdateOutcome::Stale,
        ),
        (
            vec![page(503), failed(409, "Request_EntityChanged")],
            UpdateOutcome::Stale,
        ),
        (
            vec![failed(404, "Internal_RecordNotFound")],
            UpdateOutcome::Gone,
        ),
        (
            vec![page(200), failed(404, "Internal_RecordNotFound")],
            UpdateOutcome::Gone,
        ),
        (
            vec![page(204), answer(200, &changed)],
            UpdateOutcome::Updated(record(changed, Resource::Customer)),
        ),
    ] {
        let (_, erp) = server(answers);
        let outcome = erp.update(&seen(), &company(), soon()).await;
        assert_eq!(outcome, Ok(expected));
    }
    for (answers, expected) in [
        (vec![lost(), lost(), lost()], "RetryAfter"),
        // A proxy says that all is well.
        (vec![page(200), answer(200, &person_row())], "RetryAfter"),
        (vec![failed(409, "Internal_Deadlock")], "RetryAfter"),
        (vec![page(404)], "Unreadable"),
        (
            vec![failed(400, "Application_FieldValidationException")],
            "Refused",
        ),
    ] {
        let (_, erp) = server(answers);
        let error = erp.update(&seen(), &company(), soon()).await.unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_block_is_made_once() {
    let (server, erp) = server(vec![
        answer(200, &person_row()),
        answer(200, &person_row()),
        rows(&[]),
    ]);
    let outcome = erp.block(&customer_id(), Block::All, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Updated(_))));
    insta::assert_snapshot!(server.requests()[1], @r#"
    PATCH https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers(5d115c9c-44e3-ea11-bb43-000d3a2feca1)
    authorization: Bearer token-1
    accept-language: en-US
    content-type: application/json
    if-match: W/"JzE5O1=="
    time-out: 60 s
    {"blocked":"All"}
    "#);

    let contact = ErpId {
        resource: Resource::Contact,
        id: CONTACT.to_owned(),
    };
    let (server, erp) = self::server(vec![
        answer(200, &contact_row()),
        answer(200, &contact_row()),
    ]);
    erp.block(&contact, Block::All, soon()).await.unwrap();
    insta::assert_json_snapshot!(server.last_body(), @r#"
    {
      "privacyBlocked": true
    }
    "#);

    let blocked = with(person_row(), &json!({ "blocked": "All" }));
    let (_, erp) = self::server(vec![answer(200, &blocked), rows(&[])]);
    let outcome = erp.block(&customer_id(), Block::All, soon()).await;
    assert!(matches!(outcome, Ok(UpdateOutcome::Unchanged(_))));
    let (_, erp) = self::server(vec![failed(404, "Internal_RecordNotFound")]);
    assert_eq!(
        erp.block(&customer_id(), Block::All, soon()).await,
        Ok(UpdateOutcome::Gone)
    );
}

#[tokio::test(start_paused = true)]
async fn a_record_is_read_by_its_id_and_only_business_centrals_own_word_makes_it_gone() {
    let (server, erp) = server(vec![
        answer(200, &person_row()),
        failed(404, "Internal_RecordNotFound"),
    ]);
    assert_eq!(erp.get(&customer_id(), soon()).await, Ok(Some(seen())));
    assert_eq!(erp.get(&customer_id(), soon()).await, Ok(None));
    insta::assert_snapshot!(server.requests()[0], @r#"
    GET https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers(5d115c9c-44e3-ea11-bb43-000d3a2feca1)?$select=id%2Cnumber%2CdisplayName%2Ctype%2CaddressLine1%2CaddressLine2%2Ccity%2Cstate%2Ccountry%2CpostalCode%2CphoneNumber%2Cemail%2CtaxRegistrationNumber%2Cblocked%2ClastModifiedDateTime
    authorization: Bearer token-1
    accept-language: en-US
    time-out: 15 s
    "#);
    for answers in [
        vec![page(404)],
        vec![failed(404, "BadRequest_ResourceNotFound")],
        vec![page(200)],
    ] {
        let (_, erp) = self::server(answers);
        let error = erp.get(&customer_id(), soon()).await.unwrap_err();
        assert!(matches!(error, ErpError::Unreadable(_)), "{error}");
    }
    let foreign = ErpId {
        resource: Resource::Customer,
        id: "1)/../companies(2".to_owned(),
    };
    let (server, erp) = self::server(vec![]);
    assert!(matches!(
        erp.get(&foreign, soon()).await,
        Err(ErpError::Refused { .. })
    ));
    assert!(server.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_code_is_found_in_the_form_in_which_it_is_kept() {
    let (server, erp) = server(vec![rows(&[person_row()]), rows(&[])]);
    let code = "n12".parse().unwrap();
    let found = erp.find_by_code(Resource::Customer, &code, soon()).await;
    assert_eq!(found, Ok(vec![seen()]));
    insta::assert_snapshot!(server.requests()[0], @r#"
    GET https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers?$select=id%2Cnumber%2CdisplayName%2Ctype%2CaddressLine1%2CaddressLine2%2Ccity%2Cstate%2Ccountry%2CpostalCode%2CphoneNumber%2Cemail%2CtaxRegistrationNumber%2Cblocked%2ClastModifiedDateTime&$filter=number%20eq%20%27N12%27&$top=2
    authorization: Bearer token-1
    accept-language: en-US
    prefer: odata.maxpagesize=100
    time-out: 15 s
    "#);
    let quoted = "o'12".parse().unwrap();
    erp.find_by_code(Resource::Contact, &quoted, soon())
        .await
        .unwrap();
    insta::assert_snapshot!(server.lines()[1], @"GET https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/contacts?$select=id%2Cnumber%2CdisplayName%2Ctype%2CjobTitle%2CcompanyNumber%2CaddressLine1%2CaddressLine2%2Ccity%2Cstate%2Ccountry%2CpostalCode%2CphoneNumber%2CmobilePhoneNumber%2Cemail%2CprivacyBlocked%2ClastModifiedDateTime&$filter=number%20eq%20%27O%27%2712%27&$top=2");
    let long = "N".repeat(21).parse().unwrap();
    let found = erp.find_by_code(Resource::Customer, &long, soon()).await;
    assert_eq!(found, Ok(vec![]));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_company_contact_is_not_found_as_a_persons_code() {
    let company = with(contact_row(), &json!({ "type": "Company" }));
    let (_, erp) = server(vec![rows(&[company])]);
    let code = "CT00012".parse().unwrap();
    assert_eq!(
        erp.find_by_code(Resource::Contact, &code, soon()).await,
        Ok(vec![])
    );
}

#[tokio::test(start_paused = true)]
async fn a_person_is_found_by_the_exact_address_only() {
    let other = |email: &str| with(person_row(), &json!({ "email": email }));
    let (server, erp) = server(vec![rows(&[
        other("anna@example.com.au"),
        other("x@example.com; ANNA@example.com"),
        with(person_row(), &json!({ "type": "Company" })),
    ])]);
    let key = email_key("o'anna+shop@example.com");
    erp.find_by_key(&PartyKind::Person, &key, soon())
        .await
        .unwrap();
    insta::assert_snapshot!(server.lines()[0], @"GET https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers?$select=id%2Cnumber%2CdisplayName%2Ctype%2CaddressLine1%2CaddressLine2%2Ccity%2Cstate%2Ccountry%2CpostalCode%2CphoneNumber%2Cemail%2CtaxRegistrationNumber%2Cblocked%2ClastModifiedDateTime&$filter=type%20eq%20%27Person%27%20and%20tolower%28email%29%20eq%20%27o%27%27anna%2Bshop%40example.com%27");

    let hits = [
        other("anna@example.com.au"),
        other("x@example.com; ANNA@example.com"),
    ];
    let (_, erp) = self::server(vec![rows(&hits)]);
    let found = erp
        .find_by_key(&PartyKind::Person, &email_key("anna@example.com"), soon())
        .await;
    assert_eq!(found.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn hits_are_read_from_page_to_page() {
    let next =
        "https://bc.example/v2.0/t/prod/api/v2.0/companies(c)/customers?$skiptoken=1%20%27x%27";
    let first = answer(
        200,
        &json!({ "value": [person_row()], "@odata.nextLink": next }),
    );
    let mut other = person_row();
    other["id"] = json!(CONTACT);
    let second = answer(200, &json!({ "value": [other] }));
    let (server, erp) = server(vec![first, second]);
    let found = erp
        .find_by_key(&PartyKind::Person, &email_key("anna@example.com"), soon())
        .await;
    assert_eq!(found.unwrap().len(), 2);
    assert_eq!(server.lines()[1], format!("GET {next}"));
}

#[tokio::test(start_paused = true)]
async fn p11_the_token_does_not_follow_a_link_to_another_host() {
    for link in [
        "https://evil.example/x",
        "http://bc.example/x",
        "https://bc.example:444/x",
    ] {
        let first = answer(200, &json!({ "value": [], "@odata.nextLink": link }));
        let (server, erp) = server(vec![first]);
        let found = erp
            .find_by_key(&PartyKind::Person, &email_key("a@b.se"), soon())
            .await;
        assert!(matches!(found, Err(ErpError::Unreadable(_))));
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_company_is_found_by_its_vat_number_and_a_contact_among_its_own_people() {
    let (server, erp) = server(vec![
        rows(&[company_row()]),
        contacts_of_the_company(),
        rows(&[contact_row()]),
    ]);
    let key = company().keys().remove(0);
    let found = erp.find_by_key(&PartyKind::Company, &key, soon()).await;
    assert_eq!(found.unwrap().len(), 1);
    let found = erp
        .find_by_key(&contact_kind(), &email_key("bo@ek.se"), soon())
        .await;
    assert_eq!(found.unwrap()[0].id.id, CONTACT);
    insta::assert_snapshot!(server.lines().join("\n"), @r#"
    GET https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers?$select=id%2Cnumber%2CdisplayName%2Ctype%2CaddressLine1%2CaddressLine2%2Ccity%2Cstate%2Ccountry%2CpostalCode%2CphoneNumber%2Cemail%2CtaxRegistrationNumber%2Cblocked%2ClastModifiedDateTime&$filter=taxRegistrationNumber%20eq%20%27SE556036079301%27%20or%20taxRegistrationNumber%20eq%20%275560360793%27%20or%20taxRegistrationNumber%20eq%20%27556036-0793%27%20or%20taxRegistrationNumber%20eq%20%27SE%205560360793%2001%27%20or%20taxRegistrationNumber%20eq%20%27SE556036-079301%27%20or%20taxRegistrationNumber%20eq%20%27SE%20556036-0793%2001%27%20or%20taxRegistrationNumber%20eq%20%27SE5560360793%27%20or%20taxRegistrationNumber%20eq%20%27556036079301%27%20or%20taxRegistrationNumber%20eq%20%27165560360793%27%20or%20taxRegistrationNumber%20eq%20%2716556036-0793%27
    GET https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/customers(5d115c9c-44e3-ea11-bb43-000d3a2feca1)/contactsInformation?$select=contactId%2CcontactNumber%2CcontactType
    GET https://bc.example/v2.0/t/prod/api/v2.0/companies(00000000-0000-0000-0000-0000000000c0)/contacts?$select=id%2Cnumber%2CdisplayName%2Ctype%2CjobTitle%2CcompanyNumber%2CaddressLine1%2CaddressLine2%2Ccity%2Cstate%2Ccountry%2CpostalCode%2CphoneNumber%2CmobilePhoneNumber%2Cemail%2CprivacyBlocked%2ClastModifiedDateTime&$filter=companyNumber%20eq%20%27CT00007%27%20and%20type%20eq%20%27Person%27%20and%20tolower%28email%29%20eq%20%27bo%40ek.se%27
    "#);
}

#[tokio::test(start_paused = true)]
async fn what_no_record_can_hold_is_not_asked_for() {
    let (server, erp) = server(vec![]);
    let long = email_key(&format!("{}@b.se", "x".repeat(80)));
    assert_eq!(
        erp.find_by_key(&PartyKind::Person, &long, soon()).await,
        Ok(vec![])
    );
    assert!(server.requests().is_empty());
    let (_, erp) = self::server(vec![rows(&[])]);
    assert_eq!(
        erp.find_by_key(&contact_kind(), &email_key("a@b.se"), soon())
            .await,
        Ok(vec![])
    );
}

#[test]
fn the_keys_of_a_person_are_the_address_and_of_a_company_the_numbers() {
    let email = vec![email_key("anna@example.com")];
    assert_eq!(person().keys(), email);
    assert_eq!(contact().keys(), email);
    let keys = |vat: &[&str]| -> Vec<NaturalKey> {
        vat.iter()
            .map(|vat| NaturalKey::organisation(vat, None).unwrap())
            .collect()
    };
    assert_eq!(company().keys(), keys(&["SE556036079301"]));
    let bare = Party {
        vat_number: VatNumber::parse("556036-0793"),
        ..company()
    };
    assert_eq!(bare.keys(), keys(&["SE556036079301"]));
    let given = Party {
        vat_number: VatNumber::parse("DE 811 569 869"),
        ..company()
    };
    assert_eq!(given.keys(), keys(&["SE556036079301", "DE811569869"]));
    for number in ["556036-0794", "12"] {
        let invalid = Party {
            organisation_number: OrganisationNumber::parse(number),
            ..company()
        };
        assert_eq!(invalid.keys(), []);
    }
}

/// A refusal that repeats the values of the person.
fn indiscreet() -> Answer {
    let message =
        "Anna Ek <Anna@Example.com> of Storgatan 1, 222 22 Lund (046-12 34 56) is not possible";
    answer(
        400,
        &json!({ "error": { "code": "Application_X", "message": message } }),
    )
}

fn assert_discreet(error: &ErpError) {
    let text = format!("{error} {error:?}");
    assert!(text.contains("is not possible"), "{text}");
    for secret in ["Anna", "Storgatan", "222 22", "Lund", "046"] {
        assert!(!text.contains(secret), "{text}");
    }
}

/// A dimension belongs to the customer, and the server may name the customer when it refuses one.
#[tokio::test(start_paused = true)]
async fn p11_no_refusal_of_a_dimension_names_the_customer() {
    let dimension = json!({ "id": "d-1", "code": "AREA" });
    let value = json!({ "id": "v-1", "code": "10", "dimensionId": "d-1" });
    let there =
        json!({ "@odata.etag": "e", "id": "x-1", "dimensionId": "d-1", "dimensionValueId": "v-2" });
    let looked_up = || [slice::from_ref(&dimension), slice::from_ref(&value)].map(rows);
    for refused in [
        // The list of those that the customer has, a new one, and another value.
        vec![indiscreet()],
        vec![rows(&[]), indiscreet()],
        vec![rows(&[there]), indiscreet()],
    ] {
        for updates in [false, true] {
            let mut answers: Vec<Answer> = looked_up().into();
            if updates {
                answers.push(answer(200, &json!({ "@odata.etag": "e", "id": CUSTOMER })));
            }
            answers.extend(refused.iter().map(|answer| match answer {
                Ok(answer) => Ok(answer.clone()),
                Err(_) => lost(),
            }));
            let (server, erp) = server(answers);
            let fixed = r#"[{"set":{"dimensions":{"AREA":"10"}},"also":"update"}]"#;
            let erp = erp.with_fixed_values(fixed.parse().unwrap());
            let error = if updates {
                erp.update(&seen(), &person(), soon()).await.unwrap_err()
            } else {
                let done = erp.complete(&customer_id(), &person(), soon()).await;
                done.unwrap_err()
            };
            assert!(
                server
                    .lines()
                    .last()
                    .unwrap()
                    .contains("/defaultDimensions"),
                "{:?}",
                server.lines()
            );
            assert_discreet(&error);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn p11_no_error_repeats_what_was_sent_or_seen() {
    let refusal = indiscreet;
    let (_, erp) = server(vec![
        refusal(),
        refusal(),
        answer(200, &person_row()),
        refusal(),
    ]);
    let created = erp
        .create(&keyed(None), &person(), soon())
        .await
        .unwrap_err();
    let updated = erp.update(&seen(), &company(), soon()).await.unwrap_err();
    let blocked = erp
        .block(&customer_id(), Block::All, soon())
        .await
        .unwrap_err();
    for error in [created, updated, blocked] {
        assert_discreet(&error);
    }
    assert!(!format!("{erp:?}").contains("s3cret"));
}

#[test]
fn an_address_that_is_no_api_root_is_refused() {
    for root in [
        "mailto:a@b.se",
        "https://bc.example/api?tenant=x",
        "https://bc.example/#x",
    ] {
        let settings = BusinessCentralSettings {
            api_root: root.parse().unwrap(),
            company: Uuid::from_u128(1),
            token_url: "https://login.example/".parse().unwrap(),
            client_id: String::new(),
            client_secret: "s3cret".into(),
            extra_fields: ExtraFields::default(),
            extra_root: None,
            countries: Countries::default(),
        };
        assert!(!format!("{settings:?}").contains("s3cret"));
        let erp = BusinessCentral::new(settings, Arc::new(Server::default()));
        assert_eq!(erp.err(), Some(InvalidApiRoot::Standard), "{root}");
    }
}

fn any_text() -> impl Strategy<Value = Option<Personal>> {
    let text = prop_oneof!["[a-zåäö🏠 0-9]{0,120}", "[0-9 +()-]{0,40}", any::<String>()];
    text.prop_map(Personal::parse)
}

prop_compose! {
    fn any_party()(
        name in any_text(), email in any_text(), phone in any_text(), mobile in any_text(),
        title in any_text(), vat in any_text(), care_of in any_text(), line1 in any_text(),
        line2 in any_text(), postal_code in any_text(), city in any_text(), region in any_text(),
        is_contact in any::<bool>(),
    ) -> Party {
        Party {
            kind: if is_contact { contact_kind() } else { PartyKind::Company },
            name: name.unwrap_or_else(|| Personal::parse("x").unwrap()),
            email, phone, mobile, title,
            organisation_number: None,
            vat_number: vat.and_then(|vat| VatNumber::parse(vat.expose())),
            address: Some(Address {
                care_of, line1, line2, postal_code, city, region,
                country: Some(CountryCode::SE),
            }),
            delivery_addresses: None,
            emptied: ShopFields::new(),
            unread: ShopFields::new(),
            default_country: None,
            gln: None,
        }
    }
}

proptest! {
    #[test]
    fn nothing_that_is_sent_is_longer_than_its_field(party in any_party()) {
        let Ok(fields) = Fields::wanted(&party, party.kind.resource()) else {
            return Ok(());
        };
        let max = |name: &str| match name {
            "displayName" | "addressLine1" => 100,
            "email" => 80,
            "addressLine2" => 50,
            "jobTitle" | "city" | "state" | "phoneNumber" | "mobilePhoneNumber" => 30,
            "postalCode" | "taxRegistrationNumber" => 20,
            "country" => 10,
            _ => 0,
        };
        for (name, value) in fields.iter() {
            prop_assert!(value.encode_utf16().count() <= max(name), "{name}");
        }
    }

    #[test]
    fn p5_a_record_with_the_wanted_values_needs_no_change(party in any_party()) {
        let Ok(wanted) = Fields::wanted(&party, party.kind.resource()) else {
            return Ok(());
        };
        prop_assert!(wanted.changes_to(&wanted).is_empty());
    }
}
