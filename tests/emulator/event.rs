//! An event in the queue, and the exact bytes in which `GET /next` delivers it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What `Lambda-Runtime-Invoked-Function-Arn` says if a test does not set it.
const ARN: &[u8] = b"arn:aws:lambda:us-east-1:012345678912:function:function";

/// How the body of the reply is framed.
#[derive(Clone)]
enum Framing {
    /// What Lambda does: Content-Length up to 2,048 bytes, one single chunk above.
    AsLambda,
    Length,
    /// Chunks of this size, with chunk extensions and trailers, which a client has to skip.
    Chunks(usize),
}

#[derive(Clone)]
enum Deadline {
    In(Duration),
    At(u64),
    Absent,
}

/// One event. What is not set is as Lambda has it.
#[derive(Clone)]
pub(crate) struct Event {
    pub(crate) body: Vec<u8>,
    id: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
    omitted: Vec<String>,
    lower_case: bool,
    deadline: Deadline,
    framing: Framing,
    interim: Vec<u8>,
    closing: bool,
}

impl Event {
    pub(crate) fn new(body: impl AsRef<[u8]>) -> Event {
        Event {
            body: body.as_ref().to_vec(),
            id: None,
            headers: Vec::new(),
            omitted: Vec::new(),
            lower_case: false,
            deadline: Deadline::In(Duration::from_secs(30)),
            framing: Framing::AsLambda,
            interim: Vec::new(),
            closing: false,
        }
    }

    /// The request id; without it the API gives one.
    pub(crate) fn id(mut self, id: impl AsRef<[u8]>) -> Event {
        self.id = Some(id.as_ref().to_vec());
        self
    }

    /// Adds a header, or replaces Lambda's own; any bytes, as they shall be on the wire.
    pub(crate) fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Event {
        self.headers
            .push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Leaves one of Lambda's own headers out.
    pub(crate) fn without(mut self, name: &str) -> Event {
        self.omitted.push(name.to_owned());
        self
    }

    /// Header names in lower case, as a proxy may send them.
    pub(crate) fn lower_case(mut self) -> Event {
        self.lower_case = true;
        self
    }

    /// The deadline, counted from the moment of delivery.
    pub(crate) fn deadline_in(mut self, time: Duration) -> Event {
        self.deadline = Deadline::In(time);
        self
    }

    /// The deadline as the header has it: milliseconds since 1970.
    pub(crate) fn deadline_at(mut self, milliseconds: u64) -> Event {
        self.deadline = Deadline::At(milliseconds);
        self
    }

    pub(crate) fn no_deadline(mut self) -> Event {
        self.deadline = Deadline::Absent;
        self
    }

    pub(crate) fn with_content_length(mut self) -> Event {
        self.framing = Framing::Length;
        self
    }

    /// Chunks of `size` bytes with extensions, and trailers at the end.
    pub(crate) fn in_chunks_of(mut self, size: usize) -> Event {
        self.framing = Framing::Chunks(size);
        self
    }

    /// Bytes before the reply, for example one or more 1xx replies.
    pub(crate) fn after(mut self, interim: &[u8]) -> Event {
        self.interim = interim.to_vec();
        self
    }

    /// The server says `Connection: close` with this event, and does it.
    pub(crate) fn closing(mut self) -> Event {
        self.closing = true;
        self
    }

    pub(crate) fn closes(&self) -> bool {
        self.closing
    }

    /// The id, given now if there was none.
    pub(crate) fn take_id(&mut self, number: usize) -> String {
        let id = self
            .id
            .get_or_insert_with(|| format!("8476a536-e9f4-11e8-9739-{number:012x}").into_bytes());
        String::from_utf8_lossy(id).into_owned()
    }

    /// When the deadline is, if it were delivered now; for who has to enforce it.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        match self.deadline {
            Deadline::In(time) => Some(time),
            Deadline::At(_) | Deadline::Absent => None,
        }
    }

    /// The reply to `GET /next`.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.interim.clone();
        bytes.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
        for (name, value) in self.all_headers() {
            let name = if self.lower_case {
                name.to_lowercase()
            } else {
                name
            };
            bytes.extend_from_slice(format!("{name}: ").as_bytes());
            bytes.extend_from_slice(&value);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        match self.framing {
            Framing::AsLambda if self.body.len() > 2048 => {
                bytes.extend_from_slice(format!("{:x}\r\n", self.body.len()).as_bytes());
                bytes.extend_from_slice(&self.body);
                bytes.extend_from_slice(b"\r\n0\r\n\r\n");
            }
            Framing::AsLambda | Framing::Length => bytes.extend_from_slice(&self.body),
            Framing::Chunks(size) => {
                for chunk in self.body.chunks(size) {
                    let line = format!("{:X};name=value;flag\r\n", chunk.len());
                    bytes.extend_from_slice(line.as_bytes());
                    bytes.extend_from_slice(chunk);
                    bytes.extend_from_slice(b"\r\n");
                }
                bytes.extend_from_slice(b"0;last\r\nX-Checked: yes\r\nX-More: two\r\n\r\n");
            }
        }
        bytes
    }

    /// Lambda's own headers, but those omitted or replaced; then those added.
    fn all_headers(&self) -> Vec<(String, Vec<u8>)> {
        let mut headers = vec![("Content-Type".to_owned(), b"application/json".to_vec())];
        let mut push = |name: &str, value: &[u8]| headers.push((name.to_owned(), value.to_vec()));
        push(
            "Lambda-Runtime-Aws-Request-Id",
            self.id.as_deref().unwrap_or_default(),
        );
        if let Some(milliseconds) = self.deadline_milliseconds() {
            push(
                "Lambda-Runtime-Deadline-Ms",
                milliseconds.to_string().as_bytes(),
            );
        }
        push("Lambda-Runtime-Invoked-Function-Arn", ARN);
        if self.closing {
            push("Connection", b"close");
        }
        match self.framing {
            Framing::AsLambda if self.body.len() > 2048 => push("Transfer-Encoding", b"chunked"),
            Framing::Chunks(_) => {
                push("Transfer-Encoding", b"chunked");
                push("Trailer", b"X-Checked");
            }
            Framing::AsLambda | Framing::Length => {
                push("Content-Length", self.body.len().to_string().as_bytes());
            }
        }
        let added = |name: &str| {
            self.headers
                .iter()
                .any(|(n, _)| n.eq_ignore_ascii_case(name))
        };
        headers.retain(|(name, _)| !added(name) && !self.omitted.contains(name));
        headers.extend(self.headers.iter().cloned());
        headers
    }

    fn deadline_milliseconds(&self) -> Option<u128> {
        match self.deadline {
            Deadline::In(time) => {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                Some((now + time).as_millis())
            }
            Deadline::At(milliseconds) => Some(u128::from(milliseconds)),
            Deadline::Absent => None,
        }
    }
}
