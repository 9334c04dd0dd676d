//! The users of the console: an OpenID provider with one for each role, what two of them do after the day, and the page
//! on which the ERP's administrator removes a rule.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use axum::{
    response::Html,
    routing::{get, post},
};
use reqwest::{
    Client, Response,
    header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE},
    redirect::Policy,
};
use serde_json::{Value, json};
use shared::domain::SystemClock;
use tokio::{
    net::TcpListener,
    sync::Notify,
    task::JoinHandle,
    time::{Instant, sleep},
};
use url::Url;

use super::{
    SandboxError,
    deployment::{ConsoleProvider, Deployment},
    io_error,
    operator::{Conversation, INTERVAL, PATIENCE},
    passes::World,
    progress,
    quiet::Queues,
    shop::Shop,
};
use crate::{
    norce_simulator::loopback_client,
    oidc_provider::{self, CLIENT_ID, CLIENT_SECRET, OidcProvider},
};

/// The people: a role, and the name of the one who has it.
const PEOPLE: [(&str, &str); 3] = [("view", "Vera"), ("act", "Axel"), ("admin", "Ada")];

/// The page of the ERP's administrator.
const ADMINISTRATOR: &str = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>The ERP</title>\
    <meta name=\"viewport\" content=\"width=device-width\">\
    <body style=\"font:1.2rem system-ui;max-width:32rem;margin:15vh auto;padding:0 1rem\"><h1>The ERP</h1>";

/// The provider, and the administrator of the ERP. Both end with this value.
pub(super) struct SupportDesk {
    provider: OidcProvider,
    origin: String,
    rule_removed: Arc<Notify>,
    server: JoinHandle<()>,
}

impl Drop for SupportDesk {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A customer that the ERP refuses.
pub(super) struct Refused {
    /// Norce's id.
    pub(super) id: i64,
    /// The text for the search.
    email: String,
    /// The ERP's words.
    words: &'static str,
}

impl SupportDesk {
    /// Opens both on a free loopback port.
    pub(super) async fn open() -> Result<Self, SandboxError> {
        let unheard = || io_error("no port for the OpenID provider");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.await.map_err(unheard())?;
        let port = listener.local_addr().map_err(unheard())?.port();
        let origin = format!("http://localhost:{port}");
        tokio::task::spawn_blocking(oidc_provider::make_keys);
        let provider = OidcProvider::new(&origin, "", Arc::new(SystemClock));
        let person = |(role, name): (&str, &str)| {
            let claims = json!({ "sub": format!("sandbox-{role}"), "name": name, "roles": [role] });
            (role.to_owned(), claims)
        };
        provider.choose_from(PEOPLE.map(person).into());
        let rule_removed = Arc::new(Notify::new());
        let removed = rule_removed.clone();
        let ask = async || {
            Html(format!(
                "{ADMINISTRATOR}<p>A rule refuses a customer.</p><form method=\"post\"><button>Remove the rule</button></form>"
            ))
        };
        let remove = async move || {
            removed.notify_one();
            Html(format!("{ADMINISTRATOR}<p>The rule is gone.</p>"))
        };
        let router = provider
            .router()
            .route("/erp", get(ask))
            .route("/erp", post(remove));
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            provider,
            origin,
            rule_removed,
            server,
        })
    }

    /// The settings of the provider for the stack.
    pub(super) fn provider(&self) -> ConsoleProvider {
        ConsoleProvider {
            issuer: self.origin.clone(),
            client: (CLIENT_ID, CLIENT_SECRET),
        }
    }

    /// Lets the provider send people back to the console of a stack. Its address is known once it is deployed.
    pub(super) fn know(&self, deployment: &Deployment) -> Result<(), SandboxError> {
        self.provider
            .send_back_to(deployment.output("ConsoleCallbackUrl")?);
        Ok(())
    }

    /// The page on which the ERP's administrator removes the rule.
    pub(super) fn administrator(&self) -> String {
        format!("{}/erp", self.origin)
    }

    /// Waits until the administrator has done so.
    pub(super) async fn rule_removed(&self) {
        self.rule_removed.notified().await;
    }
}

/// A new customer that the ERP refuses places an order.
pub(super) async fn refused_customer(shop: &Shop) -> Result<Refused, SandboxError> {
    let person = shop.newcomer();
    let words = shop.erp.refuse(&person.email).await?;
    let id = shop.register(&person);
    shop.order(id, None, false);
    Ok(Refused {
        id,
        email: person.email,
        words,
    })
}

