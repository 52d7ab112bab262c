//! How each fault of docs/faults.md is played: the bytes that the Runtime API sends, and when it closes.

use crate::harness::wait::PATIENCE;
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::scripted::{ACCEPTED, PAYLOAD_LIMIT, Scene, chunked_event, event};

/// The same on x86_64 and aarch64.
const O_NONBLOCK: i32 = 0o4_000;

/// The request whose reply is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Next,
    Response,
    Error,
    InitError,
    Register,
    RestoreNext,
    RestoreError,
}

impl At {
    pub(crate) const ALL: [At; 7] = [
        At::Next,
        At::Response,
        At::Error,
        At::InitError,
        At::Register,
        At::RestoreNext,
        At::RestoreError,
    ];

    /// What the ids of its rows begin with.
    fn prefix(self) -> &'static str {
        match self {
            At::Next => "next",
            At::Response => "response",
            At::Error => "error",
            At::InitError => "init",
            At::Register => "register",
            At::RestoreNext => "restore",
            At::RestoreError => "restore-error",
        }
    }
}

pub(crate) struct Fault {
    pub(crate) id: String,
    pub(crate) at: At,
    /// The event at fault, or the one whose answer meets the fault.
    pub(crate) event: &'static str,
    pub(crate) environment: &'static [(&'static str, &'static str)],
    pub(crate) play: Play,
}

pub(crate) enum Play {
    /// These bytes are the reply; the connection stays open.
    Reply(Vec<u8>),
    /// The same, and then the connection ends.
    ReplyThenClose(Vec<u8>),
    /// Reads the request itself, or does not.
    Script(fn(&mut Scene)),
    /// The connection ends after each byte of a good reply but the last.
    EveryCut(Vec<u8>),
    /// The same by a reset.
    EveryCutByReset(Vec<u8>),
    /// A good reply, split in two at each place.
    EverySplit(Vec<u8>),
}

/// Small, so that cutting and splitting at each byte is quick.
const EVENT: &str = r#"{"faulty":1}"#;
const EVENT_LENGTH: &str = "Content-Length: 12\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// For the faults of `/error`: the handler fails.
const FAILING: &str = r#"{"faulty":"fail"}"#;

/// For faults in the middle of a long answer: 6,000,000 bytes.
const LARGE: &str = r#"{"faulty":"large"}"#;

pub(crate) fn faults(at: At) -> Vec<Fault> {
    let mut list = List {
        at,
        faults: Vec::new(),
    };
    match at {
        At::Next => {
            next_statuses(&mut list);
            next_framing(&mut list);
            next_chunks(&mut list);
            next_heads(&mut list);
            next_interim_replies(&mut list);
            next_context(&mut list);
            next_connections(&mut list);
        }
        At::Response => {
            answer_replies(&mut list);
            response_connections(&mut list);
            streamed_responses(&mut list);
        }
        At::Error => answer_replies(&mut list),
        At::InitError => init_replies(&mut list),
        At::Register => register_replies(&mut list),
        At::RestoreNext => restore_replies(&mut list),
        At::RestoreError => restore_error_replies(&mut list),
    }
    list.faults
}

/// Gathers faults of one endpoint, whose name their ids begin with.
struct List {
    at: At,
    faults: Vec<Fault>,
}

impl List {
    fn play(&mut self, id: &str, play: Play) {
        let (event, environment): (_, &'static [_]) = match self.at {
            At::Error => (FAILING, &[]),
            At::Register => (EVENT, &[("BOOTSTRAP_GRACEFUL_SHUTDOWN", "1")]),
            At::RestoreNext | At::RestoreError => {
                (EVENT, &[("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")])
            }
            At::Next | At::Response | At::InitError => (EVENT, &[]),
        };
        let id = format!("{}-{id}", self.at.prefix());
        self.faults.push(Fault {
            id,
            at: self.at,
            event,
            environment,
            play,
        });
    }

    fn reply(&mut self, id: &str, reply: impl Into<Vec<u8>>) {
        self.play(id, Play::Reply(reply.into()));
    }

