//! The emulator's own command line: what `make invoke` and `make serve` promise.

use crate::emulator::http::{self, Reply};
use crate::emulator::process::{self, Bootstrap, Log};
use crate::harness;
use crate::harness::folder::Folder;
use crate::harness::lambda::BOOTSTRAP;
use crate::harness::wait::{PATIENCE, wait_until};
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

const INVOKE: &str = "/2015-03-31/functions/function/invocations";

/// Cargo builds it with the tests, beside the bootstrap.
fn emulator() -> PathBuf {
    let path = Path::new(BOOTSTRAP).with_file_name("examples/emulator");
    assert!(
        path.is_file(),
        "{} is missing: cargo build --example emulator",
        path.display()
    );
    path
}

fn command(folder: &Folder, words: &[&str]) -> Command {
    let mut command = Command::new(emulator());
    command
        .arg(words[0])
        .args(["--bootstrap", BOOTSTRAP, "--handler", "function.handler"]);
    command
        .arg("--task")
        .arg(folder.path())
        .args(&words[1..])
        .stdin(Stdio::null());
    command
}

fn invoke(script: &str, words: &[&str]) -> Output {
    let folder = Folder::with_script(script);
    let words = [&["invoke"], words].concat();
    command(&folder, &words).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn invoke_prints_the_response_alone_on_standard_output_and_all_else_on_standard_error() {
    let script = "echo at-init; handler() { echo log >&2; printf '%s' \"$1\"; }";
    let output = invoke(script, &["--event", "{\"a\":1}"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "{\"a\":1}")
    );
    let log = text(&output.stderr);
    let starts = [
        "START RequestId: ",
        "log",
        "END RequestId: ",
        "REPORT RequestId: ",
    ];
    let mut lines = log.lines().filter(|line| *line != "at-init");
    for start in starts {
        let line = lines.next().unwrap_or_default();
        assert!(line.starts_with(start), "{start}: {log}");
    }
    assert_eq!(lines.next(), None, "{log}");
    for figure in [
        "\tDuration: ",
        "\tBilled Duration: ",
        "\tMemory Size: 128 MB",
        "\tMax Memory Used: ",
        "\tInit Duration: ",
    ] {
        assert!(log.contains(figure), "{figure}: {log}");
    }
}

#[test]
fn invoke_takes_the_event_from_a_file() {
    let folder = Folder::with_script("handler() { cat; echo; }");
    let event: Vec<u8> = (0..=255).chain([1]).collect();
    let file = folder.file("event", &event);
    let argument = format!("@{}", file.display());
    let mut command_line = command(&folder, &["invoke", "--event", &argument]);
    // No argument can hold all of these bytes.
    command_line.env("BOOTSTRAP_EVENT_VIA", "stdin");
    assert_eq!(command_line.output().unwrap().stdout, event);
    let output = command(&folder, &["invoke", "--event", "@/no/such/file"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("/no/such/file"));
}

#[test]
fn invoke_tells_a_function_error_by_its_status_and_the_document() {
    for (script, error_type) in [
        ("handler() { exit 3; }", "Function.ExitNonZero"),
        ("exit 3", "Runtime.HandlerInitFailed"),
        (
            "handler() { kill -9 $PPID; sleep 600; }",
            "Runtime.ExitError",
        ),
        ("other() { :; }", "Runtime.NoSuchHandler"),
    ] {
        let output = invoke(script, &["--event", "1"]);
        let document = harness::json::parse(&output.stdout).unwrap();
        assert_eq!(
            document.text("errorType"),
            error_type,
            "{}",
            text(&output.stderr)
        );
        assert_eq!(output.status.code(), Some(1), "{error_type}");
    }
}

#[test]
fn invoke_ends_a_bootstrap_that_is_not_done_at_the_deadline() {
    let folder = Folder::with_script("handler() { sleep 600; }");
    let mut command = command(&folder, &["invoke", "--event", "1", "--timeout", "0.3"]);
    // The bootstrap's own watch is off: only the emulator's is left.
    let output = command
        .env("BOOTSTRAP_DEADLINE_MARGIN_MS", "0")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let document = text(&output.stdout);
    assert!(
        document.contains("Task timed out after 0.30 seconds"),
        "{document}"
    );
}

#[test]
fn wrong_use_is_told_with_status_2() {
    let folder = Folder::with_script("handler() { :; }");
    for words in [
        &["invoke"][..],
        &["invoke", "--event"],
        &["invoke", "--event", "1", "--port", "1"],
        &["invoke", "--event", "1", "--timeout", "0"],
        &["invoke", "--event", "1", "--timeout", "901"],
        &["serve", "--event", "1"],
        &["serve", "--port", "65536"],
        &["frobnicate"],
    ] {
        let output = command(&folder, words).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}");
        assert!(output.stdout.is_empty() && output.stderr.starts_with(b"emulator: "));
    }
}

/// A running `serve`.
struct Serving {
    process: Bootstrap,
    address: SocketAddr,
    /// A variable that all of its processes inherit. Their tag does not tell: `serve` gives another
    /// one to those that it starts.
    mark: String,
}

impl Serving {
    fn start(folder: &Folder, words: &[&str]) -> Serving {
        let words = [&["serve", "--port", "0"], words].concat();
        let mut command = command(folder, &words);
        let mark = process::new_tag();
        command.env("SERVING", &mark);
        let process = Bootstrap::start(command, process::new_tag(), Log::Kept, || ()).unwrap();
        assert!(
            process.wait_log("/invocations\n", 1, PATIENCE),
            "{}",
            process.log()
        );
        let log = process.log();
        let address = log
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split('/').next());
        Serving {
            address: address.unwrap().parse().unwrap(),
            process,
            mark,
        }
    }

    fn processes(&self) -> Vec<u32> {
        process::with_variable(&format!("SERVING={}", self.mark))
    }

    fn post(&self, event: &[u8]) -> Reply {
        http::post(self.address, INVOKE, &[], event, PATIENCE).unwrap()
    }

    /// The error document, when the reply says that it is one.
    fn failure(&self, event: &[u8]) -> String {
        let reply = self.post(event);
        assert_eq!(reply.status, 200);
        assert_eq!(
            http::text(&reply.headers, "X-Amz-Function-Error"),
            Some("Unhandled")
        );
        text(&reply.body)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        process::signal("TERM", &[self.process.pid]);
        if !thread::panicking() {
            wait_until("all of its processes are gone", || {
                self.processes().is_empty()
            });
        }
    }
}

