//! What a browser keeps for the console can neither be read nor changed.

use chrono::{DateTime, TimeDelta, Utc};
use console::{
    Role, Session,
    seal::{Purpose, SealKey},
};
use proptest::prelude::*;

fn key(secret: &str) -> SealKey {
    SealKey::new(secret.to_owned().into())
}

fn now() -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_784)
}

fn session(role: Role) -> Session {
    Session {
        subject: "canary-subject".to_owned(),
        name: "Kanarine Fogelström".to_owned(),
        role,
        expires: now() + TimeDelta::minutes(240),
    }
}

fn cookie(session: &Session, key: &SealKey) -> String {
    let cookie = session.cookie(key).unwrap();
    cookie.split(';').next().unwrap().to_owned()
}

#[test]
fn a_session_opens_with_its_key_for_its_purpose_and_until_its_end() {
    let (own, other) = (key("one"), key("two"));
    let session = session(Role::View);
    let cookies = [cookie(&session, &own)];
    let opened = |key: &SealKey, at| Session::of(&cookies, key, at);
    assert_eq!(opened(&own, now()), Some(session.clone()));
    assert_eq!(opened(&other, now()), None);
    assert_eq!(
        opened(&own, session.expires - TimeDelta::milliseconds(1)),
        Some(session.clone())
    );
    assert_eq!(opened(&own, session.expires), None);
    // A cookie of a sign-in is no session, though it is sealed with the same secret.
    let text = serde_json::to_vec(&session).unwrap();
    let sealed = own.seal(Purpose::SignIn, &text).unwrap();
    assert_eq!(
        Session::of(&[format!("__Host-session={sealed}")], &own, now()),
        None
    );
    let sealed = own.seal(Purpose::Session, &text).unwrap();
    assert!(Session::of(&[format!("__Host-session={sealed}")], &own, now()).is_some());
    assert_eq!(
        Session::of(&[format!("session={sealed}")], &own, now()),
        None
    );
    assert_eq!(own.open(Purpose::SignIn, &sealed), None);
}

#[test]
fn the_same_session_is_sealed_differently_each_time() {
    let key = key("one");
    let mut sealed: Vec<String> = (0..100)
        .map(|_| cookie(&session(Role::View), &key))
        .collect();
    sealed.sort();
    sealed.dedup();
    assert_eq!(sealed.len(), 100);
}

/// Every bit of the cookie counts: each single one is flipped.
#[test]
fn a_session_with_any_flipped_bit_is_none() {
    let key = key("one");
    let cookie = cookie(&session(Role::View), &key);
    let value = cookie.strip_prefix("__Host-session=").unwrap();
    for index in 0..value.len() {
        for bit in 0..7 {
            let mut bytes = value.as_bytes().to_vec();
            bytes[index] ^= 1 << bit;
            let altered = String::from_utf8(bytes).unwrap();
            let opened = Session::of(&[format!("__Host-session={altered}")], &key, now());
            // Spaces around a value are no part of it.
            if altered.trim() != value {
                assert_eq!(opened, None, "{index}, {bit}");
            }
        }
    }
}

proptest! {
    #[test]
    fn what_is_sealed_opens_to_the_same(text in proptest::collection::vec(any::<u8>(), 0..2_000), secret in ".{1,80}") {
        let key = key(&secret);
        let sealed = key.seal(Purpose::Session, &text).unwrap();
        prop_assert!(sealed.chars().all(|sign| sign.is_ascii_alphanumeric() || "-_".contains(sign)));
        prop_assert_eq!(key.open(Purpose::Session, &sealed), Some(text));
        prop_assert_eq!(key.open(Purpose::SignIn, &sealed), None);
    }

    #[test]
    fn what_was_not_sealed_does_not_open(text in "[A-Za-z0-9_-]{0,200}|\\PC{0,60}") {
        prop_assert_eq!(key("one").open(Purpose::Session, &text), None);
    }

    /// Cut off, put together, or with more behind it.
    #[test]
    fn what_is_sealed_does_not_open_otherwise(cut in 1_usize..60, more in "[A-Za-z0-9_-]{1,8}") {
        let key = key("one");
        let sealed = key.seal(Purpose::Session, b"canary").unwrap();
        let cut = cut.min(sealed.len());
        prop_assert_eq!(key.open(Purpose::Session, &sealed[..sealed.len() - cut]), None);
        prop_assert_eq!(key.open(Purpose::Session, &sealed[cut..]), None);
        prop_assert_eq!(key.open(Purpose::Session, &format!("{sealed}{more}")), None);
        prop_assert_eq!(key.open(Purpose::Session, &format!("{sealed}{sealed}")), None);
    }
}
