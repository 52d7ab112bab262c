//! A function on the command line's own Lambda: a bootstrap that is started when an event needs
//! one, killed when an event takes too long, and the lines that Lambda writes about each event.

use super::api::{Api, Options};
use super::base64;
use super::event::Event;
use super::process::{self, Bootstrap, Log};
use super::record::{Endpoint, Progress, Request};
use super::state::State;
use std::env;
use std::fs;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant, SystemTime};

/// What is run, and for how long at most.
pub(crate) struct Function {
    pub(crate) bootstrap: PathBuf,
    pub(crate) task: PathBuf,
    pub(crate) handler: String,
    pub(crate) timeout: Duration,
}

/// How an event ended.
pub(crate) struct Outcome {
    pub(crate) request_id: String,
    /// The response, or the error document.
    pub(crate) body: Vec<u8>,
    pub(crate) failed: bool,
}

/// Why waiting for the bootstrap came to an end.
enum Step {
    Reached,
    Exited(ExitStatus),
    Late,
}

pub(crate) struct Sandbox {
    function: Function,
    /// Its processes are killed as it is dropped; and before the API ends, which it would miss.
    running: Option<Bootstrap>,
    api: Api,
    /// By this its processes are known.
    pub(crate) tag: String,
    /// The newest change in the function's folder when the bootstrap was started.
    version: Option<SystemTime>,
    invocations: usize,
}

impl Sandbox {
    pub(crate) fn new(function: Function) -> io::Result<Sandbox> {
        let api = Api::start(Options::default())?;
        let tag = process::new_tag();
        Ok(Sandbox {
            function,
            running: None,
            api,
            tag,
            version: None,
            invocations: 0,
        })
    }

    /// Runs one event. Errors are those of this machine; a function's own are in the outcome.
    pub(crate) fn invoke(&mut self, event: Event) -> io::Result<Outcome> {
        self.invocations += 1;
        let request_id = format!("00000000-0000-4000-8000-{:012x}", self.invocations);
        self.stop_if_changed();
        let cold = self.running.is_none();
        let version = environment("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        eprintln!("START RequestId: {request_id} Version: {version}");
        let started = Instant::now();
        if cold {
            self.start()?;
        }
        let mut limit = INIT_LIMIT;
        let mut step = self.wait(limit, |state| state.idle > 0);
        let init = cold.then(|| started.elapsed());
        let delivered = Instant::now();
        if let Step::Reached = step {
            limit = self.function.timeout;
            self.api.push(event.id(&request_id).deadline_in(limit));
            // An invocation ends when the next event is asked for, not when it is answered.
            step = self.wait(limit, |state| {
                state.answer(&request_id).is_some() && state.idle > 0
            });
        }
        self.report(&request_id, delivered.elapsed(), init);
        if !matches!(step, Step::Reached) {
            self.running = None;
        }
        let (body, failed) = match (self.answer(&request_id), step) {
            (Some(request), _) => verdict(&request),
            (None, Step::Exited(exit)) => (exit_document(&request_id, exit), true),
            (None, Step::Late | Step::Reached) => (timeout_document(&request_id, limit), true),
        };
        self.api.forget();
        Ok(Outcome {
            request_id,
            body,
            failed,
        })
    }

    fn start(&mut self) -> io::Result<()> {
        self.api.restart();
        let Function {
            bootstrap,
            task,
            handler,
            ..
        } = &self.function;
        let mut command = Command::new(bootstrap);
        command
            .current_dir(task)
            .env("LAMBDA_TASK_ROOT", task)
            .env("_HANDLER", handler);
        command.env("AWS_LAMBDA_RUNTIME_API", self.api.address.to_string());
        command.env_remove("_X_AMZN_TRACE_ID");
        for (name, value) in LAMBDA_ENVIRONMENT {
            command.env(name, environment(name, value));
        }
        self.version = newest_change(task);
        let tag = self.tag.clone();
        self.running = Some(Bootstrap::start(
            command,
            tag,
            Log::Passed,
            self.api.waker(),
        )?);
        Ok(())
    }

    /// A bootstrap that ended is not used again; nor one whose function was edited since.
    fn stop_if_changed(&mut self) {
        let ended = self
            .running
            .as_ref()
            .is_some_and(|bootstrap| bootstrap.exit().is_some());
        if ended || newest_change(&self.function.task) != self.version {
            self.running = None;
        }
    }

    fn wait(&self, at_most: Duration, reached: impl Fn(&State) -> bool) -> Step {
        let Some(bootstrap) = &self.running else {
            return Step::Late;
        };
        let step = self
            .api
            .wait(Instant::now() + at_most, |state| match bootstrap.exit() {
                Some(exit) => Some(Step::Exited(exit)),
                None => reached(state).then_some(Step::Reached),
            });
        step.unwrap_or(Step::Late)
    }

    /// The answer to an event, or the report that there can be none.
    fn answer(&self, request_id: &str) -> Option<Request> {
        let report =
            |r: &&Request| r.endpoint == Endpoint::InitError && r.progress == Progress::Taken;
        self.api.wait(Instant::now(), |state| {
            state
                .answer(request_id)
                .or_else(|| state.requests.values().find(report))
                .cloned()
        })
    }

    /// The lines that end an event in the log. Init counts as billed time, as on Lambda.
    fn report(&self, request_id: &str, duration: Duration, init: Option<Duration>) {
        let pids = process::tagged(&self.tag);
        let memory: u64 = pids.iter().filter_map(|pid| peak_memory(*pid)).sum();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let billed = milliseconds(duration + init.unwrap_or_default()).ceil();
        let size = environment("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128");
        let init = init.map(|time| format!("\tInit Duration: {:.2} ms", milliseconds(time)));
        eprintln!("END RequestId: {request_id}");
        eprintln!(
            "REPORT RequestId: {request_id}\tDuration: {:.2} ms\tBilled Duration: {billed} ms\t\
             Memory Size: {size} MB\tMax Memory Used: {} MB{}",
            milliseconds(duration),
            memory.div_ceil(1024),
            init.unwrap_or_default(),
        );
    }
}

/// How long a bootstrap may take until its first `GET /next`; Lambda's own figure.
const INIT_LIMIT: Duration = Duration::from_secs(10);

/// What Lambda sets for a function, unless it is set already.
const LAMBDA_ENVIRONMENT: [(&str, &str); 8] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "function"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/function"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
];

