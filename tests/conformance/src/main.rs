//! `cargo conformance`, and the program of the same name.

use std::{
    env, fmt,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use conformance::{Credentials, Options, Outage, Switch, Target};
use tokio::process::Command;
use url::Url;

/// Checks a facade against the HTTP contract, with test records that it creates and removes: use a test company of the ERP.
/// With FACADE_SIGNING_KEY in the environment, requests are signed.
#[derive(Debug, Parser)]
#[command(name = "conformance", version)]
struct Arguments {
    /// The URL of the facade, which /v1 follows
    #[arg(long)]
    url: Url,
    /// The facade's API key. Prefer FACADE_KEY in the environment, which does not show in the process list
    #[arg(long)]
    key: Option<String>,
    /// OAuth client credentials: the URL of the token server
    #[arg(long, requires = "client_id", conflicts_with = "key")]
    token_url: Option<Url>,
    /// OAuth client credentials: the client; its secret is FACADE_CLIENT_SECRET in the environment
    #[arg(long, requires = "token_url")]
    client_id: Option<String>,
    /// The company in the ERP, as the header Erp-Company names it
    #[arg(long)]
    company: Option<String>,
    /// A PEM file of a certificate authority to trust besides the public ones
    #[arg(long)]
    ca: Option<PathBuf>,
    /// The domain of the e-mail addresses of test records
    #[arg(long, default_value = "example.com")]
    email_domain: String,
    /// The codes that are requested begin with this; digits alone for an ERP whose codes have no letters
    #[arg(long, default_value = "T")]
    code_prefix: String,
    /// Only the checks with this in their name
    #[arg(long)]
    only: Option<String>,
    /// A shell command that stops the ERP while the facade keeps running
    #[arg(long, requires = "start_erp")]
    stop_erp: Option<String>,
    /// A shell command that starts the ERP again
    #[arg(long, requires = "stop_erp")]
    start_erp: Option<String>,
}

/// Something of the contract does not hold.
const DOES_NOT_HOLD: u8 = 1;
/// As shells have it for a program that SIGINT has ended.
const INTERRUPTED: u8 = 130;
/// The facade cannot be asked.
const UNUSABLE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    let mut output = io::stdout();
    // The reader of the output may be gone; the exit status says the same.
    let mut line = move |text: &dyn fmt::Display| {
        let _ = writeln!(output, "{text}");
    };
    let arguments = Arguments::parse();
    let target = match target(&arguments) {
        Ok(target) => target,
        Err(missing) => {
            line(&missing);
            return ExitCode::from(UNUSABLE);
        }
    };
    let defaults = Options::default();
    line(&format_args!(
        "Test records have `{}` in their names.",
        defaults.mark
    ));
    let options = Options {
        mark: defaults.mark,
        email_domain: arguments.email_domain,
        code_prefix: arguments.code_prefix,
        only: arguments.only,
        outage: arguments
            .stop_erp
            .zip(arguments.start_erp)
            .map(|(stop, start)| Outage {
                begin: command(stop),
                end: command(start),
            }),
    };
    let stop = async {
        // Without signal handling, the run cannot be stopped early.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    match conformance::run(&target, options, |checked| line(checked), stop).await {
        Ok(report) => {
            line(&format_args!("\n{report}"));
            match report.failed().as_slice() {
                _ if report.is_stopped => ExitCode::from(INTERRUPTED),
                [] => ExitCode::SUCCESS,
                _ => ExitCode::from(DOES_NOT_HOLD),
            }
        }
        Err(error) => {
            line(&error);
            ExitCode::from(UNUSABLE)
        }
    }
}

/// `Err`: what is missing.
fn target(arguments: &Arguments) -> Result<Target, String> {
    let secret = |name: &str| env::var(name).ok().filter(|secret| !secret.is_empty());
    let credentials = match (&arguments.token_url, &arguments.client_id) {
        (Some(token_url), Some(client_id)) => Credentials::OAuth {
            token_url: token_url.clone(),
            client_id: client_id.clone(),
            client_secret: secret("FACADE_CLIENT_SECRET")
                .ok_or("FACADE_CLIENT_SECRET is not in the environment")?,
        },
        _ => {
            let key = arguments.key.clone().or_else(|| secret("FACADE_KEY"));
            Credentials::Key(
                key.ok_or("give --key, FACADE_KEY in the environment, or --token-url")?,
            )
        }
    };
    let authority = arguments.ca.as_ref().map(|file| {
        let unreadable = |error| format!("{} cannot be read: {error}", file.display());
        std::fs::read(file).map_err(unreadable)
    });
    Ok(Target {
        url: arguments.url.clone(),
        credentials,
        company: arguments.company.clone(),
        signing_key: secret("FACADE_SIGNING_KEY"),
        certificate_authority: authority.transpose()?,
    })
}

/// A command of the shell.
fn command(text: String) -> Switch {
    Box::new(move || {
        let text = text.clone();
        Box::pin(async move {
            let (shell, option) = match cfg!(windows) {
                true => ("cmd", "/C"),
                false => ("sh", "-c"),
            };
            let status = Command::new(shell).arg(option).arg(&text).status().await;
            match status {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(format!("`{text}` ends with {status}")),
                Err(error) => Err(format!("`{text}`: {error}")),
            }
        })
    })
}
