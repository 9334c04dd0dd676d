//! The options for accounts with their own rules: absent by default, and applied to every resource of their kind.

use serde_json::{Value, json};
use tests::template::{Rendered, strings};

use super::{REQUIRED, render, stack, with};

const SUBNETS: &[(&str, &str)] = &[
    (
        "SubnetIds",
        "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    ),
    (
        "SecurityGroupIds",
        "sg-0123456789abcdef0,sg-0123456789abcdef1",
    ),
];
const CA: &str =
    "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:production/erp-ca-AbCdEf";
const KEY: &str =
    "arn:aws:kms:ap-southeast-2:123456789012:key/01234567-89ab-cdef-0123-456789abcdef";
const BOUNDARY: &str = "arn:aws:iam::123456789012:policy/boundary";
const CERTIFICATE: &str =
    "arn:aws:acm:ap-southeast-2:123456789012:certificate/01234567-89ab-cdef-0123-456789abcdef";

/// The template without options and with some, orders received in both: what depends on them is covered too.
fn off_and_on(options: &[(&str, &str)]) -> (Rendered, Rendered) {
    let orders = [
        ("OrderReceiver", "true"),
        (
            "OrderSecretArn",
            "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:orders-AbCdEf",
        ),
    ];
    let off = with(REQUIRED, &orders);
    (render(&off), render(&with(&off, options)))
}

/// Asserts something of every resource of a type, of which there are some.
fn every(rendered: &Rendered, kind: &str, assert: impl Fn(&str, &Value)) {
    assert!(rendered.of_type(kind).count() > 0, "{kind}");
    for (name, resource) in rendered.of_type(kind) {
        assert(name, &resource["Properties"]);
    }
}

/// Whether a text occurs anywhere in the rendered resources.
fn mentions(rendered: &Rendered, text: &str) -> bool {
    json!(rendered.resources).to_string().contains(text)
}

/// The roles of the functions: those that Lambda assumes.
fn roles_of_functions(rendered: &Rendered) -> Vec<(&str, &Value)> {
    let roles = rendered.of_type("AWS::IAM::Role");
    let roles = roles.filter(|(_, role)| {
        let trust = &role["Properties"]["AssumeRolePolicyDocument"];
        trust.to_string().contains("lambda.amazonaws.com")
    });
    let roles: Vec<_> = roles
        .map(|(name, role)| (name, &role["Properties"]))
        .collect();
    assert_eq!(roles.len(), rendered.functions().count());
    roles
}

/// The actions of a managed policy that every function's role has.
fn granted(rendered: &Rendered, policy: &str) -> Vec<Value> {
    let name = format!("-{policy}-");
    for (role, properties) in roles_of_functions(rendered) {
        let policies = properties["ManagedPolicyArns"].as_array().unwrap();
        let has_it = policies
            .iter()
            .any(|arn| arn.as_str().unwrap().contains(&name));
        assert!(has_it, "{role} lacks {policy}");
    }
    let document = &rendered.resources[policy]["Properties"]["PolicyDocument"];
    document["Statement"][0]["Action"]
        .as_array()
        .unwrap()
        .clone()
}

#[test]
fn functions_run_in_subnets_when_asked_to() {
    let (off, on) = off_and_on(SUBNETS);
    every(&off, "AWS::Serverless::Function", |name, function| {
        assert!(function["VpcConfig"].is_null(), "{name}");
    });
    assert!(!mentions(&off, "ec2:"));
    every(&on, "AWS::Serverless::Function", |name, function| {
        let expected = json!({
            "SubnetIds": ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"],
            "SecurityGroupIds": ["sg-0123456789abcdef0", "sg-0123456789abcdef1"],
        });
        assert_eq!(function["VpcConfig"], expected, "{name}");
    });
    assert!(granted(&on, "NetworkPolicy").contains(&json!("ec2:CreateNetworkInterface")));
}

#[test]
fn every_function_that_calls_the_erp_can_read_its_certificate_authority() {
    let (off, on) = off_and_on(&[("ErpCaSecretArn", CA)]);
    assert!(!mentions(&off, "ERP_CA_SECRET_ARN"));
    let mut count = 0;
    for (name, function) in on.functions() {
        let variables = strings(&function["Properties"]["Environment"]["Variables"]);
        let calls_erp = variables.contains_key("ERP_SECRET_ARN");
        let ca = variables.get("ERP_CA_SECRET_ARN").map(String::as_str);
        assert_eq!(ca, calls_erp.then_some(CA), "{name}");
        let role = on
            .resource_of("AWS::IAM::Role", &function["Properties"]["Role"])
            .unwrap();
        let may_read = role.1["Properties"]["Policies"].to_string().contains(CA);
        assert_eq!(may_read, calls_erp, "{name}");
        count += usize::from(calls_erp);
    }
    assert_eq!(count, 4);
}

#[test]
fn everything_that_keeps_data_is_encrypted_with_the_key_that_is_given() {
    let (off, on) = off_and_on(&[("KmsKeyArn", KEY)]);
    assert!(!mentions(&off, ":kms:") && !mentions(&off, "kms:Decrypt"));
    every(&off, "AWS::SQS::Queue", |name, queue| {
        assert_eq!(queue["SqsManagedSseEnabled"], true, "{name}");
    });
    every(&on, "AWS::SQS::Queue", |name, queue| {
        assert_eq!(queue["KmsMasterKeyId"], KEY, "{name}");
        // SQS takes one of the two.
        assert_eq!(queue["SqsManagedSseEnabled"], false, "{name}");
    });
    every(&on, "AWS::DynamoDB::Table", |name, table| {
        let expected = json!({ "SSEEnabled": true, "SSEType": "KMS", "KMSMasterKeyId": KEY });
        assert_eq!(table["SSESpecification"], expected, "{name}");
    });
    every(&on, "AWS::Logs::LogGroup", |name, log| {
        assert_eq!(log["KmsKeyId"], KEY, "{name}");
    });
    every(&on, "AWS::SecretsManager::Secret", |name, secret| {
        assert_eq!(secret["KmsKeyId"], KEY, "{name}");
    });
    every(&on, "AWS::S3::Bucket", |name, bucket| {
        let rules = &bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"];
        let expected = json!({ "SSEAlgorithm": "aws:kms", "KMSMasterKeyID": KEY });
        assert_eq!(
            rules[0]["ServerSideEncryptionByDefault"], expected,
            "{name}"
        );
    });
    let granted = granted(&on, "KeyPolicy");
    for action in ["kms:Decrypt", "kms:GenerateDataKey*"] {
        assert!(granted.contains(&json!(action)), "{action}");
    }
}

#[test]
fn every_role_is_bounded_when_asked_to() {
    let (off, on) = off_and_on(&[("PermissionsBoundaryArn", BOUNDARY)]);
    assert!(!mentions(&off, "PermissionsBoundary"));
    every(&on, "AWS::IAM::Role", |name, role| {
        assert_eq!(role["PermissionsBoundary"], BOUNDARY, "{name}");
    });
}

#[test]
fn every_function_is_traced_when_asked_to() {
    let (off, on) = off_and_on(&[("Tracing", "Active")]);
    assert!(!mentions(&off, "xray:"));
    every(&off, "AWS::Serverless::Function", |name, function| {
        // Lambda's own default.
        assert_eq!(function["Tracing"], "PassThrough", "{name}");
    });
    every(&on, "AWS::Serverless::Function", |name, function| {
        assert_eq!(function["Tracing"], "Active", "{name}");
    });
    assert!(granted(&on, "TracingPolicy").contains(&json!("xray:PutTraceSegments")));
}

#[test]
fn every_table_is_protected_when_asked_to() {
    let (off, on) = off_and_on(&[("DeletionProtection", "true")]);
    for (rendered, protected) in [(off, false), (on, true)] {
        every(&rendered, "AWS::DynamoDB::Table", |name, table| {
            assert_eq!(table["DeletionProtectionEnabled"], protected, "{name}");
        });
    }
}

#[test]
fn the_urls_have_the_domain_that_is_given() {
    let options = [
        ("EventDomainName", "norce.example.com"),
        ("EventCertificateArn", CERTIFICATE),
    ];
    let (off, on) = off_and_on(&options);
    assert!(!mentions(&off, "AWS::ApiGatewayV2::DomainName"));
    assert!(!off.outputs.contains_key("EventDomainTarget"));
    assert_eq!(on.outputs["EventUrl"], "https://norce.example.com/events");
    assert_eq!(on.outputs["OrderUrl"], "https://norce.example.com/orders");
    assert!(on.outputs.contains_key("EventDomainTarget"));
    let mut mapped = 0;
    every(&on, "AWS::ApiGatewayV2::ApiMapping", |name, mapping| {
        assert_eq!(mapping["DomainName"], "norce.example.com", "{name}");
    });
    every(&on, "AWS::ApiGatewayV2::DomainName", |name, domain| {
        let configuration = &domain["DomainNameConfigurations"][0];
        assert_eq!(configuration["CertificateArn"], CERTIFICATE, "{name}");
    });
    for (_, api) in on.of_type("AWS::ApiGatewayV2::Api") {
        assert_eq!(api["Properties"]["ProtocolType"], "HTTP");
        mapped += 1;
    }
    assert_eq!(mapped, on.of_type("AWS::ApiGatewayV2::ApiMapping").count());
}

/// A role that a service assumes on behalf of an account, other than Lambda, can be assumed for this account only: the
/// service could otherwise be made to use it by anybody.
#[test]
fn no_service_can_be_made_to_use_a_role_for_another_account() {
    let (rendered, _) = off_and_on(&[]);
    let mut seen = 0;
    every(&rendered, "AWS::IAM::Role", |name, role| {
        let statement = &role["AssumeRolePolicyDocument"]["Statement"][0];
        if statement["Principal"]["Service"] != "lambda.amazonaws.com" {
            let equals = &statement["Condition"]["StringEquals"];
            assert_eq!(equals["aws:SourceAccount"], stack().account, "{name}");
            assert!(equals["aws:SourceArn"].is_string(), "{name}");
        }
    });
    for (_, role) in rendered.of_type("AWS::IAM::Role") {
        seen += usize::from(role.to_string().contains("scheduler.amazonaws.com"));
    }
    assert_eq!(seen, 1);
}