    fn reply_then_close(&mut self, id: &str, reply: impl Into<Vec<u8>>) {
        self.play(id, Play::ReplyThenClose(reply.into()));
    }

    fn script(&mut self, id: &str, script: fn(&mut Scene)) {
        self.play(id, Play::Script(script));
    }

    /// A script whose event has another text than most.
    fn script_on(&mut self, id: &str, event: &'static str, script: fn(&mut Scene)) {
        self.script(id, script);
        self.last().event = event;
    }

    fn last(&mut self) -> &mut Fault {
        self.faults.last_mut().expect("a fault")
    }
}

/// A `/next` reply with these further header lines and this body as it goes over the wire.
fn next(headers: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: faulty\r\n{headers}\r\n{body}")
}

/// The same with a good body.
fn next_with(headers: &str) -> String {
    next(&format!("{headers}{EVENT_LENGTH}"), EVENT)
}

fn next_chunked(body: &str) -> String {
    next(CHUNKED, body)
}

fn next_statuses(list: &mut List) {
    for status in [200, 201, 202, 299] {
        let reply = next_with("").replacen("200 OK", &format!("{status} Whatever"), 1);
        list.reply(&format!("status-{status}"), reply);
    }
    list.reply("status-204", "HTTP/1.1 204 No Content\r\n\r\n");
    list.reply(
        "status-204-with-length",
        "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
    );
    for status in [
        101, 300, 301, 304, 400, 403, 404, 410, 413, 429, 500, 502, 503, 599, 999,
    ] {
        // Also what would be an event if its status allowed.
        let reply = next_with("").replacen("200 OK", &format!("{status} Whatever"), 1);
        list.reply(&format!("status-{status}"), reply);
    }
}

fn next_framing(list: &mut List) {
    let lengths = [
        ("plus", "+12"),
        ("minus", "-12"),
        ("hexadecimal", "0xc"),
        ("space-inside", "1 2"),
        ("comma", "12, 12"),
        ("fraction", "12.0"),
        ("empty", ""),
        ("word", "twelve"),
        ("nul", "12\0"),
        ("overflow", "18446744073709551628"),
        ("huge", "18446744073709551615"),
        ("over-limit", "6291557"),
        ("leading-zeros", "000000000000000000000000000012"),
    ];
    for (id, length) in lengths {
        list.reply(
            &format!("length-{id}"),
            next(&format!("Content-Length: {length}\r\n"), EVENT),
        );
    }
    list.reply("length-without-space", next("Content-Length:12\r\n", EVENT));
    list.reply("length-in-capitals", next("CONTENT-LENGTH: 12\r\n", EVENT));
    list.reply(
        "length-between-tabs",
        next("Content-Length:\t12\t\r\n", EVENT),
    );
    list.reply("length-twice", next_with(EVENT_LENGTH));
    list.reply("length-twice-different", next_with("Content-Length: 3\r\n"));
    list.reply_then_close("unframed", next("", EVENT));

    let codings = [
        ("gzip", "gzip"),
        ("gzip-chunked", "gzip, chunked"),
        ("chunked-chunked", "chunked, chunked"),
        ("chunked-parameter", "chunked;q=1"),
        ("identity", "identity"),
        ("empty", ""),
        ("in-capitals", "CHUNKED"),
    ];
    let body = "c\r\n{\"faulty\":1}\r\n0\r\n\r\n";
    for (id, coding) in codings {
        let reply = next(&format!("Transfer-Encoding: {coding}\r\n"), body);
        list.reply(&format!("coding-{id}"), reply);
    }
    list.reply("coding-twice", next(&[CHUNKED, CHUNKED].concat(), body));
    list.reply(
        "coding-and-length",
        next(&[CHUNKED, EVENT_LENGTH].concat(), body),
    );
    list.reply(
        "length-and-coding",
        next(&[EVENT_LENGTH, CHUNKED].concat(), body),
    );
    list.reply(
        "coding-http-1-0",
        next_chunked(body).replacen("1.1", "1.0", 1),
    );

    let after = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    list.reply("reply-after-reply", [&next_with(""), after].concat());
    list.reply("bytes-after-length", [&next_with(""), "\r\n"].concat());
}

