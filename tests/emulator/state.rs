//! What the Runtime API allows when, and why it refuses; and the record of what came.
//!
//! With one slot this is Lambda's classic state machine: one event at a time, delivered again when
//! `/next` is asked before an answer, and 403 for a step that is not allowed. With more slots there
//! is no such machine (Managed Instances): each request id stands for itself.

use super::event::Event;
use super::http;
use super::record::{Counts, Endpoint, Progress, Request};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::TcpStream;
use std::time::Instant;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before the first `/next`.
    Starting,
    Serving,
    /// An init error was reported, or a body was cut short: everything more is refused.
    Stuck,
}

/// An event that was delivered and is not answered.
struct Running {
    id: String,
    event: Event,
    since: Instant,
}

/// A request refused: the status, and the two fields of the body.
pub(crate) struct Refusal {
    pub(crate) status: u16,
    error_type: &'static str,
    message: &'static str,
}

impl Refusal {
    /// The refusal as it goes over the wire.
    pub(crate) fn reply(&self) -> Vec<u8> {
        let Refusal {
            status,
            error_type,
            message,
        } = self;
        let body = format!("{{\"errorMessage\":\"{message}\",\"errorType\":\"{error_type}\"}}\n");
        http::reply(
            *status,
            &[("Content-Type", "application/json")],
            body.as_bytes(),
        )
    }
}

const NOT_ALLOWED: Refusal = Refusal {
    status: 403,
    error_type: "InvalidStateTransition",
    message: "State transition is not allowed",
};
const TIMED_OUT: Refusal = Refusal {
    status: 410,
    error_type: "InvokeTimeout",
    message: "Invoke timeout",
};
const UNKNOWN_ID: Refusal = Refusal {
    status: 400,
    error_type: "InvalidRequestID",
    message: "Invalid request ID",
};
pub(crate) const BAD_MODE: Refusal = Refusal {
    status: 400,
    error_type: "InvalidFunctionResponseMode",
    message: "Invalid function response mode",
};
pub(crate) const TOO_LARGE: Refusal = Refusal {
    status: 413,
    error_type: "RequestEntityTooLarge",
    message: "Exceeded maximum allowed payload size (6291556 bytes).",
};

pub(crate) const NOT_FOUND: Refusal = Refusal {
    status: 404,
    error_type: "NotFound",
    message: "404 page not found",
};

pub(crate) struct State {
    slots: usize,
    phase: Phase,
    queue: VecDeque<(String, Event)>,
    running: Vec<Running>,
    /// The event answered last, as long as the next has not been asked for.
    answered: Option<String>,
    /// Events whose callers have been told of a timeout while the bootstrap went on.
    timed_out: Vec<String>,
    pushed: usize,
    /// How many `/next` wait for an event just now.
    pub(crate) idle: usize,
    pub(crate) counts: Counts,
    /// How often each endpoint was called; the ids of the answers do not tell them apart.
    calls: HashMap<Endpoint, usize>,
    /// Requests by the order of their arrival.
    pub(crate) requests: BTreeMap<usize, Request>,
    /// Requests that were not HTTP as the emulator takes it.
    pub(crate) faults: Vec<String>,
    pub(crate) connections: Vec<TcpStream>,
    pub(crate) closed: bool,
}

impl State {
    pub(crate) fn new(slots: usize) -> State {
        State {
            slots,
            phase: Phase::Starting,
            queue: VecDeque::new(),
            running: Vec::new(),
            answered: None,
            timed_out: Vec::new(),
            pushed: 0,
            idle: 0,
            counts: Counts::default(),
            calls: HashMap::new(),
            requests: BTreeMap::new(),
            faults: Vec::new(),
            connections: Vec::new(),
            closed: false,
        }
    }

    /// Puts an event into the queue and returns its id.
    pub(crate) fn push(&mut self, mut event: Event) -> String {
        self.pushed += 1;
        let id = event.take_id(self.pushed);
        self.queue.push_back((id.clone(), event));
        id
    }

    /// Forgets the process that was served so far, and the events it was given.
    pub(crate) fn restart(&mut self) {
        self.phase = Phase::Starting;
        self.queue.clear();
        self.running.clear();
        self.answered = None;
        self.timed_out.clear();
    }

    /// Whether a `/next` came since the start.
    pub(crate) fn is_serving(&self) -> bool {
        self.phase == Phase::Serving
    }

    /// Whether an event that is pushed now is taken: at once where a slot waits for one, else by one
    /// of several as soon as it is free.
    pub(crate) fn is_ready(&self) -> bool {
        self.idle > 0 || (self.slots > 1 && self.is_serving())
    }

    /// Whether an event has left the queue.
    pub(crate) fn delivered_or_done(&self, id: &str) -> bool {
        self.queue.iter().all(|(queued, _)| queued != id)
    }

