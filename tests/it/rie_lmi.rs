//! Functions under AWS's own emulator in its Managed Instances mode: several events at once, error
//! trailers that are heard, answers that come too late, a shutdown with a signal.
//!
//! `ZEROSTRAP_RIE` is the path to its binary; otherwise it is looked for where `make test` puts it.
//! In this mode it takes a bootstrap from /var/task only and runs it as another user. So it is given
//! a /var of its own, in a mount namespace, for which a test must be root.

use crate::emulator::http::{self, Reply};
use crate::emulator::process::{self, Bootstrap, Log};
use crate::harness::folder::Folder;
use crate::harness::json::{self, Value};
use crate::harness::lambda::BOOTSTRAP;
use crate::harness::wait::PATIENCE;
use std::collections::BTreeSet;
use std::env;
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const INVOKE: &str = "/2015-03-31/functions/function/invocations";

/// `PRIVATE_VAR TASK BOOTSTRAP COMMAND...`: runs the command where /var holds nothing but the task.
const PRIVATE_VAR: &str = "mount -t tmpfs none /mnt && mkdir /mnt/task && \
    cp -a \"$1\"/. /mnt/task && cp \"$2\" /mnt/task/bootstrap && chmod -R a+rwX /mnt/task && \
    mount --move /mnt /var && cd /var/task && shift 2 && exec \"$@\"";

/// A function behind AWS's emulator; ends when this is dropped.
struct Rie {
    process: Bootstrap,
    address: SocketAddr,
}