fn environment(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// What the caller gets for an answer, and whether it is a function error.
fn verdict(request: &Request) -> (Vec<u8>, bool) {
    if request.status == 413 {
        return (TOO_LARGE.as_bytes().to_vec(), true);
    }
    // A streaming response can fail after its first bytes; then the error is in the trailers.
    if let Some(document) = request.trailer("Lambda-Runtime-Function-Error-Body") {
        return (base64::decode(document).unwrap_or_default(), true);
    }
    (
        request.body.clone(),
        !matches!(request.endpoint, Endpoint::Response(_)),
    )
}

const TOO_LARGE: &str = "{\"errorType\":\"Function.ResponseSizeTooLarge\",\"errorMessage\":\
                         \"Response payload size exceeded maximum allowed payload size \
                         (6291556 bytes).\"}";

fn timeout_document(request_id: &str, timeout: Duration) -> Vec<u8> {
    let seconds = timeout.as_secs_f64();
    format!(
        "{{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\
         \"RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds\"}}"
    )
    .into_bytes()
}

fn exit_document(request_id: &str, exit: ExitStatus) -> Vec<u8> {
    let reason = match (exit.code(), exit.signal()) {
        (Some(0), _) => "Runtime exited without providing a reason".to_owned(),
        (Some(code), _) => format!("Runtime exited with error: exit status {code}"),
        (None, signal) => format!("Runtime exited with error: signal {}", signal.unwrap_or(0)),
    };
    format!(
        "{{\"errorType\":\"Runtime.ExitError\",\"errorMessage\":\
         \"RequestId: {request_id} Error: {reason}\"}}"
    )
    .into_bytes()
}

/// The most memory a process had resident, in KiB.
fn peak_memory(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// When anything in the folder was changed last. A folder that cannot be read is the bootstrap's
/// to complain about.
fn newest_change(folder: &Path) -> Option<SystemTime> {
    let entries = fs::read_dir(folder).ok()?.flatten();
    let times = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        let below = if metadata.is_dir() {
            newest_change(&entry.path())
        } else {
            None
        };
        below.max(metadata.modified().ok())
    });
    times.max()
}
