//! A register of any size, and a full pass over it: the first day of an existing shop.

use std::time::{Duration, Instant};

use serde_json::json;
use shared::passes::Run;
use tokio::time::sleep;

use super::{
    SandboxError,
    erp::{ByHand, Details},
    passes::World,
    progress,
};
use crate::norce_simulator::NewCustomer;

/// One in this many customers has no code in Norce.
const WITHOUT_CODE_EVERY: usize = 100;
/// How often the sandbox reads the progress of the pass, and how often it prints it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const TELL_EVERY: u32 = 5;
/// A pass that takes longer has a fault: for each customer, and for any pass.
const LONGEST_FOR_EACH: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(300);

/// Seeds both sides, and runs a full pass twice. Whether both sides are as they should be.
pub(super) async fn play(world: &World<'_>, customers: usize) -> Result<bool, SandboxError> {
    let shop = world.shop;
    let without_code = progress::step(
        &format!("Seeding {customers} customers in the ERP, one in {WITHOUT_CODE_EVERY} without a code in Norce"),
        async {
            // Without events: these customers are from before the integration.
            let email = |number: usize| format!("register.{number}@example.com");
            let people: Vec<ByHand> = (0..customers)
                .map(|number| ByHand {
                    code: None,
                    details: Details {
                        name: format!("Kund {number}"),
                        email: email(number),
                        ..Details::default()
                    },
                })
                .collect();
            let codes = shop.erp.add(shop.erp_company(), &people).await?;
            let mut without_code = Vec::new();
            for (number, code) in codes.into_iter().enumerate() {
                let has_code = number % WITHOUT_CODE_EVERY != 0;
                let id = shop.norce.add_customer(NewCustomer {
                    email: Some(email(number)),
                    first_name: Some("Kund".to_owned()),
                    last_name: Some(number.to_string()),
                    code: has_code.then(|| code.clone()),
                    ..NewCustomer::default()
                });
                if !has_code {
                    without_code.push((id, code));
                }
            }
            Ok::<_, SandboxError>(without_code)
        },
    )
    .await?;
    let mut is_good = true;
    let first = walk(
        world,
        "First full pass: mappings are made, codes repaired",
        customers,
    )
    .await?;
    let repaired = without_code.len() as u64;
    is_good &= first.counts.codes == repaired && first.counts.bound == customers as u64 - repaired;
    progress::step("Norce confirms the codes", async {
        let begin = Instant::now();
        loop {
            let missing = without_code.iter().filter(|(id, code)| {
                let customer = shop.norce.customer(*id);
                customer.and_then(|it| it.row.customer_code).as_ref() != Some(code)
            });
            if missing.count() == 0 && shop.under_way() == 0 {
                return Ok(());
            }
            if begin.elapsed() > LONGEST {
                return Err(SandboxError::Day("codes are missing in Norce".to_owned()));
            }
            sleep(LOOK_EVERY).await;
        }
    })
    .await?;
    let second = walk(world, "Second full pass: nothing has changed", customers).await?;
    is_good &= second.counts.unchanged == customers as u64 && second.cost.mapping_writes == 0;
    for run in [&first, &second] {
        progress::line(format_args!("  {}", erp_full_pass::report::summary(run)));
    }
    Ok(is_good)
}

async fn walk(world: &World<'_>, title: &str, customers: usize) -> Result<Run, SandboxError> {
    progress::step(title, async {
        let runs = world.start(&json!({"mode": "full"})).await?;
        let id = runs.first().copied().unwrap_or_default();
        let begin = Instant::now();
        let customers_count = u32::try_from(customers).unwrap_or(u32::MAX);
        let longest = LONGEST + LONGEST_FOR_EACH.saturating_mul(customers_count);
        let mut looks = 0;
        loop {
            sleep(LOOK_EVERY).await;
            let run = world.run(id).await?;
            if let Some(run) = &run {
                if run.ended.is_some() {
                    return Ok(run.clone());
                }
                looks += 1;
                if looks % TELL_EVERY == 0 {
                    progress::detail(&format!(
                        "{:>8}  {} of {customers} seen, {} codes, {} bound, {} unchanged",
                        progress::duration(begin.elapsed()),
                        run.counts.seen,
                        run.counts.codes,
                        run.counts.bound,
                        run.counts.unchanged
                    ));
                }
            }
            if begin.elapsed() > longest {
                return Err(SandboxError::Day(format!("pass {id} does not end")));
            }
        }
    })
    .await
}