fn next_chunks(list: &mut List) {
    let rest = "\r\n{\"faulty\":1}\r\n0\r\n\r\n";
    let sizes = [
        ("empty", ""),
        ("plus", "+c"),
        ("minus", "-c"),
        ("prefix", "0xc"),
        ("letter", "g"),
        ("space-before", " c"),
        ("space-and-word", "c zz"),
        ("overflow", "1000000000000000c"),
        ("huge", "ffffffffffffffff"),
        ("over-limit", "600065"),
        ("leading-zeros", "0000000000000000000c"),
        ("in-capitals", "C"),
        ("extension", "c;name=value;other=\"quoted\""),
        ("space-and-extension", "c ;name"),
        ("space-after", "c "),
    ];
    for (id, size) in sizes {
        list.reply(
            &format!("chunk-size-{id}"),
            next_chunked(&[size, rest].concat()),
        );
    }
    // The limit counts the line with its CR LF: "c;", the filling, CR LF.
    let filled = |length: usize| format!("c;{}", "x".repeat(length - 4));
    list.reply(
        "chunk-size-256-bytes",
        next_chunked(&[&filled(256), rest].concat()),
    );
    list.reply(
        "chunk-size-257-bytes",
        next_chunked(&[&filled(257), rest].concat()),
    );
    list.script("chunk-size-endless", |scene| {
        flood(scene, &next_chunked("c;"), &"x".repeat(65536));
    });
    list.reply(
        "chunk-size-bare-lf",
        next_chunked("c\n{\"faulty\":1}\r\n0\r\n\r\n"),
    );
    list.reply(
        "chunk-size-bare-cr",
        next_chunked("c\r{\"faulty\":1}\r\n0\r\n\r\n"),
    );
    list.reply(
        "chunk-size-double-cr",
        next_chunked("c\r\r\n{\"faulty\":1}\r\n0\r\n\r\n"),
    );
    list.reply(
        "chunk-end-missing",
        next_chunked("c\r\n{\"faulty\":1}0\r\n\r\n"),
    );
    list.reply(
        "chunk-end-bare-lf",
        next_chunked("c\r\n{\"faulty\":1}\n0\r\n\r\n"),
    );
    list.reply(
        "chunk-end-other",
        next_chunked("c\r\n{\"faulty\":1}XY0\r\n\r\n"),
    );
    list.reply(
        "chunk-shorter-than-size",
        next_chunked("d\r\n{\"faulty\":1}\r\n0\r\n\r\n"),
    );
    list.reply(
        "chunk-longer-than-size",
        next_chunked("b\r\n{\"faulty\":1}\r\n0\r\n\r\n"),
    );
    list.reply(
        "chunks-of-one-byte",
        chunked_event("faulty", "", EVENT.as_bytes(), 1),
    );
    list.script("chunks-over-limit-together", |scene| {
        scene.expect_next();
        let body = vec![b'x'; PAYLOAD_LIMIT + 1];
        // What the bootstrap no longer takes cannot be sent.
        scene.try_send(&chunked_event("faulty", "", &body, 1_000_000));
    });
    list.reply(
        "last-chunk-zeros",
        next_chunked("c\r\n{\"faulty\":1}\r\n000\r\n\r\n"),
    );
    list.reply_then_close(
        "last-chunk-missing",
        next_chunked("c\r\n{\"faulty\":1}\r\n"),
    );
    list.reply_then_close(
        "last-line-missing",
        next_chunked("c\r\n{\"faulty\":1}\r\n0\r\n"),
    );

    let trailed =
        |trailers: &str| next_chunked(&format!("c\r\n{{\"faulty\":1}}\r\n0\r\n{trailers}\r\n"));
    list.reply("trailer", trailed("Checksum: 1\r\nContent-Length: 3\r\n"));
    list.reply("trailer-bare-lf", trailed("Checksum: 1\n"));
    list.reply("trailer-bare-cr", trailed("Checksum: \r1\r\n"));
    list.reply("trailers-256", trailed(&"A: b\r\n".repeat(256)));
    list.reply("trailers-257", trailed(&"A: b\r\n".repeat(257)));
    // The limit counts the line with its CR LF.
    let long = |length: usize| format!("Checksum: {}\r\n", "x".repeat(length - 12));
    list.reply("trailer-8192-bytes", trailed(&long(8_192)));
    list.reply("trailer-8193-bytes", trailed(&long(8_193)));
    list.script("trailers-endless", |scene| {
        let start = next_chunked("c\r\n{\"faulty\":1}\r\n0\r\n");
        flood(scene, &start, &"A: b\r\n".repeat(10_000));
    });
    list.script("trailer-endless", |scene| {
        let start = next_chunked("c\r\n{\"faulty\":1}\r\n0\r\nA: ");
        flood(scene, &start, &"x".repeat(65536));
    });
}

