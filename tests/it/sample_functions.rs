//! The functions in `examples` do what they say, on the events in `examples/events`.

use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::{Lambda, Setup};
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn event(name: &str) -> Vec<u8> {
    fs::read(examples().join("events").join(name)).unwrap()
}

#[test]
fn events_are_json() {
    let entries = fs::read_dir(examples().join("events")).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        assert!(
            json::parse(&event(name.to_str().unwrap())).is_some(),
            "{name:?}"
        );
    }
}

#[test]
fn hello_answers_with_json_that_has_the_event() {
    let lambda = Setup::new(&examples().join("hello"), "function.handler").start();
    let answer = json::parse(&lambda.call(event("scheduled.json")).body).unwrap();
    assert_eq!(answer.text("message"), "Hello from function");
    assert_eq!(answer.get("event").unwrap().text("source"), "aws.events");
}

/// The S3 report with jq, if this machine has it, and with the search path in a folder without it.
fn s3_reports() -> (Folder, [Lambda; 2]) {
    let without_jq = Folder::new();
    for tool in ["bash", "tr", "sed"] {
        let path = Path::new("/usr/bin").join(tool);
        let path = if path.exists() {
            path
        } else {
            Path::new("/bin").join(tool)
        };
        symlink(path, without_jq.path().join(tool)).unwrap();
    }
    let setup = || Setup::new(&examples().join("s3-report"), "function.handler");
    let path = without_jq.path().to_str().unwrap().to_owned();
    let with = setup().start();
    let without = setup().env("PATH", path).start();
    (without_jq, [with, without])
}

#[test]
fn s3_report_counts_objects_with_and_without_jq() {
    let (_path, reports) = s3_reports();
    for lambda in reports {
        let pretty = lambda.call(event("s3.json")).text();
        let report = "{\"objects\":2,\"bytes\":73401344,\
                      \"largest\":\"statements-example/2026/01/archive.zip\"}";
        assert_eq!(pretty, report);
        // As S3 sends it: on one line.
        let compact = String::from_utf8(event("s3.json"))
            .unwrap()
            .replace('\n', "");
        assert_eq!(lambda.call(compact).text(), report);
        lambda.wait_log("statements-example/2026/01/statement+one.csv: 1024 bytes\n");
    }
}

#[test]
fn s3_report_counts_a_deleted_object_which_has_no_size() {
    let event = r#"{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k"}}}]}"#;
    let (_path, reports) = s3_reports();
    for lambda in reports {
        let report = lambda.call(event).text();
        assert_eq!(report, "{\"objects\":1,\"bytes\":0,\"largest\":\"b/k\"}");
    }
}

#[test]
fn s3_report_fails_with_its_own_document_on_another_event() {
    let (_path, reports) = s3_reports();
    for lambda in reports {
        for name in [
            "sqs.json",
            "api-gateway-v2.json",
            "eventbridge.json",
            "scheduled.json",
        ] {
            let answer = lambda.call(event(name));
            assert!(answer.is_error(), "{name}");
            assert_eq!(answer.error_type(), "Function.WrongEvent");
            let document = json::parse(&answer.body).unwrap();
            assert_eq!(document.names(), ["errorType", "errorMessage"]);
        }
    }
}

/// An example with the settings that it wants, or `None`, said in a line, if a tool is missing.
fn example(name: &str, tools: &[&str]) -> Option<Setup> {
    for tool in tools {
        let found = Command::new(tool).arg("--version").output();
        if found.is_err() {
            let line = format!(
                "skipped: examples/{name}: there is no {tool}; run: apt-get install {tool}"
            );
            writeln!(io::stderr(), "{line}").expect("standard error can be written to");
            return None;
        }
    }
    let mut setup = Setup::new(&examples().join(name), "function.handler");
    let settings = fs::read_to_string(examples().join("settings").join(name));
    for line in settings.unwrap_or_default().lines() {
        let (variable, value) = line.split_once('=').unwrap();
        setup = setup.env(variable, value);
    }
    Some(setup)
}

#[test]
fn sqs_orders_names_the_messages_that_failed() {
    let Some(setup) = example("sqs-orders", &["jq"]) else {
        return;
    };
    let lambda = setup.start();
    let failed = "2e1424d4-f796-459a-8184-9c92662be6da";
    assert_eq!(
        lambda.call(event("sqs-batch.json")).text(),
        format!("{{\"batchItemFailures\":[{{\"itemIdentifier\":\"{failed}\"}}]}}")
    );
    lambda.wait_log("order 4711 over 19.90\n");
    lambda.wait_log(&format!("message {failed} failed\n"));
    let all_well = lambda.call(event("sqs.json")).text();
    assert_eq!(all_well, "{\"batchItemFailures\":[]}");
    // A batch that cannot be read must not be taken for done.
    let unreadable = lambda.call("{\"Records\":[{}]");
    assert!(unreadable.is_error());
}

#[test]
fn web_page_is_html_after_its_prelude() {
    let setup = example("web-page", &[]).unwrap().env("PAUSE", "0");
    let page = setup.start().call("{}").text();
    let (prelude, body) = page.split_once("\0\0\0\0\0\0\0\0").unwrap();
    let prelude = json::parse(prelude.as_bytes()).unwrap();
    let headers = prelude.get("headers").unwrap();
    assert_eq!(headers.text("Content-Type"), "text/html; charset=utf-8");
    assert!(body.starts_with("<!doctype html>\n"), "{body}");
    assert_eq!(body.matches("<li>").count(), 3);
}

