//! Sign-in, with everything that can be wrong about it.

use chrono::TimeDelta;
use proptest::prelude::*;
use serde_json::{Value, json};
use shared::metrics::Metric;
use tests::{
    captured_logs::CapturedText,
    console::{Browser, ISSUER, ORIGIN, ROLE_CLAIM, Request, Stage, person},
    oidc_provider::{CLIENT_ID, Fault, Signature, TOKEN_LIFETIME},
};
use tracing::Level;
use url::Url;

const OWED: &str = "/console/owed?reason=validation&q=C00074";

/// How often sign-ins ended in this way since this was last asked.
fn sign_ins(stage: &Stage, outcome: &'static str) -> u64 {
    let tally = stage.console.metrics.take();
    let counts = tally.get(&(Metric::SignIns, outcome));
    counts
        .and_then(|counts| counts.first())
        .copied()
        .unwrap_or(0)
}

#[tokio::test]
async fn without_a_session_a_page_leads_to_the_provider_and_back_to_the_same_address() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    let answered = browser.sign_in_at(OWED, json!(["Norce.Read"])).await;
    assert_eq!(answered.status(), 200);
    let page = answered.text();
    let refresh = r#"<meta http-equiv="refresh" content="0;url=/console/owed?reason=validation&amp;q=C00074">"#;
    assert!(page.contains(refresh), "{page}");
    // The page goes on by itself, and has the session with it then.
    let answered = browser.send(Request::new("GET", OWED)).await;
    assert_eq!(answered.status(), 200);
    assert_eq!(answered.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(sign_ins(&stage, "signed-in"), 1);
}

#[tokio::test]
async fn a_sign_in_asks_for_a_code_with_pkce_state_and_nonce() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    let mut seen = Vec::new();
    for _ in 0..2 {
        let answered = browser.send(Request::new("GET", OWED)).await;
        let url = Url::parse(answered.header("location")).unwrap();
        assert!(url.as_str().starts_with(ISSUER));
        let of = |name: &str| {
            let mut pairs = url.query_pairs().filter(|(own, _)| own == name);
            pairs.next().unwrap().1.into_owned()
        };
        assert_eq!(of("response_type"), "code");
        assert_eq!(of("client_id"), CLIENT_ID);
        assert_eq!(of("redirect_uri"), format!("{ORIGIN}/console/callback"));
        assert_eq!(of("code_challenge_method"), "S256");
        let secrets = [of("state"), of("nonce"), of("code_challenge")];
        for secret in secrets {
            assert!(secret.len() >= 22, "{secret}");
            assert!(!seen.contains(&secret), "nothing is used twice");
            seen.push(secret);
        }
        assert!(!answered.header("location").contains("owed"));
    }
}

/// In two tabs at once: each comes back to where it began.
#[tokio::test]
async fn two_tabs_sign_in_at_the_same_time() {
    let stage = Stage::new();
    stage.provider.sign_in_as(person(json!("Norce.Read")));
    let mut browser = Browser::new(&stage);
    let addresses = ["/console/doctor", "/console/passes"];
    let mut callbacks = Vec::new();
    for address in addresses {
        callbacks.push(browser.begin(address).await);
    }
    for (address, callback) in addresses.iter().zip(callbacks) {
        let answered = browser.send_from(callback, false).await;
        assert_eq!(answered.status(), 200);
        assert!(answered.text().contains(&format!("0;url={address}\"")));
    }
}

#[tokio::test]
async fn the_session_cookie_is_kept_from_scripts_other_sites_and_other_hosts() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    let cookies: Vec<_> = browser
        .set
        .iter()
        .filter(|cookie| !cookie.contains("Max-Age=0"))
        .collect();
    assert_eq!(cookies.len(), 2, "{cookies:?}");
    for cookie in &cookies {
        let mut attributes: Vec<&str> = cookie.split("; ").skip(1).collect();
        attributes.retain(|attribute| !attribute.starts_with("Max-Age="));
        let is_session = cookie.starts_with("__Host-session=");
        let same_site = if is_session {
            "SameSite=Strict"
        } else {
            "SameSite=Lax"
        };
        assert_eq!(attributes, ["Secure", "HttpOnly", same_site, "Path=/"]);
        assert!(cookie.starts_with("__Host-"), "{cookie}");
        // It holds who the person is, and shows nothing of it.
        for canary in ["canary", "Kanarine", "admin", "Norce.Read"] {
            assert!(!cookie.contains(canary));
        }
        assert!(cookie.len() < 4_096);
    }
    assert_eq!(browser.cookie("__Host-sign-in"), None, "it is used up");
}

