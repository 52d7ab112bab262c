//! Waiting for what nobody announces, and taking turns.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a condition may take to come true before the test fails: far more than any needs, so
/// that a slow machine is not taken for a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition holds; fails when it does not within [`PATIENCE`].
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            Instant::now() < end,
            "waited {PATIENCE:?} in vain until {what}"
        );
        thread::sleep(Duration::from_millis(1));
    }
}

/// The turn of a test that measures times of less than seconds, or whose handlers compute or flood
/// the log for ever: such tests would take the processors from each other's bootstraps.
pub(crate) fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed in its turn has ended it.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