/// A site that answers one request with this status. Returns its address.
fn site(status: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4_096]).unwrap();
        let reply = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        stream.write_all(reply.as_bytes()).unwrap();
    });
    address
}

#[test]
fn site_check_fails_for_a_site_that_does_not_answer_with_200() {
    let check = |site: &str| {
        let setup = example("site-check", &["curl"])?.env("SITE", site);
        Some(
            setup
                .env("no_proxy", "*")
                .start()
                .call(event("scheduled.json")),
        )
    };
    let Some(well) = check(&site("200 OK")) else {
        return;
    };
    let answer = json::parse(&well.body).unwrap();
    assert_eq!(answer.names(), ["status", "seconds"]);
    let broken = check(&site("503 Service Unavailable")).unwrap();
    assert_eq!(broken.error_type(), "Function.SiteBroken");
    let unreachable = check("http://127.0.0.1:1/").unwrap();
    assert_eq!(unreachable.error_type(), "Function.SiteUnreachable");
}

#[test]
fn site_check_without_its_setting_is_an_init_error() {
    let setup = example("site-check", &["curl"]).map(|setup| setup.without_env("SITE"));
    let Some(setup) = setup else { return };
    let lambda = setup.start();
    lambda.wait_exit();
    lambda.wait_log("Runtime.HandlerInitFailed");
    lambda.wait_log("set SITE to the address that is checked");
}

#[test]
fn api_digest_returns_the_body_with_its_digest() {
    let Some(setup) = example("api-digest", &["jq"]) else {
        return;
    };
    let lambda = setup.start();
    let binary = event("api-gateway-base64.json");
    let answer = json::parse(&lambda.call(&binary).body).unwrap();
    // Of the bytes `a`, NUL, `b` and 255, 50 times, by sha256sum.
    let digest = "31e4fd219c94a8a2aa022264abc1f32cb7c67bbe4c50496f0f9d948d1c5b7b24";
    assert_eq!(
        answer.get("headers").unwrap().text("X-Content-SHA256"),
        digest
    );
    let body = json::parse(&binary).unwrap().text("body").to_owned();
    assert_eq!(answer.text("body"), body);
    let text = json::parse(&lambda.call(event("api-gateway-v2.json")).body).unwrap();
    let digest = "24304e3febb014e68a1d3aad6c6416938d61fbff75fb43036617f687ac520a10";
    assert_eq!(
        text.get("headers").unwrap().text("X-Content-SHA256"),
        digest
    );
    let get = r#"{"requestContext":{"http":{"method":"GET"}}}"#;
    assert!(lambda.call(get).text().starts_with("{\"statusCode\":405,"));
}

/// The aws CLI as far as the example needs it: keeps objects as files below this folder.
const AWS: &str = r#"#!/bin/sh
set -eu
[ "$1 $2 $3" = "s3 cp --only-show-errors" ]
file() { printf '%s/%s' "$STORE" "$(printf '%s' "$1" | tr '/: ' '...')"; }
case $4 in
-) cat >"$(file "$5")" ;;
*) cat "$(file "$4")" ;;
esac
"#;

#[test]
fn s3_checksum_writes_a_digest_beside_each_object() {
    let Some(setup) = example("s3-checksum", &["jq", "sha256sum"]) else {
        return;
    };
    let folder = Folder::new();
    folder.executable("aws", AWS);
    let store = folder.path().to_str().unwrap().to_owned();
    let search = format!("{store}:{}", std::env::var("PATH").unwrap());
    let lambda = setup.env("PATH", search).env("STORE", store).start();
    let names = [
        "s3...statements-example.2026.01.statement.one.csv",
        "s3...statements-example.2026.01.archive.zip",
    ];
    folder.file(names[0], "abc");
    // One of the two is missing: the event fails, and comes again.
    assert!(lambda.call(event("s3.json")).is_error());
    folder.file(names[1], "");
    assert_eq!(lambda.call(event("s3.json")).text(), "{\"objects\":2}");
    let digest = |name: &str| folder.read(&format!("{name}.sha256"));
    // By sha256sum.
    let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    assert_eq!(digest(names[0]), format!("{abc}  statement one.csv\n"));
    assert_eq!(digest(names[1]), format!("{empty}  archive.zip\n"));
    // What the function wrote is an event, too.
    let own = r#"{"Records":[{"s3":{"bucket":{"name":"b"},"object":{"key":"k.sha256"}}}]}"#;
    assert_eq!(lambda.call(own).text(), "{\"objects\":0}");
}

#[test]
fn compiled_example_counts_what_the_event_has() {
    let folder = Folder::new();
    let source = examples().join("compiled/app.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o"]);
    let built = compiler.arg(folder.path().join("app")).arg(source).status();
    if built.is_err() {
        let line = "skipped: examples/compiled: there is no cc; run: apt-get install gcc libc6-dev";
        writeln!(io::stderr(), "{line}").expect("standard error can be written to");
        return;
    }
    assert!(built.unwrap().success());
    let lambda = Setup::app(&folder).start();
    let answer = lambda.call("{\"abc\":123}");
    assert_eq!(answer.text(), "{\"bytes\":11,\"digits\":3,\"letters\":3}\n");
}
