//! Which requests count as those of the console's own page.

use proptest::prelude::*;
use serde_json::json;
use tests::console::{Browser, ORIGIN, Request, Stage};

const FORBIDDEN: i64 = 403;

#[tokio::test]
async fn a_request_of_another_site_is_refused_with_a_session_and_without() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Admin").await;
    let own = || Request::of_page("status", &json!({}));
    assert_eq!(browser.send(own()).await.status(), 200);
    stage.operator.take_asked();
    let wrong = [
        own().without("x-console"),
        own().with("x-console", ""),
        own().with("x-console", "1,1"),
        own().without("origin"),
        own().with("origin", "null"),
        own().with("origin", "https://example.com"),
        own().with("origin", &ORIGIN.replace("https", "http")),
        own().with("origin", &format!("{ORIGIN}.example.com")),
        own().with("origin", &format!("{ORIGIN}/")),
        own().with("origin", &format!("{ORIGIN}:8443")),
        own().with("origin", &format!("{ORIGIN},{ORIGIN}")),
        own().without("sec-fetch-site"),
        own().with("sec-fetch-site", "cross-site"),
        own().with("sec-fetch-site", "same-site"),
        own().with("sec-fetch-site", "none"),
        own().without("content-type"),
        own().with("content-type", "text/plain"),
        own().with("content-type", "application/x-www-form-urlencoded"),
        own().with("content-type", "application/jsonp"),
    ];
    for request in wrong {
        let answered = browser.send(request.clone()).await;
        assert_eq!(answered.status(), FORBIDDEN, "{request:?}");
        assert_eq!(answered.json()["error"]["kind"], "refused");
        // Whether somebody has signed in is not to be found out from elsewhere.
        let answered = stage.send(&request.event()).await;
        assert_eq!(answered.status(), FORBIDDEN, "{request:?}");
    }
    assert!(stage.operator.take_asked().is_empty());
    let with_charset = own().with("content-type", "application/json; charset=utf-8");
    assert_eq!(browser.send(with_charset).await.status(), 200);
}

/// No answer invites another origin (CORS), and a question whether it may ask is answered with no.
#[tokio::test]
async fn no_other_origin_is_let_in() {
    let stage = Stage::new();
    for (method, address) in [
        ("OPTIONS", "/console/api/status"),
        ("POST", "/console/api/status"),
        ("GET", "/console/api/status"),
        ("PUT", "/console/api/status"),
        ("DELETE", "/console/owed"),
        ("GET", "/console/overview"),
    ] {
        let request = Request::new(method, address)
            .with("origin", "https://example.com")
            .with("access-control-request-method", "POST");
        let answered = stage.send(&request.event()).await;
        let mut names = answered.0.headers.keys();
        assert!(names.all(|name| !name.as_str().starts_with("access-control-")));
        assert!(answered.status() != 200, "{method} {address}");
    }
    assert!(stage.operator.take_asked().is_empty());
}

#[tokio::test]
async fn without_a_session_the_api_answers_401() {
    let stage = Stage::new();
    for action in ["session", "status", "forget", "nonsense"] {
        let request = Request::of_page(action, &json!({}));
        let answered = stage.send(&request.event()).await;
        assert_eq!(answered.status(), 401, "{action}");
        assert_eq!(answered.json()["error"]["kind"], "signed-out");
    }
    assert!(stage.operator.take_asked().is_empty());
}

#[tokio::test]
async fn only_addresses_of_the_list_are_let_in_and_they_everywhere() {
    // Requests come from 192.0.2.10.
    for (list, is_in) in [
        ("192.0.2.10", true),
        ("192.0.2.0/24", true),
        ("198.51.100.0/24, 192.0.2.8/29", true),
        ("::ffff:192.0.2.10/128,192.0.2.0/28", true),
        ("192.0.2.11", false),
        ("192.0.3.0/24", false),
        ("2001:db8::/32", false),
    ] {
        let mut stage = Stage::new();
        stage.console.allowed = list.parse().unwrap();
        for request in [
            Request::new("GET", "/console/signed-out"),
            Request::new("GET", "/console/overview"),
            Request::of_page("status", &json!({})),
        ] {
            let status = stage.send(&request.event()).await.status();
            assert_eq!(status != FORBIDDEN, is_in, "{list}: {request:?}");
        }
        let mut nowhere = Request::new("GET", "/console/signed-out").event();
        nowhere.request_context.http.source_ip = None;
        assert_eq!(stage.send(&nowhere).await.status(), FORBIDDEN, "{list}");
    }
    for list in [
        "192.0.2",
        "192.0.2.0/33",
        "example.com",
        "192.0.2.0/24,",
        ";",
    ] {
        assert!(list.parse::<console::AllowedAddresses>().is_err(), "{list}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Of all values that a browser can send, exactly one of each header is that of our page.
    #[test]
    fn exactly_one_value_of_each_header_is_that_of_the_page(
        which in 0_usize..3,
        value in "[ -~]{0,40}|(https?://)?abcdefghij[.a-z0-9-]{0,50}|same-(origin|site)[ ,]?|1[ 0-9,]{0,3}",
    ) {
        let (name, own) = [("x-console", "1"), ("origin", ORIGIN), ("sec-fetch-site", "same-origin")][which];
        prop_assume!(value != own);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let status = runtime.block_on(async {
            let stage = Stage::new();
            let request = Request::of_page("status", &json!({})).with(name, &value);
            stage.send(&request.event()).await.status()
        });
        prop_assert_eq!(status, FORBIDDEN);
    }
}
