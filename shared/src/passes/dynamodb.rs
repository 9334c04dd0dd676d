/// Passes in a DynamoDB table.
#[derive(Debug, Clone)]
pub struct DynamoDbPasses;