/// A support person finds out why a customer is not in the ERP, has the rule removed, and tries again. Returns the customer.
pub(super) async fn play(
    world: &World<'_>,
    queues: &Queues,
    conversation: &Conversation,
) -> Result<i64, SandboxError> {
    let Refused { id, email, words } = refused_customer(world.shop).await?;
    world.quiet(queues).await?;
    let mut visitor = Visitor::new(world.deployment)?;
    let entity = format!("customer/client/{id}");
    let search = json!({ "email": email });
    let retry = json!({ "do": "retry", "subject": entity });
    let asked = |role: &str, action: &str, body: &Value| {
        let mut asked = body.clone();
        asked["action"] = json!(action);
        // The transcript shows no address.
        if asked.get("email").is_some() {
            asked["email"] = json!("…");
        }
        asked["console"] = json!(role);
        asked
    };

    visitor.sign_in("view").await?;
    let found = visitor.ask("explain", &search).await?;
    let is_so = found["owed"][0]["reason"] == "validation"
        && found["owed"][0]["detail"]
            .as_str()
            .is_some_and(|detail| detail.contains(words));
    let question = asked("view", "explain", &search);
    conversation.expect(is_so, &question, &found);
    let summary = found["summary"].as_str().unwrap_or_default();
    progress::told(format_args!("Vera searches by e-mail address: {summary}"));
    conversation.note(question, found);
    let refused = visitor.ask("owed", &retry).await?;
    let is_so = refused["error"]["kind"] == "role";
    conversation.expect(is_so, &asked("view", "owed", &retry), &refused);
    let message = refused["error"]["message"].as_str().unwrap_or_default();
    progress::told(format_args!("Vera tries it again: {message}"));

    world.shop.erp.refuse_nothing().await?;
    visitor.sign_in("act").await?;
    let retried = visitor.ask("owed", &retry).await?;
    let question = asked("act", "owed", &retry);
    conversation.expect(retried["retried"] == 1, &question, &retried);
    conversation.note(question, retried);
    let start = Instant::now();
    let turned = loop {
        let found = visitor.ask("explain", &search).await?;
        let is_bound = found["mapping"]["state"] == "bound" && found["owed"] == json!([]);
        if is_bound || start.elapsed() > PATIENCE {
            break (is_bound, found);
        }
        sleep(INTERVAL).await;
    };
    let (is_bound, found) = turned;
    let question = asked("act", "explain", &search);
    conversation.expect(is_bound, &question, &found);
    let summary = found["summary"].as_str().unwrap_or_default();
    progress::told(format_args!(
        "the ERP's rule is removed, and Axel tries it again: {summary}"
    ));
    conversation.note(question, found);

    // The record names the person that did it, and the one that was not allowed to.
    let about = json!({ "subject": entity });
    let activity = visitor.ask("activity", &about).await?;
    let states: Vec<_> = activity["entries"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| (entry["by"]["user"].as_str(), entry["state"].as_str()))
        .collect();
    let is_so = states
        == [
            (Some("sandbox-act"), Some("done")),
            (Some("sandbox-view"), Some("refused")),
        ];
    let question = asked("act", "activity", &about);
    conversation.expect(is_so, &question, &activity);
    conversation.note(question, activity);
    Ok(id)
}

/// A browser, as far as the console's server sees one.
struct Visitor {
    http: Client,
    console: Url,
    cookies: BTreeMap<String, String>,
}

impl Visitor {
    fn new(deployment: &Deployment) -> Result<Self, SandboxError> {
        let url = deployment.output("ConsoleUrl")?;
        let console: Url = url
            .parse()
            .map_err(|_| SandboxError::Day(format!("{url} is no address of a console")))?;
        // Browsers take every name below `localhost` for this machine; a resolver need not.
        let port = console.port_or_known_default().unwrap_or_default();
        let host = console.host_str().unwrap_or_default();
        let http = loopback_client()
            .map_err(SandboxError::Day)?
            .redirect(Policy::none())
            .resolve(host, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
            .build()
            .map_err(|error| unreachable(&error))?;
        Ok(Self {
            http,
            console,
            cookies: BTreeMap::new(),
        })
    }

    /// Signs in as the person with a role.
    async fn sign_in(&mut self, role: &str) -> Result<(), SandboxError> {
        self.cookies.clear();
        let begun = self.get(self.console.clone()).await?;
        let mut provider = location(&begun)?;
        provider.query_pairs_mut().append_pair("login_hint", role);
        let chosen = self.get(provider).await?;
        let completed = self.get(location(&chosen)?).await?;
        match completed.status().as_u16() {
            200 => Ok(()),
            status => Err(SandboxError::Day(format!(
                "the console answered the sign-in of {role} with {status}"
            ))),
        }
    }

    async fn get(&mut self, url: Url) -> Result<Response, SandboxError> {
        let request = self.http.get(url).header(COOKIE, self.cookies());
        let answer = request.send().await.map_err(|error| unreachable(&error))?;
        for cookie in answer.headers().get_all(SET_COOKIE) {
            let pair = cookie.to_str().unwrap_or_default().split(';').next();
            if let Some((name, value)) = pair.and_then(|pair| pair.split_once('=')) {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        Ok(answer)
    }

    /// Asks what the page asks. A refusal is an answer with an `error`.
    async fn ask(&self, action: &str, body: &Value) -> Result<Value, SandboxError> {
        let mut url = self.console.clone();
        url.set_path(&format!("/console/api/{action}"));
        let answer = self
            .http
            .post(url)
            .header(COOKIE, self.cookies())
            .header(ORIGIN, self.console.origin().ascii_serialization())
            .header("sec-fetch-site", "same-origin")
            .header(console::PAGE_HEADER, "1")
            .header("content-type", "application/json")
            .body(body.to_string())
            .send();
        let text = async { answer.await?.text().await };
        let text = text.await.map_err(|error| unreachable(&error))?;
        serde_json::from_str(&text).map_err(|_| {
            SandboxError::Day(format!(
                "the console was asked {action} and answered {text}"
            ))
        })
    }

    fn cookies(&self) -> String {
        let pairs = self.cookies.iter();
        let pairs = pairs.map(|(name, value)| format!("{name}={value}"));
        pairs.collect::<Vec<_>>().join("; ")
    }
}

fn unreachable(error: &reqwest::Error) -> SandboxError {
    SandboxError::Day(format!("the console cannot be reached: {error}"))
}

fn location(answer: &Response) -> Result<Url, SandboxError> {
    let location = answer.headers().get(LOCATION);
    let url = location.and_then(|location| location.to_str().ok()?.parse().ok());
    url.ok_or_else(|| {
        SandboxError::Day(format!(
            "{} answered {} and leads nowhere",
            answer.url().path(),
            answer.status()
        ))
    })
}