#[test]
fn serve_answers_as_lambda_does() {
    let script = "handler() { printf '%s' \"$LAMBDA_RUNTIME_CLIENT_CONTEXT$1\"; }";
    let folder = Folder::with_script(script);
    let serving = Serving::start(&folder, &[]);
    for path in [
        INVOKE,
        "/2015-03-31/functions/other%20name/invocations?Qualifier=1",
    ] {
        // {"a":1} in base64.
        let context = ("X-Amz-Client-Context", "eyJhIjoxfQ==");
        let reply = http::post(serving.address, path, &[context], b"event", PATIENCE).unwrap();
        assert_eq!(
            (reply.status, text(&reply.body).as_str()),
            (200, "{\"a\":1}event")
        );
        assert_eq!(http::text(&reply.headers, "X-Amz-Function-Error"), None);
        let id = http::text(&reply.headers, "X-Amzn-Requestid").unwrap();
        assert!(
            serving
                .process
                .log()
                .contains(&format!("START RequestId: {id} "))
        );
    }
    for (path, status) in [("/", 404), ("/2015-03-31/functions/function", 404)] {
        let reply = http::post(serving.address, path, &[], b"1", PATIENCE).unwrap();
        assert_eq!(reply.status, status, "{path}");
    }
    let bad = [("X-Amz-Client-Context", "not base64")];
    assert_eq!(
        http::post(serving.address, INVOKE, &bad, b"1", PATIENCE)
            .unwrap()
            .status,
        400
    );
}

#[test]
fn serve_has_lambdas_limits() {
    let folder = Folder::with_script("handler() { printf '%s' \"$1\"; }");
    let serving = Serving::start(&folder, &[]);
    let largest = vec![b'x'; 6_291_556];
    assert!(serving.post(&largest).body == largest);
    assert_eq!(serving.post(&[&largest[..], b"x"].concat()).status, 413);
    assert_eq!(serving.post(b"").body, b"");
}

#[test]
fn serve_recovers_from_a_dead_and_from_an_overdue_bootstrap() {
    let script = "handler() {
        case $1 in
            die) kill -9 $PPID; sleep 600 ;;
            hang) sleep 600 ;;
            *) echo \"$1\" ;;
        esac
    }";
    let folder = Folder::with_script(script);
    let serving = Serving::start(&folder, &["--timeout", "2"]);
    for round in ["1", "2"] {
        assert!(serving.failure(b"die").contains("Runtime.ExitError"));
        assert_eq!(serving.post(round.as_bytes()).body, round.as_bytes());
        // By the bootstrap's own watch, before the emulator has to.
        assert!(serving.failure(b"hang").contains("Function.TimedOut"));
        assert_eq!(serving.post(round.as_bytes()).body, round.as_bytes());
    }
}

// An emulator that fails when it is called twice at once.
#[test]
fn serve_lets_concurrent_callers_wait_in_line() {
    // The folder can only be made by one at a time.
    let script = "handler() { mkdir running; sleep 0.02; rmdir running; echo \"$1\"; }";
    let folder = Folder::with_script(script);
    let serving = Serving::start(&folder, &[]);
    thread::scope(|scope| {
        for caller in 0..8 {
            let serving = &serving;
            scope.spawn(move || {
                let event = caller.to_string();
                assert_eq!(text(&serving.post(event.as_bytes()).body), event);
            });
        }
    });
}

#[test]
fn serve_runs_an_edited_function_without_being_started_again() {
    let folder = Folder::with_script("handler() { echo old; }");
    let serving = Serving::start(&folder, &[]);
    assert_eq!(serving.post(b"1").body, b"old");
    let file = folder.file("function.sh", "handler() { echo new; }");
    // Later than the old one on any file system.
    let later = std::time::SystemTime::now() + Duration::from_secs(2);
    fs::File::options()
        .write(true)
        .open(file)
        .unwrap()
        .set_modified(later)
        .unwrap();
    assert_eq!(serving.post(b"1").body, b"new");
}

#[test]
fn nothing_is_left_when_the_command_is_interrupted_or_killed() {
    let script = "handler() { setsid sleep 600 & sleep 600 & sleep 600; }";
    for signal in ["INT", "TERM", "KILL"] {
        let folder = Folder::with_script(script);
        let serving = Serving::start(&folder, &[]);
        let mut caller = TcpStream::connect(serving.address).unwrap();
        write!(
            caller,
            "POST {INVOKE} HTTP/1.1\r\nContent-Length: 1\r\n\r\n1"
        )
        .unwrap();
        // The command, its worker, the bootstrap, its guard, the shell, its subshell, and the three
        // sleeps.
        wait_until("the handler runs", || serving.processes().len() >= 9);
        process::signal(signal, &[serving.process.pid]);
        wait_until("all are gone", || serving.processes().is_empty());
    }
}
