//! A case with the reference: a fresh shell that sources the script and calls its function in a
//! subshell.
//!
//! The shell is fresh for each event, so that nothing which the script did to a loop can change what
//! the next event gets: what the plainest loop would do if nothing stood in its way. The call is
//! parsed before the script is sourced, and consists of grammar alone, so that no alias and no
//! function of the script is meant.
//!
//! The loop's shell must not see the subshell's end: its own ERR, CHLD and EXIT traps are the loop's
//! business, not an event's. So both streams of the subshell are FIFOs. While it waits at the
//! second, its shell is stopped for good, and its status is read from `/proc`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::bootstrap::{CONTEXT, shells_of};
use super::case::{Answer, Case, Folder, Outcome, Shell, signal, stat};

/// How long one event may take.
const BOUND: Duration = Duration::from_secs(8);

/// open(2) does not wait for the other end of a FIFO (Linux, all architectures that Lambda has).
const O_NONBLOCK: i32 = 0o4000;

/// The loop's one round.
fn program(case: &Case, folder: &Folder, fifos: &[PathBuf; 2], event: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let path = |path: &Path| quoted(path.to_str().expect("a path in UTF-8"));
    let options = if case.shell == Shell::Bash {
        "set -euo pipefail"
    } else {
        "set -eu"
    };
    let script = path(&folder.0.join("function.sh"));
    let call = if case.stdin {
        "handler".to_owned()
    } else {
        format!("handler {}", quoted(event))
    };
    let [stdin, stdout] = fifos.each_ref().map(|fifo| path(fifo));
    let subshell = match case.shell {
        // Its redirections of a subshell are made in the loop's shell, before it forks.
        Shell::Mksh => format!("( exec <{stdin} >{stdout}; {call} )"),
        _ => format!("( {call} ) <{stdin} >{stdout}"),
    };
    // Without `:` some would run a last subshell in their own process. That of ksh93 is none anyway.
    let last = if case.shell == Shell::Ksh { "" } else { ":\n" };
    format!("{options}\n{{\n. {script}\n{subshell}\n{last}}}\n")
}

/// Two FIFOs in a folder.
fn fifos(folder: &Folder) -> [PathBuf; 2] {
    let fifos = ["stdin", "stdout"].map(|name| folder.0.join(name));
    let made = Command::new("mkfifo").args(&fifos).status();
    assert!(
        made.is_ok_and(|status| status.success()),
        "mkfifo(1) makes two FIFOs"
    );
    fifos
}

/// Succeeds where somebody has the FIFO open for reading.
fn open_to_write(fifo: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(O_NONBLOCK)
        .open(fifo)
}

/// How one round went.
enum Round {
    /// The function was not called: sourcing ended so.
    Init(String),
    Ended {
        output: Vec<u8>,
        status: ExitStatus,
    },
    Late,
}

/// Runs a case, an event after another, and tells what came.
pub(crate) fn run(case: &Case) -> Outcome {
    let mut outcome = Outcome::default();
    let streams = Folder::new();
    let fifos = fifos(&streams);
    for (number, event) in case.events.iter().enumerate() {
        let folder = case.folder();
        let (round, at_source, in_event) = round(case, &folder, &fifos, number, event);
        // Each warm shell sources the script once.
        for _ in 0..if number == 0 { shells_of(case.form) } else { 0 } {
            outcome.read_log(&folder.hide(&at_source));
        }
        outcome.read_log(&folder.hide(&in_event));
        let answer = match round {
            Round::Init(why) => {
                outcome.init = Some(why);
                return outcome;
            }
            Round::Late => Answer::Other("late".to_owned()),
            Round::Ended { output, status } => {
                let text = folder.hide(&String::from_utf8_lossy(&output));
                answer(&text, status, case.form == super::case::Form::Streaming)
            }
        };
        outcome.answers.push(answer);
    }
    outcome
}

/// As the reference page has it: trailing newlines are dropped, save from a stream; an error document
/// of the function is passed on.
fn answer(text: &str, status: ExitStatus, streaming: bool) -> Answer {
    match (status.code(), status.signal()) {
        (Some(0), _) if streaming => Answer::Response(text.to_owned()),
        (Some(0), _) => Answer::Response(text.trim_end_matches('\n').to_owned()),
        // Of a stream a part may have been sent, which is then no document. No row has one of several
        // lines.
        (Some(_), _) if !streaming && is_document(text.trim_end()) => {
            Answer::Document(text.trim_end().to_owned())
        }
        (Some(status), _) => Answer::Failed(status as u32),
        (None, signal) => Answer::Failed(128 + signal.unwrap_or_default() as u32),
    }
}

