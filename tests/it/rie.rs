//! Functions under AWS's own Runtime Interface Emulator: a judge that nobody here wrote.
//!
//! `ZEROSTRAP_RIE` is the path to its binary; otherwise it is looked for where `make test` puts it.

use crate::emulator::http::{self, Reply};
use crate::emulator::process::{self, Bootstrap, Log};
use crate::harness::folder::Folder;
use crate::harness::json;
use crate::harness::lambda::BOOTSTRAP;
use crate::harness::wait::PATIENCE;
use std::env;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

const INVOKE: &str = "/2015-03-31/functions/function/invocations";

/// A function behind AWS's emulator; ends when this is dropped.
struct Rie {
    process: Bootstrap,
    address: SocketAddr,
}

impl Rie {
    fn start(rie: &Path, folder: &Folder, handler: &str) -> Rie {
        let address = free_address();
        let mut command = Command::new(rie);
        command
            .arg("--runtime-interface-emulator-address")
            .arg(address.to_string());
        command
            .arg("--runtime-api-address")
            .arg(free_address().to_string());
        command.args([BOOTSTRAP, handler]);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default());
        command
            .env("LAMBDA_TASK_ROOT", folder.path())
            .current_dir(folder.path());
        let process = Bootstrap::start(command, process::new_tag(), Log::Kept, || ()).unwrap();
        let rie = Rie { process, address };
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(rie.address).is_err() {
            assert!(
                Instant::now() < until,
                "it does not listen; log:\n{}",
                rie.process.log()
            );
            thread::sleep(Duration::from_millis(10));
        }
        rie
    }

    fn invoke(&self, event: &[u8]) -> Reply {
        let reply = http::post(self.address, INVOKE, &[], event, PATIENCE);
        reply.unwrap_or_else(|error| panic!("{error}; log:\n{}", self.process.log()))
    }

    /// The type in the error document that the caller gets, and its message.
    fn failure(&self, event: &[u8]) -> (String, String) {
        let reply = self.invoke(event);
        let text = String::from_utf8_lossy(&reply.body);
        let document = json::parse(&reply.body);
        let document = document.unwrap_or_else(|| panic!("{text}; {}", self.process.log()));
        (
            document.text("errorType").to_owned(),
            document.text("errorMessage").to_owned(),
        )
    }
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The emulator's binary. Where there is none, says so, and the test has nothing to do.
fn find() -> Option<PathBuf> {
    if let Some(path) = env::var_os("ZEROSTRAP_RIE") {
        let path = PathBuf::from(path);
        assert!(
            path.is_file(),
            "ZEROSTRAP_RIE: {} is no file",
            path.display()
        );
        return Some(path);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/rie/aws-lambda-rie");
    if path.is_file() {
        return Some(path);
    }
    // To the descriptor itself: what a passing test prints is kept back.
    let line = "skipped: AWS's emulator is not there; run make test, or set ZEROSTRAP_RIE";
    writeln!(io::stderr(), "{line}").expect("standard error can be written to");
    None
}

/// 200 sizes from 1 byte to 6 MiB: each power of two with its neighbours, and sizes in between.
fn sizes() -> Vec<usize> {
    let powers = (0..=22).map(|power| 1_usize << power);
    let around = powers.flat_map(|size| [size.saturating_sub(1).max(1), size, size + 1]);
    let mut sizes: Vec<usize> = around.chain([6_291_455, 6_291_456]).collect();
    let between = (1..).map(|n| n * 977).take(200 - sizes.len());
    sizes.extend(between);
    sizes
}

/// JSON of this length, as callers of Lambda send it.
fn event(length: usize) -> Vec<u8> {
    let text = (0..length).map(|at| b'a' + (at % 23) as u8);
    let mut event: Vec<u8> = text.collect();
    match length {
        1 => event[0] = b'1',
        _ => (event[0], event[length - 1]) = (b'"', b'"'),
    }
    event
}

#[test]
fn two_hundred_events_come_back_byte_for_byte_from_both_kinds() {
    let Some(rie) = find() else { return };
    let folder = Folder::with_script("handler() { printf '%s' \"$1\"; }");
    folder.executable("app", "#!/bin/sh\nexec cat\n");
    for handler in ["function.handler", "app"] {
        let rie = Rie::start(&rie, &folder, handler);
        for size in sizes() {
            let event = event(size);
            let reply = rie.invoke(&event);
            assert_eq!(reply.status, 200);
            assert!(
                reply.body == event,
                "{handler}: {size} bytes came back changed"
            );
        }
    }
}

#[test]
fn errors_of_the_handler_arrive_at_the_caller() {
    let Some(rie) = find() else { return };
    let script = "handler() {
        case $1 in
            1) exit 3 ;;
            2) kill -9 $$; sleep 600 ;;
            3) echo '{\"errorType\":\"Function.Own\",\"errorMessage\":\"own words\"}'; exit 1 ;;
            4) yes ;;
            *) echo \"$1\" ;;
        esac
    }";
    let folder = Folder::with_script(script);
    let rie = Rie::start(&rie, &folder, "function.handler");
    for (event, error_type, message) in [
        ("1", "Function.ExitNonZero", "status 3"),
        ("2", "Function.KilledBySignal", "SIGKILL"),
        ("3", "Function.Own", "own words"),
        ("4", "Function.ResponseSizeTooLarge", "6291556"),
    ] {
        let (got, words) = rie.failure(event.as_bytes());
        assert!(
            got == error_type && words.contains(message),
            "{got}: {words}"
        );
        // And the next event is served.
        assert_eq!(rie.invoke(b"5").body, b"5");
    }
}

#[test]
fn init_error_arrives_at_the_caller() {
    let Some(rie) = find() else { return };
    let folder = Folder::with_script("echo last words; exit 3");
    for (handler, error_type, message) in [
        ("missing.handler", "Runtime.NoSuchHandler", "missing.sh"),
        (
            "function.handler",
            "Runtime.HandlerInitFailed",
            "last words",
        ),
    ] {
        let rie = Rie::start(&rie, &folder, handler);
        let (got, words) = rie.failure(b"1");
        assert!(
            got == error_type && words.contains(message),
            "{got}: {words}"
        );
    }
}