fn next_heads(list: &mut List) {
    let first_lines = [
        ("version-2", "HTTP/2 200 OK"),
        ("version-1-2", "HTTP/1.2 200 OK"),
        ("version-0-9", "HTTP/0.9 200 OK"),
        ("version-lower-case", "http/1.1 200 OK"),
        ("version-missing", "200 OK"),
        ("status-two-digits", "HTTP/1.1 20 OK"),
        ("status-four-digits", "HTTP/1.1 2000 OK"),
        ("status-plus", "HTTP/1.1 +20 OK"),
        ("status-letters", "HTTP/1.1 2OO OK"),
        ("status-missing", "HTTP/1.1  OK"),
        ("status-two-spaces", "HTTP/1.1  200 OK"),
        ("status-tab", "HTTP/1.1\t200 OK"),
        ("space-first", " HTTP/1.1 200 OK"),
        ("empty-line-first", "\r\nHTTP/1.1 200 OK"),
        ("reason-missing", "HTTP/1.1 200"),
        ("reason-empty", "HTTP/1.1 200 "),
        ("reason-utf-8", "HTTP/1.1 200 schön"),
        ("reason-escape", "HTTP/1.1 200 \x1b[2J"),
    ];
    for (id, line) in first_lines {
        list.reply(id, next_with("").replacen("HTTP/1.1 200 OK", line, 1));
    }
    list.reply("version-1-0", next_with("").replacen("1.1", "1.0", 1));
    list.reply("other-protocol", "SSH-2.0-OpenSSH_9.6\r\n");
    list.reply("other-first-byte", "\x16");
    list.reply(
        "request-echoed",
        "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n",
    );

    let lines = [
        ("line-without-colon", "Nothing here"),
        ("name-empty", ": value"),
        ("name-with-space", "Some Name: value"),
        ("name-space-before-colon", "Name : value"),
        ("name-nul", "Na\0me: value"),
        ("name-utf-8", "Näme: value"),
        ("line-folded", "Name: value\r\n more"),
        ("line-folded-tab", "Name: value\r\n\tmore"),
        ("line-bare-lf", "Name: value\nOther: value"),
        ("line-bare-cr", "Name: va\rlue"),
        ("value-escape", "Name: \x1b[2J"),
        ("value-delete", "Name: \x7f"),
        ("value-empty", "Name:"),
        ("value-utf-8", "Name: schön"),
        ("value-nul", "Name: va\0lue"),
        (
            "value-nul-in-context",
            "Lambda-Runtime-Client-Context: a\0b",
        ),
    ];
    for (id, line) in lines {
        list.reply(&format!("header-{id}"), next_with(&format!("{line}\r\n")));
    }
    let mut latin_1 = next_with("Name: sch?n\r\n").into_bytes();
    let place = latin_1
        .iter()
        .position(|&byte| byte == b'?')
        .expect("a mark");
    latin_1[place] = 0xf6;
    list.reply("header-value-latin-1", latin_1);
    list.reply(
        "head-bare-lf-throughout",
        next_with("").replace("\r\n", "\n"),
    );

    // The id and the length are two.
    list.reply("headers-256", next_with(&"A: b\r\n".repeat(254)));
    list.reply("headers-257", next_with(&"A: b\r\n".repeat(255)));
    let filled = |length: usize| {
        let rest = next_with("Filling: \r\n").len() - EVENT.len();
        next_with(&format!("Filling: {}\r\n", "x".repeat(length - rest)))
    };
    list.reply("head-of-1-mib", filled(1_048_576));
    list.script("head-over-1-mib", |scene| {
        scene.expect_next();
        let rest = next_with("Filling: \r\n").len() - EVENT.len();
        let filling = "x".repeat(1_048_577 - rest);
        scene.try_send(next_with(&format!("Filling: {filling}\r\n")).as_bytes());
    });
    list.script("headers-endless", |scene| {
        flood(scene, "HTTP/1.1 200 OK\r\n", &"A: b\r\n".repeat(10_000));
    });
    list.script("header-endless", |scene| {
        flood(scene, "HTTP/1.1 200 OK\r\nA: ", &"x".repeat(65536));
    });
    list.script("reason-endless", |scene| {
        flood(scene, "HTTP/1.1 200 ", &"x".repeat(65536))
    });
}

