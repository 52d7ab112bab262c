//! The system calls that `std` does not have, and the allocator. The only file with `unsafe`.
//!
//! Each function of libc is declared as libc has it (musl and glibc agree on all of them for 64-bit
//! Linux) and wrapped so that its caller needs no `unsafe`. Nothing here calls anything above it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ffi::{CStr, CString, c_char, c_int, c_long, c_uint, c_ulong, c_void};
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicPtr, Ordering};
use std::time::{Duration, Instant};

mod libc {
    use super::*;

    // SAFETY: the signatures are those of <signal.h>, <sched.h>, <unistd.h>, <fcntl.h>, <poll.h>,
    // <sys/wait.h>, <sys/prctl.h> and <sys/mman.h>. Those marked safe take and return numbers only,
    // which the kernel checks, and change nothing that Rust relies on. `__ehdr_start` is what the
    // linker calls the file's first byte. Its first page is in memory, and nothing writes to it.
    unsafe extern "C" {
        #[link_name = "__ehdr_start"]
        pub(super) safe static PROGRAM_START: [u8; super::PROGRAM_START_SIZE];
        pub(super) safe fn kill(pid: c_int, signal: c_int) -> c_int;
        pub(super) safe fn setpgid(pid: c_int, group: c_int) -> c_int;
        pub(super) safe fn getppid() -> c_int;
        pub(super) safe fn _exit(status: c_int) -> !;
        pub(super) fn fork() -> c_int;
        pub(super) fn dup2(from: c_int, to: c_int) -> c_int;
        pub(super) fn dup3(from: c_int, to: c_int, flags: c_int) -> c_int;
        pub(super) fn signal(signal: c_int, action: usize) -> usize;
        pub(super) fn sigprocmask(how: c_int, new: *const SignalSet, old: *mut SignalSet) -> c_int;
        pub(super) fn sigwait(set: *const SignalSet, signal: *mut c_int) -> c_int;
        pub(super) fn openat(folder: c_int, path: *const c_char, flags: c_int, ...) -> c_int;
        pub(super) fn fcntl(descriptor: c_int, command: c_int, ...) -> c_int;
        pub(super) fn prctl(option: c_int, ...) -> c_int;
        pub(super) fn poll(fds: *mut PollFd, count: c_ulong, timeout_ms: c_int) -> c_int;
        pub(super) fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub(super) fn memfd_create(name: *const c_char, flags: c_uint) -> c_int;
        pub(super) fn read(descriptor: c_int, buffer: *mut c_void, size: usize) -> isize;
        pub(super) fn write(descriptor: c_int, buffer: *const c_void, size: usize) -> isize;
        pub(super) fn mmap(
            address: *mut c_void,
            length: usize,
            protection: c_int,
            flags: c_int,
            descriptor: c_int,
            offset: c_long,
        ) -> *mut c_void;
        pub(super) fn syscall(number: c_long, ...) -> c_long;
        pub(super) fn execve(
            path: *const c_char,
            arguments: CStringArray,
            variables: CStringArray,
        ) -> c_int;
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
type CStringArray = *const *const c_char;

/// `sigset_t`: a bit for each signal, 128 bytes in musl and in glibc.
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct SignalSet([u64; 16]);

impl SignalSet {
    const EMPTY: SignalSet = SignalSet([0; 16]);
    const ALL: SignalSet = SignalSet([u64::MAX; 16]);
    /// SIGTERM and SIGINT, by which this process is asked to end.
    pub(crate) const TERMINATION: SignalSet = SignalSet::of(bit(SIGTERM) | bit(SIGINT));
    /// These, and SIGCHLD.
    pub(crate) const SUPERVISION: SignalSet =
        SignalSet::of(bit(SIGTERM) | bit(SIGINT) | bit(SIGCHLD));

    const fn of(bits: u64) -> SignalSet {
        let mut words = [0; 16];
        words[0] = bits;
        SignalSet(words)
    }
}

/// Bit n-1 is signal n.
const fn bit(signal: i32) -> u64 {
    1_u64.wrapping_shl(signal.wrapping_sub(1) as u32)
}

const SIGINT: i32 = 2;
pub(crate) const SIGKILL: i32 = 9;
const SIGPIPE: i32 = 13;
pub(crate) const SIGTERM: i32 = 15;
pub(crate) const SIGCHLD: i32 = 17;
const LAST_ORDINARY_SIGNAL: i32 = 31;

/// signal(2)'s SIG_DFL and SIG_IGN.
const SIG_DFL: usize = 0;
const SIG_IGN: usize = 1;
/// sigprocmask(2): the set is the new mask.
const SIG_SETMASK: c_int = 2;
const WNOHANG: c_int = 1;
/// poll(2)'s "a read would not block" and "not open".
const POLLIN: i16 = 1;
const POLLNVAL: i16 = 32;
/// O_RDONLY, O_CLOEXEC and O_NONBLOCK, lest a FIFO be waited for. The same on x86_64 and aarch64.
const OPEN_FLAGS: c_int = 0o2_004_000;
const O_CLOEXEC: c_int = 0o2_000_000;
/// Paths begin at the current folder.
const AT_FDCWD: c_int = -100;
const MFD_CLOEXEC: c_uint = 1;
/// fcntl(2): with 0, a descriptor is inherited.
const F_SETFD: c_int = 2;
const F_SETFL: c_int = 4;
/// The same on x86_64 and aarch64.
const O_NONBLOCK: c_int = 0o4_000;
const F_DUPFD_CLOEXEC: c_int = 1030;
const F_SETPIPE_SZ: c_int = 1031;
const PR_SET_PDEATHSIG: c_int = 1;
/// PROT_READ and PROT_WRITE; MAP_SHARED and MAP_ANONYMOUS.
const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED_ANONYMOUS: c_int = 0x21;
/// The same numbers on x86_64 and aarch64.
const SYS_PIDFD_OPEN: c_long = 434;
const SYS_CLOSE_RANGE: c_long = 436;
/// CLONE_VM, CLONE_PIDFD, CLONE_VFORK and CLONE_CHILD_SETTID; SIGCHLD is sent at the child's end.
const SPAWN_FLAGS: c_int = 0x100 | 0x1000 | 0x4000 | 0x0100_0000 | SIGCHLD;
/// Bytes of stack that a child has from its start to its `execve`: it needs less.
const SPAWN_STACK_SIZE: usize = 16_384;

/// Bytes of a program's file that tell it from others: its first page.
pub(crate) const PROGRAM_START_SIZE: usize = 4_096;

/// Most bytes that a pipe can hold without privileges (/proc/sys/fs/pipe-max-size).
pub(crate) const PIPE_LIMIT: usize = 1_048_576;

/// A process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pid(i32);

impl std::fmt::Display for Pid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A proof that this process has one thread. Only the start of the program makes one.
pub(crate) struct OneThread(());

// --- Memory --------------------------------------------------------------------------------------

/// The allocator of this program. It cuts pieces from a static array, since the first allocation of
/// libc's allocator costs a sixth of a start. What is longer than the longest piece is from libc,
/// and so is what is wanted as zeros, and everything once the array is used up.
struct Allocator {
    array: UnsafeCell<[u128; ARRAY_SIZE / SHORTEST_PIECE]>,
    /// How many bytes of the array were cut.
    used: Cell<usize>,
    /// For each length, the first piece that is free. A free piece holds the address of the next,
    /// the last one a null pointer.
    free: [Cell<*mut u8>; PIECE_LENGTHS],
}

/// Bytes of the array. The kernel adds a page when it is written to.
const ARRAY_SIZE: usize = 131_072;

/// Pieces are of 16, 32, 64 … bytes, up to 32 KiB, and begin at a multiple of 16.
const PIECE_LENGTHS: usize = 12;
const SHORTEST_PIECE: usize = 16;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    array: UnsafeCell::new([0; ARRAY_SIZE / SHORTEST_PIECE]),
    used: Cell::new(0),
    free: [const { Cell::new(std::ptr::null_mut()) }; PIECE_LENGTHS],
};

// SAFETY: this program has one thread, and no handler of a signal takes memory.
unsafe impl Sync for Allocator {}

impl Allocator {
    /// Returns a free piece for this layout, or a new one. Returns `None` if there are no such
    /// pieces or the array is used up.
    fn take(&self, layout: Layout) -> Option<*mut u8> {
        let (length, free) = self.pieces(layout)?;
        let first = free.get();
        if !first.is_null() {
            // SAFETY: a free piece holds the address that `dealloc` wrote into it.
            free.set(unsafe { first.cast::<*mut u8>().read() });
            return Some(first);
        }
        let begin = self.used.get();
        let end = begin.checked_add(length).filter(|end| *end <= ARRAY_SIZE)?;
        self.used.set(end);
        Some(self.array.get().cast::<u8>().wrapping_add(begin))
    }

