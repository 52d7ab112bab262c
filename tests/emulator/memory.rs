//! How much memory a function's processes have at most, all together.
//!
//! The tree of processes below the bootstrap is looked at again and again while an event runs, so
//! that a process counts also when it has ended before the event has. What a process had between
//! two looks is known by the kernel's own high-water mark, as long as it lives.

use super::process;
use std::collections::BTreeSet;
use std::fs;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// The time between two looks: short at first, when small programs come and go.
const OFTEN: Duration = Duration::from_millis(2);
const SELDOM: Duration = Duration::from_millis(10);
const AT_FIRST: Duration = Duration::from_secs(2);

/// Every so many looks all processes of the machine are searched for those that left the tree.
const STRAYS: usize = 25;

#[derive(Default)]
struct Watch {
    root: u32,
    /// How many events run.
    active: usize,
    since: Option<Instant>,
    /// In KiB.
    peak: u64,
    closed: bool,
}

pub(crate) struct Meter(Arc<(Mutex<Watch>, Condvar)>);

impl Meter {
    /// `tag` is the one of the processes.
    pub(crate) fn start(tag: &str) -> Meter {
        let shared = Arc::new((Mutex::new(Watch::default()), Condvar::new()));
        let (watch, tag) = (Arc::clone(&shared), tag.to_owned());
        thread::spawn(move || run(&watch, &tag));
        Meter(shared)
    }

    /// A new bootstrap: its memory is counted from nothing.
    pub(crate) fn restart(&self, root: u32) {
        let mut watch = lock(&self.0.0);
        (watch.root, watch.peak) = (root, 0);
    }

    /// Looks until `rest` is called as often.
    pub(crate) fn watch(&self) {
        let mut watch = lock(&self.0.0);
        watch.active += 1;
        watch.since = Some(Instant::now());
        drop(watch);
        self.0.1.notify_all();
    }

    /// The most memory so far, in KiB. One more look is taken for it.
    pub(crate) fn rest(&self) -> u64 {
        let root = lock(&self.0.0).root;
        let now = together(&tree(root));
        let mut watch = lock(&self.0.0);
        watch.active = watch.active.saturating_sub(1);
        if watch.root == root {
            watch.peak = watch.peak.max(now);
        }
        watch.peak
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        lock(&self.0.0).closed = true;
        self.0.1.notify_all();
    }
}

fn lock(watch: &Mutex<Watch>) -> MutexGuard<'_, Watch> {
    watch
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn run((watch, changed): &(Mutex<Watch>, Condvar), tag: &str) {
    let mut strays = Vec::new();
    for look in 0.. {
        let (root, pause) = {
            let mut watch = lock(watch);
            while watch.active == 0 && !watch.closed {
                watch = changed
                    .wait(watch)
                    .unwrap_or_else(|poisoned| poisoned.into_inner());
            }
            if watch.closed {
                return;
            }
            let young = watch.since.is_some_and(|since| since.elapsed() < AT_FIRST);
            (watch.root, if young { OFTEN } else { SELDOM })
        };
        if look % STRAYS == 0 {
            strays = process::tagged(tag);
        }
        let mut pids = tree(root);
        pids.extend(&strays);
        let now = together(&pids);
        let mut watch = lock(watch);
        if watch.root == root {
            watch.peak = watch.peak.max(now);
        }
        drop(watch);
        thread::sleep(pause);
    }
}

/// A process and all below it.
fn tree(root: u32) -> BTreeSet<u32> {
    let (mut found, mut waiting) = (BTreeSet::new(), vec![root]);
    while let Some(pid) = waiting.pop() {
        if pid == 0 || !found.insert(pid) {
            continue;
        }
        let tasks = fs::read_dir(format!("/proc/{pid}/task"))
            .into_iter()
            .flatten()
            .flatten();
        for task in tasks {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            waiting.extend(
                children
                    .split(' ')
                    .filter_map(|pid| pid.trim().parse::<u32>().ok()),
            );
        }
    }
    found
}

/// What these have resident now; and of the one that had most more than it has now, that.
fn together(pids: &BTreeSet<u32>) -> u64 {
    let (mut now, mut more) = (0, 0);
    for pid in pids {
        // One that is gone by now has nothing.
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let resident = field(&status, "VmRSS:");
        now += resident;
        more = more.max(field(&status, "VmHWM:").saturating_sub(resident));
    }
    now + more
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}