/// What the provider says in the token, changed: by name, with what the log says of it.
#[tokio::test]
async fn a_token_that_is_not_for_this_sign_in_is_refused() {
    type Change = fn(&mut serde_json::Map<String, Value>);
    let changes: [(&str, Change, &str); 9] = [
        (
            "aud",
            |it| drop(it.insert("aud".into(), json!("another client"))),
            "another client",
        ),
        ("no aud", |it| drop(it.remove("aud")), ""),
        (
            "two audiences",
            |it| drop(it.insert("aud".into(), json!([CLIENT_ID, "another"]))),
            "another client",
        ),
        (
            "iss",
            |it| drop(it.insert("iss".into(), json!("https://login.example.com/other"))),
            "another issuer",
        ),
        (
            "iss with a slash",
            |it| drop(it.insert("iss".into(), json!(format!("{ISSUER}/")))),
            "another issuer",
        ),
        (
            "nonce",
            |it| drop(it.insert("nonce".into(), json!("another"))),
            "another sign-in",
        ),
        ("no nonce", |it| drop(it.remove("nonce")), "another sign-in"),
        (
            "exp",
            |it| drop(it.insert("exp".into(), json!(1_600_000_000))),
            "expired",
        ),
        ("no exp", |it| drop(it.remove("exp")), ""),
    ];
    for (name, change, reason) in changes {
        let stage = Stage::new();
        stage.provider.change(change);
        refused(&stage, name, reason).await;
    }
}

#[tokio::test]
async fn a_token_with_a_signature_that_is_not_the_provider_s_is_refused() {
    for signature in [Signature::Stranger, Signature::Missing, Signature::Hmac] {
        let stage = Stage::new();
        stage.provider.sign(signature);
        refused(&stage, &format!("{signature:?}"), "signature").await;
    }
}

/// Signs in, and finds itself refused: without a session, with a way on that works, and with the reason in the log.
async fn refused(stage: &Stage, what: &str, reason: &str) {
    let log = CapturedText::default();
    let guard = log.capture(Level::WARN);
    let mut browser = Browser::new(stage);
    let answered = browser.sign_in_at(OWED, json!(["Norce.Admin"])).await;
    drop(guard);
    assert!((400..=503).contains(&answered.status()), "{what}");
    assert_eq!(browser.cookie("__Host-session"), None, "{what}");
    let tally = stage.console.metrics.take();
    assert!(
        !tally.contains_key(&(Metric::SignIns, "signed-in")),
        "{what}"
    );
    let text = log.text();
    assert!(text.contains(reason), "{what}: {text}");
    let link = "/console/sign-in?to=%2Fconsole%2Fowed%3Freason%3Dvalidation%26q%3DC00074";
    assert!(
        answered.text().contains(&format!("href=\"{link}\"")),
        "{what}"
    );
    for canary in ["canary", "Kanarine", "code-"] {
        assert!(!text.contains(canary), "{what}: {text}");
        assert!(!answered.text().contains(canary), "{what}");
    }
}

#[tokio::test]
async fn the_advice_of_a_refused_sign_in_leads_in_once_the_fault_is_gone() {
    let stage = Stage::new();
    stage.provider.fail(Fault::TokenEndpointDown);
    let mut browser = Browser::new(&stage);
    let answered = browser.sign_in_at(OWED, json!(["Norce.Read"])).await;
    assert_eq!(answered.status(), 503);
    let page = answered.text();
    let (_, link) = page.split_once("class=\"button\" href=\"").unwrap();
    let link = link.split('"').next().unwrap().to_owned();
    stage.provider.fail(Fault::None);
    let answered = browser.sign_in_at(&link, json!(["Norce.Read"])).await;
    assert_eq!(answered.status(), 200);
    assert!(
        answered
            .text()
            .contains("0;url=/console/owed?reason=validation&amp;q=C00074")
    );
}

