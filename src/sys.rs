//! The system calls that `std` does not have. The only file with `unsafe`.
//!
//! Each function below is declared as libc has it (musl and glibc agree on all of them for 64-bit
//! Linux) and wrapped so that its caller needs no `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong};
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

mod libc {
    use super::*;

    type Strings = *const *const c_char;
    type Out = *mut Opaque;

    // SAFETY: the signatures are those of <signal.h>, <spawn.h>, <unistd.h>, <poll.h>,
    // <sys/wait.h>, <sys/prctl.h> and <sys/mman.h>. Those marked safe take and return numbers and
    // functions only, and the kernel checks the numbers.
    unsafe extern "C" {
        pub(super) safe fn kill(pid: c_int, signal: c_int) -> c_int;
        pub(super) safe fn fork() -> c_int;
        pub(super) safe fn _exit(status: c_int) -> !;
        pub(super) fn signal(signal: c_int, action: usize) -> usize;
        pub(super) fn open(path: *const c_char, flags: c_int, ...) -> c_int;
        pub(super) fn prctl(option: c_int, ...) -> c_int;
        pub(super) fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
        pub(super) fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub(super) fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
        pub(super) fn syscall(number: c_long, ...) -> c_long;
        pub(super) fn sigaddset(set: Out, signal: c_int) -> c_int;
        pub(super) fn posix_spawnattr_init(to: Out) -> c_int;
        pub(super) fn posix_spawnattr_setflags(to: Out, flags: i16) -> c_int;
        pub(super) fn posix_spawnattr_setpgroup(to: Out, group: c_int) -> c_int;
        pub(super) fn posix_spawnattr_setsigdefault(to: Out, set: *const Opaque) -> c_int;
        pub(super) fn posix_spawnattr_setsigmask(to: Out, set: *const Opaque) -> c_int;
        pub(super) fn posix_spawnattr_destroy(to: Out) -> c_int;
        pub(super) fn posix_spawn_file_actions_init(to: Out) -> c_int;
        pub(super) fn posix_spawn_file_actions_adddup2(to: Out, a: c_int, b: c_int) -> c_int;
        pub(super) fn posix_spawn_file_actions_destroy(to: Out) -> c_int;
        pub(super) fn posix_spawn(
            pid: *mut c_int,
            path: *const c_char,
            actions: *const Opaque,
            attributes: *const Opaque,
            arguments: Strings,
            environment: Strings,
        ) -> c_int;
    }
}

const SIGINT: i32 = 2;
pub(crate) const SIGKILL: i32 = 9;
pub(crate) const SIGTERM: i32 = 15;

/// signal(2)'s SIG_DFL and SIG_IGN.
const DEFAULT_ACTION: usize = 0;
const IGNORED: usize = 1;
const SIGPIPE: c_int = 13;
const SIGCHLD: c_int = 17;
const LAST_ORDINARY_SIGNAL: c_int = 31;
const WNOHANG: c_int = 1;
/// poll(2)'s word for "a read would not block".
const POLLIN: i16 = 1;
/// poll(2)'s word for "not open".
const POLLNVAL: i16 = 32;
/// O_RDONLY, O_CLOEXEC and O_NONBLOCK, lest a FIFO be waited for. The same on x86_64 and aarch64.
const OPEN_FLAGS: c_int = 0o2_004_000;
const MFD_CLOEXEC: c_uint = 1;
const PR_SET_PDEATHSIG: c_int = 1;
/// The same numbers on x86_64 and aarch64.
const SYS_PIDFD_OPEN: c_long = 434;
const SYS_CLOSE_RANGE: c_long = 436;
/// POSIX_SPAWN_SETPGROUP, SETSIGDEF and SETSIGMASK.
const SPAWN_FLAGS: i16 = 2 | 4 | 8;

