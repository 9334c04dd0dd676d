//! The next day: the scheduled passes repair what events missed. A person starts them with
//! `sam remote invoke`, as the README says.

use std::{path::Path, time::Duration};

use aws_sdk_s3::config::Builder;
use serde_json::{Value, json};
use shared::{
    domain::PassMode,
    passes::{DynamoDbPasses, Passes as _, Run},
};
use uuid::Uuid;

use super::{
    SandboxError,
    deployment::Deployment,
    erp::{ByHand, Details},
    logs::LogLevel,
    orders, progress,
    quiet::Queues,
    shop::{APPLICATION, Person, SECOND_APPLICATION, Shop},
};
use crate::{
    local_aws::{LocalAws, Tools},
    norce_simulator::{Blank, NewCustomer, NewOrder},
};

/// A part that is not over by then has a fault.
const LONGEST_PART: Duration = Duration::from_secs(240);
/// A price list of the ERP that Norce does not have.
pub(super) const PRICE_LIST: &str = "CAMPAIGN";
/// The function of the passes, as the template names it.
const FUNCTION: &str = "ErpFullPass";
/// The stack of the two applications.
const SECOND_STACK: &str = "sandbox-by-application";
/// Customers of each of the two applications; the same people in both.
const CUSTOMERS_OF_EACH: usize = 6;

/// The running sandbox.
pub(super) struct World<'a> {
    pub(super) shop: &'a Shop,
    pub(super) aws: &'a LocalAws,
    pub(super) deployment: &'a Deployment,
    pub(super) sam: &'a Tools,
    pub(super) log_level: LogLevel,
}

/// The results of the passes.
#[derive(Default)]
pub(super) struct Passes {
    pub(super) runs: Vec<Run>,
    /// The customer with a price list that Norce does not have.
    pub(super) warned: Option<i64>,
    /// What else was found.
    pub(super) notes: Vec<String>,
    pub(super) faults: Vec<String>,
}

impl Passes {
    fn expect(&mut self, is_so: bool, otherwise: impl Into<String>) {
        if !is_so {
            self.faults.push(otherwise.into());
        }
    }
}

impl World<'_> {
    /// Starts a pass, and returns its runs.
    pub(super) async fn start(&self, request: &Value) -> Result<Vec<Uuid>, SandboxError> {
        let started = self
            .deployment
            .invoke(self.sam, self.aws, FUNCTION, request)
            .await?;
        let runs = started["runs"].as_array().map(Vec::as_slice);
        let runs: Vec<Uuid> = runs
            .unwrap_or_default()
            .iter()
            .filter_map(|run| run["run"].as_str()?.parse().ok())
            .collect();
        if runs.is_empty() {
            let answer = format!("the start of a pass was answered {started}");
            return Err(SandboxError::Day(answer));
        }
        Ok(runs)
    }

    /// The record of a run.
    pub(super) async fn run(&self, id: Uuid) -> Result<Option<Run>, SandboxError> {
        let table = self.deployment.output("PassesTable")?;
        let passes = DynamoDbPasses::new(&self.aws.aws_config(), table);
        let run = passes.run(id).await;
        run.map_err(|error| SandboxError::Day(error.to_string()))
    }

    /// Waits until nothing is under way.
    pub(super) async fn quiet(&self, queues: &Queues) -> Result<(), SandboxError> {
        self.quiet_within(queues, LONGEST_PART).await
    }

    /// Waits until nothing is under way, and fails if that takes longer than this.
    pub(super) async fn quiet_within(
        &self,
        queues: &Queues,
        longest: Duration,
    ) -> Result<(), SandboxError> {
        let shop = self.shop;
        if queues
            .wait_until_quiet(longest, || shop.under_way())
            .await?
        {
            return Ok(());
        }
        let stuck = format!("work is still under way after {longest:?}; see the logs");
        Err(SandboxError::Day(stuck))
    }

    /// Runs a pass to its end, and what follows from it.
    async fn pass(&self, queues: &Queues, request: Value) -> Result<Vec<Run>, SandboxError> {
        let mut runs = Vec::new();
        let started = self.start(&request).await?;
        self.quiet(queues).await?;
        for id in started {
            let run = self.run(id).await?;
            let run = run.filter(|run| run.ended.as_ref().is_some_and(|it| it.failed.is_none()));
            runs.push(
                run.ok_or_else(|| SandboxError::Day(format!("pass {id} has not come to its end")))?,
            );
        }
        Ok(runs)
    }

    /// A report of a plan.
    async fn report(&self, plan: Uuid, name: &str) -> Result<Vec<u8>, SandboxError> {
        let config = self.aws.aws_config();
        let settings = Builder::from(&config).force_path_style(true).build();
        let failed = "a report of the plan cannot be read";
        let object = aws_sdk_s3::Client::from_conf(settings)
            .get_object()
            .bucket(self.deployment.output("ReportsBucket")?)
            .key(format!("plans/{plan}/{name}"))
            .send()
            .await
            .map_err(|error| SandboxError::aws(failed, error))?;
        let body = object.body.collect().await;
        let body = body.map_err(|error| SandboxError::aws(failed, error))?;
        Ok(body.to_vec())
    }
}

