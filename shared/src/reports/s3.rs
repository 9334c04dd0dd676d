use async_trait::async_trait;
use aws_sdk_s3::{Client, config::Builder, error::SdkError};
use aws_types::SdkConfig;
use bytes::Bytes;

use super::{LONGEST_READ, Reports, failed, too_long};
use crate::{
    StoreError,
    aws::{LazyClient, explain},
};

/// Reports in an S3 bucket.
#[derive(Debug, Clone)]
pub struct S3Reports {
    client: LazyClient<Client>,
    bucket: String,
}

impl S3Reports {
    /// The reports in a bucket.
    pub fn new(config: &SdkConfig, bucket: impl Into<String>) -> Self {
        Self {
            client: LazyClient::new(config, client),
            bucket: bucket.into(),
        }
    }
}

fn client(config: &SdkConfig) -> Client {
    // The bucket's name in the path: a local AWS has no host for every bucket.
    let settings = Builder::from(config).force_path_style(true).build();
    Client::from_conf(settings)
}

#[async_trait]
impl Reports for S3Reports {
    async fn put(&self, key: &str, content_type: &str, body: Bytes) -> Result<(), StoreError> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .body(body.into())
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        let object = match answer {
            Ok(object) => object,
            Err(SdkError::ServiceError(error)) if error.err().is_no_such_key() => return Ok(None),
            Err(error) => return Err(failed(explain(&error))),
        };
        let length = object.content_length.unwrap_or_default();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > LONGEST_READ {
            return Err(too_long(key, length));
        }
        let body = object.body.collect().await;
        let body = body.map_err(|_| failed(format_args!("{key} broke off while it was read")))?;
        Ok(Some(body.into_bytes()))
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Vec<String>, StoreError> {
        let answer = self
            .client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(prefix)
            .set_start_after(after.map(str::to_owned))
            .send()
            .await
            .map_err(|error| failed(explain(&error)))?;
        let objects = answer.contents.unwrap_or_default();
        Ok(objects
            .into_iter()
            .filter_map(|object| object.key)
            .collect())
    }
}