#[tokio::test]
async fn an_answer_of_the_provider_counts_in_the_browser_that_began_and_once() {
    let stage = Stage::new();
    stage.provider.sign_in_as(person(json!(["Norce.Read"])));
    let mut browser = Browser::new(&stage);
    let callback = browser.begin(OWED).await;
    // Another browser, such as that of somebody who was sent the address.
    let answered = Browser::new(&stage)
        .send_from(callback.clone(), false)
        .await;
    assert_eq!(answered.status(), 400);
    assert!(
        stage
            .provider
            .take_requests()
            .iter()
            .all(|path| path != "/token")
    );
    // Another state: the cookie of this one is not found, or holds another.
    let mut other = callback.clone();
    let cookie = browser.cookie("__Host-sign-in").unwrap();
    other = other.cookie(&cookie);
    let event = {
        let mut event = other.event();
        let query = event.raw_query_string.clone().unwrap();
        let (code, state) = query.split_once("&state=").unwrap();
        event.raw_query_string = Some(format!("{code}&state={}x", &state[..state.len() - 1]));
        event
    };
    assert_eq!(stage.send(&event).await.status(), 400);
    assert!(
        stage
            .provider
            .take_requests()
            .iter()
            .all(|path| path != "/token")
    );
    assert_eq!(sign_ins(&stage, "refused"), 2);
    // The right one, and the same once more with its cookie.
    assert_eq!(
        browser.send_from(callback.clone(), false).await.status(),
        200
    );
    let again = Browser::new(&stage);
    let mut again = again;
    let answered = again.send_from(callback.cookie(&cookie), false).await;
    assert_eq!(answered.status(), 400);
    assert_eq!(again.cookie("__Host-session"), None);
}

#[tokio::test]
async fn a_person_has_ten_minutes_to_sign_in() {
    for (minutes, status) in [(9, 200), (10, 400)] {
        let stage = Stage::new();
        stage.provider.sign_in_as(person(json!(["Norce.Read"])));
        let mut browser = Browser::new(&stage);
        let callback = browser.begin(OWED).await;
        for clock in [&stage.clock, &stage.provider_clock] {
            clock.advance(TimeDelta::minutes(minutes));
        }
        let answered = browser.send_from(callback, false).await;
        assert_eq!(answered.status(), status, "{minutes} min");
    }
}

/// The provider's clock is off: by a minute either way it is a clock, by two it is a token that is over or not yet good.
#[tokio::test]
async fn a_clock_that_is_off_by_a_minute_keeps_nobody_out() {
    for (seconds, is_in) in [
        (-TOKEN_LIFETIME - 59, true),
        (-TOKEN_LIFETIME - 61, false),
        (59, true),
        (61, false),
    ] {
        let stage = Stage::new();
        stage.provider_clock.advance(TimeDelta::seconds(seconds));
        let mut browser = Browser::new(&stage);
        browser.sign_in_at(OWED, json!(["Norce.Read"])).await;
        let is_signed_in = browser.cookie("__Host-session").is_some();
        assert_eq!(is_signed_in, is_in, "{seconds} s");
    }
}

#[tokio::test]
async fn a_key_that_the_provider_has_rotated_is_fetched_and_one_that_it_has_withdrawn_is_not_taken()
{
    let stage = Stage::new();
    Browser::new(&stage).sign_in("Norce.Read").await;
    let first = stage.provider.take_requests();
    let of = |requests: &[String], path: &str| requests.iter().filter(|it| *it == path).count();
    assert_eq!(of(&first, "/keys"), 1);
    Browser::new(&stage).sign_in("Norce.Read").await;
    assert_eq!(
        of(&stage.provider.take_requests(), "/keys"),
        0,
        "they are known"
    );
    stage.provider.rotate_key();
    Browser::new(&stage).sign_in("Norce.Read").await;
    assert_eq!(of(&stage.provider.take_requests(), "/keys"), 1);
    // Under the name of the new one.
    stage.provider.sign(Signature::Stranger);
    stage.console.metrics.take();
    refused(&stage, "the old key", "signature").await;
}

#[tokio::test]
async fn while_the_provider_is_down_nobody_is_signed_in_and_the_page_says_so() {
    for (fault, status, reason) in [
        (Fault::Down, 503, "status 503"),
        (Fault::KeysDown, 503, "status 503"),
        (Fault::Page, 503, "cannot be read"),
        (
            Fault::NoConfiguration,
            500,
            "no OpenID configuration (status 404",
        ),
        (Fault::OtherIssuer, 500, "exactly as"),
    ] {
        let stage = Stage::new();
        stage.provider.fail(fault);
        let log = CapturedText::default();
        let guard = log.capture(Level::WARN);
        let mut browser = Browser::new(&stage);
        let answered = browser.send(Request::new("GET", OWED)).await;
        assert_eq!(answered.status(), status, "{fault:?}");
        assert!(log.text().contains(reason), "{fault:?}: {}", log.text());
        assert_eq!(sign_ins(&stage, "failed"), 1, "{fault:?}");
        drop(guard);
        // As soon as it is back.
        stage.provider.fail(Fault::None);
        browser.sign_in("Norce.Read").await;
    }
}

