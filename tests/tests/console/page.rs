//! The files of the page, as they are served.

use std::{collections::BTreeSet, io::Read as _};

use flate2::read::GzDecoder;
use serde_json::json;
use tests::console::{Answered, Browser, Request, Stage};

/// All files together, compressed.
const MAX_BYTES: usize = 30_000;

async fn document(browser: &mut Browser<'_>) -> Answered {
    let answered = browser.send(Request::new("GET", "/console/overview")).await;
    assert_eq!(answered.status(), 200);
    answered
}

/// The addresses of files in a text.
fn addresses(text: &str) -> BTreeSet<String> {
    let quoted = text.split(['"', '\'']);
    let addresses = quoted.filter(|text| text.starts_with("/console/assets/"));
    addresses.map(str::to_owned).collect()
}

#[test]
fn the_page_is_small() {
    let mut total = 0;
    for (name, bytes) in console::sizes() {
        println!("{name:<20} {bytes:>6} bytes");
        total += bytes;
    }
    println!("{:<20} {total:>6} bytes", "together");
    assert!(total <= MAX_BYTES, "{total} bytes of {MAX_BYTES}");
}

/// For good only where the address names the content, and every file otherwise only after asking.
#[tokio::test]
async fn files_are_kept_by_their_content() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    let page = document(&mut browser).await;
    assert_eq!(page.header("cache-control"), "private, no-cache");
    let mut addresses: Vec<String> = addresses(&page.text()).into_iter().collect();
    assert!(!addresses.is_empty());
    let directory = addresses[0].rsplit_once('/').unwrap().0.to_owned();
    for (name, _) in console::sizes().filter(|(name, _)| !name.ends_with(".html")) {
        addresses.push(format!("{directory}/{name}"));
    }
    addresses.push("/console/overview".to_owned());
    for address in addresses {
        let is_forever = address.starts_with("/console/assets/");
        let plain = browser.send(Request::new("GET", &address)).await;
        assert_eq!(plain.status(), 200, "{address}");
        assert_eq!(
            plain.header("cache-control").contains("immutable"),
            is_forever
        );
        assert_eq!(plain.header("content-encoding"), "");
        let gzip = Request::new("GET", &address).with("accept-encoding", "br, gzip;q=0.8");
        let gzip = browser.send(gzip).await;
        assert_eq!(gzip.header("content-encoding"), "gzip", "{address}");
        let mut unpacked = Vec::new();
        GzDecoder::new(&gzip.bytes()[..])
            .read_to_end(&mut unpacked)
            .unwrap();
        assert_eq!(unpacked, plain.bytes(), "{address}");
        let tag = plain.header("etag").to_owned();
        assert_eq!(tag, gzip.header("etag"));
        assert!(tag.starts_with('"') && tag.ends_with('"') && tag.len() > 10);
        for known in [tag.clone(), format!("W/{tag}"), format!("\"other\", {tag}")] {
            let again = Request::new("GET", &address).with("if-none-match", &known);
            let again = browser.send(again).await;
            assert_eq!((again.status(), again.bytes().len()), (304, 0), "{address}");
            assert_eq!(again.header("etag"), tag);
        }
        let other = Request::new("GET", &address).with("if-none-match", "\"other\"");
        assert_eq!(browser.send(other).await.status(), 200, "{address}");
    }
    for address in [
        format!("{directory}/index.html"),
        format!("{directory}/nothing.js"),
        format!("{directory}/../{}", "console.css"),
        format!("{directory}x/console.css"),
        "/console/assets/console.css".to_owned(),
        "/console/assets/".to_owned(),
    ] {
        let answered = browser.send(Request::new("GET", &address)).await;
        assert_eq!(answered.status(), 404, "{address}");
        assert_eq!(answered.header("cache-control"), "no-store");
    }
}

/// The policy lets no script, style or event handler stand in a document, and no file comes from elsewhere.
#[tokio::test]
async fn the_documents_have_nothing_that_the_policy_forbids() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    let mut documents = vec![document(&mut browser).await.text()];
    for address in ["/console/signed-out", "/console/callback"] {
        documents.push(browser.send(Request::new("GET", address)).await.text());
    }
    for document in documents {
        assert!(!document.contains("<style") && !document.contains(" style="));
        assert!(!document.contains(" on") || !document.contains(" onclick="));
        for script in document.split("<script").skip(1) {
            let (tag, rest) = script.split_once('>').unwrap();
            assert!(tag.contains("src=\"/console/assets/"), "{tag}");
            assert!(rest.starts_with("</script>"));
        }
        assert!(!document.contains("http://") && !document.contains("https://"));
        assert!(document.starts_with("<!doctype html>"));
    }
}

/// Every screen has its document, and nothing else has: a mistyped address is not a page.
#[tokio::test]
async fn every_screen_has_an_address() {
    let stage = Stage::new();
    let mut browser = Browser::new(&stage);
    browser.sign_in("Norce.Read").await;
    let first = document(&mut browser).await.bytes();
    for screen in console::SCREENS {
        let address = format!("/console/{screen}");
        let answered = browser.send(Request::new("GET", &address)).await;
        assert_eq!(
            (answered.status(), answered.bytes()),
            (200, first.clone()),
            "{screen}"
        );
    }
    for address in ["/console", "/console/"] {
        assert_eq!(
            browser.send(Request::new("GET", address)).await.status(),
            200
        );
    }
    for address in [
        "/console/nothing",
        "/console/owed/",
        "/console/OWED",
        "/",
        "/events",
    ] {
        assert_eq!(
            browser.send(Request::new("GET", address)).await.status(),
            404,
            "{address}"
        );
    }
    let answered = browser.ask("session", json!({})).await;
    assert_eq!(answered.json()["role"], "view");
}
