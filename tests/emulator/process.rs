//! The bootstrap's process, its log, and everything that it started.
//!
//! Every process of one sandbox is known by a variable in its environment, which children inherit.
//! So a process is found after its parent is gone and after it left group and session.

use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

const TAG: &str = "ZEROSTRAP_SANDBOX";

/// A value that no other sandbox on this machine has.
pub(crate) fn new_tag() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!(
        "{}.{}",
        process::id(),
        COUNT.fetch_add(1, Ordering::Relaxed)
    )
}

/// The processes of a sandbox.
pub(crate) fn tagged(tag: &str) -> Vec<u32> {
    with_variable(&format!("{TAG}={tag}"))
}

/// The processes that were started with this `NAME=value` in their environment. One that ended and
/// is not waited for yet does not count.
pub(crate) fn with_variable(wanted: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| {
        // A process that is gone by now, or another user's, cannot be read and is none of ours.
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment
            .split(|&b| b == 0)
            .any(|variable| variable == wanted.as_bytes())
    })
    .collect()
}

/// Sends a signal to processes; those gone by then are passed over.
pub(crate) fn signal(name: &str, pids: &[u32]) {
    // The shell's own `kill`: the standard library has none, and this crate forbids unsafe code.
    let numbers = pids.iter().map(u32::to_string);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "for pid; do kill -s \"$0\" \"$pid\"; done", name])
        .args(numbers);
    let status = shell.stdin(Stdio::null()).stderr(Stdio::null()).status();
    status.expect("/bin/sh runs");
}

/// Kills every process of a sandbox, also those started while this goes on.
pub(crate) fn kill_tagged(tag: &str) {
    for _ in 0..100 {
        let pids = tagged(tag);
        if pids.is_empty() {
            return;
        }
        signal("KILL", &pids);
    }
}

#[derive(Default)]
struct Seen {
    log: Vec<u8>,
    log_closed: bool,
    exit: Option<ExitStatus>,
}

/// Where both outputs of a bootstrap go.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Log {
    Kept,
    /// Where the command says.
    Given,
}

/// A running bootstrap. It and its processes are killed when this is dropped.
pub(crate) struct Bootstrap {
    pub(crate) pid: u32,
    pub(crate) tag: String,
    seen: Arc<(Mutex<Seen>, Condvar)>,
}

impl Bootstrap {
    /// Starts the command as Lambda starts a runtime: in a process group of its own, with nothing
    /// on standard input, and both outputs going to the log. `on_exit` is called when it ended.
    pub(crate) fn start(
        mut command: Command,
        tag: String,
        log: Log,
        on_exit: impl FnOnce() + Send + 'static,
    ) -> io::Result<Bootstrap> {
        command.env(TAG, &tag).process_group(0).stdin(Stdio::null());
        let reader = match log {
            Log::Kept => {
                let (reader, writer) = io::pipe()?;
                command.stdout(writer.try_clone()?).stderr(writer);
                Some(reader)
            }
            Log::Given => None,
        };
        let mut child = command.spawn()?;
        // The command holds our copies of the pipe's end for writing.
        drop(command);
        let pid = child.id();
        let seen = Arc::new((Mutex::new(Seen::default()), Condvar::new()));
        let bootstrap = Bootstrap {
            pid,
            tag,
            seen: Arc::clone(&seen),
        };
        if let Some(mut reader) = reader {
            let seen = Arc::clone(&seen);
            thread::spawn(move || {
                let mut buffer = [0; 65_536];
                while let Ok(length @ 1..) = reader.read(&mut buffer) {
                    note(&seen, |seen| seen.log.extend_from_slice(&buffer[..length]));
                }
                note(&seen, |seen| seen.log_closed = true);
            });
        }
        thread::spawn(move || {
            let exit = child.wait().expect("a child can be waited for");
            note(&seen, |seen| seen.exit = Some(exit));
            on_exit();
        });
        Ok(bootstrap)
    }

    /// How it ended, if it did.
    pub(crate) fn exit(&self) -> Option<ExitStatus> {
        lock(&self.seen.0).exit
    }

    /// Waits for its end.
    pub(crate) fn wait_exit(&self, at_most: Duration) -> Option<ExitStatus> {
        self.wait(at_most, |seen| seen.exit)
    }

    /// What of the log was read so far; more may be on its way.
    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&lock(&self.seen.0).log).into_owned()
    }

    /// Waits until the log holds a text so many times. Whether it does.
    pub(crate) fn wait_log(&self, text: &str, times: usize, at_most: Duration) -> bool {
        let held = |seen: &Seen| String::from_utf8_lossy(&seen.log).matches(text).count();
        self.wait(at_most, |seen| (held(seen) >= times).then_some(()))
            .is_some()
    }

    /// Waits until nobody has the log open any more: then it is complete.
    pub(crate) fn wait_log_closed(&self, at_most: Duration) -> bool {
        self.wait(at_most, |seen| seen.log_closed.then_some(()))
            .is_some()
    }

    /// The log since the last call.
    pub(crate) fn take_log(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.seen.0).log)
    }

    fn wait<T>(&self, at_most: Duration, found: impl Fn(&Seen) -> Option<T>) -> Option<T> {
        let until = Instant::now() + at_most;
        let mut seen = lock(&self.seen.0);
        loop {
            if let Some(result) = found(&seen) {
                return Some(result);
            }
            let left = until.checked_duration_since(Instant::now())?;
            let waited = self.seen.1.wait_timeout(seen, left);
            seen = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}

impl Drop for Bootstrap {
    fn drop(&mut self) {
        kill_tagged(&self.tag);
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn note(seen: &(Mutex<Seen>, Condvar), change: impl FnOnce(&mut Seen)) {
    change(&mut lock(&seen.0));
    seen.1.notify_all();
}
