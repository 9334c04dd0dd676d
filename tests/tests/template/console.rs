//! The console: absent unless asked for, and with no more rights and no wider access than it needs.

use serde_json::{Value, json};
use tests::template::Rendered;

use super::{REQUIRED, number, render, with};

const OIDC: &[(&str, &str)] = &[
    ("Console", "oidc"),
    ("ConsoleIssuer", "https://login.example.com"),
    (
        "ConsoleSecretArn",
        "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:console-AbCdEf",
    ),
];
const COGNITO: &[(&str, &str)] = &[("Console", "cognito")];

fn is_of_console(name: &str) -> bool {
    name.starts_with("Console")
}

fn resources(rendered: &Rendered) -> Vec<&str> {
    rendered.resources.keys().map(String::as_str).collect()
}

#[test]
fn without_a_console_nothing_of_it_is_made() {
    let without = render(REQUIRED);
    assert!(!resources(&without).into_iter().any(is_of_console));
    assert!(!without.outputs.keys().any(|name| is_of_console(name)));
    for options in [OIDC, COGNITO] {
        let mut with = render(&with(REQUIRED, options));
        assert!(resources(&with).into_iter().any(is_of_console));
        with.resources.retain(|name, _| !is_of_console(name));
        assert_eq!(resources(&with), resources(&without));
        for (name, resource) in &without.resources {
            // It shows the console's alarms as well.
            if name != "Dashboard" {
                assert_eq!(with.resources[name], *resource, "{name}");
            }
        }
    }
}

#[test]
fn a_user_pool_is_made_for_cognito_only() {
    let pools = |options: &[(&str, &str)]| {
        let rendered = render(&with(REQUIRED, options));
        let made = resources(&rendered);
        let made = made.into_iter().filter(|name| {
            let kind = rendered.resources[*name]["Type"].as_str().unwrap();
            kind.starts_with("AWS::Cognito::") || *name == "ConsoleClient"
        });
        made.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(pools(OIDC), Vec::<String>::new());
    assert_eq!(
        pools(COGNITO),
        [
            "ConsoleActGroup",
            "ConsoleAdminGroup",
            "ConsoleClient",
            "ConsoleUserPool",
            "ConsoleUserPoolClient",
            "ConsoleUserPoolDomain",
            "ConsoleViewGroup",
        ]
    );
}

/// A user pool in which nobody registers, with a second factor, a client of the code flow alone, and a group for each role.
#[test]
fn the_user_pool_lets_in_nobody_who_was_not_added() {
    let rendered = render(&with(REQUIRED, COGNITO));
    let of = |name: &str| &rendered.resources[name]["Properties"];
    let pool = of("ConsoleUserPool");
    assert_eq!(
        pool["AdminCreateUserConfig"]["AllowAdminCreateUserOnly"],
        true
    );
    assert_eq!(pool["MfaConfiguration"], "ON");
    let client = of("ConsoleUserPoolClient");
    assert_eq!(client["AllowedOAuthFlows"], json!(["code"]));
    assert_eq!(client["GenerateSecret"], true);
    let callback = &rendered.outputs["ConsoleCallbackUrl"];
    assert_eq!(client["CallbackURLs"], json!([callback]));
    let url = rendered.outputs["ConsoleUrl"].as_str().unwrap();
    assert!(
        callback.as_str().unwrap()
            == format!(
                "{}{}",
                url.trim_end_matches("/console"),
                console::CALLBACK_PATH
            )
    );
    let environment = rendered.environment("ConsoleFunction");
    let roles: console::RoleMap = environment["CONSOLE_ROLES"].parse().unwrap();
    let groups: Vec<&Value> = rendered
        .of_type("AWS::Cognito::UserPoolGroup")
        .map(|(_, group)| &group["Properties"]["GroupName"])
        .collect();
    assert_eq!(groups.len(), 3);
    for group in groups {
        let role = roles.role_of(Some(&json!([group])));
        assert_eq!(json!(role), *group);
    }
}

/// It writes its log, reads its two secrets and invokes `operator`.
#[test]
fn the_console_may_do_nothing_but_ask_the_operator() {
    for options in [OIDC, COGNITO] {
        let rendered = render(&with(REQUIRED, options));
        let role = &rendered.resources["ConsoleRole"]["Properties"];
        let statements = role["Policies"][0]["PolicyDocument"]["Statement"].as_array();
        let actions: Vec<&Value> = statements
            .unwrap()
            .iter()
            .map(|statement| &statement["Action"])
            .collect();
        assert_eq!(
            json!(actions),
            json!([
                ["logs:CreateLogStream", "logs:PutLogEvents"],
                "secretsmanager:GetSecretValue",
                "lambda:InvokeFunction",
            ])
        );
        assert_eq!(role["Policies"].as_array().unwrap().len(), 1);
        let operator = &rendered.resources["Operator"]["Properties"]["FunctionName"];
        let invoked = statements.unwrap()[2]["Resource"].as_str().unwrap();
        assert!(invoked.ends_with(&format!(":function:{}", operator.as_str().unwrap())));
        assert_eq!(
            rendered.environment("ConsoleFunction")["OPERATOR_FUNCTION"],
            *operator.as_str().unwrap()
        );
    }
}

/// Every route of its API leads to the console, every address of the console has a route, and what API Gateway lets through
/// is bounded.
#[test]
fn the_console_has_a_door_of_its_own() {
    let rendered = render(&with(REQUIRED, COGNITO));
    let of = |name: &str| &rendered.resources[name]["Properties"];
    let api = &of("ConsoleStage")["ApiId"];
    assert_ne!(*api, of("ApiStage")["ApiId"]);
    assert!(of("ConsoleApi")["CorsConfiguration"].is_null());
    let routes: Vec<&Value> = rendered
        .of_type("AWS::ApiGatewayV2::Route")
        .filter(|(_, route)| route["Properties"]["ApiId"] == *api)
        .map(|(_, route)| &route["Properties"]["RouteKey"])
        .collect();
    let expected = [
        "POST /console/{proxy+}",
        "GET /console/{proxy+}",
        "GET /console",
    ];
    assert_eq!(json!(routes), json!(expected));
    let limits = &of("ConsoleStage")["DefaultRouteSettings"];
    assert!(number(&limits["ThrottlingRateLimit"]) <= 20);
    assert!(number(&limits["ThrottlingBurstLimit"]) <= 100);
    let reserved = &of("ConsoleFunction")["ReservedConcurrentExecutions"];
    assert_eq!(number(reserved), 5);
    let none = render(&with(
        &with(REQUIRED, COGNITO),
        &[("ConsoleConcurrency", "0")],
    ));
    let function = &none.resources["ConsoleFunction"]["Properties"];
    assert!(function["ReservedConcurrentExecutions"].is_null());
    let longest = number(&of("ConsoleFunction")["Timeout"]);
    assert!(console::LONGEST_WAIT.as_secs() < longest);
}