/// Somebody puts a person into the ERP, with little more than a name. Returns the code.
pub(super) async fn put_into_erp(
    shop: &Shop,
    company: &str,
    person: &Person,
) -> Result<String, SandboxError> {
    let by_hand = ByHand {
        code: None,
        details: Details {
            name: person.name(),
            email: person.email.to_uppercase(),
            ..Details::default()
        },
    };
    let mut codes = shop.erp.add(company, &[by_hand]).await?;
    let none = || SandboxError::Day("the ERP gave no code".to_owned());
    codes.pop().ok_or_else(none)
}

fn code_in_norce(shop: &Shop, id: i64) -> Option<String> {
    shop.norce.customer(id)?.row.customer_code
}

/// Plays the next day.
pub(super) async fn play(world: &World<'_>, queues: &Queues) -> Result<Passes, SandboxError> {
    let mut passes = Passes::default();
    let shop = world.shop;
    progress::step(
        "Next day: a customer made by hand in the ERP and a renamed code; a plan, and the delta pass",
        delta(world, queues, &mut passes),
    )
    .await?;
    progress::step(
        "Later: events are lost, and the sweep heals it; a full pass finds everything in its place",
        async {
            let nobody = || SandboxError::Day("there is nobody whose events are lost".to_owned());
            let mut of_old = shop.norce.customers().into_iter().filter(|customer| {
                let row = &customer.row;
                row.customer_code.is_some() && !row.is_forgotten && row.is_active
            });
            let changed = of_old.next().ok_or_else(nobody)?;
            let forgotten = of_old.next_back().ok_or_else(nobody)?;
            // Of nothing that was fetched after it is a sweep needed; clocks may differ by two seconds.
            tokio::time::sleep(Duration::from_secs(3)).await;
            shop.norce
                .configure(|settings| settings.events.drop_chance = 1.0);
            const PHONE: &str = "08-666 00 01";
            shop.norce.change_customer(changed.row.id, |customer| {
                customer.row.phone_number = Some(PHONE.to_owned());
            });
            shop.norce
                .forget_customer(forgotten.row.id, &Blank::Null, false);
            shop.norce
                .configure(|settings| settings.events.drop_chance = 0.0);
            tokio::time::sleep(Duration::from_secs(3)).await;
            let runs = world.pass(queues, json!({"mode": "sweep"})).await?;
            let record = shop.erp_customer(changed.row.customer_code.as_deref());
            let phone = record.await?.map(|record| record.details.phone);
            passes.expect(
                phone.as_deref() == Some(PHONE),
                format!(
                    "the sweep did not bring the change of customer {}",
                    changed.row.id
                ),
            );
            passes.expect(
                runs.iter().any(|run| run.counts.forgotten == 1),
                "the sweep did not find who was forgotten",
            );
            passes.runs.extend(runs);
            let writes = shop.norce.imports().len();
            let runs = world.pass(queues, json!({"mode": "full"})).await?;
            let counts = runs
                .first()
                .map(|run| run.counts.clone())
                .unwrap_or_default();
            passes.expect(
                counts.codes == 1 && counts.renamed + counts.fields + counts.inserted == 0,
                format!("the full pass did more than try what Norce had refused: {counts:?}"),
            );
            passes.expect(
                shop.norce.imports().len() <= writes + 2,
                "the full pass imported what had not changed",
            );
            passes.runs.extend(runs);
            Ok::<_, SandboxError>(())
        },
    )
    .await?;
    Ok(passes)
}