/// Whether a line is an error document of the table or of the vocabulary.
fn is_document(text: &str) -> bool {
    text.starts_with(r#"{"errorType":"Function."#) && text.ends_with('}') && !text.contains('\n')
}

/// One event: how it went, and what was logged before the call and after it.
fn round(
    case: &Case,
    folder: &Folder,
    fifos: &[PathBuf; 2],
    number: usize,
    event: &str,
) -> (Round, String, String) {
    let log = folder.0.join("the.log");
    // A process of the last round that is being killed may still hold its end, or one that another
    // thread is about to start ours. The subshell would not wait, or we not for it.
    while fifos.iter().any(|fifo| open_to_write(fifo).is_ok()) {
        std::thread::sleep(Duration::from_micros(100));
    }
    let file = File::create(&log).expect("a log");
    let shell = case.shell.path().expect("a shell of this machine");
    let mut command = case.command(shell, folder, "127.0.0.1:9");
    command.env("LAMBDA_RUNTIME_AWS_REQUEST_ID", format!("event-{number}"));
    command.env("LAMBDA_RUNTIME_CLIENT_CONTEXT", CONTEXT);
    command
        .arg("-c")
        .arg(program(case, folder, fifos, event))
        .arg(folder.0.join("bootstrap"));
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a log"))
        .stderr(file);
    let mut child = command.process_group(0).spawn().expect("the shell starts");
    let mut at_source = None;
    let round = call(case, &mut child, fifos, event, || {
        at_source = Some(fs::read(&log).unwrap_or_default());
    });
    folder.sweep();
    let _ = child.kill();
    let _ = child.wait();
    let all = fs::read(&log).unwrap_or_default();
    let at_source = at_source.unwrap_or_else(|| all.clone());
    let in_event = all.get(at_source.len()..).unwrap_or_default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (round, text(&at_source), text(in_event))
}

/// Waits for the call, sees it to its end, and tells how it went.
fn call(
    case: &Case,
    child: &mut Child,
    [stdin, stdout]: &[PathBuf; 2],
    event: &str,
    begins: impl FnOnce(),
) -> Round {
    let until = Instant::now() + BOUND;
    let wait = || {
        std::thread::sleep(Duration::from_micros(500));
        Instant::now() < until
    };
    // Refused until the subshell opens its end.
    let mut input = loop {
        if let Ok(input) = open_to_write(stdin) {
            break input;
        }
        if let Some(status) = child.try_wait().expect("a child of ours") {
            return Round::Init(status.to_string());
        }
        if !wait() {
            return Round::Late;
        }
    };
    begins();
    let subshell = match case.shell {
        // No process of its own, whose status would be seen: its shell ends as it did.
        Shell::Ksh => None,
        _ => loop {
            if let Some(found) = subshell(child.id(), stdin) {
                // Its end would still be seen by a shell that is about to be stopped.
                signal("STOP", &[child.id().to_string()]);
                while stat(child.id()).is_some_and(|stat| stat[0] != "T") && wait() {}
                break Some(found);
            }
            if !wait() {
                return Round::Late;
            }
        },
    };
    if case.stdin {
        input
            .write_all(event.as_bytes())
            .expect("its reader waits, and the FIFO holds it");
    }
    drop(input);
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(O_NONBLOCK)
        .open(stdout);
    let mut pipe = opened.expect("a FIFO of ours");
    let mut output = Vec::new();
    loop {
        let status = match subshell {
            Some(pid) => ended(pid),
            None => child.try_wait().expect("a child of ours"),
        };
        // After the end is seen, what it wrote is there. Whoever else holds the FIFO is not waited for.
        let mut space = [0; 65_536];
        while let Ok(length @ 1..) = pipe.read(&mut space) {
            output.extend_from_slice(&space[..length]);
        }
        match status {
            Some(status) => return Round::Ended { output, status },
            None if !wait() => return Round::Late,
            None => {}
        }
    }
}

/// The child that has the FIFO as its standard input.
fn subshell(parent: u32, stdin: &Path) -> Option<u32> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let mut children = text.split_whitespace().filter_map(|pid| pid.parse().ok());
    children.find(|pid| fs::read_link(format!("/proc/{pid}/fd/0")).is_ok_and(|path| path == stdin))
}

/// The status of a process that has ended and that nobody collects.
fn ended(pid: u32) -> Option<ExitStatus> {
    let stat = stat(pid)?;
    (stat[0] == "Z").then(|| ExitStatus::from_raw(stat[49].parse().expect("a status")))
}
