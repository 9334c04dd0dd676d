//! The environment variables of the functions, against what the functions read and what Lambda accepts.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
};

use serde_json::{Value, json};
use shared::{
    erp::FixedValues,
    runtime::configuration::{
        ConfigurationError, Environment, RESOURCE_NAMES_SECRET_ARN, ResourceNames,
    },
};
use tests::template::Rendered;

use super::{EVERY_OPTION, REQUIRED, number, render, template, with};

/// Lambda takes 4 KB of environment variables (Lambda quotas), and measures the JSON object of all names and values, as its
/// error quotes it: <https://github.com/github-aws-runners/terraform-aws-github-runner/issues/3594>.
const LIMIT: usize = 4_096;
/// What is to stay free, a tenth: for longer names than assumed, and a variable more.
const MARGIN: usize = LIMIT / 10;

/// Variables of the process as a whole, which no `Configuration` reads: where the names of the resources are, the level of
/// the log, and the dimension of the metrics.
const OF_THE_PROCESS: &[&str] = &[RESOURCE_NAMES_SECRET_ARN, "LOG_LEVEL", "STACK_NAME"];

/// What a function makes of its environment, as text, by the name of its binary.
fn read(binary: &str, environment: Environment<'_>) -> Result<String, ConfigurationError> {
    fn text(configuration: impl Debug) -> String {
        format!("{configuration:#?}")
    }
    match binary {
        "receive-events" => receive_events::Configuration::read(environment).map(text),
        "change-events" => change_events::Configuration::read(environment).map(text),
        "submit-imports" => submit_imports::Configuration::read(environment).map(text),
        "poll-jobs" => poll_jobs::Configuration::read(environment).map(text),
        "erp-full-pass" => erp_full_pass::Configuration::read(environment).map(text),
        "console" => console::Configuration::read(environment).map(text),
        "operator" => {
            let configuration = operator::Configuration::read(environment);
            if configuration.faults.is_empty() {
                Ok(text(configuration))
            } else {
                let faults = configuration.faults;
                Err(ConfigurationError { faults })
            }
        }
        binary => panic!("what does {binary} read?"),
    }
}

fn binary(function: &Value) -> &str {
    let binary = &function["Metadata"]["BuildProperties"]["Binary"];
    binary.as_str().unwrap()
}

/// The names of the resources, where a function knows where they are.
fn document(rendered: &Rendered, variables: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let Some(arn) = variables.get(RESOURCE_NAMES_SECRET_ARN) else {
        return BTreeMap::new();
    };
    let secret = rendered.resource_of("AWS::SecretsManager::Secret", &json!(arn));
    let (_, secret) = secret.expect("a secret of the template");
    let document = secret["Properties"]["SecretString"].as_str().unwrap();
    serde_json::from_str(document).unwrap()
}

/// The ways to set the template up between which functions read different variables.
fn set_ups() -> Vec<Rendered> {
    let odoo = [
        ("ErpKind", "odoo"),
        ("ErpBaseUrl", "https://odoo.example.com"),
        ("ErpExtraBaseUrl", ""),
        ("ErpTokenUrl", ""),
        ("ErpCompany", "1"),
        (
            "NorceApplications",
            r#"[{"id":1,"key":"01234567-89ab-cdef-0123-456789abcdef"}]"#,
        ),
    ];
    vec![
        render(REQUIRED),
        render(&with(REQUIRED, EVERY_OPTION)),
        render(&with(REQUIRED, &odoo)),
        render(&with(&with(REQUIRED, EVERY_OPTION), &odoo)),
        render(&with(REQUIRED, &[("Console", "cognito")])),
    ]
}

#[test]
fn every_function_finds_what_it_reads_and_reads_what_it_finds() {
    let mut variables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut names: BTreeSet<String> = BTreeSet::new();
    let asked: RefCell<BTreeMap<String, BTreeSet<String>>> = RefCell::default();
    for rendered in set_ups() {
        for (name, function) in rendered.functions() {
            let found = rendered.environment(name);
            let binary = binary(function);
            let environment = Environment::new(|variable| {
                let mut asked = asked.borrow_mut();
                let asked = asked.entry(binary.to_owned()).or_default();
                asked.insert(variable.to_owned());
                found.get(variable).cloned()
            });
            let document = document(&rendered, &found);
            let parsed: ResourceNames = serde_json::from_value(json!(document)).unwrap();
            let read = read(binary, environment.with_names(parsed));
            assert!(read.is_ok(), "{binary}: {}", read.unwrap_err());
            names.extend(document.into_keys());
            let of_function = variables.entry(binary.to_owned()).or_default();
            of_function.extend(found.into_keys());
        }
    }
    let asked = asked.into_inner();
    for (binary, mut variables) in variables {
        let has_document = variables.contains(RESOURCE_NAMES_SECRET_ARN);
        for name in OF_THE_PROCESS {
            variables.remove(*name);
        }
        let mut expected = asked[&binary].clone();
        if has_document {
            // One that is in the environment too takes precedence there.
            expected.retain(|name| !names.contains(name) || variables.contains(name));
        }
        assert_eq!(variables, expected, "{binary}");
    }
    for name in names {
        assert!(asked.values().any(|asked| asked.contains(&name)), "{name}");
    }
}