#[tokio::test]
async fn what_the_provider_gives_instead_of_a_token_is_refused() {
    for (fault, status) in [
        (Fault::TokenEndpointDown, 503),
        (Fault::Page, 503),
        (Fault::NoIdToken, 400),
    ] {
        let stage = Stage::new();
        stage.provider.sign_in_as(person(json!(["Norce.Admin"])));
        let mut browser = Browser::new(&stage);
        let callback = browser.begin(OWED).await;
        stage.provider.fail(fault);
        let answered = browser.send_from(callback, false).await;
        assert_eq!(answered.status(), status, "{fault:?}");
        assert_eq!(browser.cookie("__Host-session"), None, "{fault:?}");
    }
}

#[tokio::test]
async fn a_client_secret_that_the_provider_does_not_take_is_a_fault_of_the_set_up() {
    let stage = Stage::new();
    stage.credentials.set_client_secret("canary-old-secret");
    let log = CapturedText::default();
    let guard = log.capture(Level::WARN);
    let mut browser = Browser::new(&stage);
    let answered = browser.sign_in_at(OWED, json!(["Norce.Admin"])).await;
    drop(guard);
    assert_eq!(answered.status(), 500);
    let text = log.text();
    assert!(
        text.contains("invalid_client") && text.contains("client secret"),
        "{text}"
    );
    assert!(!text.contains("canary"), "{text}");
    stage
        .credentials
        .set_client_secret(tests::oidc_provider::CLIENT_SECRET);
    browser.sign_in("Norce.Read").await;
}

#[tokio::test]
async fn a_person_that_the_provider_refuses_is_not_signed_in() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    let callback = browser.begin(OWED).await;
    let mut event = callback.event();
    let query = event.raw_query_string.clone().unwrap();
    let (_, state) = query.split_once("&state=").unwrap();
    event.raw_query_string = Some(format!(
        "error=access_denied&error_description=canary&state={state}"
    ));
    event.cookies = Some(vec![browser.cookie("__Host-sign-in").unwrap()]);
    let answered = stage.send(&event).await;
    assert_eq!(answered.status(), 400);
    assert!(!answered.text().contains("canary"));
}

/// The claim of the roles in every form: a list, one text, missing, and values that are no role.
#[tokio::test]
async fn the_highest_role_of_the_claim_counts_whatever_its_form() {
    for (claim, role) in [
        (json!(["Norce.Read"]), Some("view")),
        (json!("Norce.Act"), Some("act")),
        (json!(["Norce.Admin", "Norce.Read"]), Some("admin")),
        (json!(["Everyone", 7, null, "Norce.Act"]), Some("act")),
        // The role's own name is no value of this map, nor is a part of a value.
        (json!(["admin"]), None),
        (json!("Norce.Admin Norce.Read"), None),
        (json!(["norce.admin"]), None),
        (json!([]), None),
        (json!(null), None),
        (json!(true), None),
        (json!({ "Norce.Admin": true }), None),
    ] {
        let stage = Stage::new();
        let mut browser = Browser::new(&stage);
        let answered = browser.sign_in_at(OWED, claim.clone()).await;
        match role {
            Some(role) => {
                let about = browser.ask("session", json!({})).await.json();
                assert_eq!(about["role"], role, "{claim}");
                assert_eq!(about["name"], "Kanarine Fogelström");
                assert_eq!(about["stack"], "shop");
            }
            None => {
                assert_eq!(answered.status(), 403, "{claim}");
                assert_eq!(browser.cookie("__Host-session"), None, "{claim}");
                assert_eq!(sign_ins(&stage, "no-role"), 1, "{claim}");
            }
        }
    }
    let stage = Stage::new();
    stage
        .provider
        .change(|claims| drop(claims.remove(ROLE_CLAIM)));
    let mut browser = Browser::new(&stage);
    let answered = browser.sign_in_at(OWED, json!(["Norce.Admin"])).await;
    assert_eq!(answered.status(), 403);
    // The advice: with another account. The provider is made to ask for one.
    let page = answered.text();
    let (_, link) = page.split_once("class=\"button\" href=\"").unwrap();
    let link = link.split('"').next().unwrap().replace("&amp;", "&");
    stage.provider.change(|_| {});
    let answered = browser.sign_in_at(&link, json!(["Norce.Admin"])).await;
    assert_eq!(answered.status(), 200);
    let prompts = stage.provider.prompts();
    assert_eq!(prompts, [None, Some("login".to_owned())]);
}

