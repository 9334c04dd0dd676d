//! Which suites can notice a change in which part of the product.

/// Directories and files of the product, the more special ones first, and the suites that reach them within seconds. The
/// fault runs, the sandbox and, but for its adapter, the real Odoo are too slow for a mutant each.
const REACH: &[(&str, &[&str])] = &[
    (
        "functions/receive-events/",
        &["receiving", "orders", "sample_events", "metrics"],
    ),
    (
        "functions/change-events/",
        &[
            "promises",
            "advice",
            "merges",
            "scrambled",
            "first_binding",
            "addresses",
            "key_index",
            "identity",
            "orders",
            "metrics",
            "personal_data",
            "hops",
        ],
    ),
    (
        "functions/submit-imports/",
        &["addresses", "promises", "passes", "metrics", "hops"],
    ),
    (
        "functions/poll-jobs/",
        &["promises", "passes", "metrics", "hops"],
    ),
    (
        "functions/erp-full-pass/",
        &[
            "passes",
            "sweep",
            "key_index",
            "promises",
            "advice",
            "metrics",
            "hops",
            "upgrade",
        ],
    ),
    (
        "functions/operator/",
        &["operator", "advice", "orders", "upgrade"],
    ),
    ("functions/console/", &["console", "console_page"]),
    (
        "shared/src/erp/business_central/",
        &[
            "business_central_adapter",
            "conformance",
            "key_index",
            "promises",
            "passes",
        ],
    ),
    (
        "shared/src/matching.rs",
        &["matching", "identity", "promises"],
    ),
    ("shared/src/erp/odoo/", &["odoo"]),
    (
        "shared/src/erp/http/",
        &["conformance", "http_erp", "http_signature", "http_trial"],
    ),
    (
        "shared/src/norce/",
        &[
            "norce_clients",
            "norce_wire",
            "promises",
            "passes",
            "sweep",
            "receiving",
            "orders",
        ],
    ),
    (
        "shared/src/http/",
        &[
            "norce_clients",
            "business_central_adapter",
            "conformance",
            "promises",
        ],
    ),
    ("shared/src/logs/", &["operator", "upgrade"]),
    (
        "shared/src/breakers/guard.rs",
        &["promises", "norce_clients", "hops", "metrics"],
    ),
    ("shared/src/metrics.rs", &["metrics", "alarms"]),
    (
        "shared/src/runtime/",
        &["promises", "receiving", "binaries", "hops"],
    ),
    ("shared/src/aws/dynamodb/", &["stores", "upgrade"]),
    ("shared/src/activity/", &["stores", "operator"]),
    ("shared/src/breakers/dynamodb.rs", &["stores", "upgrade"]),
    ("shared/src/import_jobs/dynamodb.rs", &["stores", "upgrade"]),
    (
        "shared/src/mappings/key_index/",
        &["key_index", "stores", "spellings"],
    ),
    (
        "shared/src/record_finder.rs",
        &["key_index", "stores", "spellings"],
    ),
    ("shared/src/mappings/dynamodb/", &["stores", "upgrade"]),
    ("shared/src/orders/dynamodb.rs", &["stores", "upgrade"]),
    ("shared/src/owed/dynamodb.rs", &["stores", "upgrade"]),
    ("shared/src/passes/dynamodb.rs", &["stores", "upgrade"]),
    ("shared/src/queues/sqs.rs", &["stores"]),
    ("shared/src/reports/", &["stores", "operator"]),
    ("shared/src/domain/scrambled.rs", &["scrambled"]),
    (
        "shared/src/domain/keys/",
        &["organisation_numbers", "promises", "conformance"],
    ),
    (
        "shared/",
        &[
            "promises",
            "passes",
            "operator",
            "orders",
            "stores",
            "norce_clients",
            "business_central_adapter",
        ],
    ),
];

/// The suites for a file of the product, without its crate's own tests.
pub(super) fn of(file: &str) -> &'static [&'static str] {
    let reach = REACH.iter().find(|(path, _)| file.starts_with(path));
    reach.map_or(&[], |(_, suites)| suites)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, path::Path};

    use super::*;

    #[test]
    fn every_suite_and_every_path_is_there() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut seen = BTreeSet::new();
        for (path, suites) in REACH {
            assert!(workspace.join(path).exists(), "{path}");
            assert!(
                !seen.iter().any(|before: &&str| path.starts_with(before)),
                "{path} comes after a path that it is in"
            );
            seen.insert(*path);
            for suite in *suites {
                let suite = workspace.join("tests/tests").join(suite);
                assert!(
                    suite.is_dir() || suite.with_extension("rs").exists(),
                    "{}",
                    suite.display()
                );
            }
        }
    }

    #[test]
    fn every_part_of_the_product_is_reached() {
        for file in [
            "functions/change-events/src/entity/create.rs",
            "shared/src/domain/keys/code.rs",
            "shared/src/since.rs",
        ] {
            assert!(sandbox_tools::workspace().join(file).exists(), "{file}");
            assert!(!of(file).is_empty(), "{file}");
        }
        assert!(of("tests/src/lib.rs").is_empty());
    }
}