    /// Returns the length of the pieces that fit this layout, and the first of them that is free.
    /// Returns `None` if the layout wants more length or alignment than pieces have.
    fn pieces(&self, layout: Layout) -> Option<(usize, &Cell<*mut u8>)> {
        if layout.align() > SHORTEST_PIECE {
            return None;
        }
        let length = layout.size().next_power_of_two().max(SHORTEST_PIECE);
        let doublings = (length / SHORTEST_PIECE).trailing_zeros();
        let free = self.free.get(doublings as usize)?;
        Some((length, free))
    }

    /// Returns whether a piece is of the array.
    fn holds(&self, piece: *mut u8) -> bool {
        let offset = piece.addr().wrapping_sub(self.array.get().addr());
        offset < ARRAY_SIZE
    }
}

// SAFETY: a piece is aligned and has room for its layout. It has one owner, since it is new or was
// taken off its list. What is not of the array is from libc, and goes back there.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some(piece) => piece,
            // SAFETY: the caller promises what libc's allocator wants.
            None => unsafe { System.alloc(layout) },
        }
    }

    /// Always takes from libc. What is wanted as zeros is the memory for a response, which is long:
    /// the kernel's new pages are zeros, and libc does not write to them.
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller promises what libc's allocator wants.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match self.pieces(layout) {
            Some((_, free)) if self.holds(piece) => {
                // The caller's pointer is good for its own layout. The next one may be longer.
                let piece = self.array.get().cast::<u8>().with_addr(piece.addr());
                // SAFETY: the piece has no owner any more, and room for an address.
                unsafe { piece.cast::<*mut u8>().write(free.get()) };
                free.set(piece);
            }
            // SAFETY: it is from libc, for this layout.
            _ => unsafe { System.dealloc(piece, layout) },
        }
    }
}

