//! The real functions and the real template, built and deployed with SAM to the local AWS.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use aws_types::SdkConfig;
use futures_util::future::try_join_all;
use sandbox_tools::{target, workspace};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use super::{
    SandboxError, erp, io_error,
    logs::LogLevel,
    package::{self, Compression, unwritable},
    progress,
};
use crate::local_aws::{LocalAws, REGION, ROOT_KEY, Tools, sandbox_directory};

/// The stack, which begins the names of its functions and log groups.
pub(super) const STACK: &str = "sandbox";
/// The functions that every version has, by the names of their packages.
pub(super) const FUNCTIONS: [&str; 6] = [
    "receive-events",
    "change-events",
    "submit-imports",
    "poll-jobs",
    "erp-full-pass",
    "operator",
];
/// The processor of this machine, as the template names it: the local AWS runs the functions on it.
const ARCHITECTURE: &str = if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "x86_64"
};

/// All functions of this version, by the names of their packages.
pub(super) fn every_function() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.into_iter().chain([CONSOLE])
}

/// The function that an earlier version lacks.
pub(super) const CONSOLE: &str = "console";
/// What the events of the sandbox carry in `x-event-secret`; the samples in `tests/events` carry it too.
pub(super) const EVENT_SECRET: &str = "sandbox-event-secret";

/// Where the environment variables of the deployed functions are written, for `cargo lambda watch`.
pub(super) fn environment_file() -> PathBuf {
    sandbox_directory().join("functions.env")
}

/// The two remote systems, as the template's parameters name them.
pub(super) struct Remotes {
    /// Norce's base address.
    pub(super) norce_base_url: String,
    /// The scope of its tokens.
    pub(super) norce_scope: String,
    /// Norce's OAuth client.
    pub(super) norce_client: (String, String),
    /// The system account of the imports.
    pub(super) norce_account: i64,
    /// The applications, each with the ERP company behind it where it has one of its own.
    pub(super) applications: Vec<(i64, Uuid, Option<String>)>,
    /// The ERP.
    pub(super) erp: erp::Remote,
    /// The credentials of Norce's orders; `None`: `OrderReceiver` is off.
    pub(super) orders: Option<(&'static str, &'static str)>,
    /// The identity provider of the console; `None`: there is no console.
    pub(super) console: Option<ConsoleProvider>,
}

/// The OpenID provider of the console.
pub(super) struct ConsoleProvider {
    /// The issuer of the identity provider.
    pub(super) issuer: String,
    /// The client id and the secret of the console.
    pub(super) client: (&'static str, &'static str),
}

impl Remotes {
    fn by_application(&self) -> bool {
        self.applications
            .iter()
            .any(|(.., company)| company.is_some())
    }

    fn applications(&self) -> Value {
        let applications = self.applications.iter().map(|(id, key, company)| {
            let mut application = json!({ "id": id, "key": key });
            if let Some(company) = company {
                application["erpCompany"] = json!(company);
            }
            application
        });
        applications.collect()
    }
}

