//! A full pass over registers of any size: processor time, memory, and requests.
//!
//! 1. With mappings in memory, over 10,000 to 1,000,000 customers, of whom one in a hundred has no code in Norce, and
//!    all of whom are unchanged; and how much of it goes into receiving and reading the pages.
//! 2. With DynamoDB (MiniStack), twice: when nobody is known yet, and when everything is. The requests are counted.
//! 3. The first bindings of customers, extrapolated to a million, with mappings in a stand-in of DynamoDB that holds nothing and takes 5 ms for each
//!    request: the elapsed time, the requests, their units and what those cost. `-- first` measures this alone, `-- first 100000` for more of them.
//! 4. The index of keys, over DynamoDB: what it takes to fill it for a register that is bound already, and what a later
//!    pass takes. `-- index` measures this alone.
//!
//! The ERP and Norce are a process of their own that answers at once ([`server`]), over sockets without TLS; each pass is
//! a process of its own too, as in Lambda.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for people: what cannot be set up is to fail loudly, and the figures are its output"
)]

mod mappings;
#[path = "../measurement/mod.rs"]
mod measurement;
mod pass;
mod server;

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    time::Duration,
};

use measurement::{machine, micros};
use pass::{Part, Taken, Task};
use serde::{Deserialize, Serialize};
use tests::local_aws::{LocalAws, REGION, ROOT_KEY, Tools, create_table};

const SIZES: [u64; 3] = [10_000, 100_000, 1_000_000];
/// Through MiniStack, which takes a few milliseconds for each transaction.
const CUSTOMERS_IN_DYNAMODB: u64 = 20_000;
/// Customers that are bound for the first time: as many as Business Central's limit lets through at once, with some 52 requests
/// for each 1,000. Of more, the wait for the ERP is most of the time, and it is shown beside it.
const FIRST_BINDINGS: u64 = 10_000;
/// How long the stand-in of DynamoDB takes for a request, and a slow one: a transaction of a hundred items takes some tens of
/// milliseconds.
const REQUEST_TIMES: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(30)];
/// The prices of a million read units and of a million write units, on demand, in us-east-1 (`functions/README.md`).
const READ_USD: f64 = 0.125;
const WRITE_USD: f64 = 0.625;
/// Credentials for the stand-in, which looks at none.
const NOWHERE: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", ROOT_KEY),
    ("AWS_SECRET_ACCESS_KEY", ROOT_KEY),
    ("AWS_REGION", REGION),
];
/// How long the ERP takes to answer where it is shown that pages and mappings are read at the same time.
const SLOW: Duration = Duration::from_millis(40);
/// What the names of the other tables end with.
const OWED: &str = "-owed";
const PASSES: &str = "-passes";

/// Where mappings, runs and owed records are.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Stores {
    /// In memory; the mappings are worked out.
    Arithmetic {
        /// One in a hundred is not known.
        some_lack_codes: bool,
    },
    /// In tables of DynamoDB, which the environment says how to reach.
    DynamoDb { table: String },
    /// A stand-in of DynamoDB that holds nothing and takes so long for each request.
    Nothing {
        time: Duration,
        /// Every record is to be listed in the index of keys, too. Otherwise the index lists everybody, and costs nothing.
        lists_keys: bool,
    },
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["serve", delay] => {
            let delay = Duration::from_millis(delay.parse().expect("milliseconds"));
            runtime.block_on(server::serve(delay));
        }
        ["pass", task] => {
            measurement::log_to_nowhere();
            runtime.block_on(pass::run(&serde_json::from_str(task).expect("a task")));
        }
        // Cargo hands the bench `--bench` as well.
        ["index", ..] => {
            println!("{}\n", machine());
            runtime.block_on(async {
                let aws = ministack().await;
                index_of_keys(&aws).await;
            });
        }
        ["first", ref rest @ ..] => {
            println!("{}\n", machine());
            let customers = rest.first().and_then(|number| number.parse().ok());
            first_bindings(customers.unwrap_or(FIRST_BINDINGS));
        }
        _ => {
            println!("{}\n", machine());
            in_memory();
            first_bindings(FIRST_BINDINGS);
            runtime.block_on(async {
                let aws = ministack().await;
                in_dynamodb(&aws).await;
                index_of_keys(&aws).await;
            });
        }
    }
}

/// The server, for as long as this lives.
struct Server {
    process: Child,
    address: String,
}

