//! A function on the command line's own Lambda: a bootstrap that is started when an event needs
//! one, killed when an event takes too long, and the lines that Lambda writes about each event.
//!
//! With one slot callers wait in line. With several (AWS_LAMBDA_MAX_CONCURRENCY) each event goes to
//! one of them, and what an event does to the process concerns all, as on Managed Instances.

use super::api::{Api, Options};
use super::base64;
use super::edits;
use super::event::Event;
use super::journal::Journal;
use super::memory::Meter;
use super::process::{self, Bootstrap, Log};
use super::record::{Endpoint, Progress, Request};
use super::state::State;
use std::env;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// What is run, and for how long at most.
pub(crate) struct Function {
    pub(crate) bootstrap: PathBuf,
    pub(crate) task: PathBuf,
    pub(crate) handler: String,
    pub(crate) timeout: Duration,
    /// In MB.
    pub(crate) memory: u64,
    /// Variables of its configuration.
    pub(crate) variables: Vec<(String, String)>,
}

impl Function {
    /// A variable of the configuration, else one of ours, else what Lambda has.
    fn variable(&self, name: &str, default: &str) -> String {
        let own = self.variables.iter().rev().find(|(own, _)| own == name);
        let own = own.map(|(_, value)| value.clone());
        own.or_else(|| env::var(name).ok())
            .unwrap_or_else(|| default.to_owned())
    }

    fn slots(&self) -> usize {
        // A bad value is the bootstrap's to complain about.
        self.variable("AWS_LAMBDA_MAX_CONCURRENCY", "1")
            .parse()
            .unwrap_or(1)
            .max(1)
    }
}

/// How an event ended.
pub(crate) struct Outcome {
    pub(crate) request_id: String,
    /// The response, or the error document.
    pub(crate) body: Vec<u8>,
    pub(crate) failed: bool,
    /// The response was handed over while it came; `body` is all of it, or what became of it.
    pub(crate) streamed: bool,
    /// The end of the log.
    pub(crate) log: Vec<u8>,
}

/// Takes the parts of a streamed response as they come, the first time with the Content-Type.
pub(crate) type OnPart<'a> = &'a mut dyn FnMut(&str, &[u8]);

/// Why waiting for the bootstrap came to an end.
enum Step {
    Reached,
    Exited(ExitStatus),
    Late,
}

/// The process that runs now.
#[derive(Default)]
struct Current {
    running: Option<Arc<Bootstrap>>,
    /// What the function was like when it was started.
    version: u64,
    /// How many events it has.
    inside: usize,
}

pub(crate) struct Sandbox {
    function: Function,
    slots: usize,
    api: Api,
    journal: Journal,
    meter: Meter,
    /// By this its processes are known.
    pub(crate) tag: String,
    /// Held for the length of an event where there is one slot.
    turn: Mutex<()>,
    current: Mutex<Current>,
    left: Condvar,
    invocations: AtomicUsize,
    ending: AtomicBool,
}

impl Sandbox {
    pub(crate) fn new(function: Function) -> io::Result<Sandbox> {
        let slots = function.slots();
        let tag = process::new_tag();
        Ok(Sandbox {
            slots,
            api: Api::start(Options {
                slots,
                ..Options::default()
            })?,
            journal: Journal::start()?,
            meter: Meter::start(&tag),
            function,
            tag,
            turn: Mutex::new(()),
            current: Mutex::default(),
            left: Condvar::new(),
            invocations: AtomicUsize::new(0),
            ending: AtomicBool::new(false),
        })
    }

    /// Kills everything. Events that run have no outcome any more: their callers go as well.
    pub(crate) fn end(&self) {
        self.ending.store(true, Ordering::SeqCst);
        process::kill_tagged(&self.tag);
    }

    /// An id for an event.
    pub(crate) fn new_id(&self) -> String {
        let number = self.invocations.fetch_add(1, Ordering::Relaxed) + 1;
        format!("00000000-0000-4000-8000-{number:012x}")
    }