/// A variable that is left out, as by hand or with `cargo lambda watch`, means what the template's own default says.
#[test]
fn defaults_are_the_same_in_the_template_and_in_the_functions() {
    let rendered = render(REQUIRED);
    let mut left_out = BTreeSet::new();
    for (name, function) in rendered.functions() {
        let mut found = rendered.environment(name);
        found.extend(document(&rendered, &found));
        let binary = binary(function);
        let without = |left_out: &str| {
            let get = |name: &str| found.get(name).filter(|_| name != left_out).cloned();
            read(binary, Environment::new(get))
        };
        let whole = without("").unwrap();
        for variable in found.keys() {
            let is_given = REQUIRED.iter().any(|(parameter, _)| {
                let letters = variable.replace('_', "");
                parameter.eq_ignore_ascii_case(&letters)
            });
            // Of a schedule that it does not know, `operator` says that it does not know it.
            if variable.ends_with("_SCHEDULE") {
                continue;
            }
            // A template of an earlier version has no record of acts.
            if variable == "ACTIVITY_TABLE" {
                continue;
            }
            // Nor does it name the alarms' topic. Without that `operator` does not say whether there is one.
            if variable == "ALARM_TOPIC_ARN" {
                continue;
            }
            // Others are required.
            let Ok(defaulted) = without(variable) else {
                continue;
            };
            if !is_given {
                let differs = whole.lines().zip(defaulted.lines()).find(|(a, b)| a != b);
                assert_eq!(differs, None, "{binary} without {variable}");
                left_out.insert(variable.clone());
            }
        }
        if binary == "erp-full-pass" {
            let get = |name: &str| found.get(name).cloned();
            let configuration = erp_full_pass::Configuration::read(Environment::new(get));
            let settings = configuration.unwrap().pass;
            assert_eq!(settings, erp_full_pass::PassSettings::default());
        }
    }
    for variable in ["PASS_OVERLAP_MINUTES", "CREATE_IN_ERP", "ERP_OWNED_FIELDS"] {
        assert!(left_out.contains(variable), "{left_out:?}");
    }
}

/// Ten applications, every option, the longest stack name, account and region.
#[test]
fn no_environment_is_larger_than_lambda_takes() {
    let rendered = render(&with(REQUIRED, EVERY_OPTION));
    let mut sizes = Vec::new();
    for (name, _) in rendered.functions() {
        let variables = rendered.environment(name);
        let size = serde_json::to_string(&variables).unwrap().len();
        println!("{name}: {size} bytes in {} variables", variables.len());
        sizes.push((size, name));
    }
    let (largest, name) = sizes.into_iter().max().unwrap();
    let room = LIMIT - MARGIN;
    assert!(largest <= room, "{name}: {largest} bytes of {room}");
}

/// The longest fixed values that the template accepts fit beside everything else, without the margin.
#[test]
fn the_longest_fixed_values_fit_into_every_environment() {
    let template = template();
    let declaration = &template.as_value()["Parameters"]["ErpFixedValues"];
    let longest = usize::try_from(number(&declaration["MaxLength"])).unwrap();
    // Short rules have the most quotation marks, and no two may be the same.
    let letters = || 'A'..='Z';
    let countries = letters().flat_map(|a| letters().map(move |b| format!("{a}{b}")));
    let mut values = String::from("[");
    for country in countries {
        let rule = format!(r#"{{"when":{{"country":"{country}"}},"set":{{"taxArea":"EU"}}}}"#);
        if values.len() + rule.len() + 1 >= longest {
            break;
        }
        let separator = if values == "[" { "" } else { "," };
        values += &format!("{separator}{rule}");
    }
    values.push(']');
    let values = format!("{values:longest$}");
    let parsed = values.parse::<FixedValues>();
    assert!(parsed.is_ok(), "{parsed:?}");
    let rendered = render(&with(
        REQUIRED,
        &with(EVERY_OPTION, &[("ErpFixedValues", &values)]),
    ));
    for (name, _) in rendered.functions() {
        let variables = rendered.environment(name);
        let size = serde_json::to_string(&variables).unwrap().len();
        assert!(size <= LIMIT, "{name}: {size} bytes of {LIMIT}");
    }
}

/// A function may read the secrets whose ARNs it reads, and no others.
#[test]
fn a_function_may_read_its_secrets_and_no_others() {
    for rendered in set_ups() {
        for (name, function) in rendered.functions() {
            let found = rendered.environment(name);
            let document = document(&rendered, &found);
            let asked: RefCell<BTreeSet<String>> = RefCell::default();
            let environment = Environment::new(|variable| {
                asked.borrow_mut().insert(variable.to_owned());
                let value = found.get(variable).or_else(|| document.get(variable));
                value.cloned()
            });
            read(binary(function), environment).unwrap();
            let asked = asked.into_inner();
            let variables = asked
                .iter()
                .map(String::as_str)
                .chain(OF_THE_PROCESS.iter().copied());
            let expected: BTreeSet<&str> = variables
                .filter(|variable| variable.ends_with("_SECRET_ARN"))
                .filter_map(|variable| found.get(variable).or_else(|| document.get(variable)))
                .map(String::as_str)
                .filter(|arn| !arn.is_empty())
                .collect();

            let role = &function["Properties"]["Role"];
            let (_, role) = rendered.resource_of("AWS::IAM::Role", role).unwrap();
            let policies = role["Properties"]["Policies"].as_array().unwrap();
            let allowed: BTreeSet<&str> = policies
                .iter()
                .flat_map(|policy| policy["PolicyDocument"]["Statement"].as_array().unwrap())
                .filter(|statement| statement["Action"] == "secretsmanager:GetSecretValue")
                .flat_map(|statement| match &statement["Resource"] {
                    Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
                    one => Vec::from_iter(one.as_str()),
                })
                .collect();
            assert_eq!(allowed, expected, "{name}");
        }
    }
}
