use http::StatusCode;
use serde_json::{Value, json};

use shared::{
    domain::{EntityKind, ImportLine, JobId, NorceFields, Personal, Scope},
    http::TransportError,
    norce::{
        CallError, ImportRow, ImportShape, ImportedRow, Job, JobStatus, NorceError, NorceImports,
        SubmittedImport,
        connect::{ConnectClient, ImportOptions},
    },
};
use uuid::Uuid;

use crate::script::{Answer, Script, answer, app, applications, id, minute, ok, status};

#[tokio::test]
async fn the_path_of_jobs_that_answers_is_remembered() {
    let job = || ok(json!({"JobId": 3, "StatusId": 2, "Totals": 1, "Fail": 0}));
    let not_there = || status(404);
    let (script, client) = client([
        not_there(),
        not_there(),
        not_there(),
        job(),
        job(),
        not_there(),
    ]);
    let ask = async || client.job(JobId(3), minute()).await.unwrap().is_some();
    assert!(!ask().await, "neither path knows it");
    assert!(ask().await);
    assert!(ask().await);
    assert!(!ask().await);
    let paths: Vec<bool> = script
        .requests()
        .iter()
        .map(|request| request.contains("/4.0/api/Job/Get"))
        .collect();
    assert_eq!(paths, [true, false, true, false, false, false]);
}

fn client(answers: impl IntoIterator<Item = Answer>) -> (std::sync::Arc<Script>, ConnectClient) {
    let script = Script::new(answers);
    let client = ConnectClient::new(script.api(), 77, applications(), ImportOptions::default());
    (script, client)
}

fn lines() -> Vec<ImportRow> {
    [(5, "C00005"), (9, "Å \"9\"")]
        .into_iter()
        .map(|(number, code)| ImportRow {
            line: ImportLine::code(id(number), code.parse().unwrap(), Uuid::nil()),
            values: NorceFields::default(),
            relations: Vec::new(),
        })
        .collect()
}

fn taken() -> Answer {
    ok(json!({"StatusCode": "OK", "JobId": "4711", "ValidationSummary": {"NrOfItemsInTotal": 2}}))
}

async fn sent(kind: EntityKind, scope: Scope) -> String {
    let (script, client) = client([taken()]);
    let submitted = client
        .import(kind, scope, ImportShape::CODE, &lines(), minute())
        .await
        .unwrap();
    assert_eq!(submitted.job, JobId(4711));
    script.request()
}