/// Room for a structure of libc that only libc looks into: signal sets have 128 bytes, spawn's file
/// actions 80 and its attributes 336, in musl and in glibc.
#[repr(C, align(16))]
struct Opaque([u8; 512]);

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

    /// Waits until nobody else holds the other end.
    pub(crate) fn hung_up(descriptor: BorrowedFd<'a>) -> PollFd<'a> {
        PollFd { wanted: 0, ..PollFd::readable(descriptor) }
    }

    /// A place in the list that never becomes ready: poll(2) skips negative descriptors.
    pub(crate) fn none() -> PollFd<'a> {
        PollFd { descriptor: -1, wanted: POLLIN, found: 0, lifetime: std::marker::PhantomData }
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
    // SAFETY: the pointer and the count are of one live slice, of the layout poll(2) wants.
    let result = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as c_ulong, timeout) };
    if result < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
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

/// The program's start, in the place of std's: C calls it with the arguments. Descriptors 0, 1 and 2
/// are made sure of, so that no file or socket takes their place, and a connection that the peer
/// closed is an error to the writer and not a signal to the process.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: *const *const c_char) -> c_int {
    let argument = match count {
        // SAFETY: C gives `count` pointers to strings that end in NUL and live as long as the
        // process.
        2.. => unsafe { CStr::from_ptr(*arguments.add(1)) }.to_bytes(),
        _ => b"",
    };
    act_on(SIGPIPE, IGNORED);
    let mut standard =
        [0, 1, 2].map(|descriptor| PollFd { descriptor, wanted: 0, ..PollFd::none() });
    while poll(&mut standard, Some(Duration::ZERO)).is_ok()
        && standard.iter().any(|fd| fd.found & POLLNVAL != 0)
    {
        // A file takes the lowest free number; it is never closed.
        match open(c"/dev/null") {
            Ok(file) => std::mem::forget(file),
            Err(_) => return 1,
        }
    }
    close_foreign_descriptors();
    c_int::from(crate::run(argument))
}

/// Standard output, to be written to without std's buffer around it.
pub(crate) fn standard_output() -> std::mem::ManuallyDrop<File> {
    // SAFETY: main made sure that descriptor 1 is open, and it is never closed.
    std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(1) })
}

/// Sets what a signal does to this process: [`IGNORED`], [`DEFAULT_ACTION`], or a function.
fn act_on(signal: c_int, action: usize) {
    // SAFETY: signal(2) takes the two numbers in the place of a function, and the functions here are
    // of the type it wants; each of them calls only what signal-safety(7) lists.
    unsafe { libc::signal(signal, action) };
}

/// Closes what whoever started this process left open, so that no handler inherits it: Lambda's
/// agent for Managed Instances is known to leave some. Must be called before anything is opened.
fn close_foreign_descriptors() {
    let last = c_ulong::from(c_uint::MAX);
    // SAFETY: close_range(2) takes three numbers, and nothing of ours is open yet. On a kernel
    // older than 5.9 it does nothing.
    unsafe { libc::syscall(SYS_CLOSE_RANGE, 3 as c_ulong, last, 0 as c_ulong) };
}

/// Undoes what whoever started this process ignores: handlers would inherit that, and with SIGCHLD
/// ignored nobody could ask how they ended. SIGPIPE stays ignored here; spawn resets it. From now on
/// SIGTERM and SIGINT end this slot's handler first, and then this process.
pub(crate) fn prepare_signals() {
    set_signals(end_handler);
}

fn set_signals(on_end: extern "C" fn(c_int)) {
    for signal in (1..=LAST_ORDINARY_SIGNAL).filter(|signal| *signal != SIGPIPE) {
        match signal {
            SIGTERM | SIGINT => act_on(signal, on_end as usize),
            _ => act_on(signal, DEFAULT_ACTION),
        }
    }
}

/// A descriptor that becomes readable when the process ends. It must not be waited for before.
pub(crate) fn process_descriptor(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two numbers.
    owned(unsafe { libc::syscall(SYS_PIDFD_OPEN, c_long::from(pid), 0 as c_long) })
}

