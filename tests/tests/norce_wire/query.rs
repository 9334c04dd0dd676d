use std::sync::Arc;

use http::StatusCode;
use serde_json::{Value, json};
use shared::{
    domain::{
        Application, ApplicationSettings, Applications, CompanyRelation, CountryCode, EmailKey,
        EntityKind, EntityRef, Flag, NaturalKey, NorceId, OrderKey, OrderParty, OrganisationNumber,
        Personal, Registers, Scope,
    },
    norce::{
        LookupKey, NorceError, NorceQuery,
        query::{AddressTypes, QueryClient},
    },
};

use uuid::Uuid;

use crate::script::{Answer, Script, answer, app, id, minute, ok, rows, status};

const INVOICE: i64 = 7;
const DELIVERY: i64 = 8;
const TYPES: AddressTypes = AddressTypes {
    invoice: INVOICE,
    delivery: DELIVERY,
};

fn client(answers: impl IntoIterator<Item = Answer>) -> (Arc<Script>, QueryClient) {
    let script = Script::new(answers);
    let client = QueryClient::new(script.api(), shops(Registers::Client), TYPES);
    (script, client)
}

/// The client of a set-up in which the shops have registers of their own.
fn client_with(
    registers: Registers,
    answers: impl IntoIterator<Item = Answer>,
) -> (Arc<Script>, QueryClient) {
    let script = Script::new(answers);
    let client = QueryClient::new(script.api(), shops(registers), TYPES);
    (script, client)
}

/// The applications 1 and 2.
pub(crate) fn shops(registers: Registers) -> ApplicationSettings {
    let application = |number: i64| Application {
        id: app(number),
        key: Uuid::nil(),
        erp_company: None,
    };
    ApplicationSettings {
        applications: Applications::new(application(1), vec![application(2)]),
        registers,
    }
}

fn customer_row() -> Value {
    json!({
        "Id": 5, "CustomerCode": " C5 ", "FirstName": "Anna", "MiddleName": "", "LastName": "Ek",
        "Title": null, "EmailAddress": "Anna@Example.com", "PhoneNumber": null, "CellPhoneNumber": "+46 70 1",
        "IsActive": true, "IsForgotten": false, "StoppedDate": null, "ReplacementCustomerId": 7, "LastOrderDate": "2026-11-01T10:00:00+01:00", "ApplicationId": null,
        "Account": [{"ApplicationId": 1, "LoginName": "anna", "StatusId": 42}],
        "Addresses": [
            {"Id": 1, "TypeId": 8, "City": "Elsewhere", "CountryId": 2},
            {"Id": 3, "TypeId": 7, "AddressLine1": "New", "CountryId": 1},
            {"Id": 2, "TypeId": 7, "AddressLine1": "Main", "ZipCode": "111 22", "City": "Stockholm", "CountryId": 1},
        ],
        "Companies": [
            {"CompanyId": 30, "IsPrimary": true, "Company": {"Id": 30, "IsActive": true}},
            {"CompanyId": 31, "IsPrimary": false, "Company": {"Id": 31, "IsActive": false}},
            {"CompanyId": 32},
        ],
        "Flags": [{"FlagId": 4, "IsActive": true}],
        "Unknown": {"new": [1]},
    })
}

fn countries() -> [Answer; 2] {
    [
        rows(json!([{"Id": 1, "Code": "SE"}, {"Id": 2, "Code": "no"}, {"Id": 3, "Code": "?"}])),
        rows(json!([])),
    ]
}

fn customer(number: i64) -> EntityRef {
    EntityRef::customer(Scope::Client, id(number))
}

fn company(number: i64) -> EntityRef {
    EntityRef::company(Scope::Client, id(number))
}

