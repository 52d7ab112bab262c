//! What answers events.

use crate::context::Context;
use crate::failure::Failure;
use crate::panics;
use crate::responder::{Answered, Responder};

/// What answers events. One for each slot, so that no two events share its memory.
///
/// This one sends each word of an event as a line of JSON, at once.
///
/// ```no_run
/// use std::io::Write;
/// use zerostrap::{Answered, Context, Failure, Handler, Responder, Stream, json_string};
///
/// #[derive(Default)]
/// struct Words {
///     event: Vec<u8>,
/// }
///
/// impl Words {
///     fn send(&self, stream: &mut Stream<'_>) -> Result<(), Failure> {
///         for word in std::str::from_utf8(&self.event)?.split_whitespace() {
///             let line = json_string(word) + "\n";
///             stream.write_all(line.as_bytes())?;
///         }
///         Ok(())
///     }
/// }
///
/// impl Handler for Words {
///     fn receive(&mut self, part: &[u8]) {
///         self.event.extend_from_slice(part);
///     }
///
///     fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered {
///         let mut stream = responder.stream("application/x-ndjson", context.deadline());
///         let sent = self.send(&mut stream);
///         self.event.clear();
///         match sent {
///             Ok(()) => stream.finish(),
///             Err(failure) => stream.fail(&failure),
///         }
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     zerostrap::serve(|_settings| Ok(Words::default()))
/// }
/// ```
pub trait Handler {
    /// Receives the next part of an event, as it arrives. The parts are an event only once
    /// [`Handler::handle`] is called; after an event that was cut, nothing is called any more.
    fn receive(&mut self, part: &[u8]);

    /// Answers the event whose parts were received since the last call.
    fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered;

    /// Runs after an answer, before the next event is asked for: the place to repair what the event
    /// broke. While it runs, Lambda still counts the event as running.
    ///
    /// # Errors
    /// The handler cannot go on. It is logged, and the process exits with status 1, as after a
    /// panic here.
    fn recover(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Runs before a snapshot is taken.
    ///
    /// # Errors
    /// Reported as an init error.
    fn before_snapshot(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    /// Runs after the process was restored from a snapshot. It does not run for a handler that
    /// takes the place of one that panicked later: that handler is made after the restore.
    ///
    /// # Errors
    /// Reported as a restore error.
    fn after_restore(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}

/// What serves a slot: a handler. After a panic its state is unknown, so another takes its place.
pub(crate) struct Slot<'a, H> {
    pub(crate) handler: H,
    pub(crate) make: &'a dyn Fn() -> Result<H, Failure>,
    /// How the handler ended, if it did.
    pub(crate) panic: Option<Failure>,
}

impl<H: Handler> Handler for Slot<'_, H> {
    fn receive(&mut self, part: &[u8]) {
        if self.panic.is_none() {
            let received = panics::catch(|| {
                self.handler.receive(part);
                Ok(())
            });
            self.panic = received.err();
        }
    }

    fn handle(&mut self, context: &Context, responder: Responder<'_>) -> Answered {
        if let Some(panic) = &self.panic {
            return responder.fail(panic);
        }
        let handled = panics::catch(|| Ok(self.handler.handle(context, responder)));
        handled.unwrap_or_else(|panic| {
            self.panic = Some(panic);
            // The responder answered when it was dropped.
            Answered(Ok(()))
        })
    }

    fn recover(&mut self) -> Result<(), Failure> {
        match self.panic.take() {
            None => self.handler.recover()?,
            Some(_) => self.handler = (self.make)()?,
        }
        Ok(())
    }

    fn before_snapshot(&mut self) -> Result<(), Failure> {
        panics::catch(|| self.handler.before_snapshot())
    }

    fn after_restore(&mut self) -> Result<(), Failure> {
        panics::catch(|| self.handler.after_restore())
    }
}