    /// Runs one event. Errors are those of this machine; a function's own are in the outcome.
    pub(crate) fn invoke(
        &self,
        request_id: String,
        event: Event,
        on_part: OnPart<'_>,
    ) -> io::Result<Outcome> {
        let turn = (self.slots == 1).then(|| lock(&self.turn));
        let from = self.journal.position();
        if self.slots == 1 {
            self.say_start(&request_id);
        }
        let started = Instant::now();
        self.meter.watch();
        let (bootstrap, cold) = self.enter().inspect_err(|_| {
            self.meter.rest();
        })?;
        let mut step = self.wait(&bootstrap, Some(INIT_LIMIT), State::is_ready);
        let init = cold.then(|| started.elapsed());
        let mut delivered = Instant::now();
        let mut streamed = false;
        let is_given = matches!(step, Step::Reached);
        if is_given {
            let limit = self.function.timeout;
            self.api.push(event.id(&request_id).deadline_in(limit));
            // With several slots the event may have to wait for one that is free.
            step = self.wait(&bootstrap, None, |state| {
                state.delivered_or_done(&request_id)
            });
            delivered = Instant::now();
            if self.slots > 1 {
                self.say_start(&request_id);
            }
        }
        if is_given && matches!(step, Step::Reached) {
            let until = delivered + self.function.timeout;
            (step, streamed) = self.wait_for_answer(&bootstrap, &request_id, until, on_part);
        }
        let duration = delivered.elapsed();
        if matches!(step, Step::Late) {
            self.api.change(|state| state.abandon(&request_id));
        }
        let answer = self.answer(&request_id);
        self.leave(&bootstrap, &step);
        self.park_at_the_end();
        let (body, failed) = match (answer, step) {
            (Some(request), _) => verdict(&request),
            (None, Step::Exited(exit)) => (exit_document(&request_id, exit), true),
            (None, Step::Late | Step::Reached) if is_given => (
                timeout_document(&request_id, self.function.timeout, ""),
                true,
            ),
            (None, _) => (timeout_document(&request_id, INIT_LIMIT, OF_INIT), true),
        };
        let last = self.report(&request_id, duration, init);
        let log = self.journal.tail(from, &last);
        if failed {
            self.note_shell(&body);
        }
        self.api.change(|state| state.forget_event(&request_id));
        drop(turn);
        Ok(Outcome {
            request_id,
            body,
            failed,
            streamed,
            log,
        })
    }

    /// Starts the bootstrap if there is none, or none of this edition of the function. Returns it,
    /// and whether it was started now.
    fn enter(&self) -> io::Result<(Arc<Bootstrap>, bool)> {
        let mut current = lock(&self.current);
        while let Some(bootstrap) = &current.running {
            let ended = bootstrap.exit().is_some();
            if !ended && self.version() == current.version {
                break;
            }
            if ended || current.inside == 0 {
                self.stop(&mut current);
                break;
            }
            // Edited while others are at it: they end as they began.
            current = self
                .left
                .wait(current)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
        let cold = current.running.is_none();
        if cold {
            self.start(&mut current)?;
        }
        let bootstrap = current.running.clone();
        let bootstrap = bootstrap.ok_or_else(|| io::Error::other("no bootstrap was started"))?;
        current.inside += 1;
        Ok((bootstrap, cold))
    }

    fn start(&self, current: &mut Current) -> io::Result<()> {
        self.api.restart();
        self.api.forget();
        // Connections of the one before are told apart from the new ones once they are gone.
        let gone = |state: &State| (state.idle == 0).then_some(());
        self.api.wait(Instant::now() + Duration::from_secs(2), gone);
        let Function {
            bootstrap,
            task,
            handler,
            variables,
            memory,
            ..
        } = &self.function;
        // A link is followed anew at each start.
        let task = task.canonicalize().map_err(|error| {
            let task = task.display();
            io::Error::other(format!(
                "{task}: {error}; --task takes the function's folder"
            ))
        })?;
        let mut command = Command::new(bootstrap);
        command.current_dir(&task).env_remove("_X_AMZN_TRACE_ID");
        for (name, value) in LAMBDA_ENVIRONMENT {
            command.env(name, self.function.variable(name, value));
        }
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.to_string());
        command
            .env("LAMBDA_TASK_ROOT", &task)
            .env("_HANDLER", handler);
        command.env("AWS_LAMBDA_RUNTIME_API", self.api.address.to_string());
        command
            .stdout(self.journal.writer()?)
            .stderr(self.journal.writer()?);
        current.version = self.version();
        let started = Bootstrap::start(command, self.tag.clone(), Log::Given, self.api.waker());
        let started = started.map_err(|error| {
            io::Error::other(format!(
                "{} cannot be started: {error}",
                bootstrap.display()
            ))
        })?;
        self.meter.restart(started.pid);
        current.running = Some(Arc::new(started));
        Ok(())
    }