    /// Takes an event back that nobody waits for any more. An answer that comes all the same is
    /// refused as too late.
    pub(crate) fn abandon(&mut self, id: &str) {
        self.queue.retain(|(queued, _)| queued != id);
        if self.running.iter().any(|running| running.id == id) {
            self.running.retain(|running| running.id != id);
            self.timed_out.push(id.to_owned());
            // So many as Lambda's own agent remembers.
            if self.timed_out.len() > 1000 {
                self.timed_out.remove(0);
            }
        }
    }

    /// Takes everything about one event out of the record.
    pub(crate) fn forget_event(&mut self, id: &str) {
        self.requests.retain(|_, request| {
            let another = request.endpoint.answered_id().is_some_and(|of| of != id);
            let of_init = request.endpoint == Endpoint::InitError;
            another || of_init || request.progress == Progress::Arriving
        });
    }

    /// The response to an event that is sent while it is written, as far as it has come.
    pub(crate) fn stream(&self, id: &str) -> Option<&Request> {
        let is_of = |request: &&Request| {
            matches!(&request.endpoint, Endpoint::Response(of) if percent_decoded(of) == id)
                && request.header("Lambda-Runtime-Function-Response-Mode") == Some("streaming")
        };
        self.requests.values().find(is_of)
    }

    /// Enters a request in the record. Returns its key, and how many came before to the endpoint.
    pub(crate) fn enter(&mut self, request: Request) -> (usize, usize) {
        let kind = match &request.endpoint {
            Endpoint::Response(_) => Endpoint::Response(String::new()),
            Endpoint::Error(_) => Endpoint::Error(String::new()),
            other => other.clone(),
        };
        let calls = self.calls.entry(kind).or_default();
        let before = *calls;
        *calls += 1;
        match request.method.as_str() {
            "GET" => self.counts.gets += 1,
            _ => self.counts.posts += 1,
        }
        let key = self.counts.gets + self.counts.posts;
        self.requests.insert(key, request);
        (key, before)
    }

    /// The event for a `/next`: `Ok(None)` when there is none yet.
    pub(crate) fn next(&mut self) -> Result<Option<(Vec<u8>, bool)>, Refusal> {
        if self.phase == Phase::Stuck {
            return Err(NOT_ALLOWED);
        }
        self.phase = Phase::Serving;
        self.answered = None;
        if self.slots == 1
            && let Some(again) = self.running.first()
        {
            return Ok(Some((again.event.bytes(), again.event.closes())));
        }
        let Some((id, event)) = self.queue.pop_front() else {
            return Ok(None);
        };
        let delivery = (event.bytes(), event.closes());
        self.running.push(Running {
            id,
            event,
            since: Instant::now(),
        });
        Ok(Some(delivery))
    }

    /// Whether an answer to this id may come now. The id is looked at before the state.
    pub(crate) fn may_answer(&self, segment: &str) -> Result<(), Refusal> {
        let id = percent_decoded(segment);
        if self.running.iter().any(|running| running.id == id) {
            return Ok(());
        }
        if self.slots == 1 && self.answered.as_ref() == Some(&id) {
            return Err(NOT_ALLOWED);
        }
        if self.timed_out.contains(&id) {
            return Err(TIMED_OUT);
        }
        Err(UNKNOWN_ID)
    }

    /// Marks an event as answered, whatever the answer was.
    pub(crate) fn finish(&mut self, segment: &str) {
        let id = percent_decoded(segment);
        self.running.retain(|running| running.id != id);
        self.answered = Some(id);
    }

    pub(crate) fn init_error(&mut self) -> Result<(), Refusal> {
        // Managed Instances take it at any time, classic Lambda before the first `/next` alone.
        if self.phase != Phase::Starting && self.slots == 1 {
            return Err(NOT_ALLOWED);
        }
        self.phase = Phase::Stuck;
        Ok(())
    }

    /// A body that was cut short ends it, as it does on Lambda: only a new process helps.
    pub(crate) fn break_off(&mut self) {
        if self.slots == 1 {
            self.phase = Phase::Stuck;
        }
    }

    /// When an event was delivered; `None` while it waits, and once it is answered.
    pub(crate) fn delivered(&self, id: &str) -> Option<Instant> {
        self.running
            .iter()
            .find(|running| running.id == id)
            .map(|running| running.since)
    }

    /// The complete answer to an event.
    pub(crate) fn answer(&self, id: &str) -> Option<&Request> {
        self.requests.values().find(|request| {
            request.progress == Progress::Taken
                && request
                    .endpoint
                    .answered_id()
                    .is_some_and(|of| percent_decoded(of) == id)
        })
    }
}

/// What a path segment says. A `%` without two hexadecimal digits stands for itself.
pub(crate) fn percent_decoded(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let hex = (first == b'%').then(|| tail.get(..2)).flatten();
        let value = hex.and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(value.unwrap_or(first));
        rest = if value.is_some() { &tail[2..] } else { tail };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
