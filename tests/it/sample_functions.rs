//! The functions in `examples` do what they say, on the events in `examples/events`.

use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::{Lambda, Setup};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

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

#[test]
fn compiled_example_counts_what_the_event_has() {
    let folder = Folder::new();
    let source = examples().join("compiled/app.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-static", "-Os", "-Wall", "-Wextra", "-Werror", "-o"]);
    let built = compiler.arg(folder.path().join("app")).arg(source).status();
    if built.is_err() {
        let line = "skipped: examples/compiled, there is no C compiler";
        writeln!(io::stderr(), "{line}").expect("standard error can be written to");
        return;
    }
    assert!(built.unwrap().success());
    let lambda = Setup::app(&folder).start();
    let answer = lambda.call("{\"abc\":123}");
    assert_eq!(answer.text(), "{\"bytes\":11,\"digits\":3,\"letters\":3}\n");
}