    fn version(&self) -> u64 {
        edits::fingerprint(&[&self.function.bootstrap, &self.function.task])
    }

    fn stop(&self, current: &mut Current) {
        current.running = None;
        process::kill_tagged(&self.tag);
    }

    /// An event is done. Where there is one slot, a process that is late or ended is done as well.
    fn leave(&self, bootstrap: &Arc<Bootstrap>, step: &Step) {
        let mut current = lock(&self.current);
        let is_current = current
            .running
            .as_ref()
            .is_some_and(|running| Arc::ptr_eq(running, bootstrap));
        if is_current {
            current.inside = current.inside.saturating_sub(1);
            let initialized = self.api.change(|state| state.is_serving());
            let late = matches!(step, Step::Late) && (self.slots == 1 || !initialized);
            if late || matches!(step, Step::Exited(_)) {
                self.stop(&mut current);
                current.inside = 0;
            }
        }
        drop(current);
        self.left.notify_all();
    }

    /// Waits for something in the state; without a limit also for ever.
    fn wait(
        &self,
        bootstrap: &Bootstrap,
        at_most: Option<Duration>,
        reached: impl Fn(&State) -> bool,
    ) -> Step {
        let until = Instant::now() + at_most.unwrap_or(FOR_EVER);
        let step = self.api.wait(until, |state| match bootstrap.exit() {
            Some(exit) => Some(Step::Exited(exit)),
            None => reached(state).then_some(Step::Reached),
        });
        step.unwrap_or(Step::Late)
    }

