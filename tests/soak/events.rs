//! What events there are, how each must end, and what the API does wrong meanwhile.

use std::fmt;

use crate::harness::scripted::PAYLOAD_LIMIT;

/// Does what its client context says; without one its answer is its event.
pub(crate) const HANDLER: &str = r#"case "${LAMBDA_RUNTIME_CLIENT_CONTEXT-}" in
'') case $# in 0) exec cat ;; *) printf '%s' "$1" ;; esac ;;
fail) exit 3 ;;
document) echo '{"errorType":"Mine","errorMessage":"as asked"}'; exit 4 ;;
kill) kill -KILL $$ ;;
term) kill -TERM $$ ;;
large) exec head -c 6291557 /dev/zero ;;
overrun) exec sleep 40 ;;
overrun-deaf) trap '' TERM; sleep 40 ;;
overrun-busy) while :; do :; done ;;
leave) sleep 0.2 & echo left ;;
escape) setsid sleep 0.05 & echo escaped ;;
close) echo closed; exec >&-; sleep 0.01 ;;
log) echo 'a line of log' >&2; echo logged ;;
unread) echo unread ;;
trap) trap 'echo trapped' EXIT; echo 'a line of log' >&2 ;;
silent) : ;;
esac"#;

/// How an event must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The response is the event.
    Echo,
    /// The response is this, but for newlines at its end.
    Says(&'static str),
    /// An error document of this type.
    Fails(&'static str),
}

/// What the API does wrong during an event, and survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiFault {
    None,
    SplitsEvent,
    ClosesAfterEvent,
    SaysClose,
    SpeaksUnasked,
    Interim,
    NoEventYet,
    ClosesInsteadOfEvent,
    ResetsInsteadOfEvent,
    RefusesAnswer(u16),
    ClosesInsteadOfTaking,
    ClosesAfterTaking,
    ClosesInsideAnswer,
    GarbageInsteadOfTaking,
    SplitsTaking,
}

pub(crate) struct Event {
    pub(crate) context: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) ending: Ending,
    pub(crate) fault: ApiFault,
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Event {
            context,
            body,
            ending,
            fault,
        } = self;
        write!(
            f,
            "{context:?} of {} bytes, {ending:?}, {fault:?}",
            body.len()
        )
    }
}

/// Pseudo-random numbers: the same for the same seed.
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) fn new(seed: usize) -> Draw {
        // xorshift64 stays at 0 if it starts there.
        Draw((seed as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// A number from 0 to `limit` - 1.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).expect("64 bits") % limit.max(1)
    }

    /// Streaming: without the events whose output is sent before it is known to be no response.
    pub(crate) fn event(&mut self, is_streaming: bool) -> Event {
        let (context, ending) = loop {
            let (context, ending) = self.behaviour();
            if !is_streaming || !["document", "large"].contains(&context) {
                break (context, ending);
            }
        };
        Event {
            context,
            body: self.body(),
            ending,
            fault: self.fault(),
        }
    }

    /// In a thousand.
    fn behaviour(&mut self) -> (&'static str, Ending) {
        match self.below(1_000) {
            0..=29 => ("fail", Ending::Fails("Function.ExitNonZero")),
            30..=49 => ("document", Ending::Fails("Mine")),
            50..=59 => ("kill", Ending::Fails("Function.KilledBySignal")),
            60..=64 => ("term", Ending::Fails("Function.KilledBySignal")),
            65 => ("large", Ending::Fails("Function.ResponseSizeTooLarge")),
            66..=67 => ("overrun", Ending::Fails("Function.TimedOut")),
            68 => ("overrun-deaf", Ending::Fails("Function.TimedOut")),
            69 => ("overrun-busy", Ending::Fails("Function.TimedOut")),
            70..=79 => ("leave", Ending::Says("left")),
            80..=89 => ("escape", Ending::Says("escaped")),
            90..=94 => ("close", Ending::Says("closed")),
            95..=114 => ("log", Ending::Says("logged")),
            115..=124 => ("unread", Ending::Says("unread")),
            125..=129 => ("trap", Ending::Says("trapped")),
            130..=139 => ("silent", Ending::Says("")),
            _ => ("", Ending::Echo),
        }
    }

    /// Mostly small. The last byte is no newline, which a shell would drop.
    fn body(&mut self) -> Vec<u8> {
        let size = match self.below(1_000) {
            0 => self.below(PAYLOAD_LIMIT + 1),
            1 => PAYLOAD_LIMIT,
            2..=49 => self.below(131_072),
            50..=99 => 0,
            _ => self.below(2_048),
        };
        let mut state = self.below(usize::MAX);
        let mut byte = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            // Printable: bash writes a line of log for a NUL in an argument.
            b' ' + u8::try_from(state >> 57).expect("7 bits") % 95
        };
        (0..size).map(|_| byte()).collect()
    }

    fn fault(&mut self) -> ApiFault {
        match self.below(1_000) {
            0..=49 => ApiFault::SplitsEvent,
            50..=59 => ApiFault::ClosesAfterEvent,
            60..=69 => ApiFault::SaysClose,
            70..=74 => ApiFault::SpeaksUnasked,
            75..=84 => ApiFault::Interim,
            85..=86 => ApiFault::NoEventYet,
            87..=94 => ApiFault::ClosesInsteadOfEvent,
            95..=99 => ApiFault::ResetsInsteadOfEvent,
            100..=119 => ApiFault::RefusesAnswer([400, 403, 410, 413][self.below(4)]),
            120..=129 => ApiFault::ClosesInsteadOfTaking,
            130..=139 => ApiFault::ClosesAfterTaking,
            140..=142 => ApiFault::ClosesInsideAnswer,
            143..=147 => ApiFault::GarbageInsteadOfTaking,
            148..=167 => ApiFault::SplitsTaking,
            _ => ApiFault::None,
        }
    }
}
