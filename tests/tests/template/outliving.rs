//! What `functions/README.md` tells whoever deploys the template.

use std::{fs, path::Path};

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