    /// Waits for the answer and hands over a streamed one as it comes. Returns how it ended and
    /// whether anything was handed over.
    fn wait_for_answer(
        &self,
        bootstrap: &Bootstrap,
        request_id: &str,
        until: Instant,
        on_part: OnPart<'_>,
    ) -> (Step, bool) {
        enum News {
            Part(String, Vec<u8>),
            Step(Step),
        }
        let mut sent = None;
        loop {
            let news = self.api.wait(until, |state| {
                if let Some(stream) = state.stream(request_id)
                    && sent.is_none_or(|sent| stream.body.len() > sent)
                {
                    let content_type = stream.header("Content-Type").unwrap_or(BYTES);
                    let part = stream.body[sent.unwrap_or(0)..].to_vec();
                    return Some(News::Part(content_type.to_owned(), part));
                }
                // An invocation ends when the next event is asked for, not when it is answered.
                let asked = self.slots > 1 || state.idle > 0;
                if asked && state.answer(request_id).is_some() {
                    return Some(News::Step(Step::Reached));
                }
                bootstrap.exit().map(|exit| News::Step(Step::Exited(exit)))
            });
            match news {
                Some(News::Part(content_type, part)) => {
                    sent = Some(sent.unwrap_or(0) + part.len());
                    on_part(&content_type, &part);
                }
                Some(News::Step(step)) => return (step, sent.is_some()),
                None => return (Step::Late, sent.is_some()),
            }
        }
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

    /// What happens to a function that is killed at the end is no failure of it, and told nobody.
    fn park_at_the_end(&self) {
        while self.ending.load(Ordering::SeqCst) {
            thread::park();
        }
    }

    fn say_start(&self, request_id: &str) {
        let version = self
            .function
            .variable("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST");
        self.journal
            .line(&format!("START RequestId: {request_id} Version: {version}"));
    }

    /// Waits until what was written so far is through.
    pub(crate) fn end_log(&self) {
        self.journal.flush();
    }

    /// A line for whoever reads the log.
    pub(crate) fn note(&self, text: &str) {
        self.journal.line(&format!("note: {text}"));
    }

    /// Notes an init that failed by the syntax of a script for sh, if that is not bash as on Lambda.
    fn note_shell(&self, body: &[u8]) {
        let body = String::from_utf8_lossy(body);
        let is_of_sh = body.contains("\"Runtime.HandlerInitFailed\"") && body.contains("/sh: ");
        let is_of_syntax = is_of_sh && body.to_lowercase().contains("syntax error");
        let Ok(program) = Path::new("/bin/sh").canonicalize() else {
            return;
        };
        let shell = program.file_name().unwrap_or_default().to_string_lossy();
        if is_of_syntax && shell != "bash" {
            self.note(&format!(
                "sh is {shell} here and bash on Lambda: with #!/bin/bash as its first line the \
                 script runs alike on both."
            ));
        }
    }

    /// The lines that end an event in the log; returns the last. Init counts as billed time, as on
    /// Lambda.
    fn report(&self, request_id: &str, duration: Duration, init: Option<Duration>) -> String {
        let used = self.meter.rest().div_ceil(1024);
        let size = self.function.memory;
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        let billed = milliseconds(duration + init.unwrap_or_default()).ceil();
        let init = init.map(|time| format!("\tInit Duration: {:.2} ms", milliseconds(time)));
        self.journal.line(&format!("END RequestId: {request_id}"));
        let report = format!(
            "REPORT RequestId: {request_id}\tDuration: {:.2} ms\tBilled Duration: {billed} ms\t\
             Memory Size: {size} MB\tMax Memory Used: {used} MB{}",
            milliseconds(duration),
            init.unwrap_or_default(),
        );
        self.journal.line(&report);
        if used > size {
            self.journal.line(&format!(
                "warning: {used} MB were used and the memory size is {size} MB: Lambda would have \
                 killed this function; give it more, here with --memory."
            ));
        }
        report
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// How long a bootstrap may take until its first `GET /next`; Lambda's own figure.
const INIT_LIMIT: Duration = Duration::from_secs(10);
const FOR_EVER: Duration = Duration::from_secs(100 * 24 * 3600);
/// The Content-Type of a stream that has none.
const BYTES: &str = "application/octet-stream";

/// What Lambda sets for a function, unless it is set already.
const LAMBDA_ENVIRONMENT: [(&str, &str); 7] = [
    ("AWS_LAMBDA_FUNCTION_NAME", "function"),
    ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
    ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
    ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/function"),
    ("AWS_LAMBDA_LOG_STREAM_NAME", "local"),
    ("AWS_REGION", "us-east-1"),
    ("AWS_DEFAULT_REGION", "us-east-1"),
];

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

/// What the message adds if no event was given to the function by then.
const OF_INIT: &str = ": this was the init, so do less before the first event";

fn timeout_document(request_id: &str, limit: Duration, what: &str) -> Vec<u8> {
    let seconds = limit.as_secs_f64();
    format!(
        "{{\"errorType\":\"Sandbox.Timedout\",\"errorMessage\":\
         \"RequestId: {request_id} Error: Task timed out after {seconds:.2} seconds{what}\"}}"
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
