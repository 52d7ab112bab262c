//! The system calls that `std` does not have. The only file with `unsafe`.
//!
//! Each function of libc is declared as libc has it (musl and glibc agree on all of them for 64-bit
//! Linux) and wrapped so that its caller needs no `unsafe`.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, Instant};

mod libc {
    use super::*;

    // SAFETY: the signatures are those of <signal.h>, <sched.h>, <unistd.h>, <fcntl.h>, <poll.h>,
    // <sys/wait.h>, <sys/prctl.h> and <sys/mman.h>. Those marked safe take and return numbers only,
    // which the kernel checks.
    unsafe extern "C" {
        pub(super) safe fn kill(pid: c_int, signal: c_int) -> c_int;
        pub(super) safe fn fork() -> c_int;
        pub(super) safe fn setpgid(pid: c_int, group: c_int) -> c_int;
        pub(super) safe fn dup2(from: c_int, to: c_int) -> c_int;
        pub(super) safe fn _exit(status: c_int) -> !;
        pub(super) fn signal(signal: c_int, action: usize) -> usize;
        pub(super) fn sigprocmask(how: c_int, new: *const Signals, old: *mut Signals) -> c_int;
        pub(super) fn sigwait(set: *const Signals, signal: *mut c_int) -> c_int;
        pub(super) fn openat(folder: c_int, path: *const c_char, flags: c_int, ...) -> c_int;
        pub(super) safe fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
        pub(super) fn prctl(option: c_int, ...) -> c_int;
        pub(super) fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
        pub(super) fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub(super) fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
        pub(super) fn syscall(number: c_long, ...) -> c_long;
        pub(super) fn execve(path: *const c_char, arguments: Strings, variables: Strings) -> c_int;
        pub(super) fn clone(
            function: extern "C" fn(*mut c_void) -> c_int,
            stack: *mut c_void,
            flags: c_int,
            argument: *mut c_void,
            ...
        ) -> c_int;
    }
}

/// The form of `argv` and `environ`: pointers, the last one null.
type Strings = *const *const c_char;

/// `sigset_t`: a bit for each signal, 128 bytes in musl and in glibc.
type Signals = [u64; 16];

const SIGINT: i32 = 2;
pub(crate) const SIGKILL: i32 = 9;
const SIGPIPE: i32 = 13;
pub(crate) const SIGTERM: i32 = 15;
pub(crate) const SIGCHLD: i32 = 17;
/// The signals that end this process, and that of a child that ended, as sets: bit 0 is signal 1.
pub(crate) const END_SIGNALS: u64 = 1 << (SIGTERM - 1) | 1 << (SIGINT - 1);
pub(crate) const CHILD_SIGNAL: u64 = 1 << (SIGCHLD - 1);
const LAST_ORDINARY_SIGNAL: i32 = 31;

/// signal(2)'s SIG_DFL and SIG_IGN.
const DEFAULT_ACTION: usize = 0;
const IGNORED: usize = 1;
/// sigprocmask(2)'s "these, and no others".
const SIG_SETMASK: c_int = 2;
const WNOHANG: c_int = 1;
/// poll(2)'s words for "a read would not block" and for "not open".
const POLLIN: i16 = 1;
const POLLNVAL: i16 = 32;
/// O_RDONLY, O_CLOEXEC and O_NONBLOCK, lest a FIFO be waited for. The same on x86_64 and aarch64.
const OPEN_FLAGS: c_int = 0o2_004_000;
/// Paths begin at the current folder.
const AT_FDCWD: c_int = -100;
const MFD_CLOEXEC: c_uint = 1;
/// fcntl(2): with 0, a descriptor is inherited.
const F_SETFD: c_int = 2;
const F_SETPIPE_SZ: c_int = 1031;
const PR_SET_PDEATHSIG: c_int = 1;
/// The same number on x86_64 and aarch64.
const SYS_CLOSE_RANGE: c_long = 436;
/// CLONE_VM, CLONE_PIDFD and CLONE_VFORK; SIGCHLD is sent at the child's end.
const SPAWN_FLAGS: c_int = 0x100 | 0x1000 | 0x4000 | SIGCHLD;
/// What a child needs from its start to its `execve`, with room to spare: 16 KiB.
const SPAWN_STACK: usize = 1_024;

