//! A case with the bootstrap, against a Runtime API of our own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::case::{Answer, Between, Case, Form, Outcome, children, signal};

/// How long a case may take, its pauses not counted.
const BOUND: Duration = Duration::from_secs(20);

/// An answer as it was posted.
pub(crate) struct Posted {
    is_error: bool,
    error_type: String,
    body: Vec<u8>,
}

/// What the API knows.
#[derive(Default)]
struct State {
    given: usize,
    answers: Vec<Option<Posted>>,
    init_error: Option<Posted>,
    /// Requests for an event that wait, since there is none yet.
    idle: usize,
    /// How many events may be given now.
    allowed: usize,
    over: bool,
    /// When the last event that was given must be done.
    deadline: Option<Instant>,
    /// What a client did against the protocol.
    wrong: Vec<String>,
}

type Shared = Arc<(Mutex<State>, Condvar)>;

/// Runs a case and tells what came.
pub(crate) fn run(case: &Case) -> Outcome {
    let folder = case.folder();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    let paused = case.between != Between::Nothing;
    let state = State {
        answers: case.events.iter().map(|_| None).collect(),
        allowed: if paused { 1 } else { case.events.len() },
        ..State::default()
    };
    let shared: Shared = Arc::new((Mutex::new(state), Condvar::new()));
    let (case_of_server, server) = (case.clone(), Arc::clone(&shared));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if server.0.lock().expect("no thread panicked").over {
                return;
            }
            let (case, server) = (case_of_server.clone(), Arc::clone(&server));
            std::thread::spawn(move || serve(stream, &case, &server));
        }
    });

    let log = folder.0.join("the.log");
    let file = File::create(&log).expect("a log");
    let bootstrap = Path::new(env!("CARGO_BIN_EXE_bootstrap"));
    let mut command = case.command(bootstrap, &folder, &address.to_string());
    command
        .stdin(Stdio::null())
        .stdout(file.try_clone().expect("a log"))
        .stderr(file);
    let mut child = command.spawn().expect("the bootstrap starts");
    let mut until = Instant::now() + BOUND;
    let mut acted = false;
    let mut ended = None;
    loop {
        let state = shared.0.lock().expect("no thread panicked");
        let (state, _) = shared
            .1
            .wait_timeout(state, Duration::from_millis(5))
            .expect("no thread panicked");
        let answered = state.answers.iter().flatten().count();
        // Every slot must be seen to have come so far, also one that got no event.
        let idle = state.idle >= shells_of(case.form);
        if answered == case.events.len() && idle || Instant::now() > until {
            break;
        }
        if !acted && paused && answered == 1 && state.idle > 0 {
            acted = true;
            drop(state);
            until += pause(case.between, child.id());
            shared.0.lock().expect("no thread panicked").allowed = case.events.len();
            shared.1.notify_all();
            continue;
        }
        drop(state);
        // What it posted before it ended has been read by then: it waits for the answer.
        if let Some(status) = child.try_wait().expect("a child of ours") {
            ended = Some(status);
            break;
        }
    }
    let _ = child.kill();
    let _ = child.wait();
    folder.sweep();
    shared.0.lock().expect("no thread panicked").over = true;
    shared.1.notify_all();
    let _ = TcpStream::connect(address);

    let mut outcome = Outcome::default();
    outcome.read_log(&folder.hide(&String::from_utf8_lossy(
        &fs::read(&log).unwrap_or_default(),
    )));
    let state = shared.0.lock().expect("no thread panicked");
    if let Some(posted) = &state.init_error {
        let text = String::from_utf8_lossy(&posted.body);
        outcome.init = Some(format!("{}: {}", posted.error_type, folder.hide(&text)));
        return outcome;
    }
    let none = || match ended {
        Some(status) => Answer::Other(format!("no answer: the bootstrap ended with {status}")),
        None => Answer::Other("no answer in time".to_owned()),
    };
    let answers = state.answers.iter();
    outcome.answers = answers
        .map(|posted| {
            posted
                .as_ref()
                .map_or_else(none, |p| p.read(&folder.hide(&p.text())))
        })
        .collect();
    outcome
        .answers
        .extend(state.wrong.iter().cloned().map(Answer::Other));
    outcome
}

