//! The parameters that differ by kind: the template and the functions accept the same texts.

use std::process::Command;

use shared::domain::{OwnedFields, SyncKinds};

use super::template;

/// Whether the parameter's pattern accepts each text. CloudFormation's patterns are Java's; Python reads these alike.
fn accepted(parameter: &str, texts: &[&str]) -> Vec<bool> {
    let template = template();
    let declaration = &template.as_value()["Parameters"][parameter];
    let pattern = declaration["AllowedPattern"].as_str().unwrap().to_owned();
    let script =
        "import re, sys; print(*(int(bool(re.fullmatch(sys.argv[1], it))) for it in sys.argv[2:]))";
    let output = Command::new("python3")
        .args(["-c", script, &pattern])
        .args(texts)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let answer = String::from_utf8(output.stdout).unwrap();
    answer.split_whitespace().map(|it| it == "1").collect()
}

#[test]
fn a_set_of_kinds_that_the_functions_refuse_is_refused_by_the_template() {
    let texts = [
        "persons,companies,contacts",
        "contacts , companies,persons",
        "companies",
        "companies,contacts",
        "persons",
        "persons,companies",
        "contacts",
        "persons,contacts",
        "contacts,persons",
        "company",
        "companies,",
        "companies;contacts",
    ];
    let parsed = texts.map(|text| text.parse::<SyncKinds>().is_ok());
    assert_eq!(accepted("SyncKinds", &texts), parsed);
    assert_eq!(parsed.iter().filter(|it| **it).count(), 6);
}

#[test]
fn a_group_that_the_functions_refuse_is_refused_by_the_template() {
    let texts = [
        "code,price-lists",
        "code, companies:names ,contacts:active",
        "companies:names,companies:invoice-address",
        "persons:vat-number",
        "company:names",
        "companies:name",
        "companies: names",
        "companies:",
        ":names",
        "companies:persons:names",
        "code;names",
    ];
    let parsed = texts.map(|text| text.parse::<OwnedFields>().is_ok());
    assert_eq!(accepted("ErpOwnedFields", &texts), parsed);
    assert_eq!(parsed.iter().filter(|it| **it).count(), 4);
}
