//! One behavioural suite for both implementations of every store and queue.
use tests::local_aws::LocalAws;

#[tokio::test]
async fn smoke() {
    let aws = LocalAws::shared().await.unwrap();
    let config = aws.aws_config().await;
    let tables = aws_sdk_dynamodb::Client::new(&config)
        .list_tables()
        .send()
        .await
        .unwrap();
    println!("{tables:?} {}", aws.endpoint());
}