/// The deployed stack.
pub(super) struct Deployment {
    stack: String,
    parameters: BTreeMap<&'static str, String>,
    outputs: BTreeMap<String, String>,
    endpoint: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Output {
    output_key: String,
    output_value: String,
}

/// Builds the functions with the profile and the features of the sandbox itself, so that what it is made of is compiled once.
pub(super) async fn build() -> Result<(), SandboxError> {
    let mut cargo = Command::from(sandbox_tools::build(true));
    let log = sandbox_directory().join("build.log");
    progress::run("cargo build", &mut cargo, &log).await
}

/// Packs functions that `build` has built. Returns the template to deploy.
pub(super) async fn packed(python: &Tools) -> Result<PathBuf, SandboxError> {
    let functions: Vec<_> = every_function().collect();
    let directory = sandbox_directory().join("functions");
    pack(&functions, &workspace(), &directory, python).await
}

/// Packs functions that Cargo has built without optimization, with the template of their sources. Returns the template to deploy.
pub(super) async fn pack(
    functions: &[&'static str],
    sources: &Path,
    directory: &Path,
    python: &Tools,
) -> Result<PathBuf, SandboxError> {
    let programs = directory.join("programs");
    fs::create_dir_all(&programs).map_err(unwritable(&programs))?;
    let stripped = try_join_all(functions.iter().map(async |function| {
        let binary = target().join("debug").join(function);
        let program = programs.join(function);
        strip(&binary, &program).await?;
        Ok::<_, SandboxError>((*function, program))
    }));
    let template = sources.join("template.yaml");
    let unreadable = io_error(format!("{} cannot be read", template.display()));
    let template = fs::read_to_string(&template).map_err(unreadable)?;
    let stripped = stripped.await?;
    package::write(&template, &stripped, directory, Compression::Fast, python).await
}

/// Copies a program without what debuggers need, which is most of it.
async fn strip(from: &Path, to: &Path) -> Result<(), SandboxError> {
    let mut strip = Command::new("strip");
    let stripped = strip.arg("-o").arg(to).arg(from).output().await;
    if stripped.is_ok_and(|stripped| stripped.status.success()) {
        return Ok(());
    }
    fs::copy(from, to).map(|_| ()).map_err(unwritable(to))
}

/// Builds packages as they are deployed, all in one go so that they link side by side.
pub(super) async fn cargo_lambda_build(
    tools: &Tools,
    arm64: bool,
    packages: impl IntoIterator<Item = &str>,
) -> Result<(), SandboxError> {
    let mut cargo = Command::new("cargo");
    cargo.args(["lambda", "build", "--release", "--locked"]);
    if arm64 {
        cargo.arg("--arm64");
    }
    for package in packages {
        cargo.args(["--package", package]);
    }
    let log = sandbox_directory().join("cargo-lambda-build.log");
    progress::run("cargo lambda build", with_tools(&mut cargo, tools), &log).await
}

/// Builds the functions as they are deployed, with `sam build`; all in one go first so that they link side by side. Returns the
/// template to deploy.
pub(super) async fn build_release(tools: &Tools) -> Result<PathBuf, SandboxError> {
    let built = sandbox_directory().join("build");
    let built_template = built.join("template.yaml");
    cargo_lambda_build(tools, cfg!(target_arch = "aarch64"), every_function()).await?;

    let unchanged = is_newer(&built_template, &workspace().join("template.yaml"))
        && every_function().all(|function| {
            let binary = target().join("lambda").join(function).join("bootstrap");
            is_newer(&built_template, &binary)
        });
    if !unchanged {
        let mut sam = Command::new(tools.program("sam"));
        sam.args(["build", "--build-dir"]).arg(&built);
        let architecture = format!("Architecture={ARCHITECTURE}");
        sam.args(["--parameter-overrides", &architecture]);
        let log = sandbox_directory().join("sam-build.log");
        progress::run("sam build", with_tools(&mut sam, tools), &log).await?;
    }
    Ok(built_template)
}

/// The template of a package that `cargo artifacts` has made.
pub(super) fn of_package(directory: &Path) -> Result<PathBuf, SandboxError> {
    let template = directory.join("template.yaml");
    let what = format!(
        "{} cannot be read (`cargo artifacts` makes it)",
        template.display()
    );
    template.canonicalize().map_err(io_error(what))
}

/// The template with stand-ins for the functions, where every invocation goes elsewhere. Returns the template to
/// deploy.
pub(super) fn stand_ins() -> Result<PathBuf, SandboxError> {
    let directory = sandbox_directory().join("stand-ins");
    let unwritable = || io_error(format!("{} cannot be written", directory.display()));
    // The template has the console's code as well, whether the stack has a console or not.
    for function in every_function() {
        let function = directory.join("functions").join(function);
        fs::create_dir_all(&function).map_err(unwritable())?;
        fs::write(function.join("bootstrap"), "#!/bin/sh\nexit 1\n").map_err(unwritable())?;
    }
    let template = directory.join("template.yaml");
    fs::copy(workspace().join("template.yaml"), &template).map_err(unwritable())?;
    Ok(template)
}

fn is_newer(file: &Path, than: &Path) -> bool {
    let modified = |path: &Path| {
        path.metadata()
            .and_then(|metadata| metadata.modified())
            .ok()
    };
    match (modified(file), modified(than)) {
        (Some(file), Some(than)) => file >= than,
        _ => false,
    }
}

impl Deployment {
    /// Makes the secrets and deploys the template as a stack.
    pub(super) async fn create(
        stack: &str,
        template: &Path,
        tools: &Tools,
        aws: &LocalAws,
        remotes: &Remotes,
        log_level: LogLevel,
    ) -> Result<Self, SandboxError> {
        let config = aws.aws_config();
        let (client_id, client_secret) = &remotes.norce_client;
        let norce = json!({ "clientId": client_id, "clientSecret": client_secret });
        let erp = &remotes.erp;
        let name = |what: &str| format!("{stack}-{what}");
        let mut parameters = BTreeMap::from([
            ("NorceBaseUrl", remotes.norce_base_url.clone()),
            ("NorceScope", remotes.norce_scope.clone()),
            (
                "NorceSecretArn",
                secret(&config, &name("norce"), &norce).await?,
            ),
            ("NorceAccountId", remotes.norce_account.to_string()),
            ("NorceApplications", remotes.applications().to_string()),
            (
                "CustomersByApplication",
                remotes.by_application().to_string(),
            ),
            (
                "EventSecretArn",
                secret(&config, &name("event"), &json!({ "current": EVENT_SECRET })).await?,
            ),
            ("ErpKind", erp.kind.to_owned()),
            ("ErpBaseUrl", erp.base_url.clone()),
            ("ErpTokenUrl", erp.token_url.clone()),
            (
                "ErpSecretArn",
                secret(&config, &name("erp"), &erp.secret).await?,
            ),
            ("ErpCompany", erp.company.clone()),
            ("LogLevel", log_level.to_string()),
            // A stack should have one. The sandbox sends nothing there.
            (
                "AlarmTopicArn",
                format!("arn:aws:sns:{REGION}:000000000000:{stack}-alarms"),
            ),
            ("Architecture", ARCHITECTURE.to_owned()),
            // Nothing outlives the sandbox anyway.
            ("TableDeletionPolicy", "Delete".to_owned()),
        ]);
        if !erp.extra_base_url.is_empty() {
            parameters.insert("ErpExtraBaseUrl", erp.extra_base_url.clone());
        }
        if !erp.extra_fields.is_empty() {
            parameters.insert("ErpExtraFields", erp.extra_fields.to_owned());
        }
        if !erp.home_country.is_empty() {
            parameters.insert("HomeCountry", erp.home_country.to_owned());
        }
        if !erp.countries.is_empty() {
            parameters.insert("ErpCountries", erp.countries.to_owned());
        }
        if let Some((username, password)) = remotes.orders {
            let orders = json!({ "username": username, "password": password });
            let arn = secret(&config, &name("orders"), &orders).await?;
            parameters.insert("OrderReceiver", true.to_string());
            parameters.insert("OrderSecretArn", arn);
        }
        if let Some(ConsoleProvider { issuer, client }) = &remotes.console {
            let client = json!({ "clientId": client.0, "clientSecret": client.1 });
            let arn = secret(&config, &name("console"), &client).await?;
            parameters.insert("Console", "oidc".to_owned());
            parameters.insert("ConsoleIssuer", issuer.clone());
            parameters.insert("ConsoleSecretArn", arn);
        }
        Self::deploy(stack, parameters, template, tools, aws).await
    }

    /// Deploys another template over the stack, with the same parameters.
    pub(super) async fn update(
        &self,
        template: &Path,
        tools: &Tools,
        aws: &LocalAws,
    ) -> Result<Self, SandboxError> {
        Self::deploy(&self.stack, self.parameters.clone(), template, tools, aws).await
    }

    async fn deploy(
        stack: &str,
        parameters: BTreeMap<&'static str, String>,
        template: &Path,
        tools: &Tools,
        aws: &LocalAws,
    ) -> Result<Self, SandboxError> {
        // JSON is YAML, and SAM reads parameters from files of YAML only.
        let file = sandbox_directory().join(format!("{stack}-parameters.yaml"));
        let text = json!(parameters).to_string();
        fs::write(&file, text)
            .map_err(io_error(format!("{} cannot be written", file.display())))?;

        let mut deploy = Command::new(tools.program("sam"));
        deploy
            .args(["deploy", "--stack-name", stack, "--template-file"])
            .arg(template)
            .args(["--resolve-s3", "--capabilities", "CAPABILITY_IAM"])
            .args(["--no-confirm-changeset", "--parameter-overrides"])
            .arg(format!("file://{}", file.display()));
        let log = sandbox_directory().join("sam-deploy.log");
        let command = towards(with_tools(&mut deploy, tools), aws);
        progress::run("sam deploy", command, &log).await?;

        let mut list = Command::new(tools.program("sam"));
        list.args([
            "list",
            "stack-outputs",
            "--stack-name",
            stack,
            "--output",
            "json",
        ]);
        let listed = towards(with_tools(&mut list, tools), aws)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(io_error("sam list cannot be started"))?;
        let outputs: Vec<Output> =
            serde_json::from_slice(&listed.stdout).map_err(|_| SandboxError::Step {
                what: "sam list stack-outputs".to_owned(),
                status: listed.status.to_string(),
                log: "its output".to_owned(),
                quoted: String::from_utf8_lossy(&listed.stderr).into_owned(),
            })?;
        let deployment = Self {
            stack: stack.to_owned(),
            parameters,
            outputs: outputs
                .into_iter()
                .map(|output| (output.output_key, output.output_value))
                .collect(),
            endpoint: aws.endpoint(),
        };
        if stack == STACK {
            deployment.write_environment()?;
        }
        Ok(deployment)
    }

    /// Asks a function for something as a person does, and returns its answer.
    pub(super) async fn invoke(
        &self,
        tools: &Tools,
        aws: &LocalAws,
        function: &str,
        event: &Value,
    ) -> Result<Value, SandboxError> {
        let mut sam = Command::new(tools.program("sam"));
        sam.args(["remote", "invoke", function, "--stack-name", &self.stack])
            .args(["--event", &event.to_string()]);
        let answered = towards(with_tools(&mut sam, tools), aws)
            .kill_on_drop(true)
            .output()
            .await
            .map_err(io_error("sam remote invoke cannot be started"))?;
        serde_json::from_slice(&answered.stdout).map_err(|_| SandboxError::Step {
            what: format!("sam remote invoke {function}"),
            status: answered.status.to_string(),
            log: "its output".to_owned(),
            quoted: String::from_utf8_lossy(&answered.stderr).into_owned(),
        })
    }

    /// The name of the stack.
    pub(super) fn stack(&self) -> &str {
        &self.stack
    }

    /// An output of the stack.
    pub(super) fn output(&self, name: &str) -> Result<&str, SandboxError> {
        self.outputs
            .get(name)
            .map(String::as_str)
            .ok_or_else(|| SandboxError::NoOutput(name.to_owned()))
    }

    /// The address of Norce's events, without the type.
    pub(super) fn event_url(&self) -> Result<String, SandboxError> {
        self.url("events")
    }

    /// The address of Norce's orders.
    pub(super) fn order_url(&self) -> Result<String, SandboxError> {
        self.url("orders")
    }

    /// The local AWS serves an API also by path, which spares the machine from having to resolve a name below
    /// `localhost`.
    fn url(&self, path: &str) -> Result<String, SandboxError> {
        let url = self.output("ApiEndpoint")?;
        let host = url.split("://").last().unwrap_or_default();
        let api = host.split('.').next().unwrap_or_default();
        Ok(format!(
            "{}/_aws/execute-api/{api}/$default/{path}",
            self.endpoint
        ))
    }

    /// Writes the variables that the deployed functions have between them. They are named after the parameters and
    /// outputs of the template. The quotes are for the values that are JSON.
    fn write_environment(&self) -> Result<(), SandboxError> {
        let credentials = [
            ("AWS_ENDPOINT_URL", self.endpoint.as_str()),
            ("AWS_REGION", REGION),
            ("AWS_ACCESS_KEY_ID", ROOT_KEY),
            ("AWS_SECRET_ACCESS_KEY", ROOT_KEY),
        ];
        let mut text = String::new();
        for (name, value) in credentials {
            text += &format!("{name}='{value}'\n");
        }
        let parameters = self
            .parameters
            .iter()
            .map(|(name, value)| (*name, value.as_str()));
        let outputs = self
            .outputs
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in parameters.chain(outputs) {
            text += &format!("{}='{value}'\n", variable_name(name));
        }
        let file = environment_file();
        fs::write(&file, text).map_err(io_error(format!("{} cannot be written", file.display())))
    }
}

/// `NorceBaseUrl` becomes `NORCE_BASE_URL`.
fn variable_name(name: &str) -> String {
    let mut variable = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !variable.is_empty() {
            variable.push('_');
        }
        variable.push(character.to_ascii_uppercase());
    }
    variable
}

async fn secret(config: &SdkConfig, name: &str, value: &Value) -> Result<String, SandboxError> {
    let created = aws_sdk_secretsmanager::Client::new(config)
        .create_secret()
        .name(name)
        .secret_string(value.to_string())
        .send()
        .await
        .map_err(|error| SandboxError::aws("the secrets cannot be made", error))?;
    created
        .arn
        .ok_or_else(|| SandboxError::NoOutput(format!("the ARN of the secret {name}")))
}

/// In the workspace, with the programs of the virtual environment on the path.
pub(super) fn with_tools<'a>(command: &'a mut Command, tools: &Tools) -> &'a mut Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let directories = [tools.bin().to_path_buf()]
        .into_iter()
        .chain(std::env::split_paths(&path));
    if let Ok(path) = std::env::join_paths(directories) {
        command.env("PATH", path);
    }
    command
        .current_dir(workspace())
        .env("SAM_CLI_TELEMETRY", "0")
}