fn next_interim_replies(list: &mut List) {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    list.reply("interim-100", [interim, &next_with("")].concat());
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nContent-Length: 12\r\n\r\n";
    list.reply("interim-103-with-headers", [hints, &next_with("")].concat());
    list.reply("interim-16", [interim.repeat(16), next_with("")].concat());
    list.reply("interim-17", [interim.repeat(17), next_with("")].concat());
    list.script("interim-endless", |scene| {
        flood(scene, "", &interim_flood())
    });
    list.reply_then_close("interim-alone", interim);
}

fn interim_flood() -> String {
    "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000)
}

fn next_context(list: &mut List) {
    let without_id = format!("HTTP/1.1 200 OK\r\n{EVENT_LENGTH}\r\n{EVENT}");
    list.reply("id-missing", without_id);
    list.reply("id-empty", next_with("").replacen("faulty\r\n", "\r\n", 1));
    list.reply("id-dots", next_with("").replacen("faulty\r\n", "..\r\n", 1));
    list.reply(
        "id-twice",
        next_with("LAMBDA-RUNTIME-AWS-REQUEST-ID: other\r\n"),
    );
    list.reply(
        "deadline-twice",
        next_with(&"Lambda-Runtime-Deadline-Ms: 1\r\n".repeat(2)),
    );
    list.reply(
        "deadline-word",
        next_with("Lambda-Runtime-Deadline-Ms: soon\r\n"),
    );
    list.reply(
        "deadline-negative",
        next_with("Lambda-Runtime-Deadline-Ms: -1\r\n"),
    );
    list.reply(
        "deadline-overflow",
        next_with("Lambda-Runtime-Deadline-Ms: 18446744073709551616\r\n"),
    );
    list.reply(
        "deadline-huge",
        next_with("Lambda-Runtime-Deadline-Ms: 18446744073709551615\r\n"),
    );
    let long = "x".repeat(200_000);
    list.reply(
        "context-of-200-kb",
        next_with(&format!("Lambda-Runtime-Client-Context: {long}\r\n")),
    );
}

