//! What handlers and the log are told of an event's caller: tenant, Cognito identity, client
//! context.

use crate::emulator::event::Event;
use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::{Setup, shells};

const TENANT: &str = "Lambda-Runtime-Aws-Tenant-Id";
const IDENTITY: &str = "Lambda-Runtime-Cognito-Identity";
const CLIENT: &str = "Lambda-Runtime-Client-Context";

/// Prints the three values between brackets, `-` for one that is not set, and a log line.
const PRINT: &str = "printf '[%s]' \"${LAMBDA_RUNTIME_AWS_TENANT_ID--}\" \
    \"${LAMBDA_RUNTIME_COGNITO_IDENTITY--}\" \"${LAMBDA_RUNTIME_CLIENT_CONTEXT--}\"; echo line >&2";

fn each_kind() -> Vec<(Folder, Setup)> {
    let functions = shells().map(|shell| {
        let folder = Folder::with_script(&format!("{shell}handler() {{ {PRINT}\n}}"));
        let setup = Setup::function(&folder);
        (folder, setup)
    });
    let app = Folder::with_app(PRINT);
    let setup = Setup::app(&app);
    functions.into_iter().chain([(app, setup)]).collect()
}

#[test]
fn caller_is_in_the_environment_as_lambda_says_it() {
    let identity = r#"{"cognitoIdentityId":"us-east-1:1","cognitoIdentityPoolId":"us-east-1:2"}"#;
    let client =
        r#"{"client":{"app_title":"a 'b' \"c\" $(d) `e` \\ \u00e9 é"},"custom":{"k":"v"}}"#;
    for (_folder, setup) in each_kind() {
        let lambda = setup.start();
        let event = Event::new("1").header(TENANT, "tenant-7");
        let event = event.header(IDENTITY, identity).header(CLIENT, client);
        assert_eq!(
            lambda.invoke(event).text(),
            format!("[tenant-7][{identity}][{client}]")
        );
    }
}

#[test]
fn caller_of_one_event_is_not_there_for_the_next() {
    for (_folder, setup) in each_kind() {
        let lambda = setup.start();
        let all = |value: &str| {
            let event = Event::new("1").header(TENANT, value);
            event.header(IDENTITY, value).header(CLIENT, value)
        };
        assert_eq!(lambda.invoke(all("a")).text(), "[a][a][a]");
        assert_eq!(lambda.call("1").text(), "[-][-][-]");
        assert_eq!(lambda.invoke(all("b")).text(), "[b][b][b]");
        // Managed Instances sends headers that are empty.
        assert_eq!(lambda.invoke(all("")).text(), "[-][-][-]");
        let tenant = Event::new("1").header(TENANT, "only");
        assert_eq!(lambda.invoke(tenant).text(), "[only][-][-]");
    }
}

#[test]
fn tenant_is_a_member_of_each_log_object_of_its_event_alone() {
    for (_folder, setup) in each_kind() {
        let lambda = setup.env("AWS_LAMBDA_LOG_FORMAT", "JSON").start();
        for tenant in ["a", "", "tenant \"b\" \u{e9}"] {
            lambda.invoke(Event::new("1").header(TENANT, tenant));
        }
        lambda.wait_idle();
        let log = lambda.end();
        let tenants = log.lines().map(|line| {
            let object = json::parse(line.as_bytes()).expect("JSON");
            assert_eq!(object.text("message"), "line");
            object
                .get("tenantId")
                .map(|_| object.text("tenantId").to_owned())
        });
        let expected = [
            Some("a".to_owned()),
            None,
            Some("tenant \"b\" \u{e9}".to_owned()),
        ];
        assert_eq!(tenants.collect::<Vec<_>>(), expected);
    }
}