/// At the local AWS, whatever AWS the person at the machine is signed in to.
pub(super) fn towards<'a>(command: &'a mut Command, aws: &LocalAws) -> &'a mut Command {
    command
        .env_remove("AWS_PROFILE")
        .env_remove("AWS_SESSION_TOKEN")
        .env_remove("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
        .env("AWS_ENDPOINT_URL", aws.endpoint())
        .env("AWS_ACCESS_KEY_ID", ROOT_KEY)
        .env("AWS_SECRET_ACCESS_KEY", ROOT_KEY)
        .env("AWS_REGION", REGION)
        .env("AWS_DEFAULT_REGION", REGION)
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::QueueAttributeName;

    use super::*;

    const SECRET: &str = "arn:aws:secretsmanager:eu-north-1:000000000000:secret:any-AbCdEf";
    const WITHOUT_OPTIONS: &[(&str, &str)] = &[
        ("NorceBaseUrl", "https://example.api-se.norce.tech"),
        ("NorceSecretArn", SECRET),
        ("NorceAccountId", "1"),
        (
            "NorceApplications",
            r#"[{"id":1,"key":"01234567-89ab-cdef-0123-456789abcdef"}]"#,
        ),
        ("EventSecretArn", SECRET),
        ("ErpBaseUrl", "https://erp.example.com/api"),
        ("ErpTokenUrl", "https://erp.example.com/token"),
        ("ErpSecretArn", SECRET),
        ("ErpCompany", "01234567-89ab-cdef-0123-456789abcdef"),
        ("OrderReceiver", "false"),
        ("OrderSecretArn", ""),
        ("ErpEvents", "off"),
        ("ErpEventSecretArn", ""),
        ("SubnetIds", ""),
        ("SecurityGroupIds", ""),
        ("ErpCaSecretArn", ""),
        ("KmsKeyArn", ""),
        ("PermissionsBoundaryArn", ""),
        ("Tracing", "PassThrough"),
        ("DeletionProtection", "false"),
        ("EventDomainName", ""),
        ("EventCertificateArn", ""),
        ("LogLevel", "INFO"),
        ("AlarmTopicArn", ""),
    ];
    const EVERY_OPTION: &[(&str, &str)] = &[
        ("OrderReceiver", "true"),
        ("OrderSecretArn", SECRET),
        ("ErpEvents", "on"),
        ("ErpEventSecretArn", SECRET),
        (
            "SubnetIds",
            "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
        ),
        ("SecurityGroupIds", "sg-0123456789abcdef0"),
        ("ErpCaSecretArn", SECRET),
        (
            "KmsKeyArn",
            "arn:aws:kms:eu-north-1:000000000000:key/01234567-89ab-cdef-0123-456789abcdef",
        ),
        (
            "PermissionsBoundaryArn",
            "arn:aws:iam::000000000000:policy/boundary",
        ),
        ("Tracing", "Active"),
        ("DeletionProtection", "true"),
        ("EventDomainName", "events.example.com"),
        (
            "EventCertificateArn",
            "arn:aws:acm:eu-north-1:000000000000:certificate/01234567-89ab-cdef-0123-456789abcdef",
        ),
        ("LogLevel", "DEBUG"),
        (
            "AlarmTopicArn",
            "arn:aws:sns:eu-north-1:000000000000:alarms",
        ),
    ];

    fn parameters(
        above: &'static [(&'static str, &'static str)],
    ) -> BTreeMap<&'static str, String> {
        let values = WITHOUT_OPTIONS.iter().chain(above);
        values
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    }

    /// One stack: without options, with all of them, and without again. An order that nobody has read outlives both.
    #[tokio::test]
    async fn a_stack_takes_every_option_and_gives_it_up_again_with_the_orders_in_it() {
        let ministack = Tools::ministack(|_: &str| ()).await.unwrap();
        let sam = Tools::sam(|_: &str| ()).await.unwrap();
        let aws = LocalAws::start(&ministack, "options", &[]).await.unwrap();
        let template = stand_ins().unwrap();
        let deploy = async |above| {
            let deployed =
                Deployment::deploy("options", parameters(above), &template, &sam, &aws).await;
            deployed.unwrap_or_else(|error| panic!("{error}"))
        };
        let sqs = aws_sdk_sqs::Client::new(&aws.aws_config());
        let waiting = async |url: &str| {
            let attributes = sqs
                .get_queue_attributes()
                .queue_url(url)
                .attribute_names(QueueAttributeName::ApproximateNumberOfMessages)
                .send()
                .await
                .unwrap();
            let attributes = attributes.attributes.unwrap_or_default();
            attributes[&QueueAttributeName::ApproximateNumberOfMessages].clone()
        };

        let before = deploy(&[]).await;
        assert!(before.output("OrderUrl").is_err());
        let names = before.output("ResourceNamesSecretArn").unwrap();
        assert!(names.starts_with("arn:"), "{names}");
        let secret = aws_sdk_secretsmanager::Client::new(&aws.aws_config())
            .get_secret_value()
            .secret_id(names)
            .send()
            .await
            .unwrap();
        let names: Value = serde_json::from_str(secret.secret_string().unwrap()).unwrap();
        let queue = before.output("ChangesQueueUrl").unwrap();
        assert_eq!(names["CHANGES_QUEUE_URL"], queue);

        let with_options = deploy(EVERY_OPTION).await;
        let url = with_options.output("EventUrl").unwrap();
        assert_eq!(url, "https://events.example.com/events");
        let queue = with_options.output("OutgoingOrdersQueueUrl").unwrap();
        sqs.send_message()
            .queue_url(queue)
            .message_body("{}")
            .message_group_id("buyer")
            .message_deduplication_id("order")
            .send()
            .await
            .unwrap();

        let after = deploy(&[]).await;
        assert!(after.output("OrderUrl").is_err());
        assert!(after.output("EventDomainTarget").is_err());
        assert_eq!(after.output("OutgoingOrdersQueueUrl").unwrap(), queue);
        assert_eq!(waiting(queue).await, "1");
    }

    #[test]
    fn parameters_and_outputs_name_the_variables() {
        assert_eq!(variable_name("NorceBaseUrl"), "NORCE_BASE_URL");
        assert_eq!(variable_name("CodeMappingsTable"), "CODE_MAPPINGS_TABLE");
    }
}
