//! What a warm function keeps between invocations.

use std::time::Duration;

use shared::runtime::Refreshing;
use tests::limits::at_both_ends;

#[tokio::test(start_paused = true)]
async fn clients_are_built_again_after_a_quarter_of_an_hour() {
    at_both_ends(Duration::from_secs(15 * 60), async |age| {
        let clients = Refreshing::default();
        let get = async |secret| {
            let built = clients.get(|| async { Ok::<_, String>(secret) }).await;
            *built.unwrap()
        };
        assert_eq!(get("old").await, "old");
        tokio::time::advance(age).await;
        get("rotated").await == "rotated"
    })
    .await;
}