impl Server {
    fn start(delay: Duration) -> Self {
        let program = std::env::current_exe().expect("a path");
        let mut process = Command::new(program)
            .args(["serve", &delay.as_millis().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut address = String::new();
        let output = process.stdout.take().expect("its output");
        BufReader::new(output)
            .read_line(&mut address)
            .expect("its address");
        Self {
            process,
            address: address.trim().to_owned(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Does a task in a process of its own.
fn measure(task: &Task, environment: &[(&str, String)]) -> Vec<Taken> {
    let program = std::env::current_exe().expect("a path");
    let output = Command::new(program)
        .args(["pass", &serde_json::to_string(task).expect("JSON")])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stderr(Stdio::inherit())
        .output()
        .expect("the pass runs");
    assert!(output.status.success(), "the pass failed");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("what it took"))
        .collect()
}

fn in_memory() {
    let server = Server::start(Duration::ZERO);
    println!(
        "{:<38} {:>10} {:>10} {:>12} {:>10}",
        "mappings in memory", "customers", "elapsed", "per record", "peak"
    );
    let row = |name: &str, customers: u64, stores: Stores, part: Part| {
        let task = Task {
            server: server.address.clone(),
            customers,
            stores,
            part,
            passes: 1,
        };
        let taken = measure(&task, &[]).remove(0);
        let each = taken.processor / u32::try_from(customers).unwrap_or(u32::MAX);
        println!(
            "{name:<38} {customers:>10} {:>8.1} s {:>12} {:>7.1} MB",
            taken.elapsed.as_secs_f64(),
            micros(each),
            taken.peak_kib as f64 * 1_024.0 / 1e6,
        );
        taken
    };
    for customers in SIZES {
        let one_in_a_hundred = Stores::Arithmetic {
            some_lack_codes: true,
        };
        let taken = row(
            "a pass, 1 % need a code",
            customers,
            one_in_a_hundred,
            Part::Pass,
        );
        let needing = customers / server::WITHOUT_CODE_EVERY;
        assert_eq!(
            (taken.counts.codes, taken.counts.unchanged),
            (needing, customers - needing)
        );
        println!(
            "{:<38} {} pages, {} look-ups in Norce for {needing} codes",
            "", taken.cost.pages, taken.cost.query_calls
        );
    }
    let all_known = || Stores::Arithmetic {
        some_lack_codes: false,
    };
    let customers = SIZES[1];
    let taken = row("a pass, all unchanged", customers, all_known(), Part::Pass);
    assert_eq!(taken.counts.unchanged, customers);
    row(
        "… of that, receiving and reading",
        customers,
        all_known(),
        Part::Read,
    );
    row(
        "… of that, receiving",
        customers,
        all_known(),
        Part::Receive,
    );
}

async fn ministack() -> LocalAws {
    let tools = Tools::ministack(|step: &str| println!("{step}"))
        .await
        .expect("MiniStack is installed");
    LocalAws::start(&tools, "benchmark", &[])
        .await
        .expect("MiniStack starts")
}

/// How a pass in a process of its own reaches the tables.
fn environment(aws: &LocalAws) -> [(&'static str, String); 4] {
    [
        ("AWS_ACCESS_KEY_ID", ROOT_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", ROOT_KEY.to_owned()),
        ("AWS_REGION", REGION.to_owned()),
        ("AWS_ENDPOINT_URL", aws.endpoint()),
    ]
}

async fn create_tables(aws: &LocalAws, table: &str) {
    let config = aws.aws_config();
    for end in ["", OWED, PASSES] {
        let created = create_table(&config, &format!("{table}{end}")).await;
        created.expect("a table");
    }
}

/// For each 1,000 of the customers.
fn of_a_thousand(count: f64) -> f64 {
    count * 1_000.0 / CUSTOMERS_IN_DYNAMODB as f64
}

async fn index_of_keys(aws: &LocalAws) {
    println!(
        "\nthe index of keys in DynamoDB (MiniStack), {CUSTOMERS_IN_DYNAMODB} customers with one key each; for each 1,000 of them"
    );
    let server = Server::start(Duration::ZERO);
    let table = "benchmark-index".to_owned();
    create_tables(aws, &table).await;
    let task = Task {
        server: server.address.clone(),
        customers: CUSTOMERS_IN_DYNAMODB,
        stores: Stores::DynamoDb { table },
        part: Part::FillIndex,
        passes: 3,
    };
    println!(
        "{:<28} {:>10} {:>10} {:>12} {:>12} {:>12}",
        "", "elapsed", "requests", "read units", "write units", "index writes"
    );
    for (name, taken) in [
        "bound, without an index",
        "the index is filled",
        "all are listed",
    ]
    .iter()
    .zip(measure(&task, &environment(aws)))
    {
        let requests = &taken.requests;
        let count: u64 = requests.operations.values().sum();
        println!(
            "{name:<28} {:>8.1} s {:>10.2} {:>12.1} {:>12.1} {:>12.1}",
            taken.elapsed.as_secs_f64(),
            of_a_thousand(count as f64),
            of_a_thousand(requests.half_read_units as f64 / 2.0),
            of_a_thousand(requests.write_units as f64),
            of_a_thousand(taken.cost.index_writes as f64),
        );
        println!("{:<28} {:?}", "", requests.operations);
    }
}

fn first_bindings(customers: u64) {
    println!(
        "\nfirst bindings of {customers} customers that Norce has by their codes; for 1,000,000 in proportion"
    );
    println!(
        "{:<24} {:>7} {:>9} {:>9} {:>9} {:>10} {:>11} {:>11} {:>6} {:>8}",
        "",
        "request",
        "elapsed",
        "ERP",
        "processor",
        "requests",
        "read units",
        "write units",
        "USD",
        "peak"
    );
    let server = Server::start(Duration::ZERO);
    let of_a_million = |count: f64| count * 1e6 / customers as f64;
    for time in REQUEST_TIMES {
        for (name, lists_keys) in [("bindings alone", false), ("with the index of keys", true)] {
            let task = Task {
                server: server.address.clone(),
                customers,
                stores: Stores::Nothing { time, lists_keys },
                part: Part::Pass,
                passes: 1,
            };
            let nowhere = NOWHERE.map(|(name, value)| (name, value.to_owned()));
            let taken = measure(&task, &nowhere).remove(0);
            let needing = customers / server::WITHOUT_CODE_EVERY;
            assert_eq!(
                (taken.counts.codes, taken.counts.bound),
                (needing, customers - needing)
            );
            let requests = &taken.requests;
            let count: u64 = requests.operations.values().sum();
            let reads = of_a_million(requests.half_read_units as f64 / 2.0);
            let writes = of_a_million(requests.write_units as f64);
            println!(
                "{name:<24} {:>4} ms {:>7.0} s {:>7.0} s {:>7.0} s {:>10.0} {reads:>11.0} {writes:>11.0} {:>6.2} {:>5.1} MB",
                time.as_millis(),
                of_a_million(taken.elapsed.as_secs_f64()),
                of_a_million(taken.cost.erp_wait_ms as f64 / 1e3),
                of_a_million(taken.processor.as_secs_f64()),
                of_a_million(count as f64),
                (reads * READ_USD + writes * WRITE_USD) / 1e6,
                taken.peak_kib as f64 * 1_024.0 / 1e6,
            );
            println!(
                "{:<24} {:?}, {} calls to the ERP, {} to Norce",
                "", requests.operations, taken.cost.erp_calls, taken.cost.query_calls
            );
        }
    }
}

async fn in_dynamodb(aws: &LocalAws) {
    let environment = environment(aws);
    println!(
        "\nDynamoDB (MiniStack), {CUSTOMERS_IN_DYNAMODB} customers; requests for each 1,000 of them"
    );
    for (title, delay) in [
        ("an ERP that answers at once", Duration::ZERO),
        ("an ERP that takes 40 ms", SLOW),
    ] {
        let server = Server::start(delay);
        let table = format!("benchmark-{}", delay.as_millis());
        create_tables(aws, &table).await;
        let task = Task {
            server: server.address.clone(),
            customers: CUSTOMERS_IN_DYNAMODB,
            stores: Stores::DynamoDb { table },
            part: Part::Pass,
            passes: 2,
        };
        println!("{title}");
        for (name, taken) in ["nobody is known", "all are unchanged"]
            .iter()
            .zip(measure(&task, &environment))
        {
            let requests: Vec<String> = taken
                .requests
                .operations
                .iter()
                .map(|(operation, count)| {
                    format!("{operation} {:.2}", of_a_thousand(*count as f64))
                })
                .collect();
            println!(
                "  {name:<18} {:.1} s, {:.1} s of them waiting for the ERP; {}",
                taken.elapsed.as_secs_f64(),
                taken.cost.erp_wait_ms as f64 / 1e3,
                requests.join(", ")
            );
            println!("  {:<18} {:?}", "", taken.counts);
        }
    }
}