#[tokio::test]
async fn a_customer_comes_with_its_companies_addresses_account_and_flags() {
    let [first, last] = countries();
    let (script, client) = client([rows(json!([customer_row()])), first, last]);
    let read = client
        .customer(customer(5), minute())
        .await
        .unwrap()
        .unwrap();

    assert_eq!(read.code.as_ref().unwrap().as_str(), "C5");
    assert_eq!(read.full_name(), Personal::parse("Anna Ek"));
    assert_eq!(read.email, Personal::parse("Anna@Example.com"));
    assert_eq!(read.mobile, Personal::parse("+46 70 1"));
    assert!(read.active && !read.forgotten);
    assert_eq!(read.merged_into, Some(customer(7)));
    assert_eq!(
        read.last_order,
        Some("2026-11-01T09:00:00Z".parse().unwrap())
    );
    let relation = |number, primary| CompanyRelation {
        company: company(number),
        primary,
    };
    assert_eq!(read.companies, [relation(30, true), relation(32, false)]);
    assert_eq!(read.accounts[0].login_name, Personal::parse("anna"));
    assert_eq!(read.accounts[0].status, Some(42));
    assert_eq!(
        read.flags,
        [Flag {
            id: 4,
            active: true
        }]
    );
    let address = read.invoice_address.unwrap();
    assert_eq!(address.line1, Personal::parse("Main"));
    assert_eq!(address.country, Some(CountryCode::SE));

    insta::assert_snapshot!(script.requests()[0], @"
    GET https://shop.example/commerce/query/2.0/Customers/Customers
      $select=Id,CustomerCode,FirstName,MiddleName,LastName,Title,EmailAddress,PhoneNumber,CellPhoneNumber,IsActive,IsForgotten,StoppedDate,ReplacementCustomerId,LastOrderDate,ApplicationId
      $filter=Id eq 5
      $expand=Account($select=ApplicationId,LoginName,StatusId),Addresses($select=Id,TypeId,CareOf,AddressLine1,AddressLine2,ZipCode,City,Region,CountryId,Gln,ShippingPhoneNumber,Code,IsPrimary),Companies($select=CompanyId,IsPrimary;$expand=Company($select=Id,IsActive)),Flags($select=FlagId,IsActive)
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
    insta::assert_snapshot!(script.requests()[1..].join("\n\n"), @"
    GET https://shop.example/commerce/query/2.0/Core/Countries
      $select=Id,Code
      $orderby=Id
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1

    GET https://shop.example/commerce/query/2.0/Core/Countries
      $select=Id,Code
      $filter=Id gt 3
      $orderby=Id
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test(start_paused = true)]
async fn countries_are_fetched_once_for_all_callers_and_again_after_hours() {
    let [first, last] = countries();
    let [first_again, last_again] = countries();
    let row = || rows(json!([customer_row()]));
    let (script, client) = client([row(), first, last, row(), row(), first_again, last_again]);
    let read = async || {
        let customer = client.customer(customer(5), minute()).await;
        customer.unwrap().unwrap().invoice_address.unwrap().country
    };
    let (one, two) = tokio::join!(read(), read());
    assert_eq!((one, two), (Some(CountryCode::SE), Some(CountryCode::SE)));
    read().await;
    assert_eq!(script.requests().len(), 4);
    tokio::time::advance(std::time::Duration::from_secs(12 * 60 * 60)).await;
    read().await;
    assert_eq!(script.requests().len(), 7);
}

#[tokio::test]
async fn delivery_addresses_are_told_by_their_type_the_oldest_first() {
    let mut row = customer_row();
    row["Addresses"] = json!([
        {"Id": 9, "TypeId": DELIVERY, "City": "New"},
        {"Id": 5, "TypeId": INVOICE, "City": "Invoice"},
        {"Id": 4, "TypeId": DELIVERY, "City": "Old"},
        {"Id": 3, "TypeId": 99, "City": "Other"},
        {"Id": 2, "TypeId": DELIVERY},
    ]);
    let (_, client) = client([rows(json!([row]))]);
    let read = client.customer(customer(5), minute()).await;
    let read = read.unwrap().unwrap();
    let invoice = read.invoice_address.unwrap();
    assert_eq!(invoice.city, Personal::parse("Invoice"));
    let deliveries = read.delivery_addresses.into_iter();
    let deliveries: Vec<_> = deliveries.map(|it| (it.id, it.address.city)).collect();
    let city = |text: &str| Personal::parse(text);
    assert_eq!(deliveries, [(4, city("Old")), (9, city("New"))]);
}

#[tokio::test]
async fn without_an_invoice_address_the_oldest_is_taken_and_an_unknown_country_is_none() {
    let [first, last] = countries();
    let mut row = customer_row();
    row["Addresses"] = json!([{"Id": 9, "City": "New"}, {"Id": 4, "City": "Old", "CountryId": 99}]);
    row["Flags"] = json!(null);
    let (_, client) = client([rows(json!([row])), first, last]);
    let read = client
        .customer(customer(5), minute())
        .await
        .unwrap()
        .unwrap();
    let address = read.invoice_address.unwrap();
    assert_eq!(address.city, Personal::parse("Old"));
    assert_eq!(address.country, None);
}

#[tokio::test]
async fn what_norce_does_not_have_is_none() {
    let (_, client) = client([rows(json!([])), rows(json!([]))]);
    assert_eq!(client.customer(customer(5), minute()).await, Ok(None));
    let company = EntityRef::company(Scope::Client, id(5));
    assert_eq!(client.company(company, minute()).await, Ok(None));
}

#[tokio::test]
async fn p14_a_customer_of_another_application_is_none() {
    for (application, found) in [(json!(2), true), (json!(1), false), (json!(null), false)] {
        let mut row = customer_row();
        row["ApplicationId"] = application;
        row["Addresses"] = json!([]);
        let (script, client) = client_with(Registers::Applications, [rows(json!([row]))]);
        let entity = EntityRef::customer(Scope::Application(app(2)), id(5));
        let read = client.customer(entity, minute()).await.unwrap();
        assert_eq!(read.is_some(), found);
        assert!(script.request().contains("application-id: 2"));
    }
}

#[tokio::test]
async fn entities_that_a_row_names_are_in_the_register_that_norce_has_them_in() {
    let of = |row: Value| {
        let related = json!([
            {"Id": 30, "ApplicationId": null}, {"Id": 32, "ApplicationId": 2}, {"Id": 33, "ApplicationId": 1},
        ]);
        client_with(
            Registers::ApplicationsAndShared,
            [
                rows(json!([row])),
                rows(related),
                rows(json!([{"Id": 7, "ApplicationId": null}])),
            ],
        )
    };
    let mut row = customer_row();
    row["Addresses"] = json!([]);
    row["ApplicationId"] = json!(2);
    row["Companies"] = json!([
        {"CompanyId": 30, "Company": null}, {"CompanyId": 32, "Company": null}, {"CompanyId": 33, "Company": null},
    ]);
    let own = Scope::Application(app(2));
    let (_, client) = of(row.clone());
    let read = client.customer(EntityRef::customer(own, id(5)), minute());
    let read = read.await.unwrap().unwrap();
    let companies: Vec<EntityRef> = read.companies.iter().map(|it| it.company).collect();
    // What another application has is none of this one's (P14): it is not found there later on.
    let expected = [
        company(30),
        EntityRef::company(own, id(32)),
        EntityRef::company(own, id(33)),
    ];
    assert_eq!(companies, expected);
    assert_eq!(read.merged_into, Some(customer(7)));

    row["ApplicationId"] = json!(null);
    let (script, client) = of(row);
    let read = client
        .customer(customer(5), minute())
        .await
        .unwrap()
        .unwrap();
    let companies: Vec<EntityRef> = read.companies.iter().map(|it| it.company).collect();
    let first = EntityRef::company(Scope::Application(app(1)), id(33));
    assert_eq!(
        companies,
        [company(30), EntityRef::company(own, id(32)), first]
    );
    let asked = &script.requests()[1];
    assert!(
        asked.contains("$filter=Id eq 30 or Id eq 32 or Id eq 33"),
        "{asked}"
    );
}

#[tokio::test]
async fn an_application_sees_what_all_share_behind_its_own() {
    let row = |number: i64, application: Value| {
        json!({"Id": number, "EmailAddress": "a@b.se", "IsActive": true, "IsForgotten": false,
            "ApplicationId": application})
    };
    let email = EmailKey::parse("a@b.se").unwrap();
    let own = Scope::Application(app(2));
    for (hits, expected) in [
        (vec![row(1, json!(null))], vec![customer(1)]),
        (
            vec![row(1, json!(null)), row(2, json!(1))],
            vec![customer(1)],
        ),
        (
            vec![row(1, json!(null)), row(2, json!(2))],
            vec![EntityRef::customer(own, id(2))],
        ),
        (
            vec![row(1, json!(null)), row(2, json!(null))],
            vec![customer(1), customer(2)],
        ),
    ] {
        let (script, client) = client_with(Registers::ApplicationsAndShared, [rows(json!(hits))]);
        let found = client.customers_by_email(own, &email, minute()).await;
        assert_eq!(found, Ok(expected));
        let filter = "(ApplicationId eq 2 or ApplicationId eq null)";
        assert!(script.request().contains(filter), "{}", script.request());
    }
    let hits = json!([row(1, json!(null)), row(2, json!(2))]);
    let (script, client) = client_with(Registers::ApplicationsAndShared, [rows(hits)]);
    let found = client.customers_by_email(Scope::Client, &email, minute());
    assert_eq!(found.await, Ok(vec![customer(1)]));
    assert!(script.request().contains("and ApplicationId eq null"));
}

#[tokio::test]
async fn p12_a_customer_that_does_not_say_whether_it_is_forgotten_is_not_read() {
    let mut row = customer_row();
    row["IsForgotten"] = json!(null);
    let (_, client) = client([rows(json!([row]))]);
    let error = client.customer(customer(5), minute()).await.unwrap_err();
    assert!(matches!(error, NorceError::Unreadable(_)));
}

#[tokio::test]
async fn p11_what_cannot_be_read_is_told_by_record_and_place_only() {
    let long = "x".repeat(60);
    let mut errors = Vec::new();
    for (field, value) in [
        ("CustomerCode", json!(long)),
        ("LastName", json!({"Anna": "Ek"})),
        ("Companies", json!([{"CompanyId": 0}])),
    ] {
        let mut row = customer_row();
        row["Addresses"] = json!([]);
        row[field] = value;
        let (_, client) = client([rows(json!([row]))]);
        let error = client.customer(customer(5), minute()).await.unwrap_err();
        errors.push(error.to_string());
    }
    insta::assert_snapshot!(errors.join("\n"), @"
    Norce's answer cannot be read: customer/client/5: its code: the code has 60 characters; Norce holds at most 50
    Norce's answer cannot be read: customer/client/5: Customers/Customers: not of the documented shape at line 1, column 532
    Norce's answer cannot be read: customer/client/5: `CompanyId`: 0 is not an id: ids are whole numbers from 1 to 2147483647
    ");
}

#[tokio::test]
async fn a_company_comes_with_its_contacts_and_addresses() {
    let [first, last] = countries();
    let row = json!({
        "Id": 8, "CompanyCode": "", "Name": "Ek AB", "OrganizationNo": "556036-0793", "VatNo": "SE 556036079301",
        "EmailAddress": null, "PhoneNumber": "08", "IsActive": false, "ApplicationId": null,
        "Addresses": [{"Id": 1, "CompanyId": 8, "TypeId": 7, "City": "Oslo", "CountryId": 2}],
        "Customers": [{"CustomerId": 5}, {"CustomerId": 6}], "Flags": [{"FlagId": 4, "CompanyId": 8}],
    });
    let (script, client) = client([rows(json!([row])), first, last]);
    let entity = EntityRef::company(Scope::Client, id(8));
    let read = client.company(entity, minute()).await.unwrap().unwrap();
    assert_eq!(read.code, None);
    assert_eq!(read.name, Personal::parse("Ek AB"));
    assert_eq!(read.organisation_number.unwrap().expose(), "5560360793");
    assert_eq!(read.vat_number.unwrap().expose(), "SE556036079301");
    assert_eq!(read.contacts, [customer(5), customer(6)]);
    assert!(!read.active);
    assert_eq!(read.invoice_address.unwrap().country, Some(CountryCode::NO));
    insta::assert_snapshot!(script.requests()[0], @"
    GET https://shop.example/commerce/query/2.0/Customers/Companies
      $select=Id,CompanyCode,Name,OrganizationNo,VatNo,EmailAddress,PhoneNumber,IsActive,ApplicationId
      $filter=Id eq 8
      $expand=Addresses,Customers($select=CustomerId),Flags
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

fn order_row(buyer: i64) -> Value {
    json!({
        "Id": 70, "ApplicationId": 2, "BuyerCustomerId": buyer, "BuyerCompanyId": null,
        "PayerCustomerId": null, "PayerCompanyId": 8,
        "Buyer": {"Id": 1, "Name": "Anna Ek", "EmailAddress": "a@b.se"},
        "Payer": {"Id": 2, "EmailAddress": "", "OrganizationNo": "556036-0793"},
    })
}

#[tokio::test]
async fn an_order_leads_to_its_buyer_and_payer() {
    let (script, client) = client([rows(json!([order_row(5)]))]);
    let key = OrderKey::ClientOrderRef("123456".to_owned());
    let order = client.order(&key, app(2), minute()).await.unwrap().unwrap();
    assert_eq!((order.id, order.application), (70, app(2)));
    assert_eq!(
        (order.buyer.customer, order.buyer.company),
        (Some(customer(5)), None)
    );
    assert_eq!(order.buyer.email, Personal::parse("a@b.se"));
    assert_eq!(
        (order.payer.customer, order.payer.company),
        (None, Some(company(8)))
    );
    assert_eq!(order.payer.email, None);
    assert_eq!(
        order.payer.organisation_number.unwrap().expose(),
        "5560360793"
    );
    insta::assert_snapshot!(script.request(), @"
    GET https://shop.example/commerce/query/2.0/Orders/Orders
      $select=Id,ApplicationId,BuyerCustomerId,BuyerCompanyId,PayerCustomerId,PayerCompanyId
      $filter=QuotationId eq 123456 and ApplicationId eq 2
      $expand=Buyer,Payer
      $orderby=Id
      $top=2
    application-id: 2
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test]
async fn an_order_is_found_by_id_by_quotation_or_by_number() {
    let mut filters = Vec::new();
    let reference = |text: &str| OrderKey::ClientOrderRef(text.to_owned());
    for key in [
        OrderKey::Id(9_876_543_210),
        reference("123456"),
        reference("0123"),
        reference("99999999999"),
        reference("W-1' or Id gt 0 or OrderNo eq '"),
    ] {
        let (script, client) = client([rows(json!([]))]);
        assert_eq!(client.order(&key, app(2), minute()).await, Ok(None));
        let request = script.request();
        let filter = request
            .lines()
            .find(|line| line.contains("$filter="))
            .unwrap();
        filters.push(filter.trim().to_owned());
    }
    insta::assert_snapshot!(filters.join("\n"), @"
    $filter=Id eq 9876543210 and ApplicationId eq 2
    $filter=QuotationId eq 123456 and ApplicationId eq 2
    $filter=OrderNo eq '0123' and ApplicationId eq 2
    $filter=OrderNo eq '99999999999' and ApplicationId eq 2
    $filter=OrderNo eq 'W-1'' or Id gt 0 or OrderNo eq ''' and ApplicationId eq 2
    ");
}

#[tokio::test]
async fn p3_a_reference_with_orders_of_different_buyers_leads_to_nobody() {
    let key = OrderKey::ClientOrderRef("7".to_owned());
    let (_, client) = client([
        rows(json!([order_row(5), order_row(6)])),
        rows(json!([order_row(5), order_row(5)])),
    ]);
    let error = client.order(&key, app(2), minute()).await.unwrap_err();
    insta::assert_snapshot!(error, @"Norce's answer cannot be read: order client order ref 7: several orders of different buyers or payers");
    let order = client.order(&key, app(2), minute()).await.unwrap();
    assert_eq!(order.unwrap().buyer.customer, Some(customer(5)));
}

#[tokio::test]
async fn an_entity_has_an_order_as_buyer_or_payer() {
    let (script, client) = client_with(
        Registers::Applications,
        [rows(json!([{"Id": 70}])), rows(json!([]))],
    );
    assert_eq!(client.has_order(customer(5), minute()).await, Ok(true));
    let company = EntityRef::company(Scope::Application(app(2)), id(8));
    assert_eq!(client.has_order(company, minute()).await, Ok(false));
    insta::assert_snapshot!(script.requests().join("\n\n"), @"
    GET https://shop.example/commerce/query/2.0/Orders/Orders
      $select=Id
      $filter=BuyerCustomerId eq 5 or PayerCustomerId eq 5
      $top=1
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1

    GET https://shop.example/commerce/query/2.0/Orders/Orders
      $select=Id
      $filter=(BuyerCompanyId eq 8 or PayerCompanyId eq 8) and ApplicationId eq 2
      $top=1
    application-id: 2
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test]
async fn p3_an_email_matches_only_exactly_and_only_active_customers_of_the_register() {
    let row = |id: i64, email: &str| json!({"Id": id, "EmailAddress": email, "IsActive": true, "IsForgotten": false, "ApplicationId": 2});
    let mut forgotten = row(3, "o'brien@exämple.se");
    forgotten["IsForgotten"] = json!(true);
    let mut inactive = row(4, "o'brien@exämple.se");
    inactive["IsActive"] = json!(false);
    let mut elsewhere = row(5, "o'brien@exämple.se");
    elsewhere["ApplicationId"] = json!(1);
    let hits = json!([
        row(1, "O'BRIEN@xn--exmple-cua.se "),
        row(2, "o'brién@exämple.se"),
        forgotten,
        inactive,
        elsewhere,
        row(6, "O'Brien@Exämple.se"),
        row(7, "o'brien@exämple.se"),
    ]);
    let (script, client) = client_with(Registers::Applications, [rows(hits)]);
    let email = EmailKey::parse("O'Brien@exämple.se").unwrap();
    let found = client
        .customers_by_email(Scope::Application(app(2)), &email, minute())
        .await;
    let of = |number| EntityRef::customer(Scope::Application(app(2)), id(number));
    assert_eq!(found, Ok(vec![of(1), of(6)]));
    insta::assert_snapshot!(script.request(), @"
    GET https://shop.example/commerce/query/2.0/Customers/Customers
      $select=Id,EmailAddress,IsActive,IsForgotten,ApplicationId
      $filter=IsActive eq true and (EmailAddress eq 'o''brien@xn--exmple-cua.se' or EmailAddress eq 'o''brien@exämple.se') and ApplicationId eq 2
      $orderby=Id
    application-id: 2
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test]
async fn p3_an_organisation_number_matches_only_exactly() {
    let hits = json!([
        {"Id": 8, "OrganizationNo": "556036-0793", "IsActive": true, "ApplicationId": null},
        {"Id": 9, "OrganizationNo": "5560360793 0", "IsActive": true, "ApplicationId": null},
        {"Id": 10, "VatNo": "SE 556036-0793 01", "IsActive": false, "ApplicationId": null},
    ]);
    let (script, client) = client([rows(hits)]);
    let party = OrderParty {
        organisation_number: OrganisationNumber::parse("556036-0793"),
        ..OrderParty::default()
    };
    let found = client
        .companies_of_party(Scope::Client, &party, minute())
        .await;
    assert_eq!(found, Ok(vec![company(8)]));
    insta::assert_snapshot!(script.request(), @"
    GET https://shop.example/commerce/query/2.0/Customers/Companies
      $select=Id,CompanyCode,Name,OrganizationNo,VatNo,IsActive,ApplicationId
      $filter=IsActive eq true and (NormalizedOrganizationNo eq '556036079301' or NormalizedOrganizationNo eq '5560360793' or NormalizedOrganizationNo eq '165560360793' or (VatNo eq 'SE556036079301' or VatNo eq '5560360793' or VatNo eq '556036-0793' or VatNo eq 'SE 5560360793 01' or VatNo eq 'SE556036-079301' or VatNo eq 'SE 556036-0793 01' or VatNo eq 'SE5560360793' or VatNo eq '556036079301' or VatNo eq '165560360793' or VatNo eq '16556036-0793'))
      $expand=Addresses
      $orderby=Id
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test]
async fn codes_are_read_in_chunks_and_what_is_missing_stays_missing() {
    let ids: Vec<NorceId> = (1..=205).map(id).collect();
    let (script, client) = client([
        rows(json!([{"Id": 1, "CustomerCode": "C1"}, {"Id": 2, "CustomerCode": " "}])),
        rows(json!([])),
        rows(json!([{"Id": 205, "CustomerCode": null}])),
    ]);
    let codes = client
        .codes(EntityKind::Customer, Scope::Client, &ids, minute())
        .await;
    let code = Some("C1".parse().unwrap());
    assert_eq!(
        codes,
        Ok(vec![(id(1), code), (id(2), None), (id(205), None)])
    );
    assert_eq!(script.requests().len(), 3);
    insta::assert_snapshot!(script.requests()[2], @"
    GET https://shop.example/commerce/query/2.0/Customers/Customers
      $select=Id,CustomerCode,ApplicationId
      $filter=Id eq 201 or Id eq 202 or Id eq 203 or Id eq 204 or Id eq 205
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

fn asked(number: usize) -> LookupKey {
    LookupKey {
        code: format!("C{number}").parse().unwrap(),
        keys: Vec::from_iter(NaturalKey::email(&format!("p{number}@example.com"))),
    }
}

#[tokio::test]
async fn a_look_up_asks_for_codes_and_addresses_in_one_request() {
    let row = |number: i64, code: &str, email: &str| {
        json!({"Id": number, "CustomerCode": code, "EmailAddress": email, "IsActive": true,
            "IsForgotten": false, "ApplicationId": 2})
    };
    let (script, client) = client_with(
        Registers::Applications,
        [rows(json!([
            row(1, "C1", "other@example.com"),
            row(2, "", "P2@Example.com"),
            // Norce's database compares more loosely than we do; whether case matters in a code is the ERP's to say.
            row(3, "c1", "nobody@example.com"),
            row(4, "C1-OLD", "nobody@example.com"),
        ]))],
    );
    let scope = Scope::Application(app(2));
    let asked = [asked(1), asked(2)];
    let look_up = client
        .look_up(EntityKind::Customer, scope, &asked, minute())
        .await
        .unwrap();
    let found: Vec<_> = look_up.found.iter().map(|found| found.id).collect();
    assert_eq!((found, look_up.requests), (vec![id(1), id(2), id(3)], 1));
    insta::assert_snapshot!(script.request(), @"
    GET https://shop.example/commerce/query/2.0/Customers/Customers
      $select=Id,CustomerCode,EmailAddress,IsActive,IsForgotten,ApplicationId
      $filter=(CustomerCode eq 'C1' or CustomerCode eq 'C2' or (EmailAddress eq 'p1@example.com' or EmailAddress eq 'p2@example.com')) and ApplicationId eq 2
    application-id: 2
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test]
async fn a_filter_that_norce_finds_too_long_is_halved_and_stays_so() {
    let (script, client) = client([
        status(414),
        status(400),
        rows(json!([])),
        rows(json!([])),
        rows(json!([])),
        rows(json!([])),
        rows(json!([])),
    ]);
    let all: Vec<LookupKey> = (0..100).map(asked).collect();
    let look_up = |asked: &[LookupKey]| {
        let asked = asked.to_vec();
        let client = &client;
        async move {
            client
                .look_up(EntityKind::Customer, Scope::Client, &asked, minute())
                .await
        }
    };
    assert_eq!(look_up(&all).await.unwrap().requests, 6);
    assert_eq!(look_up(&all[..25]).await.unwrap().requests, 1);
    assert_eq!(script.requests().len(), 7);
    // What is refused however short it is, is refused.
    let (_, client) = self::client((0..10).map(|_| status(400)));
    let error = client
        .look_up(EntityKind::Customer, Scope::Client, &all, minute())
        .await;
    assert!(matches!(error, Err(NorceError::Refused { .. })));
}

#[tokio::test]
async fn a_sweep_pages_by_id_and_counts_created_where_updated_is_null() {
    let (script, client) = client([
        rows(json!([
            {"Id": 7, "Created": "2026-11-01T00:00:00", "Updated": null, "IsForgotten": false},
            {"Id": 9, "Created": "2026-11-01T00:00:00", "Updated": "2026-11-22T10:00:00Z", "IsForgotten": true},
        ])),
        rows(json!([])),
    ]);
    let since = Some("2026-11-01T00:00:00Z".parse().unwrap());
    let page = client
        .changed_since(
            EntityKind::Customer,
            Scope::Client,
            since,
            Some(id(5)),
            minute(),
        )
        .await
        .unwrap();
    assert_eq!(page.next, Some(id(9)));
    assert_eq!(page.entities[0].changed, since);
    assert!(page.entities[1].forgotten);
    let last = client
        .changed_since(
            EntityKind::Customer,
            Scope::Client,
            since,
            page.next,
            minute(),
        )
        .await
        .unwrap();
    assert_eq!(last.next, None);
    insta::assert_snapshot!(script.requests()[0], @"
    GET https://shop.example/commerce/query/2.0/Customers/Customers
      $select=Id,Created,Updated,IsForgotten,ApplicationId
      $filter=(Updated ge 2026-11-01T00:00:00Z or (Updated eq null and Created ge 2026-11-01T00:00:00Z) or Addresses/any(row:row/Updated ge 2026-11-01T00:00:00Z or (row/Updated eq null and row/Created ge 2026-11-01T00:00:00Z)) or Companies/any(row:row/Updated ge 2026-11-01T00:00:00Z or (row/Updated eq null and row/Created ge 2026-11-01T00:00:00Z)) or Flags/any(row:row/Updated ge 2026-11-01T00:00:00Z or (row/Updated eq null and row/Created ge 2026-11-01T00:00:00Z))) and Id gt 5
      $orderby=Id
      $top=500
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test]
async fn a_refused_filter_of_a_sweep_is_asked_with_fewer_relations_and_not_again() {
    let (script, client) = client([
        status(400),
        status(400),
        rows(json!([{"Id": 7, "Updated": "2026-11-22T10:00:00Z"}])),
        rows(json!([])),
        rows(json!([])),
    ]);
    let changed = async |kind| {
        let since = Some("2026-11-01T00:00:00Z".parse().unwrap());
        let page = client.changed_since(kind, Scope::Client, since, None, minute());
        let page = page.await.unwrap();
        (page.entities.len(), page.requests)
    };
    assert_eq!(changed(EntityKind::Customer).await, (1, 3));
    assert_eq!(changed(EntityKind::Customer).await, (0, 1));
    // What is refused of customers says nothing about companies.
    assert_eq!(changed(EntityKind::Company).await, (0, 1));
    let relations = |request: &String| -> Vec<&'static str> {
        let relations = ["Addresses", "Companies", "Customers", "Flags"];
        let is_asked = |relation: &&str| request.contains(&format!("{relation}/any(row:"));
        relations.into_iter().filter(is_asked).collect()
    };
    let asked: Vec<_> = script.requests().iter().map(relations).collect();
    let all = vec!["Addresses", "Companies", "Flags"];
    let of_companies = vec!["Addresses", "Customers", "Flags"];
    let documented = vec!["Addresses", "Companies"];
    assert_eq!(asked, [all, documented, vec![], vec![], of_companies]);
}

/// A service that cannot translate a filter for its database answers 500. Another time it may be down.
#[tokio::test(start_paused = true)]
async fn a_sweep_goes_on_by_the_rows_own_times_where_norce_fails_over_the_relations() {
    let failed = || (0..3).map(|_| status(500));
    let row = || rows(json!([{"Id": 7, "Updated": "2026-11-22T10:00:00Z"}]));
    let answers = failed()
        .chain([row(), row()])
        .chain(failed())
        .chain(failed());
    let (script, client) = client(answers);
    let changed = async || {
        let since = Some("2026-11-01T00:00:00Z".parse().unwrap());
        let kind = EntityKind::Customer;
        let page = client.changed_since(kind, Scope::Client, since, None, minute());
        page.await.map(|page| (page.entities.len(), page.requests))
    };
    assert_eq!(changed().await, Ok((1, 2)));
    assert!(!script.requests()[3].contains("/any("));
    // It is tried again.
    assert_eq!(changed().await, Ok((1, 1)));
    assert!(script.requests()[4].contains("/any("));
    // Down is down.
    assert!(matches!(
        changed().await,
        Err(NorceError::RetryAfter { .. })
    ));
}

#[tokio::test]
async fn p14_codes_of_another_application_are_not_told() {
    let (_, client) = client_with(
        Registers::Applications,
        [rows(json!([
            {"Id": 1, "CompanyCode": "C1", "ApplicationId": 1},
            {"Id": 2, "CompanyCode": "C2", "ApplicationId": 2},
        ]))],
    );
    let scope = Scope::Application(app(2));
    let codes = client
        .codes(EntityKind::Company, scope, &[id(1), id(2)], minute())
        .await;
    assert_eq!(codes, Ok(vec![(id(2), Some("C2".parse().unwrap()))]));
}

#[tokio::test]
async fn a_list_is_followed_from_page_to_page() {
    let page = |link: &str| {
        ok(json!({"value": [{"Id": 1, "CustomerCode": "C1"}], "@odata.nextLink": link}))
    };
    let (script, client) = client([
        page(
            "https://shop.example/commerce/query/2.0/Customers/Customers?$filter=Id%20eq%201&$skip=1",
        ),
        rows(json!([{"Id": 2, "CustomerCode": "C2"}])),
    ]);
    let ids = [id(1), id(2)];
    let codes = client
        .codes(EntityKind::Customer, Scope::Client, &ids, minute())
        .await
        .unwrap();
    assert_eq!(codes.len(), 2);
    insta::assert_snapshot!(script.requests()[1], @"
    GET https://shop.example/commerce/query/2.0/Customers/Customers
      $filter=Id eq 1
      $skip=1
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test]
async fn p11_a_token_never_follows_a_link_or_a_redirect_to_another_host() {
    let foreign = ok(json!({"value": [], "@odata.nextLink": "https://evil.example/?$skip=1"}));
    let mut redirect = answer(StatusCode::FOUND, json!({})).unwrap();
    let elsewhere = "https://evil.example/".parse().unwrap();
    redirect.headers_mut().insert("location", elsewhere);
    let row = json!({"Id": 1, "Companies": [], "Companies@odata.nextLink": "//evil.example/"});
    let (script, client) = client([foreign, Ok(redirect), rows(json!([row]))]);
    let mut errors = Vec::new();
    for _ in 0..3 {
        let outcome = client
            .codes(EntityKind::Customer, Scope::Client, &[id(1)], minute())
            .await;
        errors.push(outcome.unwrap_err().to_string());
    }
    insta::assert_snapshot!(errors.join("\n"), @"
    Norce's answer cannot be read: Customers/Customers: the link to the next page leads to another host, where a token must not go
    the configuration does not fit Norce: status 302 instead of an answer; check NORCE_BASE_URL
    Norce's answer cannot be read: Customers/Customers(1): the rest of Companies: the link to the next page leads to another host, where a token must not go
    ");
    let requests = script.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests
            .iter()
            .all(|it| it.starts_with("GET https://shop.example/"))
    );
}

#[tokio::test]
async fn applications_are_read_page_by_page_in_the_order_of_their_ids() {
    let key = Uuid::from_bytes([1; 16]);
    let (script, client) = client([
        rows(json!([{"Id": 1, "Key": key, "Name": "a"}, {"Id": 4}])),
        rows(json!([{"Id": 5}])),
        rows(json!([])),
    ]);
    let listed = client.applications(minute()).await.unwrap();
    let listed: Vec<_> = listed.iter().map(|it| (it.id.get(), it.key)).collect();
    assert_eq!(listed, [(1, Some(key)), (4, None), (5, None)]);
    insta::assert_snapshot!(script.requests().join("\n\n"), @"
    GET https://shop.example/commerce/query/2.0/Core/Applications
      $orderby=Id
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1

    GET https://shop.example/commerce/query/2.0/Core/Applications
      $filter=Id gt 4
      $orderby=Id
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1

    GET https://shop.example/commerce/query/2.0/Core/Applications
      $filter=Id gt 5
      $orderby=Id
    application-id: 1
    accept: application/json
    authorization: Bearer [token] 1
    ");
}

#[tokio::test]
async fn a_server_that_repeats_itself_does_not_hold_us_up() {
    let page = || rows(json!([{"Id": 1}]));
    let (_, client) = client([page(), page()]);
    let outcome = client.applications(minute()).await;
    assert!(matches!(outcome, Err(NorceError::Unreadable(_))));
}

#[tokio::test(start_paused = true)]
async fn p8_a_rate_limit_is_waited_out_or_handed_back_with_its_time() {
    let limited = || {
        let mut answer = status(429).unwrap();
        answer.headers_mut().insert("retry-after", 9.into());
        Ok(answer)
    };
    let (_, client) = client([limited(), rows(json!([])), limited(), limited(), limited()]);
    assert_eq!(client.has_order(customer(5), minute()).await, Ok(false));
    insta::assert_snapshot!(client.has_order(customer(5), minute()).await.unwrap_err(), @"Norce cannot answer now (status 429); try again after 9 s");
}
