//! The system calls that `std` does not have. The only file with `unsafe`.
//!
//! Each function below is declared as libc has it (musl and glibc agree on all of them for 64-bit
//! Linux) and wrapped so that its caller needs no `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_long, c_uint, c_ulong};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

mod libc {
    use super::{PollFd, c_int, c_long, c_uint, c_ulong};

    // SAFETY: the signatures are those of <signal.h>, <unistd.h>, <poll.h>, <sys/wait.h> and
    // <sys/mman.h>. Those marked safe take and return numbers only, and the kernel checks them.
    unsafe extern "C" {
        pub(super) safe fn kill(pid: c_int, signal: c_int) -> c_int;
        pub(super) safe fn fork() -> c_int;
        pub(super) safe fn _exit(status: c_int) -> !;
        pub(super) safe fn signal(signal: c_int, handler: extern "C" fn(c_int)) -> usize;
        pub(super) fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
        pub(super) fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub(super) fn memfd_create(name: *const std::ffi::c_char, flags: c_uint) -> c_int;
        pub(super) fn syscall(number: c_long, ...) -> c_long;
    }
}

pub(crate) const SIGINT: i32 = 2;
pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;

const WNOHANG: c_int = 1;
const MFD_CLOEXEC: c_uint = 1;
/// The same number on x86_64 and aarch64.
const SYS_PIDFD_OPEN: c_long = 434;

/// One thing to wait for. The layout of `struct pollfd`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct PollFd<'a> {
    descriptor: RawFd,
    wanted: i16,
    found: i16,
    lifetime: std::marker::PhantomData<BorrowedFd<'a>>,
}

impl<'a> PollFd<'a> {
    /// Waits until a read would not block: bytes, end of stream, or an error.
    pub(crate) fn readable(descriptor: BorrowedFd<'a>) -> PollFd<'a> {
        PollFd { descriptor: descriptor.as_raw_fd(), ..PollFd::none() }
    }

    /// A place in the list that never becomes ready: poll(2) skips negative descriptors.
    pub(crate) fn none() -> PollFd<'a> {
        PollFd { descriptor: -1, wanted: 1, found: 0, lifetime: std::marker::PhantomData }
    }

    /// Readable, or none.
    pub(crate) fn maybe(descriptor: Option<BorrowedFd<'a>>) -> PollFd<'a> {
        descriptor.map_or_else(PollFd::none, PollFd::readable)
    }

    /// Whether the last [`poll`] found it so.
    pub(crate) fn is_ready(&self) -> bool {
        self.found != 0
    }
}

/// Waits until one of `fds` is ready or `timeout` is over; `None` waits without limit. An
/// interrupting signal ends the wait with nothing ready, so callers look at the clock themselves.
///
/// A wait is rounded up to whole milliseconds: rounded down, the last one would be a busy loop.
pub(crate) fn poll(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| timeout.as_micros().div_ceil(1_000));
    let timeout = timeout.map_or(-1, |ms| c_int::try_from(ms).unwrap_or(c_int::MAX));
    for fd in fds.iter_mut() {
        fd.found = 0;
    }
    // SAFETY: the pointer and the count are of one live slice, of the layout poll(2) wants.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as c_ulong, timeout) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
        for fd in fds.iter_mut() {
            fd.found = 0;
        }
    }
    Ok(())
}

/// Sends a signal to a process group. That it is gone already is no error.
pub(crate) fn signal_group(group: i32, signal: i32) {
    // kill(-1) and kill(0) mean "everyone" and "ourselves".
    if group > 1 {
        libc::kill(group.saturating_neg(), signal);
    }
}

/// A descriptor that becomes readable when the process ends. It must not be waited for before.
pub(crate) fn process_descriptor(pid: u32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two numbers.
    owned(unsafe { libc::syscall(SYS_PIDFD_OPEN, c_long::from(pid), 0 as c_long) })
}

/// An empty file that has no name in any file system.
pub(crate) fn memory_file(name: &CStr) -> io::Result<File> {
    // SAFETY: the pointer is of a string that ends in NUL and outlives the call.
    let descriptor = unsafe { libc::memfd_create(name.as_ptr(), MFD_CLOEXEC) };
    owned(c_long::from(descriptor)).map(File::from)
}

