//! What strace wrote, and which of it the bootstrap itself did.
//!
//! A child of the bootstrap runs the bootstrap's code until it executes a program: until then its
//! calls count as the bootstrap's, the execve among them. A slot, which never executes another
//! program, is the bootstrap all its life.

use std::collections::{HashMap, HashSet};

/// One system call, in the order in which they began.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) pid: u32,
    pub(crate) name: String,
    /// Name, arguments and result, as strace writes them.
    pub(crate) text: String,
}

impl Call {
    /// What it returned, as far as that is a number.
    pub(crate) fn result(&self) -> Option<i64> {
        let (_, result) = self.text.rsplit_once(" = ")?;
        result.split(' ').next()?.parse().ok()
    }
}

/// Reads the output of `strace -f`, and puts together what it wrote in two pieces.
pub(crate) fn read(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<u32, usize> = HashMap::new();
    for line in trace.lines() {
        let Some((pid, text)) = line.split_once(' ') else {
            continue;
        };
        let (Ok(pid), text) = (pid.parse(), text.trim_start()) else {
            continue;
        };
        if let Some(rest) = text.strip_prefix("<... ") {
            let call = unfinished.remove(&pid).map(|index| &mut calls[index]);
            let call = call.unwrap_or_else(|| panic!("the end of a call without a start: {line}"));
            call.text
                .push_str(rest.split_once(" resumed>").expect("a resumed call").1);
        } else if !text.starts_with("---") && !text.starts_with("+++") {
            let (name, _) = text
                .split_once('(')
                .unwrap_or_else(|| panic!("no call: {line}"));
            let start = text.strip_suffix(" <unfinished ...>");
            if start.is_some() {
                unfinished.insert(pid, calls.len());
            }
            let text = start.unwrap_or(text).to_owned();
            calls.push(Call {
                pid,
                name: name.to_owned(),
                text,
            });
        }
    }
    calls
}

/// The calls of the bootstrap, from after its own execve, which is the trace's first call.
pub(crate) fn of_the_bootstrap(calls: &[Call]) -> Vec<Call> {
    let first = calls.first().expect("a trace with a call");
    assert_eq!(
        (first.name.as_str(), first.result()),
        ("execve", Some(0)),
        "{}",
        first.text
    );
    // A child's first call may stand before the return of the clone that made it, so that all
    // clones are looked at first.
    let mut parents = HashMap::new();
    let mut never_returned = Vec::new();
    let mut programs: HashMap<u32, usize> = HashMap::new();
    for (index, call) in calls.iter().enumerate().skip(1) {
        let child = call
            .result()
            .and_then(|child| u32::try_from(child).ok())
            .filter(|pid| *pid > 0);
        match call.name.as_str() {
            "clone" | "clone3" | "fork" | "vfork" => {
                if let Some(child) = child {
                    let before = parents.insert(child, (call.pid, index));
                    assert!(before.is_none(), "two processes had the number {child}");
                } else if call.result().is_none() {
                    never_returned.push((call.pid, index));
                }
            }
            "execve" | "execveat" if call.result() == Some(0) => {
                programs.entry(call.pid).or_insert(index);
            }
            _ => {}
        }
    }
    let is_own = |pid: u32, index: usize| {
        let mut pending = vec![(pid, index)];
        let mut seen = HashSet::new();
        while let Some((pid, index)) = pending.pop() {
            let is_program = programs.get(&pid).is_some_and(|program| index > *program);
            if is_program || !seen.insert((pid, index)) {
                continue;
            }
            if pid == first.pid {
                return true;
            }
            match parents.get(&pid) {
                Some(parent) => pending.push(*parent),
                // The parent was killed inside its clone, which then returns no number: any such
                // clone may be the one, and one of the bootstrap's own is enough.
                None => {
                    assert!(
                        !never_returned.is_empty(),
                        "{pid} has no parent in the trace"
                    );
                    pending.extend(&never_returned);
                }
            }
        }
        false
    };
    let numbered = calls.iter().enumerate().skip(1);
    numbered
        .filter(|(index, call)| is_own(call.pid, *index))
        .map(|(_, call)| call.clone())
        .collect()
}

#[test]
fn calls_of_children_count_until_they_execute_a_program() {
    let trace = "\
10 execve(\"bootstrap\", [], 0x1) = 0
10 clone(child_stack=0x1, flags=CLONE_VM <unfinished ...>
11 dup2(3, 0) = 0
11 execve(\"/missing/app\", [], 0x1) = -1 ENOENT (No such file)
11 execve(\"app\", [], 0x1) = 0
10 <... clone resumed>) = 11
11 open(\"log\", O_WRONLY) = 3
11 fork() = 12
12 getpid() = 12
--- SIGCHLD {si_signo=SIGCHLD} ---
10 --- SIGCHLD {si_signo=SIGCHLD} ---
10 fork() = 13
13 poll([], 0, 1 <unfinished ...>
10 +++ exited with 0 +++
";
    let calls = read(trace);
    assert_eq!(calls[1].text, "clone(child_stack=0x1, flags=CLONE_VM) = 11");
    let own: Vec<_> = of_the_bootstrap(&calls)
        .into_iter()
        .map(|call| call.name)
        .collect();
    assert_eq!(own, ["clone", "dup2", "execve", "execve", "fork", "poll"]);
}

#[test]
fn child_whose_parent_was_killed_in_its_clone_is_of_one_that_could_be_its_parent() {
    let of_a_shell = "\
10 execve(\"bootstrap\", [], 0x1) = 0
10 clone(child_stack=0x1) = 11
11 execve(\"/bin/bash\", [], 0x1) = 0
11 clone(child_stack=NULL <unfinished ...>
12 getpid() = 12
11 <... clone resumed>) = ?
11 +++ killed by SIGKILL +++
";
    let names = |trace: &str| -> Vec<String> {
        let calls = of_the_bootstrap(&read(trace)).into_iter();
        calls.map(|call| call.name).collect()
    };
    assert_eq!(names(of_a_shell), ["clone", "execve"]);
    let of_the_bootstrap = of_a_shell.replace("11 execve(\"/bin/bash\", [], 0x1) = 0\n", "");
    assert_eq!(names(&of_the_bootstrap), ["clone", "clone", "getpid"]);
}