// --- The start -----------------------------------------------------------------------------------

/// The program's start, in the place of std's, which costs 5 KB and three page faults: C calls it
/// with the arguments.
#[unsafe(no_mangle)]
extern "C" fn main(count: c_int, arguments: CStringArray) -> c_int {
    let argument = match count {
        // SAFETY: C passes `count` pointers to strings that end in NUL and live as long as the
        // process.
        2.. => Some(unsafe { CStr::from_ptr(*arguments.add(1)) }.to_bytes()),
        _ => None,
    };
    // A connection that the peer closed is an error to the writer, not a signal to the process.
    set_disposition(SIGPIPE, SIG_IGN);
    if ensure_standard_descriptors().is_err() {
        return 1;
    }
    // What the starter of this process left open, so that no handler inherits it: Lambda's agent
    // for Managed Instances is known to leave some.
    close_from(3);
    c_int::from(crate::run(argument, OneThread(())))
}

/// Makes sure that descriptors 0, 1 and 2 are open, so that no file or socket takes their place.
fn ensure_standard_descriptors() -> io::Result<()> {
    let mut standard = [0, 1, 2].map(|descriptor| PollFd {
        descriptor,
        wanted: 0,
        found: 0,
    });
    loop {
        poll_raw(&mut standard, Some(Duration::ZERO))?;
        if standard.iter().all(|fd| fd.found & POLLNVAL == 0) {
            return Ok(());
        }
        // A file takes the lowest free number; it is never closed, and handlers inherit it, too.
        let file = open(c"/dev/null")?;
        // SAFETY: the descriptor is open, and the command takes a number.
        unsafe { libc::fcntl(file.into_raw_fd(), F_SETFD, 0 as c_int) };
    }
}

