//! What answers events.

use crate::context::Context;
use crate::failure::Failure;
use crate::responder::{Answered, Responder};

/// What answers events. One for each slot, so that no two events share its memory.
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
    /// The handler cannot go on. It is logged, and the process exits with status 1.
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

    /// Runs after the process was restored from a snapshot.
    ///
    /// # Errors
    /// Reported as a restore error.
    fn after_restore(&mut self) -> Result<(), Failure> {
        Ok(())
    }
}