fn next_connections(list: &mut List) {
    // On each of the three connections that are tried for one request.
    list.script("refused", |scene| {
        scene.expect_next();
        scene.stop_listening();
        scene.close();
    });
    list.script("closed-unread-once", |scene| close_unread(scene, 1));
    list.script("closed-unread-twice", |scene| close_unread(scene, 2));
    list.script("closed-unread-thrice", |scene| close_unread(scene, 3));
    list.script("closed-once", |scene| close_after_request(scene, 1));
    list.script("closed-twice", |scene| close_after_request(scene, 2));
    list.script("closed-thrice", |scene| close_after_request(scene, 3));
    list.script("reset-once", |scene| reset(scene, 1));
    list.script("reset-twice", |scene| reset(scene, 2));
    list.script("reset-thrice", |scene| reset(scene, 3));
    list.script("half-closed-once", |scene| {
        scene.expect_next();
        scene.half_close();
    });

    let with_length = next_with("").into_bytes();
    let chunked =
        next_chunked("8;a=b\r\n{\"faulty\r\n4\r\n\":1}\r\n0\r\nA: b\r\n\r\n").into_bytes();
    let interim = [b"HTTP/1.1 100 Continue\r\n\r\n", with_length.as_slice()].concat();
    list.play("cut-length", Play::EveryCut(with_length.clone()));
    list.play("cut-chunked", Play::EveryCut(chunked.clone()));
    list.play(
        "reset-in-length",
        Play::EveryCutByReset(with_length.clone()),
    );
    list.play("reset-in-chunked", Play::EveryCutByReset(chunked.clone()));
    list.play("split-length", Play::EverySplit(with_length));
    list.play("split-chunked", Play::EverySplit(chunked));
    list.play("split-interim", Play::EverySplit(interim));
    list.script("byte-by-byte", |scene| {
        scene.expect_next();
        for byte in next_chunked("c\r\n{\"faulty\":1}\r\n0\r\n\r\n").as_bytes() {
            scene.send_alone(&[*byte]);
        }
    });
    list.script("half-of-6-mb", |scene| {
        scene.expect_next();
        let body = vec![b'x'; PAYLOAD_LIMIT];
        let reply = event("faulty", "", &body);
        scene.send(&reply[..reply.len() / 2]);
        scene.close();
    });

    list.script("says-close-and-stays", |scene| {
        scene.expect_next();
        scene.send(&event(
            "faulty",
            "Connection: keep-alive, Close\r\n",
            EVENT.as_bytes(),
        ));
        let answer = take_answer(scene);
        assert_eq!(
            answer, 2,
            "the connection was used although the reply said that it closes"
        );
    });
    list.script_on("closed-while-idle", r#"{"faulty":"wait"}"#, |scene| {
        scene.expect_next();
        scene.send(&event("faulty", "", br#"{"faulty":"wait"}"#));
        scene.close();
        open_gate(scene);
    });
    list.script_on("reset-while-idle", r#"{"faulty":"wait"}"#, |scene| {
        scene.reply_then_reset(&event("faulty", "", br#"{"faulty":"wait"}"#));
        open_gate(scene);
    });
    list.script_on("half-closed-while-idle", r#"{"faulty":"wait"}"#, |scene| {
        scene.expect_next();
        scene.send(&event("faulty", "", br#"{"faulty":"wait"}"#));
        scene.half_close();
        open_gate(scene);
        let answer = take_answer(scene);
        assert_eq!(answer, 2, "the answer went where no reply could come from");
    });
    list.script_on("speaks-while-idle", r#"{"faulty":"wait"}"#, |scene| {
        scene.expect_next();
        scene.send(&event("faulty", "", br#"{"faulty":"wait"}"#));
        // An answer to a question that was not asked yet.
        scene.send(ACCEPTED);
        open_gate(scene);
    });
}

/// What happens to the answer of an event: on `/response` and on `/error` alike.
fn answer_replies(list: &mut List) {
    for status in [200, 201, 202, 204, 299] {
        list.reply(&format!("status-{status}"), status_reply(status));
    }
    for status in [
        101, 300, 301, 304, 400, 401, 403, 404, 409, 410, 413, 429, 431, 499,
    ] {
        list.reply(&format!("status-{status}"), status_reply(status));
    }
    for status in [500, 502, 503, 504, 599, 999] {
        list.reply(&format!("status-{status}"), status_reply(status));
    }
    broken_replies(list);
    list.script("closed-before-reply", |scene| {
        scene.request().expect("an answer");
        scene.close();
    });
    list.script("reset-before-reply", |scene| scene.reply_then_reset(b""));
    list.script("refused-after-close", |scene| {
        scene.request().expect("an answer");
        scene.stop_listening();
        scene.close();
    });
    let accepted = "HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\n\r\nOK\n";
    list.play("split", Play::EverySplit(accepted.into()));
    let chunked =
        "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nOK\n\r\n0\r\n\r\n";
    list.play("split-chunked", Play::EverySplit(chunked.into()));
}

/// A complete reply as the Runtime API gives it.
fn status_reply(status: u16) -> String {
    let body = if status == 204 || status == 304 {
        ""
    } else {
        "{\"errorType\":\"Any\"}"
    };
    format!(
        "HTTP/1.1 {status} Whatever\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Replies to a POST that are no good.
fn broken_replies(list: &mut List) {
    let replies = [
        ("garbage", "SSH-2.0-OpenSSH_9.6\r\n"),
        (
            "length-twice",
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "length-plus",
            "HTTP/1.1 202 Accepted\r\nContent-Length: +3\r\n\r\nOK\n",
        ),
        (
            "length-and-coding",
            "HTTP/1.1 202 Accepted\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        (
            "header-folded",
            "HTTP/1.1 202 Accepted\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "body-over-64-kib",
            "HTTP/1.1 202 Accepted\r\nContent-Length: 65537\r\n\r\n",
        ),
        (
            "chunk-bad",
            "HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ),
        ("unframed", "HTTP/1.1 202 Accepted\r\n\r\n"),
        (
            "twice",
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "interim",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        ),
    ];
    for (id, reply) in replies {
        list.reply(id, reply);
    }
    let closed = [
        ("cut-in-status-line", "HTTP/1.1 20"),
        ("cut-in-headers", "HTTP/1.1 202 Accepted\r\nContent-Le"),
        (
            "cut-in-body",
            "HTTP/1.1 202 Accepted\r\nContent-Length: 16\r\n\r\n{\"status\"",
        ),
        (
            "closed-after-reply",
            "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "says-close",
            "HTTP/1.1 202 Accepted\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        ),
        (
            "http-1-0",
            "HTTP/1.0 202 Accepted\r\nContent-Length: 0\r\n\r\n",
        ),
    ];
    for (id, reply) in closed {
        list.reply_then_close(id, reply);
    }
}

/// Faults in the middle of a long answer.
fn response_connections(list: &mut List) {
    list.script_on("413-before-body", LARGE, |scene| {
        let reply = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        scene.take_head_of_request();
        scene.send(reply.as_bytes());
        scene.close();
    });
    list.script_on("closed-inside-body", LARGE, |scene| {
        scene.take_head_of_request();
        scene.close();
    });
    list.script_on("large-then-403", LARGE, |scene| {
        let request = scene.request().expect("an answer");
        assert_eq!(request.body.len(), 6_000_000);
        scene.send(status_reply(403).as_bytes());
    });
}

/// Accepts a stream when there is no more of it than its head, and then reads the rest.
fn early_success(scene: &mut Scene, status: u16) {
    scene.take_head_of_request();
    scene.send(status_reply(status).as_bytes());
    assert_eq!(scene.take_chunks().len(), 6_000_000);
}

const STREAMING: &[(&str, &str)] = &[("BOOTSTRAP_RESPONSE_MODE", "streaming")];

fn streamed_responses(list: &mut List) {
    for status in [202, 400, 413, 500] {
        list.reply(&format!("streamed-status-{status}"), status_reply(status));
        list.last().environment = STREAMING;
    }
    list.script("streamed-closed-before-reply", |scene| {
        scene.request().expect("an answer");
        scene.close();
    });
    list.last().environment = STREAMING;
    list.script_on("streamed-413-in-the-middle", LARGE, |scene| {
        scene.take_head_of_request();
        scene.send(b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        scene.close();
    });
    list.last().environment = STREAMING;
    list.script_on("streamed-202-in-the-middle", LARGE, |scene| {
        early_success(scene, 202);
    });
    list.last().environment = STREAMING;
    list.script_on("streamed-204-in-the-middle", LARGE, |scene| {
        early_success(scene, 204);
    });
    list.last().environment = STREAMING;
    list.script_on("streamed-500-in-the-middle", LARGE, |scene| {
        scene.take_head_of_request();
        scene.send(b"HTTP/1.1 500 Broken\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
        scene.close();
    });
    list.last().environment = STREAMING;
    list.script_on("streamed-closed-in-the-middle", LARGE, |scene| {
        scene.take_head_of_request();
        scene.close();
    });
    list.last().environment = STREAMING;
}

/// An init that failed is reported once and ends the process, whatever the API makes of it.
fn init_replies(list: &mut List) {
    for status in [202, 204, 400, 403, 404, 410, 413, 500, 503] {
        list.reply(&format!("status-{status}"), status_reply(status));
    }
    broken_replies(list);
    list.script("closed-before-reply", |scene| {
        scene.request().expect("a report");
        scene.close();
    });
    list.script("reset-before-reply", |scene| scene.reply_then_reset(b""));
}

fn register_replies(list: &mut List) {
    let reply = |status: u16| {
        format!(
            "HTTP/1.1 {status} Whatever\r\nLambda-Extension-Identifier: some-id\r\n\
             Content-Length: 2\r\n\r\n{{}}"
        )
    };
    for status in [200, 400, 403, 500] {
        list.reply(&format!("status-{status}"), reply(status));
    }
    list.reply(
        "id-missing",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    );
    list.reply("garbage", "SSH-2.0-OpenSSH_9.6\r\n");
    list.reply_then_close("cut", "HTTP/1.1 200 OK\r\nLambda-Ext");
    list.script("closed-before-reply", |scene| {
        scene.request().expect("a registration");
        scene.close();
    });
}

fn restore_replies(list: &mut List) {
    for status in [200, 202, 204, 403, 404, 500] {
        list.reply(&format!("status-{status}"), status_reply(status));
    }
    list.reply("garbage", "SSH-2.0-OpenSSH_9.6\r\n");
    list.reply_then_close("cut", "HTTP/1.1 200 OK\r\nContent-Le");
    list.script("closed-once", |scene| {
        scene.request().expect("the question for a restore");
        scene.close();
    });
}

/// As after an init that failed: reported once, and the process ends.
fn restore_error_replies(list: &mut List) {
    for status in [202, 400, 403, 500] {
        list.reply(&format!("status-{status}"), status_reply(status));
    }
    list.reply("garbage", "SSH-2.0-OpenSSH_9.6\r\n");
    list.reply_then_close("cut", "HTTP/1.1 202 Accepted\r\nContent-Le");
    list.script("closed-before-reply", |scene| {
        scene.request().expect("a report");
        scene.close();
    });
}

/// Answers with an endless reply, until the bootstrap no longer takes it.
fn flood(scene: &mut Scene, start: &str, more: &str) {
    scene.expect_next();
    let mut sent = scene.try_send(start.as_bytes());
    let mut megabytes = 0;
    while sent {
        // Far over every limit, and over the memory that the bootstrap may use.
        assert!(megabytes < 512, "512 MB of a reply were taken");
        let mut part = String::with_capacity(1_000_000 + more.len());
        while part.len() < 1_000_000 {
            part.push_str(more);
        }
        sent = scene.try_send(part.as_bytes());
        megabytes += 1;
    }
}

fn close_unread(scene: &mut Scene, times: usize) {
    for _ in 0..times {
        scene.wait_for_connection();
        scene.close();
    }
}

fn close_after_request(scene: &mut Scene, times: usize) {
    for _ in 0..times {
        scene.expect_next();
        scene.close();
    }
}

fn reset(scene: &mut Scene, times: usize) {
    for _ in 0..times {
        scene.reply_then_reset(b"");
    }
}

/// Lets a handler go on that waits to be told so, once it is there. One that never comes is a
/// failure: to open for writing as usual would wait for it without end.
fn open_gate(scene: &Scene) {
    let path = scene.folder.path().join("gate");
    let until = Instant::now() + PATIENCE;
    let mut gate = loop {
        match OpenOptions::new()
            .write(true)
            .custom_flags(O_NONBLOCK)
            .open(&path)
        {
            Ok(gate) => break gate,
            Err(error) => assert!(
                Instant::now() < until,
                "no handler at the other end: {error}"
            ),
        }
        thread::sleep(Duration::from_millis(1));
    };
    gate.write_all(b"go\n").expect("the handler told");
}

/// Waits for the answer to the event at fault and accepts it; tells which connection it came on.
fn take_answer(scene: &mut Scene) -> usize {
    let answer = scene.expect_answer("faulty", "response");
    scene.send(ACCEPTED);
    answer.connection
}