/// What a person is called: by the first claim that there is.
#[tokio::test]
async fn a_person_without_a_name_is_called_by_what_there_is() {
    for (missing, name) in [
        (&[][..], "Kanarine Fogelström"),
        (&["name"][..], "canary.person@example.com"),
        (&["name", "email"][..], "canary-subject-1f6a"),
    ] {
        let stage = Stage::new();
        stage.provider.change(move |claims| {
            for claim in missing {
                claims.remove(*claim);
            }
        });
        let mut browser = Browser::new(&stage);
        browser.sign_in("Norce.Read").await;
        let about = browser.ask("session", json!({})).await.json();
        assert_eq!(about["name"], name);
    }
}

/// API Gateway has the cookies in a member of their own; the local AWS leaves them in the header.
#[tokio::test]
async fn a_session_counts_wherever_its_cookie_is() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    let session = browser.cookie("__Host-session").unwrap();
    let mut another = Browser::new(&stage);
    let ask = || Request::of_page("status", &json!({}));
    for (request, status) in [
        (ask(), 401),
        (ask().cookie(&session), 200),
        (ask().with("cookie", &session), 200),
        (ask().with("cookie", &format!("theme=dark; {session}")), 200),
        (ask().with("cookie", &session.replace('=', "-other=")), 401),
    ] {
        assert_eq!(another.send(request).await.status(), status);
    }
}

#[tokio::test]
async fn a_session_ends_after_its_time_and_with_its_key() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    stage
        .clock
        .advance(TimeDelta::minutes(240) - TimeDelta::seconds(1));
    assert_eq!(browser.ask("status", json!({})).await.status(), 200);
    stage.clock.advance(TimeDelta::seconds(1));
    let answered = browser.ask("status", json!({})).await;
    assert_eq!(answered.status(), 401);
    assert_eq!(answered.json()["error"]["kind"], "signed-out");
    assert_eq!(browser.send(Request::new("GET", OWED)).await.status(), 302);

    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    stage.credentials.set_key(Some("another"));
    assert_eq!(browser.ask("status", json!({})).await.status(), 401);
    // Where the key cannot be read nobody is asked to sign in in vain.
    stage.credentials.set_key(None);
    let answered = browser.ask("status", json!({})).await;
    assert_eq!(answered.status(), 503);
    assert_eq!(answered.json()["error"]["kind"], "later");
    assert_eq!(browser.send(Request::new("GET", OWED)).await.status(), 503);
    stage.credentials.set_key(Some("canary-key-of-the-cookies"));
    assert_eq!(browser.ask("status", json!({})).await.status(), 200);
}

#[tokio::test]
async fn signing_out_ends_the_session_of_the_browser() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    let sign_out = Request::of_page("x", &json!({})).event();
    let request = |path: &str| {
        let mut event = sign_out.clone();
        event.raw_path = Some(path.to_owned());
        event
    };
    // Another site cannot sign a person out.
    let mut foreign = request("/console/sign-out");
    foreign
        .headers
        .insert("origin", "https://example.com".parse().unwrap());
    assert_eq!(stage.send(&foreign).await.status(), 403);
    let answered = stage.send(&request("/console/sign-out")).await;
    assert_eq!(answered.status(), 200);
    let expected = "__Host-session=; Max-Age=0; Secure; HttpOnly; SameSite=Strict; Path=/";
    assert_eq!(answered.0.cookies, [expected]);
    let page = stage
        .send(&Request::new("GET", "/console/signed-out").event())
        .await;
    assert_eq!(page.status(), 200);
    assert!(
        page.text()
            .contains("/console/sign-in?to=%2Fconsole%2Foverview")
    );
}