/// Opens a file for reading. std's own way brings 7 KB of code with it for the cases in which its
/// other options do not fit together.
pub(crate) fn open(path: &CStr) -> io::Result<File> {
    // SAFETY: the pointer is of a string that ends in NUL and outlives the call.
    let descriptor = unsafe { libc::open(path.as_ptr(), OPEN_FLAGS) };
    owned(c_long::from(descriptor)).map(File::from)
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

/// Starts `path` with these arguments and environment, as leader of a process group of its own,
/// with these descriptors as 0, 1 and 2 and, since all others are close-on-exec, no other. A
/// descriptor that has its number already is one that is inherited. No signal is blocked or ignored.
/// The group is this slot's handler, which does not outlive this process.
pub(crate) fn spawn(
    path: &CStr,
    arguments: &[&CStr],
    environment: &[CString],
    descriptors: [BorrowedFd<'_>; 3],
) -> io::Result<i32> {
    let arguments = null_terminated(arguments.iter().copied());
    let environment = null_terminated(environment.iter().map(CString::as_c_str));
    let [mut signals, mut attributes, mut actions] =
        [const { std::mem::MaybeUninit::<Opaque>::zeroed() }; 3];
    let (signals, attributes, actions) =
        (signals.as_mut_ptr(), attributes.as_mut_ptr(), actions.as_mut_ptr());
    let mut pid = 0;
    HANDLER.store(IN_THE_MAKING, Ordering::SeqCst);
    // SAFETY: the three structures have room for what libc keeps in them, are initialised before
    // they are used, and live until after the last call, as do both arrays, which end in a null
    // pointer, and the strings they point to. libc copies signal sets.
    let result = unsafe {
        libc::posix_spawnattr_init(attributes);
        libc::posix_spawnattr_setflags(attributes, SPAWN_FLAGS);
        libc::posix_spawnattr_setpgroup(attributes, 0);
        // All zero is the empty set.
        libc::posix_spawnattr_setsigmask(attributes, signals);
        libc::sigaddset(signals, SIGPIPE);
        libc::posix_spawnattr_setsigdefault(attributes, signals);
        let mut result = libc::posix_spawn_file_actions_init(actions);
        for (descriptor, to) in descriptors.iter().zip(0..) {
            let from = descriptor.as_raw_fd();
            if result == 0 && from != to {
                result = libc::posix_spawn_file_actions_adddup2(actions, from, to);
            }
        }
        if result == 0 {
            result = libc::posix_spawn(
                &raw mut pid,
                path.as_ptr(),
                actions,
                attributes,
                arguments.as_ptr(),
                environment.as_ptr(),
            );
        }
        libc::posix_spawn_file_actions_destroy(actions);
        libc::posix_spawnattr_destroy(attributes);
        result
    };
    HANDLER.store(pid, Ordering::SeqCst);
    match DEFERRED.load(Ordering::SeqCst) {
        0 if result == 0 => Ok(pid),
        0 => Err(io::Error::from_raw_os_error(result)),
        signal => {
            end_handler(signal);
            Err(io::ErrorKind::Interrupted.into())
        }
    }
}

/// The form of `argv` and `environ`: pointers, the last one null.
fn null_terminated<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings.map(CStr::as_ptr).chain(std::iter::once(std::ptr::null())).collect()
}

/// Collects the ended handler. From now on its id, and its group's, may be another's.
pub(crate) fn wait(pid: i32) -> io::Result<ExitStatus> {
    HANDLER.store(0, Ordering::SeqCst);
    let mut status = 0;
    loop {
        // SAFETY: the pointer is of a live integer.
        if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
            return Ok(ExitStatus::from_raw(status));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// The group of this slot's handler, which must not outlive this process; 0 while there is none.
static HANDLER: AtomicI32 = AtomicI32::new(0);

/// In the place of a group while one is being made.
const IN_THE_MAKING: i32 = -1;

/// The signal that came while a group was being made; 0 if none did.
static DEFERRED: AtomicI32 = AtomicI32::new(0);

/// How long handlers have after SIGTERM. Lambda kills the runtime 500 ms after its own SIGTERM
/// (AWS, execution environment, "Shutdown phase").
const SHUTDOWN_GRACE: Duration = Duration::from_millis(400);
const SHUTDOWN_STEP_MS: c_int = 10;

/// Runs in a signal handler: only system calls that signal-safety(7) lists, no memory is taken.
extern "C" fn end_handler(signal: c_int) {
    let group = HANDLER.load(Ordering::SeqCst);
    if group == IN_THE_MAKING {
        DEFERRED.store(signal, Ordering::SeqCst);
        return;
    }
    signal_group(group, SIGTERM);
    let begun = Instant::now();
    while begun.elapsed() < SHUTDOWN_GRACE && is_alive(group) {
        // SAFETY: no descriptors are given, the call only waits.
        unsafe { libc::poll(std::ptr::null_mut(), 0, SHUTDOWN_STEP_MS) };
    }
    signal_group(group, SIGKILL);
    libc::_exit(128_i32.saturating_add(signal))
}

/// Whether someone of the group is left. An ended leader is collected, since as a zombie it would
/// count.
fn is_alive(group: i32) -> bool {
    if group <= 1 {
        return false;
    }
    // SAFETY: waitpid(2) may be given no place for the status.
    unsafe { libc::waitpid(group, std::ptr::null_mut(), WNOHANG) };
    libc::kill(group.saturating_neg(), 0) == 0
}

/// The processes that [`supervise`] made, one a slot; 0 where there is none.
static SLOTS: [AtomicI32; zerostrap::SLOT_LIMIT] =
    [const { AtomicI32::new(0) }; zerostrap::SLOT_LIMIT];

/// The exit status by which a slot says that the function cannot be initialised.
pub(crate) const INIT_FAILED: u8 = 2;

/// Makes a process for each slot and returns in each of them; this process stays behind, passes
/// SIGTERM and SIGINT on, and collects who ended. As PID 1 of a container these are also orphans of
/// handlers, which become its children. It ends when the last slot did, or one failed at init.
///
/// Must be called while there is one thread.
///
/// # Errors
/// There can be no such process.
pub(crate) fn supervise(slots: usize) -> io::Result<()> {
    // So that no slot ends unnoticed; the rest only after them, since they would inherit it.
    act_on(SIGCHLD, DEFAULT_ACTION);
    for place in SLOTS.iter().take(slots) {
        match libc::fork() {
            0 => {
                // SAFETY: this option takes one number. Should the supervisor be killed, the slot
                // ends its handler and itself.
                unsafe { libc::prctl(PR_SET_PDEATHSIG, c_long::from(SIGTERM)) };
                return Ok(());
            }
            pid @ 1.. => place.store(pid, Ordering::SeqCst),
            _ => return Err(io::Error::last_os_error()),
        }
    }
    set_signals(signal_slots);
    let mut left = slots;
    loop {
        let mut status: c_int = 0;
        // SAFETY: the pointer is of a live integer.
        let ended = unsafe { libc::waitpid(-1, &raw mut status, 0) };
        let place = SLOTS.iter().find(|place| ended > 0 && place.load(Ordering::SeqCst) == ended);
        let Some(place) = place else { continue };
        place.store(0, Ordering::SeqCst);
        left = left.saturating_sub(1);
        let (signal, code) = (status & 0x7f, status >> 8 & 0xff);
        if code == c_int::from(INIT_FAILED) {
            signal_slots(SIGTERM);
            libc::_exit(1);
        }
        // When PID 1 ends, the kernel ends everyone else in its container.
        if left == 0 {
            libc::_exit(if signal == 0 { code } else { signal.saturating_add(128) });
        }
    }
}

extern "C" fn signal_slots(signal: c_int) {
    for place in &SLOTS {
        let slot = place.load(Ordering::SeqCst);
        if slot > 1 {
            libc::kill(slot, signal);
        }
    }
}