fn owned(descriptor: c_long) -> io::Result<OwnedFd> {
    match RawFd::try_from(descriptor) {
        // SAFETY: the kernel just made this descriptor, nobody else knows it.
        Ok(descriptor) if descriptor >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Process groups that must not outlive this process, one place for each slot; 0 is a free place.
static GROUPS: [AtomicI32; zerostrap::SLOT_LIMIT] =
    [const { AtomicI32::new(0) }; zerostrap::SLOT_LIMIT];

/// How long handlers have after SIGTERM. Lambda kills the runtime 500 ms after its own SIGTERM
/// (AWS, execution environment, "Shutdown phase").
const SHUTDOWN_GRACE_MS: c_int = 400;
const SHUTDOWN_STEP_MS: c_int = 10;

/// A group that is ended when this process gets SIGTERM or SIGINT. Dropped: no longer.
#[derive(Debug)]
pub(crate) struct TakenAlong {
    place: &'static AtomicI32,
}

impl TakenAlong {
    /// Reserves a place. `None` if there are more than slots, which is a bug.
    pub(crate) fn reserve() -> Option<TakenAlong> {
        let free = |place: &&AtomicI32| {
            place.compare_exchange(0, -1, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        };
        GROUPS.iter().find(free).map(|place| TakenAlong { place })
    }

    /// Names the group that is alive now.
    pub(crate) fn set(&self, group: i32) {
        self.place.store(group, Ordering::SeqCst);
    }

    /// Says that no group is alive now.
    pub(crate) fn clear(&self) {
        self.place.store(-1, Ordering::SeqCst);
    }
}

impl Drop for TakenAlong {
    fn drop(&mut self) {
        self.place.store(0, Ordering::SeqCst);
    }
}

/// From now on SIGTERM and SIGINT end the handlers' groups first, and then this process.
pub(crate) fn take_handlers_along() {
    libc::signal(SIGTERM, end_groups);
    libc::signal(SIGINT, end_groups);
}

/// Runs in a signal handler: only system calls that signal-safety(7) lists, no memory is taken.
extern "C" fn end_groups(signal: c_int) {
    let mut waited = 0;
    signal_groups(SIGTERM);
    while waited < SHUTDOWN_GRACE_MS && signal_groups(0) {
        // SAFETY: no descriptors are given, the call only waits.
        unsafe { libc::poll(std::ptr::null_mut(), 0, SHUTDOWN_STEP_MS) };
        waited = waited.saturating_add(SHUTDOWN_STEP_MS);
    }
    signal_groups(SIGKILL);
    libc::_exit(128_i32.saturating_add(signal))
}

/// Signals each group, 0 only asks; true if one is alive. Ended leaders are collected, since as
/// zombies they would count as alive.
fn signal_groups(signal: c_int) -> bool {
    let mut alive = false;
    for place in &GROUPS {
        let group = place.load(Ordering::SeqCst);
        if group == 0 {
            break;
        }
        if group > 1 {
            // SAFETY: waitpid(2) may be given no place for the status.
            unsafe { libc::waitpid(group, std::ptr::null_mut(), WNOHANG) };
            alive |= libc::kill(group.saturating_neg(), signal) == 0;
        }
    }
    alive
}

/// The child that [`act_as_init`] forwards signals to.
static RUNTIME: AtomicI32 = AtomicI32::new(0);

/// As PID 1 of a container this process inherits every orphan, and must collect it when it ends.
/// So PID 1 does that and nothing else, and the runtime goes on in a child. Returns in the runtime;
/// elsewhere than in PID 1 it does nothing. Must be called while there is one thread.
///
/// # Errors
/// There can be no child.
pub(crate) fn act_as_init() -> io::Result<()> {
    if std::process::id() != 1 {
        return Ok(());
    }
    libc::signal(SIGTERM, forward);
    libc::signal(SIGINT, forward);
    let runtime = libc::fork();
    match runtime {
        0 => return Ok(()),
        1.. => RUNTIME.store(runtime, Ordering::SeqCst),
        _ => return Err(io::Error::last_os_error()),
    }
    loop {
        let mut status: c_int = 0;
        // SAFETY: the pointer is of a live integer.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        // When PID 1 ends, the kernel ends everyone else in the container.
        if ended == runtime {
            let (signal, code) = (status & 0x7f, status >> 8 & 0xff);
            libc::_exit(if signal == 0 { code } else { signal.saturating_add(128) });
        }
    }
}

extern "C" fn forward(signal: c_int) {
    let runtime = RUNTIME.load(Ordering::SeqCst);
    if runtime > 1 {
        libc::kill(runtime, signal);
    }
}