async fn delta(
    world: &World<'_>,
    queues: &Queues,
    passes: &mut Passes,
) -> Result<(), SandboxError> {
    let shop = world.shop;
    let person = shop.newcomer();
    let by_hand = shop.register(&person);
    let number = put_into_erp(shop, shop.erp_company(), &person).await?;
    world.quiet(queues).await?;
    let register = shop.erp_register().await?;
    let nobody = || SandboxError::Day("there is nobody whose code is renamed".to_owned());
    let renamed = shop
        .norce
        .customers()
        .into_iter()
        .find(|customer| {
            let code = customer.row.customer_code.as_deref();
            customer.row.is_active && register.customer(code).is_some()
        })
        .ok_or_else(nobody)?;
    let record = register.customer(renamed.row.customer_code.as_deref());
    let record = record.ok_or_else(nobody)?;
    let new_number = format!("{}-R", record.code);
    shop.erp
        .rename(shop.erp_company(), record, &new_number)
        .await?;

    // Norce does not have this list: it imports the customer without it.
    let priced = shop.norce.customers().into_iter().rfind(|customer| {
        let code = customer.row.customer_code.as_deref();
        customer.row.is_active
            && customer.row.id != renamed.row.id
            && register.customer(code).is_some()
    });
    if let Some(priced) = priced
        && let Some(record) = register.customer(priced.row.customer_code.as_deref())
    {
        let company = shop.erp_company();
        let given = shop.erp.give_price_list(company, record, PRICE_LIST);
        passes.warned = given.await?.then_some(priced.row.id);
    }

    let request = json!({"mode": "delta", "dryRun": true});
    let plan = world.start(&request).await?;
    world.quiet(queues).await?;
    let plan = plan.first().copied().unwrap_or_default();
    let summary = world.report(plan, "summary.json").await?;
    let planned: Run = serde_json::from_slice(&summary)
        .map_err(|error| SandboxError::Day(format!("the plan's summary: {error}")))?;
    let page = world.report(plan, "report.html").await?;
    let page = String::from_utf8_lossy(&page);
    passes.expect(
        page.contains(&new_number) && !page.contains(&person.last_name),
        "the plan's page does not show what it should",
    );
    passes.expect(
        code_in_norce(shop, by_hand).is_none(),
        "the plan wrote something",
    );

    let runs = world.pass(queues, json!({"mode": "delta"})).await?;
    passes.expect(
        runs.iter().all(|run| run.counts == planned.counts),
        "the pass did not do what the plan had said",
    );
    passes.expect(
        code_in_norce(shop, by_hand).as_ref() == Some(&number),
        format!("customer {by_hand}, made by hand in the ERP, has no code in Norce"),
    );
    passes.expect(
        code_in_norce(shop, renamed.row.id).as_ref() == Some(&new_number),
        format!(
            "the renamed code of customer {} is not in Norce",
            renamed.row.id
        ),
    );
    passes.runs.push(planned);
    passes.runs.extend(runs);
    Ok(())
}

/// Two applications with a register each: the same people, and the same codes in two ERP companies.
pub(super) async fn two_applications(
    world: &World<'_>,
    template: &Path,
) -> Result<Passes, SandboxError> {
    let mut passes = Passes::default();
    progress::step(
        "Two applications: the same people in both, a register and an ERP company each; Norce posts its orders",
        async {
            let shop = world.shop.open_two().await?;
            let companies = shop.erp.companies();
            let deployment = Deployment::create(
                SECOND_STACK,
                template,
                world.sam,
                world.aws,
                &shop.remotes(),
                world.log_level,
            )
            .await?;
            shop.subscribe(&deployment.event_url()?);
            orders::post_orders(&shop, &deployment)?;
            let queues = Queues::of(world.aws, &deployment).await?;
            let world = World {
                shop: &shop,
                deployment: &deployment,
                ..*world
            };
            let mut expected = Vec::new();
            for number in 0..CUSTOMERS_OF_EACH {
                let person = shop.newcomer();
                for (application, company) in
                    [APPLICATION, SECOND_APPLICATION].into_iter().zip(companies)
                {
                    let id = shop.norce.add_customer(NewCustomer {
                        application_id: Some(application),
                        ..person.in_shop(None)
                    });
                    // Half of them order; the others were made by hand in the ERP.
                    let by_hand = number % 2 == 1;
                    let code = if by_hand {
                        Some(put_into_erp(&shop, company, &person).await?)
                    } else {
                        shop.norce.place_order(NewOrder {
                            application_id: application,
                            customer: Some(id),
                            items: vec![("10001".to_owned(), 199.0)],
                            ..NewOrder::default()
                        });
                        None
                    };
                    expected.push((id, company, person.email.to_lowercase(), code));
                }
            }
            world.quiet(&queues).await?;
            let runs = world.pass(&queues, json!({"mode": PassMode::Full})).await?;
            passes.expect(
                runs.len() == 2,
                "there was not one run for each application",
            );
            for (id, company, email, made_by_hand) in expected {
                let code = code_in_norce(&shop, id);
                let register = shop.erp.register(company).await?.0;
                let record = register
                    .into_iter()
                    .filter(|record| record.details.email.to_lowercase() == email)
                    .map(|record| record.code)
                    .collect::<Vec<_>>();
                passes.expect(
                    record.len() == 1 && code.as_ref() == record.first(),
                    format!("customer {id} has code {code:?}, and the ERP's are {record:?}"),
                );
                passes.expect(
                    made_by_hand.is_none() || made_by_hand == code,
                    format!("customer {id} does not have the code that was given by hand"),
                );
            }
            let (faults, found) = orders::read(&shop, world.aws, &deployment).await?;
            passes.faults.extend(faults);
            passes.notes.push(found);
            passes.runs.extend(runs);
            Ok::<_, SandboxError>(())
        },
    )
    .await?;
    Ok(passes)
}
