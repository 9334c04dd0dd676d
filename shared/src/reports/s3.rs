use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_s3::{Client, config::Builder};
use bytes::Bytes;

use super::{Reports, ReportsError};
use crate::aws::explain;

/// Reports in an S3 bucket.
#[derive(Debug, Clone)]
pub struct S3Reports {
    client: Client,
    bucket: String,
}

impl S3Reports {
    /// The reports in a bucket.
    pub fn new(config: &SdkConfig, bucket: impl Into<String>) -> Self {
        // The bucket's name in the path: a local AWS has no host for every bucket.
        let settings = Builder::from(config).force_path_style(true).build();
        Self {
            client: Client::from_conf(settings),
            bucket: bucket.into(),
        }
    }
}

#[async_trait]
impl Reports for S3Reports {
    async fn put(&self, key: &str, content_type: &str, body: Bytes) -> Result<(), ReportsError> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_type(content_type)
            .body(body.into())
            .send()
            .await
            .map_err(|error| ReportsError(explain(&error)))?;
        Ok(())
    }
}