/// The program's start, in the place of std's: C calls it with the arguments. Descriptors 0, 1 and 2
/// are made sure of, so that no file or socket takes their place, and a connection that the peer
/// closed is an error to the writer and not a signal to the process.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: Strings) -> c_int {
    let argument = match count {
        // SAFETY: C gives `count` pointers to strings that end in NUL and live as long as the
        // process.
        2.. => unsafe { CStr::from_ptr(*arguments.add(1)) }.to_bytes(),
        _ => b"",
    };
    act_on(SIGPIPE, IGNORED);
    let mut standard = [0, 1, 2].map(|descriptor| PollFd {
        descriptor,
        wanted: 0,
        found: 0,
    });
    while wait_for(&mut standard, Some(Duration::ZERO)).is_ok()
        && standard.iter().any(|fd| fd.found & POLLNVAL != 0)
    {
        // A file takes the lowest free number; it is never closed, and handlers have it too.
        match open(c"/dev/null") {
            Ok(file) => _ = libc::fcntl(file.into_raw_fd(), F_SETFD, 0 as c_int),
            Err(_) => return 1,
        }
    }
    // What whoever started this process left open, no handler shall inherit: Lambda's agent for
    // Managed Instances is known to leave some.
    // SAFETY: close_range(2) takes three numbers, and nothing of ours is open yet. On a kernel
    // older than 5.9 it does nothing.
    unsafe {
        libc::syscall(
            SYS_CLOSE_RANGE,
            3 as c_ulong,
            c_uint::MAX as c_ulong,
            0 as c_ulong,
        )
    };
    c_int::from(crate::run(argument))
}

/// Standard output, to be written to without std's buffer around it.
pub(crate) fn standard_output() -> std::mem::ManuallyDrop<File> {
    // SAFETY: main made sure that descriptor 1 is open, and it is never closed.
    std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(1) })
}

/// Opens a file for reading. std's own way brings 7 KB of code with it for the cases in which its
/// other options do not fit together; musl's open() sets close-on-exec twice.
pub(crate) fn open(path: &CStr) -> io::Result<File> {
    // SAFETY: the pointer is of a string that ends in NUL and outlives the call.
    owned(unsafe { libc::openat(AT_FDCWD, path.as_ptr(), OPEN_FLAGS) }).map(File::from)
}

/// An empty file that has no name in any file system, but for /proc.
pub(crate) fn memory_file() -> io::Result<File> {
    // SAFETY: the pointer is of a string that ends in NUL and outlives the call.
    owned(unsafe { libc::memfd_create(c"event".as_ptr(), MFD_CLOEXEC) }).map(File::from)
}

fn owned(descriptor: RawFd) -> io::Result<OwnedFd> {
    match descriptor {
        // SAFETY: the kernel just made this descriptor, nobody else knows it.
        0.. => Ok(unsafe { OwnedFd::from_raw_fd(descriptor) }),
        _ => Err(io::Error::last_os_error()),
    }
}

/// `struct pollfd`. poll(2) skips negative descriptors.
#[repr(C)]
struct PollFd {
    descriptor: RawFd,
    wanted: i16,
    found: i16,
}

/// Waits until one of `descriptors` can be read without blocking (bytes, end of stream, or an
/// error) or `timeout` is over, and tells which can. `None` waits without limit.
///
/// # Errors
/// The system refuses to wait. An interrupting signal is none: nothing is ready then, so that
/// callers look at the clock themselves.
pub(crate) fn poll<const N: usize>(
    descriptors: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut fds = descriptors.map(|descriptor| {
        let descriptor = descriptor.map_or(-1, |descriptor| descriptor.as_raw_fd());
        PollFd {
            descriptor,
            wanted: POLLIN,
            found: 0,
        }
    });
    wait_for(&mut fds, timeout)?;
    Ok(fds.map(|fd| fd.found != 0))
}

/// Whether a read would not block now.
pub(crate) fn is_readable(descriptor: &impl AsFd) -> bool {
    poll([Some(descriptor.as_fd())], Some(Duration::ZERO)).is_ok_and(|found| found == [true])
}