#[tokio::test]
async fn customers_of_the_client_are_sent_with_id_and_code_and_nothing_else() {
    insta::assert_snapshot!(sent(EntityKind::Customer, Scope::Client).await, @r#"
    POST https://shop.example/commerce/connect/4.0/Customer/ImportCustomers
    application-id: 1
    accept: application/json
    content-type: application/json
    x-stormconnect-header: {"AccountId":77,"CustomerFieldsThatAreSet":["Id","Code"]}
    authorization: Bearer [token] 1

    [{"Id":5,"Code":"C00005"},{"Id":9,"Code":"Å \"9\""}]
    "#);
}

#[tokio::test]
async fn an_inserted_contact_says_what_it_is_and_names_the_fields_of_its_company() {
    let script = Script::new([taken()]);
    let options = ImportOptions {
        account_roles: vec!["B2C".to_owned()],
        exclusive_price_lists: true,
    };
    let client = ConnectClient::new(script.api(), 77, applications(), options);
    let mut row = lines().remove(0);
    row.line.id = None;
    row.line.company = Some(id(8));
    row.line.fields = "price-lists,additional-info".parse().unwrap();
    row.values = NorceFields {
        email: Personal::parse("a@b.se"),
        price_lists: vec!["VIP".to_owned()],
        additional_info: [
            ("segment".to_owned(), Personal::parse("GOLD")),
            ("emptied".to_owned(), None),
        ]
        .into(),
        ..NorceFields::default()
    };
    let shape = ImportShape::of(EntityKind::Customer, &row.line, true);
    let rows = [row];
    let submitted = client.import(EntityKind::Customer, Scope::Client, shape, &rows, minute());
    submitted.await.unwrap();
    insta::assert_snapshot!(script.request(), @r#"
    POST https://shop.example/commerce/connect/4.0/Customer/ImportCustomers
    application-id: 1
    accept: application/json
    content-type: application/json
    x-stormconnect-header: {"AccountId":77,"CustomerFieldsThatAreSet":["Code","FirstName","MiddleName","LastName","EmailAddress","PhoneNumber","CellPhoneNumber","InvoiceAddress","PriceLists","IsActive","AdditionalInfo","Companies","Accounts"],"CompanyFieldsThatAreSet":["Id"],"AccountFieldsThatAreSet":["StatusCreateOnly","RolesCreateOnly"]}
    authorization: Bearer [token] 1

    [{"Type":2,"Code":"C00005","EmailAddress":"a@b.se","PhoneNumber":"","CellPhoneNumber":"","IsActive":false,"InvoiceAddress":{"CareOf":"","AddressLine1":"","AddressLine2":"","ZipCode":"","City":"","Region":"","Gln":"","ShippingPhoneNumber":""},"PriceLists":[{"Code":"VIP","IsExclusive":true}],"AdditionalInfo":[{"Code":"segment","Value":"GOLD"}],"IsCompanyListDelta":true,"Companies":[{"Id":8,"IsPrimary":true}],"Accounts":[{"ApplicationKey":"01010101-0101-0101-0101-010101010101","LoginName":"a@b.se","Status":"Active","Roles":[{"Code":"B2C","IsActive":true}]},{"ApplicationKey":"02020202-0202-0202-0202-020202020202","LoginName":"a@b.se","Status":"Active","Roles":[{"Code":"B2C","IsActive":true}]}]}]
    "#);
}

#[tokio::test]
async fn p14_customers_of_an_application_carry_and_list_its_key() {
    insta::assert_snapshot!(sent(EntityKind::Customer, Scope::Application(app(2))).await, @r#"
    POST https://shop.example/commerce/connect/4.0/Customer/ImportCustomers
    application-id: 2
    accept: application/json
    content-type: application/json
    x-stormconnect-header: {"AccountId":77,"CustomerFieldsThatAreSet":["Id","Code","ApplicationKey"]}
    authorization: Bearer [token] 1

    [{"ApplicationKey":"02020202-0202-0202-0202-020202020202","Id":5,"Code":"C00005"},{"ApplicationKey":"02020202-0202-0202-0202-020202020202","Id":9,"Code":"Å \"9\""}]
    "#);
}

#[tokio::test]
async fn companies_of_the_client_carry_the_key_but_do_not_list_it() {
    insta::assert_snapshot!(sent(EntityKind::Company, Scope::Client).await, @r#"
    POST https://shop.example/commerce/connect/4.0/Customer/ImportCompanies
    application-id: 1
    accept: application/json
    content-type: application/json
    x-stormconnect-header: {"AccountId":77,"CompanyFieldsThatAreSet":["Id","Code"]}
    authorization: Bearer [token] 1

    [{"ApplicationKey":"01010101-0101-0101-0101-010101010101","Id":5,"Code":"C00005"},{"ApplicationKey":"01010101-0101-0101-0101-010101010101","Id":9,"Code":"Å \"9\""}]
    "#);
}

#[tokio::test]
async fn p14_companies_of_an_application_list_its_key() {
    insta::assert_snapshot!(sent(EntityKind::Company, Scope::Application(app(2))).await, @r#"
    POST https://shop.example/commerce/connect/4.0/Customer/ImportCompanies
    application-id: 2
    accept: application/json
    content-type: application/json
    x-stormconnect-header: {"AccountId":77,"CompanyFieldsThatAreSet":["Id","Code","ApplicationKey"]}
    authorization: Bearer [token] 1

    [{"ApplicationKey":"02020202-0202-0202-0202-020202020202","Id":5,"Code":"C00005"},{"ApplicationKey":"02020202-0202-0202-0202-020202020202","Id":9,"Code":"Å \"9\""}]
    "#);
}

async fn import(
    answers: Vec<Answer>,
) -> (std::sync::Arc<Script>, Result<SubmittedImport, CallError>) {
    let (script, client) = client(answers);
    let outcome = client
        .import(
            EntityKind::Customer,
            Scope::Client,
            ImportShape::CODE,
            &lines(),
            minute(),
        )
        .await;
    (script, outcome)
}

#[tokio::test(start_paused = true)]
async fn p2_an_import_that_norce_may_have_taken_is_never_sent_again() {
    let lost = Err(TransportError::AnswerLost("reset".to_owned()));
    for unknown in [
        lost,
        status(500),
        status(503),
        status(302),
        ok(json!("OK")),
        ok(json!({})),
    ] {
        let (script, outcome) = import(vec![unknown, taken()]).await;
        assert!(
            matches!(outcome, Err(CallError::OutcomeUnknown(_))),
            "{outcome:?}"
        );
        assert_eq!(script.requests().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_norce_has_certainly_not_taken_can_be_submitted_again() {
    for not_taken in [400, 403, 404, 413] {
        let (_, outcome) = import(vec![status(not_taken)]).await;
        assert!(matches!(outcome, Err(CallError::NotDone(_))), "{outcome:?}");
    }
    let not_sent = || Err(TransportError::NotSent("no connection".to_owned()));
    let (script, outcome) = import(vec![not_sent(), status(429), taken()]).await;
    assert!(outcome.is_ok());
    assert_eq!(script.requests().len(), 3);
    let (_, outcome) = import(vec![not_sent(), not_sent(), not_sent()]).await;
    assert!(matches!(
        outcome,
        Err(CallError::NotDone(NorceError::RetryAfter { .. }))
    ));
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let (script, outcome) = import(vec![status(401), taken()]).await;
    assert!(outcome.is_ok());
    assert_eq!(script.tokens(), 2);
    assert!(script.requests()[0].contains("Bearer [token] 1"));
    assert!(script.requests()[1].contains("Bearer [token] 2"));

    let (script, outcome) = import(vec![status(401), status(401)]).await;
    assert!(matches!(
        outcome,
        Err(CallError::NotDone(NorceError::Authentication { .. }))
    ));
    assert_eq!((script.tokens(), script.requests().len()), (2, 2));
}

#[tokio::test]
async fn an_application_that_is_not_configured_is_told() {
    let (script, client) = client([]);
    let scope = Scope::Application(app(3));
    let error = client
        .import(
            EntityKind::Company,
            scope,
            ImportShape::CODE,
            &lines(),
            minute(),
        )
        .await
        .unwrap_err();
    insta::assert_snapshot!(error, @"the configuration does not fit Norce: application 3 is not in NORCE_APPLICATIONS");
    assert_eq!(script.requests().len(), 0);
}

#[tokio::test]
async fn p11_the_words_of_a_validation_are_passed_on_without_personal_data() {
    let summary = json!({"Messages": ["Row 1: a@b.se\nis taken by 850101-1234"]});
    let body = json!({"JobId": 12, "ValidationSummary": summary});
    let (_, outcome) = import(vec![ok(body)]).await;
    let outcome = outcome.unwrap();
    assert_eq!(outcome.job, JobId(12));
    assert_eq!(outcome.messages, ["Row 1: [e-mail] is taken by [number]"]);

    let body = json!({"Message": "EmailAddress a@b.se is wrong"});
    let (_, outcome) = import(vec![answer(StatusCode::BAD_REQUEST, body)]).await;
    insta::assert_snapshot!(outcome.unwrap_err(), @"Norce refuses the request (400): EmailAddress [e-mail] is wrong");
}

/// Nothing says that Norce has acted, and it says why.
#[tokio::test(start_paused = true)]
async fn p9_an_answer_without_a_job_and_with_messages_is_a_refusal() {
    let summary = json!({"NrOfItemsInTotal": 2, "Messages": ["a@b.se is wrong", "so is 2"]});
    for job in [json!(null), json!("0"), json!("")] {
        let body = json!({"JobId": job, "ValidationSummary": summary});
        let (script, outcome) = import(vec![ok(body)]).await;
        let Err(CallError::NotDone(error @ NorceError::Refused { .. })) = outcome else {
            panic!("{outcome:?}");
        };
        insta::allow_duplicates! {
            insta::assert_snapshot!(error, @"Norce refuses the request (200): [e-mail] is wrong; so is 2");
        }
        assert_eq!(script.requests().len(), 1);
    }
    for summary in [
        json!(null),
        json!({"Messages": null}),
        json!({"Messages": [" "]}),
    ] {
        let body = json!({"ValidationSummary": summary});
        let (_, outcome) = import(vec![ok(body)]).await;
        assert!(
            matches!(outcome, Err(CallError::OutcomeUnknown(_))),
            "{outcome:?}"
        );
    }
}

async fn job(body: Value) -> Option<Job> {
    let (script, client) = client([ok(body)]);
    let job = client.job(JobId(3), minute()).await.unwrap();
    assert!(
        script
            .request()
            .starts_with("GET https://shop.example/commerce/connect/4.0/api/Job/Get\n  id=3\n")
    );
    job
}

#[tokio::test]
async fn a_job_is_read_in_either_of_its_shapes() {
    let read = job(json!({
        "JobId": 3, "StatusId": 2, "StorageName": "x/y", "Totals": 20, "Insert": 4, "Updates": 9, "Fail": 1,
        "Start": "2026-11-23T09:59:00", "Stop": null, "LastUpdated": "2026-11-23T10:00:00.123",
        "IsFinished": true, "RunTime": "00:00:01", "New": {}
    }))
    .await
    .unwrap();
    assert_eq!(
        read,
        Job {
            id: JobId(3),
            status: JobStatus::Succeeded,
            failed: 1,
            total: 20,
            last_updated: Some("2026-11-23T10:00:00.123Z".parse().unwrap()),
        }
    );
    let inserts =
        json!({"JobId": "3", "StatusId": 6, "Inserts": 4, "LastUpdated": "2026-11-23T10:00:00Z"});
    let read = job(inserts).await.unwrap();
    assert_eq!(read.status, JobStatus::Running);
    assert_eq!(
        read.last_updated,
        Some("2026-11-23T10:00:00Z".parse().unwrap())
    );
}

#[tokio::test]
async fn only_the_known_final_numbers_end_a_job() {
    for (number, expected) in [
        (json!(1), JobStatus::Running),
        (json!(2), JobStatus::Succeeded),
        (json!(3), JobStatus::Failed),
        (json!("4"), JobStatus::ValidationFailed),
        (json!(5), JobStatus::Running),
        (json!(6), JobStatus::Running),
        (json!(99), JobStatus::Running),
        (json!(null), JobStatus::Running),
    ] {
        let read = job(json!({"StatusId": number})).await.unwrap();
        assert_eq!(read.status, expected, "{number}");
    }
}

#[tokio::test]
async fn a_job_that_norce_does_not_know_is_none() {
    let (_, client) = client([status(404), status(404), ok(json!(null))]);
    assert_eq!(client.job(JobId(3), minute()).await, Ok(None));
    assert_eq!(client.job(JobId(3), minute()).await, Ok(None));
}

#[tokio::test]
async fn p9_a_log_line_leads_to_its_row_where_it_can() {
    let row = |id: Option<i64>, code: Option<&str>| {
        Some(ImportedRow {
            id: id.map(self::id),
            code: code.map(|code| code.parse().unwrap()),
        })
    };
    let texts = [
        (
            json!(r#"{"Id":5,"Code":"C5","LastName":"Ek"}"#),
            row(Some(5), Some("C5")),
        ),
        (json!(r#"{"id":"5","code":17}"#), row(Some(5), Some("17"))),
        (json!({"Code": "C5", "Id": null}), row(None, Some("C5"))),
        (json!(r#"{"Id":-1,"CODE":"C5"}"#), row(None, Some("C5"))),
        (json!(r#"{"EmailAddress":"a@b.se"}"#), None),
        (json!("<Customer><Id>5</Id></Customer>"), None),
        (json!("C5"), None),
        (json!(""), None),
        (json!(null), None),
    ];
    let log = texts.iter().map(|(text, _)| {
        json!({"SeverityId": 3, "Message": "a@b.se is wrong", "TimeStamp": "x", "ImportedRow": text})
    });
    let (_, client) = client([ok(log.collect())]);
    let log = client.job_log(JobId(3), minute()).await.unwrap();
    assert_eq!(log.len(), texts.len());
    for (entry, (text, expected)) in log.into_iter().zip(texts) {
        assert!(entry.is_error);
        assert_eq!(entry.message, "[e-mail] is wrong");
        assert_eq!(entry.row, expected, "{text}");
    }
}

#[tokio::test]
async fn a_log_may_be_one_line_or_none() {
    let one = json!({"SeverityId": 1, "Message": "started"});
    let (_, client) = client([ok(one), ok(json!(null)), ok(json!([]))]);
    let log = client.job_log(JobId(3), minute()).await.unwrap();
    assert_eq!((log.len(), log[0].is_error), (1, false));
    for _ in 0..2 {
        assert_eq!(client.job_log(JobId(3), minute()).await, Ok(vec![]));
    }
}

#[tokio::test]
async fn a_ping_says_whether_connect_lets_us_in() {
    let (script, client) = client([ok(json!("pong")), status(403)]);
    assert_eq!(client.ping(minute()).await, Ok(()));
    assert!(matches!(
        client.ping(minute()).await,
        Err(NorceError::Authentication { .. })
    ));
    insta::assert_snapshot!(script.requests()[0], @"
    GET https://shop.example/commerce/connect/4.0/Job/Ping
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
}