/// The pages without a session speak the browser's language.
#[tokio::test]
async fn pages_without_a_session_are_in_the_browser_s_language() {
    let stage = Stage::new();
    for (languages, language, word) in [
        ("", "en", "Signed out"),
        ("sv-SE,sv;q=0.9,en;q=0.8", "sv", "Utloggad"),
        ("de,sv;q=0.9", "sv", "Utloggad"),
        ("en-GB,sv;q=0.9", "en", "Signed out"),
        ("fi", "en", "Signed out"),
    ] {
        let request = Request::new("GET", "/console/signed-out").with("accept-language", languages);
        let page = stage.send(&request.event()).await.text();
        assert!(
            page.contains(&format!("<html lang=\"{language}\">")),
            "{languages}"
        );
        assert!(page.contains(word), "{languages}");
    }
}

/// Where a person can be sent after the sign-in.
async fn destination(to: &str) -> String {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    let address = format!("/console/sign-in?{}", query.append_pair("to", to).finish());
    let page = browser
        .sign_in_at(&address, json!(["Norce.Read"]))
        .await
        .text();
    let (_, destination) = page.split_once("content=\"0;url=").unwrap();
    destination.split('"').next().unwrap().replace("&amp;", "&")
}

#[tokio::test]
async fn a_sign_in_leads_to_screens_of_the_console_and_nowhere_else() {
    for to in [
        "/console/owed?reason=validation",
        "/console/record?ref=customer/client/1",
        "/console/doctor",
    ] {
        assert_eq!(destination(to).await, to);
    }
    for to in [
        "",
        "https://example.com/console/owed",
        "//example.com/console/owed",
        "/\\example.com/console/owed",
        "\\\\example.com",
        "/console/../elsewhere",
        "/console//example.com",
        "/console/owed/../../..//example.com",
        "/console/sign-in?to=/console/owed",
        "/console/callback?code=1",
        "/console/api/forget",
        "/console/sign-out",
        "javascript:alert(1)",
        "data:text/html,x",
        "/console/owed\r\nset-cookie: a=b",
        "console/owed",
    ] {
        let found = destination(to).await;
        let is_first = found == "/console/overview";
        let is_cleaned = to.starts_with("/console/owed\r\n") && !found.contains(['\r', '\n']);
        assert!(is_first || is_cleaned, "{to:?} leads to {found:?}");
    }
    let long = format!("/console/owed?q={}", "x".repeat(5_000));
    assert_eq!(destination(&long).await, "/console/overview");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the address, the browser stays on our origin and on one of our screens.
    #[test]
    fn no_address_leads_elsewhere(to in r#"(/|//|\\|/console/|https:|javascript:|\.\./|@|%2e|%2f|%5c|owed|[ -~]|\PC|\r|\n|\t){0,12}"#) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let found = runtime.block_on(destination(&to));
        let url = Url::parse(ORIGIN).unwrap().join(&found).unwrap();
        prop_assert_eq!(url.origin().ascii_serialization(), ORIGIN);
        let screen = url.path().strip_prefix("/console/").unwrap_or_default();
        prop_assert!(console::SCREENS.contains(&screen), "{to:?} leads to {found:?}");
        prop_assert!(found.chars().all(|sign| ('!'..='~').contains(&sign) && !"<>\"'".contains(sign)));
    }

    /// Whatever a client writes, an answer is one that HTTP can hold, and no header has a second line.
    #[test]
    fn no_request_breaks_an_answer(
        path in r"/console/(callback|sign-in|owed|assets/[ -~]{0,20}|api/[ -~]{0,20}|\PC{0,20})",
        query in r"(state|code|error|to)=(\PC|%0d%0a|\r|\n){0,40}(&(state|to|code)=(\PC|%0d%0a){0,10})?",
        cookie in r"__Host-(session|sign-in-[a-z]{0,8})=\PC{0,60}",
        language in r"[ -~]{0,30}",
        is_post in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let answered = runtime.block_on(async {
            let stage = Stage::new();
            let method = if is_post { "POST" } else { "GET" };
            let request = Request::new(method, "/").with("accept-language", &language).cookie(&cookie);
            let mut event = request.event();
            event.raw_path = Some(path.clone());
            event.raw_query_string = Some(query.clone());
            stage.send(&event).await
        });
        prop_assert!((200..=503).contains(&answered.status()));
        prop_assert_eq!(answered.header("content-security-policy"), console::CONTENT_SECURITY_POLICY);
        for value in answered.0.headers.values() {
            prop_assert!(!value.as_bytes().iter().any(|byte| b"\r\n".contains(byte)));
        }
        for cookie in &answered.0.cookies {
            prop_assert!(cookie.chars().all(|sign| (' '..='~').contains(&sign)), "{cookie:?}");
        }
    }
}