/// A wait is rounded up to whole milliseconds: rounded down, the last one would be a busy loop.
fn wait_for(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.map(|timeout| timeout.as_micros().div_ceil(1_000));
    let timeout = timeout.map_or(-1, |ms| c_int::try_from(ms).unwrap_or(c_int::MAX));
    // SAFETY: the pointer and the count are of one live slice, of the layout poll(2) wants.
    if unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as c_ulong, timeout) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// Lets a pipe hold as much as it may without privileges. What is refused changes nothing.
pub(crate) fn widen(pipe: &impl AsFd) {
    libc::fcntl(pipe.as_fd().as_raw_fd(), F_SETPIPE_SZ, 1_048_576 as c_int);
}

/// Sets what a signal does to this process: [`IGNORED`], [`DEFAULT_ACTION`], or [`end_handler`].
fn act_on(signal: i32, action: usize) {
    // SAFETY: signal(2) takes the two numbers in the place of a function, and the one function here
    // is of the type it wants and calls only what signal-safety(7) lists.
    unsafe { libc::signal(signal, action) };
}

/// Undoes what whoever started this process ignores: handlers would inherit that, and with SIGCHLD
/// ignored nobody could ask how they ended. SIGPIPE stays ignored here; spawn resets it. From now on
/// SIGTERM and SIGINT end this slot's handler first, and then this process.
pub(crate) fn prepare_signals() {
    for signal in (1..=LAST_ORDINARY_SIGNAL).filter(|signal| *signal != SIGPIPE) {
        match signal {
            SIGTERM | SIGINT => act_on(signal, end_handler as *const () as usize),
            _ => act_on(signal, DEFAULT_ACTION),
        }
    }
}

/// Holds these signals back, and no others, until they are waited for or let go.
pub(crate) fn hold_back(signals: u64) {
    let mut set = [0; 16];
    set[0] = signals;
    // SAFETY: the pointer is of a live set, and no old set is asked for.
    unsafe { libc::sigprocmask(SIG_SETMASK, &raw const set, std::ptr::null_mut()) };
}

/// Waits for one of these signals, which must be held back, and takes it.
pub(crate) fn wait_for_signal(signals: u64) -> i32 {
    let (mut set, mut signal) = ([0; 16], 0);
    set[0] = signals;
    // SAFETY: both pointers are of live variables.
    unsafe { libc::sigwait(&raw const set, &raw mut signal) };
    signal
}

/// Sends a signal to a process, or to a group by its number with a minus; 0 only asks whether it is
/// there. That it is gone already is no error.
pub(crate) fn kill(target: i32, signal: i32) -> bool {
    // 0, 1 and -1 mean "ourselves", PID 1, and "everyone".
    target.unsigned_abs() > 1 && libc::kill(target, signal) == 0
}

/// Ends this process at once. std's own way brings 2 KB of code with it for streams that are not used.
pub(crate) fn exit(status: i32) -> ! {
    libc::_exit(status)
}

/// What a new child is told, and why it could not become its program.
struct Start {
    arguments: Strings,
    environment: Strings,
    descriptors: [RawFd; 3],
    error: Option<io::Error>,
}