/// Closes all descriptors from this number on. On a kernel older than 5.9 it does nothing.
fn close_from(first: c_ulong) {
    // SAFETY: close_range(2) takes three numbers. The callers own nothing that it closes: at the
    // start nothing of ours is open yet, and the guard uses no descriptor of before.
    unsafe { libc::syscall(SYS_CLOSE_RANGE, first, c_uint::MAX as c_ulong, 0 as c_ulong) };
}

/// Returns standard output without std's buffer around it.
pub(crate) fn standard_output() -> std::mem::ManuallyDrop<File> {
    // SAFETY: main made sure that descriptor 1 is open, and it is never closed.
    std::mem::ManuallyDrop::new(unsafe { File::from_raw_fd(1) })
}

/// Ends this process at once. `std::process::exit` would add 2 KB of code for streams that are not
/// used.
pub(crate) fn exit(status: i32) -> ! {
    libc::_exit(status)
}

// --- Descriptors ---------------------------------------------------------------------------------

/// Returns the first bytes of this program's file.
pub(crate) fn program_start() -> &'static [u8] {
    &libc::PROGRAM_START
}

/// Opens a file for reading. `File::open` would add 7 KB of code that checks combinations of other
/// options. musl's open() would set close-on-exec twice.
pub(crate) fn open(path: &CStr) -> io::Result<File> {
    // SAFETY: the pointer is of a string that ends in NUL and outlives the call.
    let descriptor = unsafe { libc::openat(AT_FDCWD, path.as_ptr(), OPEN_FLAGS) };
    owned_fd(descriptor).map(File::from)
}

/// Creates an empty file that has no name in any file system but /proc.
pub(crate) fn memory_file() -> io::Result<File> {
    // SAFETY: the pointer is of a string that ends in NUL and outlives the call.
    let descriptor = unsafe { libc::memfd_create(c"event".as_ptr(), MFD_CLOEXEC) };
    owned_fd(descriptor).map(File::from)
}

/// Duplicates a descriptor.
pub(crate) fn duplicate(source: &impl AsFd) -> io::Result<OwnedFd> {
    let source = source.as_fd().as_raw_fd();
    // SAFETY: the command makes a new descriptor, and takes a number.
    owned_fd(unsafe { libc::fcntl(source, F_DUPFD_CLOEXEC, 0 as c_int) })
}

/// Makes the descriptor `target`, whose number stays, refer to what `source` refers to.
pub(crate) fn replace(target: &OwnedFd, source: &impl AsFd) -> io::Result<()> {
    let source = source.as_fd().as_raw_fd();
    // SAFETY: `target` is ours, and stays open under its number.
    succeeded(unsafe { libc::dup3(source, target.as_raw_fd(), O_CLOEXEC) }).map(drop)
}