impl Rie {
    fn start(rie: &Path, folder: &Folder, slots: usize, environment: &[(&str, &str)]) -> Rie {
        let address = free_address();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", PRIVATE_VAR, "sh"])
            .arg(folder.path());
        command.arg(BOOTSTRAP).arg(rie);
        command
            .arg("--runtime-interface-emulator-address")
            .arg(address.to_string());
        command
            .arg("--runtime-api-address")
            .arg(free_address().to_string());
        command.args(["/var/task/bootstrap", "function.handler"]);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default());
        command.env("AWS_LAMBDA_MAX_CONCURRENCY", slots.to_string());
        command
            .env("_HANDLER", "function.handler")
            .envs(environment.iter().copied());
        let process = Bootstrap::start(command, process::new_tag(), Log::Kept, || ()).unwrap();
        Rie { process, address }
    }

    /// Invokes the function; again as long as the emulator does not listen, or no slot is idle yet.
    fn invoke(&self, event: &str) -> Reply {
        self.invoke_with(&[], event)
    }

    fn invoke_with(&self, headers: &[(&str, &str)], event: &str) -> Reply {
        let until = Instant::now() + PATIENCE;
        loop {
            let reply = http::post(self.address, INVOKE, headers, event.as_bytes(), PATIENCE);
            let is_early = |reply: &Reply| {
                reply.status == 400 && text(&reply.body).contains("Runtime.Unavailable")
            };
            match reply {
                Ok(reply) if !is_early(&reply) => return reply,
                _ => assert!(
                    Instant::now() < until,
                    "no reply; log:\n{}",
                    self.process.log()
                ),
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The type that the emulator heard, and the document of a failure.
    fn failure(&self, event: &str) -> (String, Value) {
        let reply = self.invoke(event);
        let error_type = http::text(&reply.headers, "Error-Type")
            .unwrap_or_default()
            .to_owned();
        let document = json::parse(&reply.body);
        let document = document.unwrap_or_else(|| panic!("not JSON: {}", text(&reply.body)));
        (error_type, document)
    }

    fn wait_log(&self, part: &str) {
        let found = self.process.wait_log(part, 1, PATIENCE);
        assert!(
            found,
            "not in the log: {part}; log:\n{}",
            self.process.log()
        );
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The emulator's binary. Where it is not there or cannot be run, says so, and the test has nothing
/// to do.
fn find(test: &str) -> Option<PathBuf> {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/rie/aws-lambda-rie");
    let path = env::var_os("ZEROSTRAP_RIE").map_or(built, PathBuf::from);
    let mut namespace = Command::new("unshare");
    namespace
        .args(["--mount", "mount", "-t", "tmpfs", "none", "/mnt"])
        .stderr(Stdio::null());
    let why = if !path.is_file() {
        "AWS's emulator is not there; run make test, or set ZEROSTRAP_RIE"
    } else if !namespace.status().is_ok_and(|status| status.success()) {
        "no mount namespace can be made; run as root"
    } else if ["/var", "/mnt"]
        .iter()
        .any(|hidden| env::temp_dir().starts_with(hidden))
    {
        "temporary files are below /var or /mnt; set TMPDIR"
    } else {
        return Some(path);
    };
    // To the descriptor itself: what a passing test prints is kept back.
    writeln!(io::stderr(), "skipped: {test}: {why}").expect("standard error can be written to");
    None
}

#[test]
fn events_run_at_the_same_time_in_processes_of_their_own_with_logs_told_apart() {
    let test = "events_run_at_the_same_time_in_processes_of_their_own_with_logs_told_apart";
    let Some(rie) = find(test) else { return };
    // None is answered before all four are there.
    let folder = Folder::with_script(
        "handler() {
            echo \"log of $1\" >&2
            echo 1 >>started
            until [ \"$(wc -l <started)\" -ge 4 ]; do sleep 0.02; done
            echo \"$1 $PPID $LAMBDA_RUNTIME_AWS_REQUEST_ID\"
        }",
    );
    let rie = Rie::start(&rie, &folder, 4, &[]);
    let replies = thread::scope(|scope| {
        let callers = ["0", "1", "2", "3"].map(|event| scope.spawn(|| rie.invoke(event)));
        callers.map(|caller| text(&caller.join().unwrap().body))
    });
    let mut slots = BTreeSet::new();
    for (number, reply) in replies.iter().enumerate() {
        let words: Vec<&str> = reply.split_whitespace().collect();
        let [event, slot, id] = words[..] else {
            panic!("{reply}")
        };
        assert_eq!(event, number.to_string());
        slots.insert(slot);
        let message = format!("\"requestId\":\"{id}\",\"message\":\"log of {event}\"}}\n");
        rie.wait_log(&message);
    }
    assert_eq!(slots.len(), 4, "{replies:?}");
}

#[test]
fn failure_of_one_event_leaves_the_others_alone() {
    let Some(rie) = find("failure_of_one_event_leaves_the_others_alone") else {
        return;
    };
    let folder = Folder::with_script(
        "handler() {
            case $1 in
                exit) exit 3 ;;
                kill) kill -9 $$; sleep 600 ;;
                *) echo ok ;;
            esac
        }",
    );
    let rie = Rie::start(&rie, &folder, 4, &[]);
    for _ in 0..4 {
        for (event, error_type) in [
            ("exit", "Function.ExitNonZero"),
            ("kill", "Function.KilledBySignal"),
        ] {
            let (heard, document) = rie.failure(event);
            assert_eq!(
                (heard.as_str(), document.text("errorType")),
                (error_type, error_type)
            );
            assert_eq!(text(&rie.invoke("1").body), "ok");
        }
    }
}

