//! `doctor`: the home country, and the ERP's codes of countries.

use tests::business_central_simulator::{CompanySettings, Country};

use super::*;

const CHECK: &str = "erp client: countries";

/// A register with its own codes, as the company `set_up` has them.
fn bundle(
    home_country: &'static str,
    erp_countries: &'static str,
    codes: &[&str],
    own: &str,
) -> Bundle {
    let bundle = Bundle::new(&Options {
        home_country,
        erp_countries,
        ..Options::default()
    });
    let set_up = |company: &mut CompanySettings| {
        company.home_country = own.to_owned();
        let codes = codes.iter().map(|code| Country {
            code: (*code).to_owned(),
            vat_formats: Vec::new(),
        });
        company.countries = codes.collect();
    };
    bundle
        .erp
        .configure_company(bundle.erp_company(), set_up)
        .unwrap();
    bundle
}

async fn assert_well(bundle: &Bundle, detail: &str) {
    let report = bundle.ask(json!({"action": "doctor"})).await.unwrap();
    assert!(summary(&report).starts_with("All"), "{report:#}");
    let mut checks = report["checks"].as_array().unwrap().iter();
    let check = checks.find(|check| check["check"] == CHECK).unwrap();
    assert_eq!(check["detail"], detail);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_home_country_is_named_with_the_right_one() {
    let codes = &["SE", "NO"];
    let wrong = bundle("NO", "", codes, "SE");
    let (check, detail, fix) = only_fault(&wrong, "the home country").await;
    assert_eq!(check, CHECK);
    assert_eq!(
        detail,
        "HomeCountry is NO, and the company of Business Central is in SE: addresses and numbers without a country are taken for those of NO"
    );
    assert!(fix.starts_with("Set HomeCountry to SE"), "{fix}");

    let right = bundle("SE", "", codes, "SE");
    let known = "every code of a country in use is known, and the home country is SE";
    assert_well(&right, known).await;
    // By the merchant's own code, too.
    let right = bundle("SE", "SE=SVERIGE", &["SVERIGE"], "SVERIGE");
    assert_well(&right, known).await;
    let without = bundle("", "", codes, "SE");
    assert_well(
        &without,
        "every code of a country in use is known; the company of Business Central is in SE, and HomeCountry is empty: addresses and numbers without a country belong to none",
    )
    .await;
    let without = bundle("", "", codes, "");
    assert_well(
        &without,
        "every code of a country in use is known; the company of Business Central has no country, and HomeCountry is empty",
    )
    .await;
}

/// A code of a region that no customer has needs no country.
#[tokio::test(start_paused = true)]
async fn codes_in_use_without_a_country_are_named_with_the_value_that_maps_them() {
    let codes = &["DK", "NORDEN", "NORGE", "SVERIGE"];
    let add = |bundle: &Bundle| {
        let there = json!({ "number": "K1", "displayName": "Ola Ek", "type": "Person", "country": "NORGE" });
        bundle
            .erp
            .add_customer(bundle.erp_company(), &there)
            .unwrap();
    };
    let unmapped = bundle("SE", "", codes, "SVERIGE");
    add(&unmapped);
    let (check, detail, fix) = only_fault(&unmapped, "the codes").await;
    assert_eq!(check, CHECK);
    assert_eq!(
        detail,
        "Business Central has these codes of countries in use, and they stand for no country: NORGE, SVERIGE"
    );
    assert!(
        fix.starts_with("Set ErpCountries to <ISO code>=NORGE,SE=SVERIGE with the ISO code"),
        "{fix}"
    );

    let mapped = bundle("SE", "NO=NORGE,SE=SVERIGE", codes, "SVERIGE");
    add(&mapped);
    assert_well(
        &mapped,
        "every code of a country in use is known, and the home country is SE",
    )
    .await;
}

/// The check reports all faults at once, each with its fix.
#[tokio::test(start_paused = true)]
async fn a_configured_code_that_the_erp_does_not_have_is_named() {
    let wrong = bundle("NO", "DK=DANMARK,NO=NORGE", &["NORGE", "SE"], "SE");
    let (_, detail, fix) = only_fault(&wrong, "a code too many").await;
    assert!(detail.starts_with("HomeCountry is NO"), "{detail}");
    assert!(
        detail.ends_with("ErpCountries names codes that Business Central does not have: DANMARK"),
        "{detail}"
    );
    assert!(fix.starts_with("Set HomeCountry to SE"), "{fix}");
    assert!(fix.contains("such as NO=NORGE,"), "{fix}");
    let right = bundle("SE", "NO=NORGE", &["NORGE", "SE"], "SE");
    assert_well(
        &right,
        "every code of a country in use is known, and the home country is SE",
    )
    .await;
}

/// The merchant's own API pages need not have these two.
#[tokio::test(start_paused = true)]
async fn pages_that_are_not_at_the_address_are_no_fault() {
    let bundle = bundle("SE", "", &["SE"], "SE");
    let missing = Fault::status(http::StatusCode::NOT_FOUND);
    bundle.erp.inject(missing.on_entity(Entity::References));
    assert_well(
        &bundle,
        "Business Central does not report the country of its company at this address",
    )
    .await;
}

/// An Odoo with a company in Sweden.
struct SwedishOdoo(Arc<dyn Clock>);

#[async_trait]
impl Transport for SwedishOdoo {
    async fn send(
        &self,
        request: http::Request<Bytes>,
        _: Duration,
    ) -> Result<http::Response<Bytes>, TransportError> {
        let mut path = request.uri().path().rsplit('/');
        let body = match (path.next(), path.next()) {
            (Some("has_access"), _) => "true",
            (Some("search_count"), _) => "0",
            (_, Some("res.company")) => r#"[{"id":1,"country_id":[196,"Sweden"]}]"#,
            (_, Some("res.country")) => r#"[{"id":165,"code":"NO"},{"id":196,"code":"SE"}]"#,
            _ => "[]",
        };
        let answer = http::Response::builder().header("date", self.0.now().to_rfc2822());
        Ok(answer.body(body.into()).unwrap())
    }
}

#[tokio::test(start_paused = true)]
async fn the_home_country_is_compared_with_the_company_of_odoo() {
    let odoo = |home: &str| {
        let mut bundle = Bundle::new(&Options::default());
        let server = Arc::new(SwedishOdoo(bundle.clock.clone()));
        let settings = OdooSettings {
            home_country: home.parse().ok(),
            ..odoo_settings()
        };
        let erp: Arc<dyn Erp> = Arc::new(Odoo::new(settings, server).unwrap());
        bundle.operator.doctor.erps = Ok([(Scope::Client, erp)].into());
        bundle
    };
    let (check, detail, fix) = only_fault(&odoo("NO"), "the home country").await;
    assert_eq!(check, CHECK);
    assert!(
        detail.starts_with("HomeCountry is NO, and the company of Odoo is in SE"),
        "{detail}"
    );
    assert!(fix.starts_with("Set HomeCountry to SE"), "{fix}");
    assert_well(
        &odoo("SE"),
        "every code of a country in use is known, and the home country is SE",
    )
    .await;
}