fn owned_fd(descriptor: RawFd) -> io::Result<OwnedFd> {
    let descriptor = succeeded(descriptor)?;
    // SAFETY: the kernel just made this descriptor, and nothing else has its number.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Returns the result of a system call, or the error that errno(3) holds after one that failed.
fn succeeded(result: c_int) -> io::Result<c_int> {
    match result {
        0.. => Ok(result),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Creates a pipe for what handlers write. A read from it never blocks, even if poll(2) reported it
/// as readable: on Linux 5.10 and 6.1 a write that fails at its first byte, as when memory ends and
/// the writer is killed, leaves an empty buffer in the pipe. That counts as readable, but a
/// blocking read skips it and waits.
///
/// # Errors
/// There can be no more descriptors.
pub(crate) fn pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    // Each end has its own flags: handlers' writes still block.
    // SAFETY: the command takes a number.
    succeeded(unsafe { libc::fcntl(reader.as_raw_fd(), F_SETFL, O_NONBLOCK) })?;
    Ok((reader, writer))
}

/// Reads what such a pipe holds now. Returns `None` if that is nothing, and 0 at the pipe's end.
pub(crate) fn read_pipe(pipe: &mut PipeReader, space: &mut [u8]) -> io::Result<Option<usize>> {
    match pipe.read(space) {
        Ok(length) => Ok(Some(length)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Lets a pipe hold as much as it may without privileges. What is refused changes nothing.
pub(crate) fn enlarge_pipe(pipe: &impl AsFd) {
    let descriptor = pipe.as_fd().as_raw_fd();
    // SAFETY: the command takes a number.
    unsafe { libc::fcntl(descriptor, F_SETPIPE_SZ, PIPE_LIMIT as c_int) };
}

/// `struct pollfd`. poll(2) skips negative descriptors.
#[repr(C)]
struct PollFd {
    descriptor: RawFd,
    wanted: i16,
    found: i16,
}

/// Waits until one of `descriptors` can be read without blocking (bytes, end of stream, or an
/// error) or `timeout` is over. Returns which can. `None` waits without limit.
///
/// # Errors
/// The system refuses to wait. An interrupting signal is no error: nothing is ready then, so that
/// callers look at the clock themselves.
pub(crate) fn poll<const N: usize>(
    descriptors: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut fds = descriptors.map(|descriptor| PollFd {
        descriptor: descriptor.map_or(-1, |descriptor| descriptor.as_raw_fd()),
        wanted: POLLIN,
        found: 0,
    });
    poll_raw(&mut fds, timeout)?;
    Ok(fds.map(|fd| fd.found != 0))
}

/// Calls poll(2). Rounds the time up to whole milliseconds: rounded down, the last wait would be a
/// busy loop.
fn poll_raw(fds: &mut [PollFd], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = match timeout {
        Some(timeout) => {
            let ms = timeout.as_micros().div_ceil(1_000);
            c_int::try_from(ms).unwrap_or(c_int::MAX)
        }
        None => -1,
    };
    // SAFETY: the pointer and the count are of one live slice, of the layout poll(2) wants.
    let polled = unsafe { libc::poll(fds.as_mut_ptr(), fds.len() as c_ulong, timeout) };
    match succeeded(polled) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(()),
    }
}

// --- Signals -------------------------------------------------------------------------------------

/// Sets what a signal does to this process: [`SIG_IGN`], [`SIG_DFL`], or [`shut_down`].
fn set_disposition(signal: i32, action: usize) {
    // SAFETY: signal(2) takes the two numbers in the place of a function, and the one function here
    // is of the type it wants and calls only what signal-safety(7) lists.
    unsafe { libc::signal(signal, action) };
}

/// Undoes what the starter of this process ignores: handlers would inherit that, and with SIGCHLD
/// ignored their exit statuses would be lost. SIGPIPE stays ignored here; spawn resets it. From now
/// on SIGTERM and SIGINT end this slot's handler first, and then this process.
pub(crate) fn reset_signals() {
    for signal in 1..=LAST_ORDINARY_SIGNAL {
        match signal {
            SIGPIPE => {}
            SIGTERM | SIGINT => set_disposition(signal, shut_down as *const () as usize),
            _ => set_disposition(signal, SIG_DFL),
        }
    }
}

/// Blocks these signals, and no others.
pub(crate) fn block_signals(signals: SignalSet) {
    // SAFETY: the pointer is of a live set, and no old set is asked for.
    unsafe { libc::sigprocmask(SIG_SETMASK, &raw const signals, std::ptr::null_mut()) };
}

/// Waits for one of these signals, which must be blocked, and takes it.
pub(crate) fn wait_for_signal(signals: SignalSet) -> i32 {
    let mut signal = 0;
    // SAFETY: both pointers are of live variables.
    unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
    signal
}

/// Sends a signal to a process. A process that does not exist any more is not an error.
pub(crate) fn signal(pid: Pid, signal: i32) {
    libc::kill(pid.0, signal);
}

/// Sends a signal to the process group of a leader; signal 0 sends nothing. Returns whether the
/// group exists.
pub(crate) fn signal_group(leader: Pid, signal: i32) -> bool {
    // To kill(2), 0 means the caller's own group, and -1 every process.
    leader.0 > 1 && libc::kill(leader.0.saturating_neg(), signal) == 0
}

// --- Children ------------------------------------------------------------------------------------

/// What a new child needs, and why it could not become its program.
struct SpawnRequest {
    arguments: CStringArray,
    environment: CStringArray,
    descriptors: [RawFd; 3],
    error: Option<io::Error>,
}

/// Runs `arguments[0]` with these arguments and this environment, as leader of a process group of
/// its own. The descriptors become its 0, 1 and 2; all others are close-on-exec. A descriptor that
/// is already in its place is passed on unchanged. No ordinary signal is blocked or ignored. The
/// group is this slot's handler, which does not outlive this process.
///
/// Returns the child, and a descriptor that becomes readable when it ends.
///
/// # Errors
/// fork(2), clone(2) or execve(2) failed.
pub(crate) fn spawn(
    arguments: &[&CStr],
    environment: &[CString],
    descriptors: [BorrowedFd<'_>; 3],
) -> io::Result<(Pid, OwnedFd)> {
    let group = guarded_group()?;
    let arguments = null_terminated(arguments.iter().copied());
    let environment = null_terminated(environment.iter().map(CString::as_c_str));
    let mut request = SpawnRequest {
        arguments: arguments.as_ptr(),
        environment: environment.as_ptr(),
        descriptors: descriptors.map(|descriptor| descriptor.as_raw_fd()),
        error: None,
    };
    let mut stack = std::mem::MaybeUninit::<[u128; SPAWN_STACK_SIZE / 16]>::uninit();
    let mut pidfd: RawFd = -1;
    // A signal now would run its handler in the child, too.
    block_signals(SignalSet::TERMINATION);
    // SAFETY: this thread is suspended until the child executed its program or ended, as in
    // vfork(2). Until then the child runs `become_program` in the same memory, on a stack of its
    // own, which grows down from the end that is passed; `request` and what it points to outlive
    // that. The last arguments are where the kernel writes the pidfd, no thread area, and where it
    // writes the child's id before the child runs.
    let cloned = succeeded(unsafe {
        let top = stack.as_mut_ptr().add(1).cast();
        let argument = (&raw mut request).cast();
        let no_tls: *mut c_void = std::ptr::null_mut();
        libc::clone(
            become_program,
            top,
            SPAWN_FLAGS,
            argument,
            &raw mut pidfd,
            no_tls,
            group.as_ptr(),
        )
    });
    block_signals(SignalSet::EMPTY);
    let pid = Pid(cloned?);
    let pidfd = owned_fd(pidfd);
    match request.error {
        None => Ok((pid, pidfd?)),
        Some(error) => reap(pid).and(Err(error)),
    }
}

/// In the child: becomes the program, or says why not.
extern "C" fn become_program(argument: *mut c_void) -> c_int {
    // SAFETY: spawn passes a pointer to its own variable, and is suspended.
    let request = unsafe { &mut *argument.cast::<SpawnRequest>() };
    libc::setpgid(0, 0);
    for signal in [SIGPIPE, SIGTERM, SIGINT] {
        set_disposition(signal, SIG_DFL);
    }
    block_signals(SignalSet::EMPTY);
    for (from, to) in request.descriptors.into_iter().zip(0..) {
        // SAFETY: the child has a descriptor table of its own, and nothing in it uses 0 to 2 but
        // the program that it becomes.
        if from != to && unsafe { libc::dup2(from, to) } != to {
            request.error = Some(io::Error::last_os_error());
            return 127;
        }
    }
    // SAFETY: both arrays end in a null pointer, the strings in NUL, and all of them live. An empty
    // list of arguments has that null pointer for a path, which execve(2) refuses.
    unsafe { libc::execve(*request.arguments, request.arguments, request.environment) };
    request.error = Some(io::Error::last_os_error());
    127
}

fn null_terminated<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings
        .map(CStr::as_ptr)
        .chain(std::iter::once(std::ptr::null()))
        .collect()
}

/// Reaps the ended handler. Forgets its group first: once it is reaped, another process may get its
/// id.
pub(crate) fn reap(pid: Pid) -> io::Result<ExitStatus> {
    if let Some(group) = handler_group() {
        group.store(0, Ordering::SeqCst);
    }
    waitpid(pid.0, 0).map(|(_, status)| status)
}

/// Reaps one child that has ended. Returns `None` if no child has.
pub(crate) fn reap_any() -> Option<(Pid, ExitStatus)> {
    waitpid(-1, WNOHANG).ok().filter(|(pid, _)| pid.0 > 0)
}

fn waitpid(pid: i32, options: c_int) -> io::Result<(Pid, ExitStatus)> {
    let mut status = 0;
    // SAFETY: the pointer is of a live integer.
    let pid = succeeded(unsafe { libc::waitpid(pid, &raw mut status, options) })?;
    Ok((Pid(pid), ExitStatus::from_raw(status)))
}

/// Which of two processes this is, after a fork.
pub(crate) enum ForkResult {
    Parent(Pid),
    Child,
}

/// Makes a second process like this one. The child gets SIGTERM when the parent ends in any way.
///
/// # Errors
/// fork(2) failed.
pub(crate) fn fork_slot(_: &OneThread) -> io::Result<ForkResult> {
    set_disposition(SIGCHLD, SIG_DFL);
    let parent = std::process::id();
    // SAFETY: there is one thread, so that no lock is held by another.
    match succeeded(unsafe { libc::fork() })? {
        0 => {
            // SAFETY: this option takes one number.
            unsafe { libc::prctl(PR_SET_PDEATHSIG, c_long::from(SIGTERM)) };
            // A parent that ended before this sends no signal.
            if libc::getppid().unsigned_abs() != parent {
                exit(1);
            }
            block_signals(SignalSet::EMPTY);
            Ok(ForkResult::Child)
        }
        pid => Ok(ForkResult::Parent(Pid(pid))),
    }
}

// --- The end of the handler ----------------------------------------------------------------------

/// The address where the process group of this slot's handler is noted, in memory that the guard
/// shares. The group is 0 while no handler runs; the address is null before the first handler.
static HANDLER_GROUP: AtomicPtr<c_int> = AtomicPtr::new(std::ptr::null_mut());

/// Whether the guard was started.
static HAS_GUARD: AtomicBool = AtomicBool::new(false);

/// The descriptor from which the handler's standard error is read, or -1.
static HANDLER_STDERR: AtomicI32 = AtomicI32::new(-1);

/// The descriptor of the pipe that wakes the warm shell's subshell, or -1.
static WAKER: AtomicI32 = AtomicI32::new(-1);

/// The line that wakes a subshell at a shutdown. It is not that of an event, so the subshell ends.
const SHUTDOWN_LINE: &[u8] = b"end\n";

/// How long a handler has to end after SIGTERM. Lambda kills the runtime 500 ms after its SIGTERM
/// (AWS, execution environment, "Shutdown phase").
const SHUTDOWN_GRACE: Duration = Duration::from_millis(400);
const SHUTDOWN_STEP: Duration = Duration::from_millis(10);

/// Most reads at a step: a full pipe, 4 KiB at once.
const SHUTDOWN_READS: usize = 256;

/// Sets the pipe that a shutdown copies to the log while the handler ends.
pub(crate) fn log_at_shutdown(pipe: &impl AsFd) {
    HANDLER_STDERR.store(pipe.as_fd().as_raw_fd(), Ordering::SeqCst);
}

/// Forgets that pipe, before it is closed: its number may become an event's file.
pub(crate) fn forget_log() {
    HANDLER_STDERR.store(-1, Ordering::SeqCst);
}

/// Sets the pipe that wakes a waiting subshell at a shutdown.
pub(crate) fn wake_at_shutdown(waker: &impl AsFd) {
    WAKER.store(waker.as_fd().as_raw_fd(), Ordering::SeqCst);
}

/// Forgets that pipe, before it is closed: its number may become a connection's.
pub(crate) fn forget_waker() {
    WAKER.store(-1, Ordering::SeqCst);
}

fn handler_group() -> Option<&'static AtomicI32> {
    let address = HANDLER_GROUP.load(Ordering::SeqCst);
    if address.is_null() {
        return None;
    }
    // SAFETY: the address is of the shared page, which is never unmapped. Only atomics and the
    // kernel use it.
    Some(unsafe { AtomicI32::from_ptr(address) })
}

/// Returns the process group of the handler. It is 0 while no handler runs.
fn running_group() -> Pid {
    Pid(handler_group().map_or(0, |group| group.load(Ordering::SeqCst)))
}

/// Returns where the handler's group is noted, once the guard runs. The first call makes that place
/// and starts the guard. If it cannot, the next call tries again: no handler runs without a guard.
fn guarded_group() -> io::Result<&'static AtomicI32> {
    if handler_group().is_none() {
        map_handler_group()?;
    }
    if !HAS_GUARD.load(Ordering::SeqCst) {
        start_guard()?;
        HAS_GUARD.store(true, Ordering::SeqCst);
    }
    handler_group().ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Makes the place where the handler's group is noted.
fn map_handler_group() -> io::Result<()> {
    // SAFETY: the kernel chooses the address, and the memory is nothing else's.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size_of::<c_int>(),
            PROT_READ_WRITE,
            MAP_SHARED_ANONYMOUS,
            -1,
            0,
        )
    };
    if page.addr() == usize::MAX {
        return Err(io::Error::last_os_error());
    }
    HANDLER_GROUP.store(page.cast(), Ordering::SeqCst);
    Ok(())
}

/// Starts a process that waits for the end of this one, and then kills the handler's group: a
/// signal that kills this process cannot be handled in it, and handlers are in groups of their own.
fn start_guard() -> io::Result<()> {
    let parent = std::process::id();
    // SAFETY: this program has one thread.
    match succeeded(unsafe { libc::fork() })? {
        0 => guard(parent),
        _ => Ok(()),
    }
}

/// Runs in the guard process. It has only one descriptor, its parent's pidfd, and is in a group of
/// its own, so that a signal to the parent's group does not reach it.
fn guard(parent: u32) -> ! {
    block_signals(SignalSet::ALL);
    libc::setpgid(0, 0);
    close_from(0);
    // SAFETY: pidfd_open(2) takes two numbers.
    let pidfd = unsafe { libc::syscall(SYS_PIDFD_OPEN, c_long::from(parent), 0 as c_long) };
    let mut fds = [PollFd {
        descriptor: pidfd as RawFd,
        wanted: POLLIN,
        found: 0,
    }];
    // Without a pidfd, look for the parent's end at each step.
    while libc::getppid().unsigned_abs() == parent {
        let limit = (pidfd < 0).then_some(SHUTDOWN_STEP);
        let _ = poll_raw(&mut fds, limit);
    }
    // A child that was just being made may join its group a moment later.
    for _ in 0..3 {
        signal_group(running_group(), SIGKILL);
        let _ = poll_raw(&mut [], Some(SHUTDOWN_STEP));
    }
    exit(0)
}

/// Ends the handler and then this process. Runs in a signal handler: only system calls that
/// signal-safety(7) lists, no memory is taken.
extern "C" fn shut_down(signal: i32) {
    let group = running_group();
    signal_group(group, SIGTERM);
    // A shell that forked just then has a subshell that got no signal. The shell's trap runs when
    // that subshell ends.
    // SAFETY: the pointer and the length are of a constant.
    unsafe {
        libc::write(
            WAKER.load(Ordering::SeqCst),
            SHUTDOWN_LINE.as_ptr().cast(),
            SHUTDOWN_LINE.len(),
        )
    };
    let started = Instant::now();
    while started.elapsed() < SHUTDOWN_GRACE && signal_group(group, 0) {
        copy_handler_stderr(SHUTDOWN_STEP);
        // Reap an ended leader: a zombie would count as a member of the group.
        let _ = waitpid(group.0.saturating_neg(), WNOHANG);
    }
    signal_group(group, SIGKILL);
    copy_handler_stderr(Duration::ZERO);
    exit(128_i32.saturating_add(signal))
}

/// Waits for bytes of the handler's standard error, and copies those that are there to the log.
fn copy_handler_stderr(timeout: Duration) {
    let descriptor = HANDLER_STDERR.load(Ordering::SeqCst);
    let mut fds = [PollFd {
        descriptor,
        wanted: POLLIN,
        found: 0,
    }];
    let mut space = [0_u8; 4_096];
    let mut timeout = timeout;
    for _ in 0..SHUTDOWN_READS {
        let polled = poll_raw(&mut fds, Some(timeout));
        if polled.is_err() || fds.iter().all(|fd| fd.found & POLLIN == 0) {
            return;
        }
        timeout = Duration::ZERO;
        // SAFETY: the pointer and the size are of one live buffer.
        let length = unsafe { libc::read(descriptor, space.as_mut_ptr().cast(), space.len()) };
        let Ok(length @ 1..) = usize::try_from(length) else {
            return;
        };
        // SAFETY: the buffer is live, and read(2) filled so much of it.
        unsafe { libc::write(2, space.as_ptr().cast(), length) };
    }
}