#[test]
fn stream_is_taken_and_an_error_in_its_trailers_is_heard() {
    let Some(rie) = find("stream_is_taken_and_an_error_in_its_trailers_is_heard") else {
        return;
    };
    let folder = Folder::with_script(
        "handler() {
            case $1 in
                early) exit 3 ;;
                late) echo part; sleep 0.1; exit 4 ;;
                empty) ;;
                *) echo one; sleep 0.1; echo two ;;
            esac
        }",
    );
    let rie = Rie::start(
        &rie,
        &folder,
        2,
        &[("BOOTSTRAP_RESPONSE_MODE", "streaming")],
    );
    let reply = rie.invoke("1");
    assert_eq!(
        (reply.status, text(&reply.body).as_str()),
        (200, "one\ntwo\n")
    );
    let mode = http::text(&reply.headers, "Lambda-Runtime-Function-Response-Mode");
    assert_eq!(mode, Some("streaming"));
    for (event, message) in [("early", "status 3"), ("late", "status 4")] {
        let (heard, document) = rie.failure(event);
        assert_eq!(heard, "Function.ExitNonZero");
        assert_eq!(document.text("errorType"), "Function.ExitNonZero");
        assert!(
            document.text("errorMessage").contains(message),
            "{document:?}"
        );
    }
    rie.wait_log("Runtime sent error trailers after response body");
    let reply = rie.invoke("empty");
    assert_eq!((reply.status, text(&reply.body).as_str()), (200, ""));
    assert_eq!(text(&rie.invoke("1").body), "one\ntwo\n");
}

#[test]
fn answer_that_comes_too_late_costs_nothing() {
    let Some(rie) = find("answer_that_comes_too_late_costs_nothing") else {
        return;
    };
    let folder = Folder::with_script("handler() { if [ $1 = late ]; then sleep 2; fi; echo ok; }");
    // The emulator's deadline header says another day in this mode, so that nobody is stopped.
    let rie = Rie::start(&rie, &folder, 1, &[("AWS_LAMBDA_FUNCTION_TIMEOUT", "1")]);
    assert_eq!(text(&rie.invoke("1").body), "ok");
    let (heard, _) = rie.failure("late");
    assert_eq!(heard, "Sandbox.Timedout");
    rie.wait_log("status 410, the event timed out before its answer came; going on");
    // The one slot that there is.
    assert_eq!(text(&rie.invoke("1").body), "ok");
}

#[test]
fn client_context_is_a_variable_and_headers_sent_empty_are_none() {
    let test = "client_context_is_a_variable_and_headers_sent_empty_are_none";
    let Some(rie) = find(test) else { return };
    let folder = Folder::with_script(
        "handler() {
            printf '[%s]' \"${LAMBDA_RUNTIME_CLIENT_CONTEXT--}\" \\
                \"${LAMBDA_RUNTIME_COGNITO_IDENTITY--}\" \"${_X_AMZN_TRACE_ID--}\"
        }",
    );
    let rie = Rie::start(&rie, &folder, 2, &[("_X_AMZN_TRACE_ID", "stale")]);
    assert_eq!(text(&rie.invoke("1").body), "[-][-][-]");
    let reply = rie.invoke_with(&[("X-Amz-Client-Context", "eyJhIjoxfQ==")], "1");
    assert_eq!(text(&reply.body), "[{\"a\":1}][-][-]");
    assert_eq!(text(&rie.invoke("1").body), "[-][-][-]");
}

#[test]
fn trap_of_a_script_runs_when_the_emulator_shuts_down() {
    let Some(rie) = find("trap_of_a_script_runs_when_the_emulator_shuts_down") else {
        return;
    };
    let folder = Folder::with_script("trap 'echo 1 >>\"$CLEANED\"; exit 0' TERM; handler() { :; }");
    let cleaned = folder.file("cleaned", "");
    fs::set_permissions(&cleaned, Permissions::from_mode(0o666)).unwrap();
    let path = cleaned.display().to_string();
    let environment = [
        ("BOOTSTRAP_GRACEFUL_SHUTDOWN", "1"),
        ("CLEANED", path.as_str()),
    ];
    let rie = Rie::start(&rie, &folder, 2, &environment);
    assert_eq!(rie.invoke("1").status, 200);
    rie.wait_log("Internal agent registered");
    process::signal("TERM", &[rie.process.pid]);
    assert!(
        rie.process.wait_exit(PATIENCE).is_some(),
        "{}",
        rie.process.log()
    );
    // Of both slots.
    assert_eq!(
        fs::read_to_string(cleaned).unwrap(),
        "1\n1\n",
        "{}",
        rie.process.log()
    );
}