/// Starts the program that the first of these arguments is the path of, with them and with this
/// environment, as leader of a process group of its own, with these descriptors as 0, 1 and 2 and,
/// since all others are close-on-exec, no other. A descriptor that has its number already is one
/// that is inherited. No ordinary signal is blocked or ignored. The group is this slot's handler,
/// which does not outlive this process.
///
/// Gives the child's id, and a descriptor that becomes readable when it ends.
///
/// # Errors
/// There is no process, or it cannot become the program.
pub(crate) fn spawn(
    arguments: &[&CStr],
    environment: &[CString],
    descriptors: [BorrowedFd<'_>; 3],
) -> io::Result<(i32, OwnedFd)> {
    let arguments = null_terminated(arguments.iter().copied());
    let environment = null_terminated(environment.iter().map(CString::as_c_str));
    let mut start = Start {
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        descriptors: descriptors.map(|descriptor| descriptor.as_raw_fd()),
        error: None,
    };
    let mut stack = std::mem::MaybeUninit::<[u128; SPAWN_STACK]>::uninit();
    let mut descriptor: RawFd = -1;
    // A signal now would run its handler in the child, too, or find a group that is not known yet.
    hold_back(END_SIGNALS);
    // SAFETY: this thread stands still until the child executed its program or ended, as in
    // vfork(2). Until then the child runs `become_program` in the same memory, on a stack of its
    // own, which grows down from the end it is given; `start` and what it points to outlive that.
    // The last argument is where the kernel writes the pidfd.
    let pid = unsafe {
        let (top, told) = (stack.as_mut_ptr().add(1).cast(), (&raw mut start).cast());
        libc::clone(become_program, top, SPAWN_FLAGS, told, &raw mut descriptor)
    };
    let descriptor = owned(if pid < 0 { -1 } else { descriptor });
    HANDLER.store(pid.max(0), Ordering::SeqCst);
    hold_back(0);
    match start.error {
        None => Ok((pid, descriptor?)),
        Some(error) => wait(pid).and(Err(error)),
    }
}

/// In the child: becomes the program, or says why not.
extern "C" fn become_program(told: *mut c_void) -> c_int {
    // SAFETY: spawn gives a pointer to its own variable, and stands still.
    let start = unsafe { &mut *told.cast::<Start>() };
    libc::setpgid(0, 0);
    for signal in [SIGPIPE, SIGTERM, SIGINT] {
        act_on(signal, DEFAULT_ACTION);
    }
    hold_back(0);
    let mut places = start.descriptors.iter().zip(0..);
    if places.all(|(&from, to)| from == to || libc::dup2(from, to) == to) {
        // SAFETY: both arrays end in a null pointer, the strings in NUL, and all of them live. An
        // empty list of arguments has that null pointer for a path, which execve(2) refuses.
        unsafe { libc::execve(*start.arguments, start.arguments, start.environment) };
    }
    start.error = Some(io::Error::last_os_error());
    127
}

fn null_terminated<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings
        .map(CStr::as_ptr)
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}

/// Collects the ended handler. From now on its id, and its group's, may be another's.
pub(crate) fn wait(pid: i32) -> io::Result<ExitStatus> {
    let _ = HANDLER.compare_exchange(pid, 0, Ordering::SeqCst, Ordering::SeqCst);
    collect(pid, 0).map(|(_, status)| status)
}

/// Collects any child that has ended; `None` where there is none yet.
pub(crate) fn collect_any() -> Option<(i32, ExitStatus)> {
    collect(-1, WNOHANG).ok().filter(|(pid, _)| *pid > 0)
}

fn collect(pid: i32, options: c_int) -> io::Result<(i32, ExitStatus)> {
    let mut status = 0;
    // SAFETY: the pointer is of a live integer.
    match unsafe { libc::waitpid(pid, &raw mut status, options) } {
        pid @ 0.. => Ok((pid, ExitStatus::from_raw(status))),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The group of this slot's handler, which must not outlive this process; 0 while there is none.
static HANDLER: AtomicI32 = AtomicI32::new(0);

/// How long handlers have after SIGTERM. Lambda kills the runtime 500 ms after its own SIGTERM
/// (AWS, execution environment, "Shutdown phase").
const SHUTDOWN_GRACE: Duration = Duration::from_millis(400);
const SHUTDOWN_STEP: Duration = Duration::from_millis(10);

/// Runs in a signal handler: only system calls that signal-safety(7) lists, no memory is taken.
extern "C" fn end_handler(signal: i32) {
    let group = HANDLER.load(Ordering::SeqCst).saturating_neg();
    kill(group, SIGTERM);
    let begun = Instant::now();
    while begun.elapsed() < SHUTDOWN_GRACE && kill(group, 0) {
        let _ = wait_for(&mut [], Some(SHUTDOWN_STEP));
        // An ended leader is collected, since as a zombie it would count.
        let _ = collect(group, WNOHANG);
    }
    kill(group, SIGKILL);
    exit(128_i32.saturating_add(signal))
}

/// Makes a second process like this one, to be called while there is one thread. `None`: this is
/// the new one, which gets SIGTERM should the other be killed, and which holds no signal back.
///
/// # Errors
/// There can be no such process.
pub(crate) fn fork() -> io::Result<Option<i32>> {
    act_on(SIGCHLD, DEFAULT_ACTION);
    match libc::fork() {
        0 => {
            // SAFETY: this option takes one number.
            unsafe { libc::prctl(PR_SET_PDEATHSIG, c_long::from(SIGTERM)) };
            hold_back(0);
            Ok(None)
        }
        pid @ 1.. => Ok(Some(pid)),
        _ => Err(io::Error::last_os_error()),
    }
}
