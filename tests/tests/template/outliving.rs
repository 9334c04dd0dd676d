//! The resources that outlive the stack, as "Remove everything" in `functions/README.md` lists them.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::Value;

use super::{REQUIRED, render, with};

/// A deletion policy under which CloudFormation leaves a resource where it is.
fn is_retained(resource: &Value) -> bool {
    let policy = resource["DeletionPolicy"].as_str();
    policy.is_some_and(|policy| policy.starts_with("Retain"))
}

/// The rows of the table under "Remove everything" that name resources of the template: the names, and what becomes of them
/// with `Retain` and with `Delete`.
fn rows() -> Vec<(Vec<String>, String, String)> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/README.md");
    let text = fs::read_to_string(file).unwrap();
    let (_, section) = text.split_once("\n## Remove everything\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let (_, table) = section.split_once("| resource of the template |").unwrap();
    let lines = table.lines().skip(2);
    let lines = lines.take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            let names = cells[1].split('`').skip(1).step_by(2);
            let names = names.map(str::to_owned).collect();
            (names, cells[2].to_owned(), cells[3].to_owned())
        })
        .collect()
}

#[test]
fn the_readme_names_each_resource_that_outlives_the_stack_and_no_other() {
    let rows = rows();
    let named: BTreeSet<String> = rows
        .iter()
        .flat_map(|(names, ..)| names.iter().cloned())
        .collect();
    let options = [
        ("Console", "cognito"),
        ("OrderReceiver", "true"),
        (
            "OrderSecretArn",
            "arn:aws:secretsmanager:eu-north-1:123456789012:secret:orders-AbCdEf",
        ),
    ];
    let every_resource = with(REQUIRED, &options);
    let retained = |policy: &str| -> BTreeSet<String> {
        let rendered = render(&with(&every_resource, &[("TableDeletionPolicy", policy)]));
        let resources = rendered.resources.into_iter();
        let retained = resources.filter(|(_, resource)| is_retained(resource));
        retained.map(|(name, _)| name).collect()
    };
    assert_eq!(named, retained("Retain"));
    assert!(retained("Delete").is_empty());
    for (names, with_retain, with_delete) in rows {
        let stays = !names.is_empty();
        assert_eq!(with_retain.starts_with("stays"), stays, "{names:?}");
        assert!(with_delete.starts_with("deleted"), "{names:?}");
    }
}

/// What has to be unprotected before the stack can be deleted: what is protected and does not outlive it.
#[test]
fn the_readme_names_what_deletion_protection_keeps_the_stack_from_deleting() {
    let rendered = render(&with(
        REQUIRED,
        &[("Console", "cognito"), ("DeletionProtection", "true")],
    ));
    let protected = rendered.resources.iter().filter(|(_, resource)| {
        let properties = &resource["Properties"];
        properties["DeletionProtectionEnabled"] == true
            || properties["DeletionProtection"] == "ACTIVE"
    });
    let kept = protected.filter(|(_, resource)| !is_retained(resource));
    let kept: Vec<&str> = kept.map(|(name, _)| name.as_str()).collect();
    assert_eq!(kept, ["Breakers", "ConsoleUserPool"]);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/README.md");
    let text = fs::read_to_string(file).unwrap();
    assert!(text.contains(
        "With it the table `Breakers`, and the user pool of the console, cannot be deleted"
    ));
}

/// The steps of the first deployment name each point of `doctor`.
#[tokio::test(start_paused = true)]
async fn each_point_of_the_set_up_is_named_by_a_step_of_the_first_deployment() {
    let bundle = tests::bundle::Bundle::new(&tests::bundle::Options::default());
    let doctor = serde_json::json!({ "action": "doctor" });
    let report = bundle.ask(doctor).await.unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions/README.md");
    let text = fs::read_to_string(file).unwrap();
    let (_, section) = text.split_once("\n## The first deployment\n").unwrap();
    let (section, _) = section.split_once("\n### ").unwrap();
    let points = report["setup"].as_array().unwrap();
    assert!(points.len() > 10, "{points:?}");
    for point in points {
        let id = point["id"].as_str().unwrap();
        assert!(section.contains(&format!("`{id}`")), "{id}");
    }
}
