//! The command itself: its statuses, and what it prints. What the suite finds is tested in `tests/tests/facades`.

#![allow(
    clippy::unwrap_used,
    reason = "tests: what cannot be is to fail loudly"
)]

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    process::{Command, Output},
    thread,
};

const KEY: &str = "a-key-that-nobody-prints";

fn conformance(url: &str, key: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_conformance"));
    command.args(["--url", url]).env("FACADE_KEY", key);
    command.output().unwrap()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_facade_that_cannot_be_asked_is_2() {
    // A port that is free a moment later.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let output = conformance(&url, KEY);
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("no connection"));
    let output = conformance(&url, "");
    assert_eq!(output.status.code(), Some(2));
    assert!(printed(&output).contains("FACADE_KEY"));
}

#[test]
fn a_facade_that_does_not_keep_to_the_contract_is_1_and_is_shown() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/norce/", listener.local_addr().unwrap());
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let body = r#"{"error":{"code":"unauthorized","message":"The key is not accepted."}}"#;
        let head = "HTTP/1.1 401 Unauthorized\r\nconnection: close\r\ncontent-length";
        write!(stream, "{head}: {}\r\n\r\n{body}", body.len()).unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let output = conformance(&url, KEY);
    let request = server.join().unwrap();
    assert!(request.starts_with("GET /norce/v1/about "), "{request}");
    assert!(request.contains(KEY));
    let printed = printed(&output);
    assert_eq!(output.status.code(), Some(1), "{printed}");
    for shown in ["about-is-answered", "/norce/v1/about\n", "< 401 {\"error\""] {
        assert!(printed.contains(shown), "{printed}");
    }
    assert!(!printed.contains(KEY), "{printed}");
}