/// Does what is to happen after the first event, and tells how long that took.
fn pause(between: Between, bootstrap: u32) -> Duration {
    let begun = Instant::now();
    match between {
        Between::Nothing => {}
        Between::PauseMs(ms) => std::thread::sleep(Duration::from_millis(ms)),
        Between::KillShell => {
            let shells: Vec<_> = children(bootstrap).iter().map(u32::to_string).collect();
            assert!(!shells.is_empty(), "no warm shell");
            signal("KILL", &shells);
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    begun.elapsed()
}

impl Posted {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Function.ExitNonZero and Function.KilledBySignal say a number, in a form that the README fixes
    /// in words only: "status 3", "signal 9".
    fn read(&self, text: &str) -> Answer {
        if !self.is_error {
            return Answer::Response(text.to_owned());
        }
        let after = |word: &str| {
            let rest = text.split_once(word)?.1;
            rest.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse::<u32>()
                .ok()
        };
        match self.error_type.as_str() {
            "Function.ExitNonZero" if let Some(status) = after("status ") => Answer::Failed(status),
            "Function.KilledBySignal" if let Some(number) = after("signal ") => {
                Answer::Failed(128 + number)
            }
            "Function.ExitNonZero" | "Function.KilledBySignal" => {
                Answer::Other(format!("a failure without its number: {text}"))
            }
            kind if kind.starts_with("Runtime.") || kind == "Function.TimedOut" => {
                Answer::Other(format!("{kind}: {text}"))
            }
            _ => Answer::Document(text.to_owned()),
        }
    }
}

/// One connection, to its end.
fn serve(stream: TcpStream, case: &Case, shared: &Shared) {
    let mut reader = BufReader::new(stream);
    while let Some((line, posted)) = request(&mut reader) {
        let answer = match line.split(' ').collect::<Vec<_>>()[..] {
            ["GET", path, _] if path.ends_with("/invocation/next") => match next(case, shared) {
                Some(answer) => answer,
                None => return,
            },
            ["POST", path, _] => {
                keep(path, posted, shared);
                "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            _ => "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_owned(),
        };
        if reader.get_mut().write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// The next event as a response; `None` when all is over.
fn next(case: &Case, shared: &Shared) -> Option<String> {
    let (state, changed) = &**shared;
    let mut state = state.lock().expect("no thread panicked");
    // Lambda ends a sandbox whose event is not done at its deadline, and done is who asks for the next.
    if case.form != Form::Slots && state.deadline.is_some_and(|at| at < Instant::now()) {
        state
            .wrong
            .push("the next event was asked for after the deadline of the last".to_owned());
    }
    state.idle += 1;
    changed.notify_all();
    while state.given >= state.allowed && !state.over {
        state = changed.wait(state).expect("no thread panicked");
    }
    state.idle -= 1;
    if state.over {
        return None;
    }
    let number = state.given;
    state.given += 1;
    let event = &case.events[number];
    let time = Duration::from_millis(case.deadline_ms);
    state.deadline = Some(Instant::now() + time);
    let deadline = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock")
        + time;
    Some(format!(
        "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: event-{number}\r\n\
         Lambda-Runtime-Deadline-Ms: {}\r\n\
         Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:1:function:f\r\n\
         Lambda-Runtime-Client-Context: {CONTEXT}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{event}",
        deadline.as_millis(),
        event.len(),
    ))
}

/// What a caller may send: words that look like assignments, a pattern, an option, a substitution.
pub(crate) const CONTEXT: &str =
    r#"{"custom":{"k":"v PATH=/nosuch IFS=x * -e $(echo evil) `echo evil` v"}}"#;

/// Keeps an answer under its event's number.
fn keep(path: &str, posted: Posted, shared: &Shared) {
    let (state, changed) = &**shared;
    let mut state = state.lock().expect("no thread panicked");
    if path.ends_with("/init/error") {
        state.init_error = Some(posted);
    } else {
        let mut parts = path.rsplit('/');
        let is_error = parts.next() == Some("error");
        let number = parts
            .next()
            .and_then(|id| id.strip_prefix("event-")?.parse::<usize>().ok());
        match number.and_then(|number| state.answers.get_mut(number)) {
            Some(place) if place.is_none() => {
                let is_error = is_error || posted.is_error;
                *place = Some(Posted { is_error, ..posted });
            }
            _ => state
                .wrong
                .push(format!("a second answer, or one to nothing: {path}")),
        }
    }
    changed.notify_all();
}

/// Reads a request: its first line, and its body with what headers and trailers say of an error.
fn request(reader: &mut BufReader<TcpStream>) -> Option<(String, Posted)> {
    let mut first = String::new();
    reader
        .read_line(&mut first)
        .ok()
        .filter(|&length| length > 0)?;
    let head = fields(reader)?;
    let field = |fields: &[(String, String)], name: &str| {
        fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.clone())
    };
    let mut body = Vec::new();
    let mut error_type = field(&head, "lambda-runtime-function-error-type");
    let mut is_error = false;
    if field(&head, "transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            if size == 0 {
                break;
            }
            let at = body.len();
            body.resize(at + size, 0);
            reader.read_exact(&mut body[at..]).ok()?;
            reader.read_exact(&mut [0; 2]).ok()?;
        }
        let trailers = fields(reader)?;
        if let Some(kind) = field(&trailers, "lambda-runtime-function-error-type") {
            // A failure after a part of the response: the document is in the trailer.
            is_error = true;
            error_type = Some(kind);
            body = base64(&field(&trailers, "lambda-runtime-function-error-body")?);
        }
    } else if let Some(length) = field(&head, "content-length") {
        body.resize(length.parse().ok()?, 0);
        reader.read_exact(&mut body).ok()?;
    }
    let error_type = error_type.unwrap_or_default();
    Some((
        first.trim_end().to_owned(),
        Posted {
            is_error,
            error_type,
            body,
        },
    ))
}

/// Header or trailer lines up to the empty one, names in lower case.
fn fields(reader: &mut BufReader<TcpStream>) -> Option<Vec<(String, String)>> {
    let mut fields = Vec::new();
    loop {
        let mut line = String::new();
        reader
            .read_line(&mut line)
            .ok()
            .filter(|&length| length > 0)?;
        let line = line.trim_end();
        if line.is_empty() {
            return Some(fields);
        }
        let (name, value) = line.split_once(':')?;
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Decodes base64 (RFC 4648).
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |byte| ALPHABET.iter().position(|&known| known == byte);
    let (mut out, mut bits, mut count) = (Vec::new(), 0_usize, 0);
    for value in text.bytes().map_while(digit) {
        bits = bits << 6 | value;
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xff) as u8);
        }
    }
    out
}

/// Whether a form gives every event its own process, so that there are several warm shells.
pub(crate) fn shells_of(form: Form) -> usize {
    if form == Form::Slots { 4 } else { 1 }
}
