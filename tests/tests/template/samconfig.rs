//! The example environments of `samconfig.toml`.

use std::{fs, path::Path};

use serde_json::Value;

use super::{LONGEST_STACK_NAME, Stack, template};

/// The environments: each a name and its sections by command.
fn environments() -> Vec<(String, Value)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samconfig.toml");
    let text = fs::read_to_string(file).unwrap();
    let configuration: Value = toml::from_str(&text).unwrap();
    let members = configuration.as_object().unwrap().clone();
    members
        .into_iter()
        .filter(|(_, value)| value.is_object())
        .collect()
}

/// What a command finds, as SAM reads it: its own section over `global`.
fn setting<'a>(environment: &'a Value, command: &str, name: &str) -> &'a Value {
    let own = &environment[command]["parameters"][name];
    let global = &environment["global"]["parameters"][name];
    if own.is_null() { global } else { own }
}

/// The parameters of the template that a command is given. They are a table: SAM cuts a value of a list off at the first
/// quote, of which JSON has many.
fn overrides<'a>(environment: &'a Value, command: &str) -> Vec<(&'a str, &'a str)> {
    let table = setting(environment, command, "parameter_overrides");
    let members = table.as_object().expect("a table of parameters");
    members
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect()
}

/// `sam build` chooses the processor that it builds for by the parameter, and `sam deploy` the one that Lambda runs it on.
#[test]
fn build_and_deployment_agree_on_the_architecture() {
    let mut architectures = Vec::new();
    for (name, environment) in environments() {
        let architecture = |command: &str| {
            let overrides = overrides(&environment, command);
            let found = overrides.iter().find(|(name, _)| *name == "Architecture");
            found.map(|(_, value)| (*value).to_owned())
        };
        let built = architecture("build");
        assert!(built.is_some(), "{name} does not say what it builds for");
        assert_eq!(built, architecture("deploy"), "{name}");
        architectures.extend(built);
    }
    architectures.sort();
    assert_eq!(architectures, ["arm64", "x86_64"]);
}

#[test]
fn an_environment_names_its_stack_region_and_tags_and_every_parameter_without_a_default() {
    for (name, environment) in environments() {
        let text = |command, setting_name| {
            let value = setting(&environment, command, setting_name).as_str();
            value.unwrap_or_default().to_owned()
        };
        let stack = Stack {
            name: text("deploy", "stack_name"),
            account: "123456789012".to_owned(),
            region: text("deploy", "region"),
        };
        assert!(!stack.region.is_empty(), "{name}");
        assert!(
            (1..=LONGEST_STACK_NAME).contains(&stack.name.len()),
            "{name}"
        );
        let rendered = template().render(&stack, &overrides(&environment, "deploy"));
        assert!(rendered.is_ok(), "{name}: {}", rendered.unwrap_err());
        let tags = setting(&environment, "deploy", "tags").as_array().unwrap();
        let own = format!("environment={name}");
        assert!(tags.iter().any(|tag| *tag == own), "{name}");
    }
    // A deployment says which environment it is for.
    assert!(environments().iter().all(|(name, _)| name != "default"));
}
