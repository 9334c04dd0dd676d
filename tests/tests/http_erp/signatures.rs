//! Signed requests, at a verifier that shares no code with the signer.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use shared::{
    domain::{
        Address, CountryCode, EntityKind, EntityRef, FieldGroups, NorceId, Personal, Scope,
        SystemClock,
    },
    erp::{
        CreateOutcome, Erp, ErpError, IdempotencyKey, Listing, Party, PartyKind, UpdateOutcome,
        http::{HttpErp, HttpErpCredentials, HttpErpSettings, Signer},
    },
    http::{ReqwestTransport, Transport, TransportError},
};
use tests::{
    samples,
    tryton::{KEY, Tryton},
};

use crate::{settings, soon};

/// The former key and the new one, as the facade has them while the key is rotated.
pub(crate) const KEYS: &str =
    "a-former-key-for-tests-of-signatures a-signing-key-for-tests-of-signatures";

/// Changes what a request does, after it was signed.
struct Tampering(ReqwestTransport);

#[async_trait]
impl Transport for Tampering {
    async fn send(
        &self,
        request: Request<Bytes>,
        timeout: Duration,
    ) -> Result<Response<Bytes>, TransportError> {
        let request = request.map(|body| match std::str::from_utf8(&body) {
            Ok(text) => text.replace("Anna Ek", "Anna Ex").into(),
            Err(_) => body,
        });
        self.0.send(request, timeout).await
    }
}

fn adapter(tryton: &Tryton, signing_key: Option<&str>, tampers: bool) -> HttpErp {
    let settings = HttpErpSettings {
        company: Some("outlet".to_owned()),
        ..settings(tryton, HttpErpCredentials::Key(KEY.into()))
    };
    let transport = ReqwestTransport::new().unwrap();
    let transport: Arc<dyn Transport> = match tampers {
        true => Arc::new(Tampering(transport)),
        false => Arc::new(transport),
    };
    let signer = signing_key.map(|key| Signer::new(&key.into(), Arc::new(SystemClock)).unwrap());
    HttpErp::with_signer(settings, transport, signer).unwrap()
}

pub(crate) async fn only_signed_requests_are_taken(tryton: &Tryton) {
    let party = samples::party(PartyKind::Person, "Anna Ek");
    let key = IdempotencyKey {
        entity: EntityRef::customer(Scope::Client, NorceId::try_from(1).unwrap()),
        code: Some("Å 1/B".parse().unwrap()),
    };
    let (former, new) = KEYS.split_once(' ').unwrap();
    for (signing_key, tampers) in [
        (None, false),
        (Some("another-key-for-tests-of-signatures"), false),
    ] {
        let refused = adapter(tryton, signing_key, tampers)
            .capabilities(soon())
            .await
            .map(|_| ());
        let is_refused = matches!(&refused, Err(ErpError::Authentication { reason }) if reason.contains("not-signed"));
        assert!(is_refused, "{refused:?}");
    }
    let refused = adapter(tryton, Some(new), true)
        .create(&key, &party, soon())
        .await;
    let is_refused = matches!(&refused, Err(ErpError::Authentication { .. }));
    assert!(is_refused, "{refused:?}");

    let erp = adapter(tryton, Some(new), false);
    let created = erp.create(&key, &party, soon()).await.unwrap();
    let CreateOutcome::Created(record) = created else {
        panic!("{created:?}");
    };
    let moved = Party {
        address: Some(Address {
            city: Personal::parse("Malmö"),
            country: Some(CountryCode::SE),
            ..Address::default()
        }),
        ..party
    };
    let erp = adapter(tryton, Some(former), false);
    let updated = erp.update(&record, &moved, soon()).await.unwrap();
    assert!(matches!(updated, UpdateOutcome::Updated(_)), "{updated:?}");
    // A query, and a removal.
    let code = record.code.clone();
    let found = erp.find_by_code(record.id.resource, &code, soon()).await;
    assert_eq!(found.unwrap().len(), 1);
    let listing = Listing {
        resource: record.id.resource,
        kind: Some(EntityKind::Customer),
        since: Some(chrono::DateTime::UNIX_EPOCH),
        fields: FieldGroups::CODE,
    };
    let page = erp.page(&listing, None, soon()).await.unwrap();
    assert_eq!(page.records.len(), 1);
    let trial = erp.trial(&key, &moved, soon()).await.unwrap();
    assert_eq!(trial.left, None);
}
