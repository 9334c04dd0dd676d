use std::sync::Arc;

use aws_sdk_s3::types::{BucketLocationConstraint, CreateBucketConfiguration};
use shared::reports::{LONGEST_READ, Reports, S3Reports};
use tests::memory::MemoryReports;
use uuid::Uuid;

use crate::{local, suite};

type Store = Arc<dyn Reports>;

fn memory() -> Store {
    Arc::new(MemoryReports::default())
}

async fn aws() -> Store {
    let config = local::config().await;
    let bucket = format!("bucket-{}", Uuid::new_v4());
    let settings = aws_sdk_s3::config::Builder::from(&config);
    let client = aws_sdk_s3::Client::from_conf(settings.force_path_style(true).build());
    let place = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuNorth1)
        .build();
    client
        .create_bucket()
        .bucket(&bucket)
        .create_bucket_configuration(place)
        .send()
        .await
        .unwrap();
    Arc::new(S3Reports::new(&config, bucket))
}

suite! {
    what_was_put_is_read_and_listed,
    what_is_too_long_is_not_read,
}

async fn what_was_put_is_read_and_listed(store: Store) {
    assert_eq!(store.get("mappings/a").await.unwrap(), None);
    assert!(store.list("mappings/", None).await.unwrap().is_empty());
    for key in ["mappings/b", "plans/x", "mappings/a", "mappings/c/1"] {
        store.put(key, "text/plain", key.into()).await.unwrap();
    }
    store
        .put("mappings/a", "text/plain", "again".into())
        .await
        .unwrap();
    assert_eq!(store.get("mappings/a").await.unwrap(), Some("again".into()));
    let all = ["mappings/a", "mappings/b", "mappings/c/1"];
    assert_eq!(store.list("mappings/", None).await.unwrap(), all);
    let rest = store.list("mappings/", Some("mappings/a")).await.unwrap();
    assert_eq!(rest, all[1..]);
}

async fn what_is_too_long_is_not_read(store: Store) {
    let long = vec![b'x'; LONGEST_READ + 1];
    store
        .put("mappings/long", "text/plain", long.into())
        .await
        .unwrap();
    let error = store.get("mappings/long").await.unwrap_err().to_string();
    assert!(error.contains("split it"), "{error}");
}
