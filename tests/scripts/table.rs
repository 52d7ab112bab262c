//! Scripts, their events and what must come, a row each.
//!
//! Many were once answered wrongly. Most rows end in the plain function below, whose four answers are
//! known: what stands before it must not change them.

use super::case::{ALL, BASH, Between, Case, DASH, DEADLINE_MS, FORKING, Form, KORN, PLAIN, Shell};

/// A row. Fields that a row leaves out are those of [`PLAIN_ROW`].
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) shells: &'static [Shell],
    pub(crate) env: &'static [(&'static str, &'static str)],
    /// What stands before the function.
    pub(crate) top: &'static str,
    pub(crate) function: &'static str,
    pub(crate) events: &'static [&'static str],
    /// `!3` is a failure with status 3, `!Function.TimedOut` one of that type, `=…` the function's own error document, `!init` an error at
    /// init in place of all answers.
    pub(crate) answers: &'static [&'static str],
    /// How often `run` is logged; by default once for each event, where the function is the plain one.
    pub(crate) runs: Option<usize>,
    /// How often the script is sourced; 0: that is not looked at.
    pub(crate) sourced: usize,
    /// Lines of the script that the log must hold, each once.
    pub(crate) holds: &'static [&'static str],
    /// What must be nowhere in the log.
    pub(crate) lacks: &'static [&'static str],
    /// What an error at init must say.
    pub(crate) says: &'static str,
    /// A name that the script takes. Init may refuse it, with this name in the message.
    pub(crate) may_refuse: &'static str,
    pub(crate) form: Form,
    pub(crate) stdin: bool,
    pub(crate) between: Between,
    pub(crate) deadline_ms: u64,
    /// Why the reference cannot judge this row; empty: it must agree.
    pub(crate) unlike_reference: &'static str,
}

/// Fails for one event.
const H: &str = r#"handler() {
  echo 'LOG: run' >&2
  [ "$1" != bad ] || return 3
  echo "got $1"
}"#;

/// Fails under errexit, in the middle.
const FALSE: &str = r#"handler() {
  echo 'LOG: run' >&2
  if [ "$1" = bad ]; then false; fi
  echo "got $1"
}"#;

/// Exits.
const EXIT: &str = r#"handler() {
  echo 'LOG: run' >&2
  [ "$1" != bad ] || exit 4
  echo "got $1"
}"#;

/// Tells the options of shopt that POSIX mode sets at its start or its end.
const SHOPTS: &str = r#"handler() {
  local name states=()
  for name in expand_aliases inherit_errexit interactive_comments shift_verbose sourcepath; do
    if shopt -q "$name"; then states+=(on); else states+=(off); fi
  done
  echo "${states[*]}"
}"#;

const EVENTS: &[&str] = &["a", "bad", "c", "d"];
const GOT: &[&str] = &["got a", "!3", "got c", "got d"];

pub(crate) const PLAIN_ROW: Row = Row {
    name: "",
    shells: ALL,
    env: &[],
    top: ":",
    function: H,
    events: EVENTS,
    answers: GOT,
    runs: None,
    sourced: 1,
    holds: &[],
    lacks: &[],
    says: "",
    may_refuse: "",
    form: Form::Buffered,
    stdin: false,
    between: Between::Nothing,
    deadline_ms: DEADLINE_MS,
    unlike_reference: "",
};

/// A row that differs in its name and its top alone.
const fn top(name: &'static str, shells: &'static [Shell], top: &'static str) -> Row {
    Row {
        name,
        shells,
        top,
        ..PLAIN_ROW
    }
}

/// One with variables in the environment.
const fn env(
    name: &'static str,
    shells: &'static [Shell],
    env: &'static [(&'static str, &'static str)],
) -> Row {
    Row {
        name,
        shells,
        env,
        ..PLAIN_ROW
    }
}

/// One whose function tells something, for a single event `a`.
const fn tells(
    name: &'static str,
    shells: &'static [Shell],
    top: &'static str,
    function: &'static str,
    answers: &'static [&'static str],
) -> Row {
    Row {
        name,
        shells,
        top,
        function,
        events: &["a"],
        answers,
        runs: Some(0),
        ..PLAIN_ROW
    }
}

/// One whose script cannot be served.
const fn init(
    name: &'static str,
    shells: &'static [Shell],
    top: &'static str,
    says: &'static str,
) -> Row {
    Row {
        name,
        shells,
        top,
        says,
        answers: &["!init"],
        runs: Some(0),
        ..PLAIN_ROW
    }
}

/// One with a function of its own by a builtin's name, which nobody calls but those who mean it.
const fn named(name: &'static str, top: &'static str) -> Row {
    Row {
        name,
        shells: BASH,
        top,
        ..PLAIN_ROW
    }
}

const MANY: &[&str] = &[
    "a", "b", "c", "bad", "a", "b", "c", "bad", "a", "b", "c", "bad", "a", "b", "c", "bad", "a",
    "b", "c", "bad", "a", "b", "c", "bad",
];
const MANY_GOT: &[&str] = &[
    "got a", "got b", "got c", "!3", "got a", "got b", "got c", "!3", "got a", "got b", "got c",
    "!3", "got a", "got b", "got c", "!3", "got a", "got b", "got c", "!3", "got a", "got b",
    "got c", "!3",
];

pub(crate) const ROWS: &[Row] = &[
    // Nothing but the function, in each form.
    top("nothing", ALL, ":"),
    Row {
        name: "nothing, streaming",
        form: Form::Streaming,
        answers: &["got a\n", "!3", "got c\n", "got d\n"],
        ..PLAIN_ROW
    },
    Row {
        name: "nothing, JSON log",
        form: Form::Json,
        ..PLAIN_ROW
    },
    Row {
        name: "nothing, four slots",
        form: Form::Slots,
        sourced: 4,
        ..PLAIN_ROW
    },
    Row {
        name: "exit in place of return",
        function: EXIT,
        answers: &["got a", "!4", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "errexit in the middle",
        function: FALSE,
        answers: &["got a", "!1", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "24 events",
        events: MANY,
        answers: MANY_GOT,
        ..PLAIN_ROW
    },
    // IFS.
    top(
        "readonly IFS of newline and tab",
        BASH,
        r"readonly IFS=$'\n\t'",
    ),
    top("readonly IFS, POSIX", ALL, "IFS=,; readonly IFS"),
    top(
        "readonly IFS of digits",
        ALL,
        "IFS=0123456789; readonly IFS",
    ),
    top("IFS of letters", ALL, "IFS=abcdefghijklmnopqrstuvwxyz"),
    top("readonly IFS of letters", ALL, "IFS=etagod; readonly IFS"),
    top("IFS of slash and colon", ALL, "IFS=/:="),
    top("empty IFS", ALL, "IFS="),
    top("unset IFS", ALL, "unset IFS"),
    Row {
        name: "readonly IFS, four slots",
        form: Form::Slots,
        sourced: 4,
        top: "IFS=0123456789; readonly IFS",
        ..PLAIN_ROW
    },
    // Traps.
    Row {
        name: "ERR trap prints a number, 24 events",
        shells: BASH,
        top: "trap 'echo $LINENO' ERR",
        events: MANY,
        answers: MANY_GOT,
        ..PLAIN_ROW
    },
    top("ERR trap prints 0", BASH, "trap 'echo 0' ERR"),
    top(
        "ERR trap prints 0, korn",
        &[Shell::Mksh],
        "trap 'echo 0' ERR",
    ),
    top("ERR trap exits", BASH, "trap 'exit 9' ERR"),
    Row {
        name: "inherited ERR trap exits 9",
        shells: BASH,
        top: r#"set -Eeuo pipefail; trap 'echo "at $LINENO"; exit 9' ERR"#,
        function: FALSE,
        answers: &["got a", "!9", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "inherited ERR trap prints a document",
        shells: BASH,
        top: r#"set -E; trap 'echo "{\"errorType\":\"Function.Own\",\"errorMessage\":\"own\"}"; exit 1' ERR"#,
        function: FALSE,
        answers: &[
            "got a",
            r#"={"errorType":"Function.Own","errorMessage":"own"}"#,
            "got c",
            "got d",
        ],
        ..PLAIN_ROW
    },
    Row {
        name: "inherited ERR trap exits 0",
        shells: BASH,
        top: "set -E; trap 'echo mended; exit 0' ERR",
        function: FALSE,
        answers: &["got a", "mended", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "ERR and EXIT traps clean what the function needs",
        shells: FORKING,
        top: "mkdir work; echo here >work/file; trap 'rm -rf work' EXIT\n[ -z \"${BASH_VERSION-}\" ] || trap 'rm -rf work' ERR",
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || return 3; cat work/file; }",
        answers: &["here", "!3", "here", "here"],
        ..PLAIN_ROW
    },
    Row {
        name: "EXIT trap that prints",
        shells: FORKING,
        top: "trap 'echo bye' EXIT",
        ..PLAIN_ROW
    },
    top("EXIT trap that exits 0", FORKING, "trap 'exit 0' EXIT"),
    top("EXIT trap that exits 5", FORKING, "trap 'exit 5' EXIT"),
    Row {
        name: "EXIT trap of the function itself",
        shells: FORKING,
        function: "handler() { echo 'LOG: run' >&2; trap 'echo bye' EXIT; [ \"$1\" != bad ] || exit 3; echo \"got $1\"; }",
        answers: &["got a\nbye", "!3", "got c\nbye", "got d\nbye"],
        ..PLAIN_ROW
    },
    top("DEBUG trap prints", BASH, "trap 'echo debug' DEBUG"),
    top("DEBUG trap prints 0", BASH, "trap 'echo 0' DEBUG"),
    Row {
        name: "DEBUG trap fails",
        shells: BASH,
        top: "trap 'false' DEBUG",
        may_refuse: "while it was sourced",
        ..PLAIN_ROW
    },
    top(
        "DEBUG trap fails under extdebug",
        BASH,
        "shopt -s extdebug; set +ET; trap '[ \"$BASH_COMMAND\" != nothing ]' DEBUG",
    ),
    top("RETURN trap prints", BASH, "trap 'echo returned' RETURN"),
    Row {
        name: "inherited RETURN trap",
        shells: BASH,
        top: "set -T; trap 'echo returned' RETURN",
        function: "handler() { echo 'LOG: run' >&2; echo \"got $1\"; }",
        answers: &[
            "got a\nreturned",
            "got bad\nreturned",
            "got c\nreturned",
            "got d\nreturned",
        ],
        ..PLAIN_ROW
    },
    tells(
        "inherited DEBUG trap",
        BASH,
        "set -T; trap 'echo d' DEBUG",
        "handler() { echo one; echo two; }",
        &["d\nd\nd\none\nd\ntwo"],
    ),
    top(
        "all traps under -E -T",
        BASH,
        "set -ET; trap 'echo x >&2' ERR DEBUG RETURN",
    ),
    top("CHLD trap prints", PLAIN, "trap 'echo child' CHLD"),
    top("CHLD trap exits", BASH, "trap 'exit 6' CHLD"),
    top("CHLD trap runs a program", BASH, "trap '/bin/true' CHLD"),
    top("CHLD is ignored", BASH, "trap '' CHLD"),
    top(
        "USR1 and TERM traps print",
        ALL,
        "trap 'echo signal' USR1 TERM HUP INT",
    ),
    top("PIPE is ignored", ALL, "trap '' PIPE"),
    top("TERM is ignored", ALL, "trap '' TERM INT HUP"),
    // Shells differ: bash and ksh reset a trap in a subshell, and so must all.
    Row {
        name: "TERM trap is not the function's",
        shells: PLAIN,
        top: "trap 'echo LOG: term >&2' TERM",
        function: "handler() { sh -c 'kill -TERM $PPID'; echo late; }",
        events: &["a", "b"],
        answers: &["!143", "!143"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "USR1 trap of the function",
        function: "handler() { trap 'echo signal' USR1; sh -c 'kill -USR1 $PPID'; echo done; }",
        shells: FORKING,
        events: &["a", "b"],
        answers: &["signal\ndone", "signal\ndone"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    // A shell that starts something in the background has it ignore INT and QUIT.
    Row {
        name: "signals: INT is not ignored",
        function: "handler() { sh -c 'kill -INT $$; echo ignored' || echo \"$?\"; }",
        events: &["a"],
        answers: &["130"],
        runs: Some(0),
        shells: FORKING,
        ..PLAIN_ROW
    },
    // What busybox starts ignores QUIT always.
    Row {
        name: "signals: QUIT is not ignored",
        function: "handler() { sh -c 'kill -QUIT $$; echo ignored' || echo \"$?\"; }",
        events: &["a"],
        answers: &["131"],
        runs: Some(0),
        shells: &[Shell::Bash, Shell::Dash, Shell::Mksh],
        ..PLAIN_ROW
    },
    Row {
        name: "signals: PIPE, TERM and HUP are not ignored",
        function: "handler() { for name in PIPE TERM HUP USR1; do sh -c \"kill -$name \\$\\$; echo ignored\" || echo \"$?\"; done; }",
        events: &["a"],
        answers: &["141\n143\n129\n138"],
        runs: Some(0),
        shells: FORKING,
        ..PLAIN_ROW
    },
    // Descriptors.
    tells(
        "descriptor 3",
        ALL,
        "exec 3>file",
        "handler() { echo to >&3; cat file; }",
        &["to"],
    ),
    tells(
        "descriptor 9",
        ALL,
        "exec 9>>file",
        "handler() { echo to >&9; cat file; }",
        &["to"],
    ),
    tells(
        "descriptor 4 to 8",
        ALL,
        "exec 4>f4 5>f5 6>f6 7>f7 8>f8",
        "handler() { for n in 4 5 6 7 8; do eval \"echo $n >&$n\"; done; cat f?; }",
        &["4\n5\n6\n7\n8"],
    ),
    tells(
        "descriptor 10",
        BASH,
        "exec 10>>file",
        "handler() { echo to >&10; cat file; }",
        &["to"],
    ),
    tells(
        "descriptor 11 and 12",
        BASH,
        "exec 11>>file 12>&11",
        "handler() { echo to >&12; cat file; }",
        &["to"],
    ),
    tells(
        "descriptors 60 to 64",
        BASH,
        "exec 60>file 61>&60 62>&60 63>&60 64>&60",
        "handler() { echo to >&63; cat file; }",
        &["to"],
    ),
    tells(
        "descriptors 199 to 201",
        BASH,
        "exec 199>file 200>>file 201>&200",
        "handler() { echo to >&200; cat file; }",
        &["to"],
    ),
    tells(
        "descriptor 255",
        BASH,
        "exec 255>file",
        "handler() { echo to >&255; cat file; }",
        &["to"],
    ),
    tells(
        "descriptor by a variable",
        BASH,
        "exec {fd}>file",
        "handler() { echo to >&$fd; cat file; }",
        &["to"],
    ),
    tells(
        "descriptors 3 to 9 closed",
        ALL,
        "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-",
        "handler() { echo ok; }",
        &["ok"],
    ),
    top(
        "descriptors 10 to 20 closed",
        BASH,
        "exec 10>&- 11>&- 12>&- 13>&- 14>&- 15>&- 16>&- 17>&- 18>&- 19>&- 20>&-",
    ),
    top(
        "descriptors to 300 closed",
        BASH,
        "for ((n = 3; n < 300; n++)); do eval \"exec $n>&-\"; done",
    ),
    top(
        "every descriptor that /proc names, closed",
        BASH,
        "for n in /proc/$$/fd/*; do n=${n##*/}; [ \"$n\" -le 2 ] || eval \"exec $n>&-\"; done",
    ),
    Row {
        unlike_reference: "it inherits what these tests inherit",
        ..tells(
            "none but 0, 1 and 2 is inherited",
            FORKING,
            ":",
            "handler() { ls /proc/self/fd | tr '\\n' ' '; }",
            &["0 1 2 3 "],
        )
    },
    top("standard output moved", ALL, "exec >file"),
    top("standard output to standard error", ALL, "exec >&2"),
    // In dash no builtin can write any more, also with another standard output.
    top(
        "standard output closed",
        &[Shell::Bash, Shell::Ash, Shell::Ksh, Shell::Mksh],
        "exec 1>&-",
    ),
    top("standard input closed", ALL, "exec 0<&-"),
    top("standard input moved", ALL, "exec </dev/zero"),
    top("standard error to standard output", ALL, "exec 2>&1"),
    Row {
        name: "standard error moved",
        top: "exec 2>file",
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "standard error closed",
        shells: PLAIN,
        top: "exec 2>&-",
        function: "handler() { [ \"$1\" != bad ] || return 3; echo \"got $1\"; }",
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "all three closed",
        shells: PLAIN,
        top: "exec <&- >&- 2>&-",
        function: "handler() { [ \"$1\" != bad ] || return 3; echo \"got $1\"; }",
        runs: Some(0),
        ..PLAIN_ROW
    },
    top("standard output into tee", BASH, "exec > >(cat >&2)"),
    top(
        "standard error into a filter",
        BASH,
        "exec 2> >(cat >file); exec 2>&1",
    ),
    // Names of builtins.
    named("function read", "read() { return 1; }"),
    named("function read that succeeds", "read() { return 0; }"),
    named("function set", "set() { echo set; }"),
    named("function exit", "exit() { :; }"),
    named("function trap", "trap() { echo trap; }"),
    named(
        "function trap, after a trap of CHLD",
        "trap 'exit 6' CHLD; trap() { echo trap; }",
    ),
    tells(
        "function trap, after a trap of ERR that the function has",
        BASH,
        "set -E; trap 'echo failed; exit 9' ERR; trap() { echo trap; }",
        "handler() { false; echo \"got $1\"; }",
        &["!9"],
    ),
    Row {
        lacks: &["LOG: not inherited"],
        ..top(
            "DEBUG and RETURN traps under -E alone",
            BASH,
            "set -E; trap 'case $BASH_SUBSHELL in 1) echo LOG: not inherited >&2 ;; esac' DEBUG RETURN",
        )
    },
    Row {
        lacks: &["LOG: not inherited"],
        ..top(
            "ERR trap under -T alone",
            BASH,
            "set -T; trap 'echo LOG: not inherited >&2' ERR",
        )
    },
    Row {
        lacks: &["trap --"],
        ..top(
            "inherited ERR trap is not shown by -v and -x",
            BASH,
            "set -Evx; trap 'echo failed >&2' ERR",
        )
    },
    tells(
        "callers of the function",
        BASH,
        ":",
        "handler() { local n=0; while caller $n; do n=$((n + 1)); done; echo \"$n ${FUNCNAME[*]} ${#BASH_SOURCE[@]}\"; }",
        &["0 handler 1"],
    ),
    Row {
        lacks: &["_zs_"],
        ..tells(
            "stack that an ERR trap tells",
            BASH,
            "set -E; trap 'echo \"LOG: ${FUNCNAME[*]}\" >&2; exit 9' ERR",
            "helper() { false; }; handler() { helper; }",
            &["!9"],
        )
    },
    Row {
        lacks: &["_zs_"],
        ..top(
            "names of functions in a trace",
            BASH,
            "PS4='+${FUNCNAME[0]-top}: '; set -x",
        )
    },
    tells(
        "nesting of functions that just suffices",
        BASH,
        "FUNCNEST=3",
        "one() { echo deep; }; two() { one; }; handler() { two; }",
        &["deep"],
    ),
    tells(
        "ERR trap by a name in small letters",
        BASH,
        ":",
        "handler() { set +e; trap 'echo failed' err; g() { false; :; }; g; echo \"got $1\"; }",
        &["got a"],
    ),
    tells(
        "DEBUG trap by a name in small letters",
        BASH,
        ":",
        "handler() { trap 'echo d' debug; echo \"got $1\"; }",
        &["d\ngot a"],
    ),
    Row {
        lacks: &["not a valid identifier"],
        ..tells(
            "ERR trap of a function whose name has a hyphen",
            BASH,
            "set-trap() { trap 'echo failed' ERR; }",
            "handler() { set +e; set-trap; g() { false; :; }; g; echo \"got $1\"; }",
            &["got a"],
        )
    },
    Row {
        lacks: &["not a valid identifier"],
        ..tells(
            "ERR trap of such a function, in POSIX mode",
            BASH,
            "set-trap() { trap 'echo failed' ERR; }; set -o posix",
            "handler() { set +e; set-trap; g() { false; :; }; g; echo \"got $1\"; }",
            &["got a"],
        )
    },
    tells(
        "ERR trap of a file within a substitution",
        BASH,
        "echo \"trap 'echo failed' ERR\" >set-trap.sh",
        "handler() { x=$(. ./set-trap.sh; g() { false; :; }; g; echo got); echo \"$x $1\"; }",
        &["got a"],
    ),
    tells(
        "EXIT trap that the function asks for",
        BASH,
        "trap 'echo bye' EXIT",
        "handler() { trap -p EXIT; }",
        &["trap -- 'echo bye' EXIT"],
    ),
    tells(
        "alias trap in POSIX mode, and a trap that the function has",
        BASH,
        "alias set=false exec=false eval=false trap=false; set -T; set -o posix",
        "handler() { echo \"got $1\"; }",
        &["got a"],
    ),
    named("function eval", "eval() { echo eval; }"),
    named("function export", "export() { echo export; }"),
    named("function printf", "printf() { echo printf; }"),
    named("function cat", "cat() { echo cat; }"),
    named(
        "function mapfile",
        "mapfile() { return 1; }; readarray() { return 1; }",
    ),
    named("function test", "test() { return 1; }"),
    named("function cd", "cd() { echo cd; }"),
    named("function local", "local() { return 1; }"),
    named(
        "function declare",
        "declare() { return 1; }; typeset() { return 1; }",
    ),
    named("function unset", "unset() { return 1; }"),
    named("function exec", "exec() { echo exec; }"),
    named("function shift", "shift() { return 1; }"),
    named("function return", "return() { builtin return 3; }"),
    named(
        "function kill",
        "kill() { return 1; }; wait() { return 1; }",
    ),
    named(
        "function true",
        "true() { return 1; }; false() { return 0; }",
    ),
    named("function colon", "function : { return 1; }"),
    named(
        "function source",
        "source() { return 1; }; function . { return 1; }",
    ),
    named(
        "function shopt",
        "shopt() { return 1; }; enable() { return 1; }",
    ),
    named(
        "function umask",
        "umask() { echo umask; }; ulimit() { return 1; }",
    ),
    named(
        "function break",
        "break() { return 1; }; continue() { return 1; }",
    ),
    named(
        "function type",
        "type() { return 1; }; hash() { return 1; }",
    ),
    named(
        "function sleep",
        "sleep() { return 1; }; env() { return 1; }; tr() { return 1; }",
    ),
    named(
        "function dd",
        "dd() { return 1; }; head() { return 1; }; sed() { return 1; }",
    ),
    Row {
        name: "function [",
        shells: BASH,
        top: "function [ { return 1; }",
        function: "handler() { echo 'LOG: run' >&2; if test \"$1\" = bad; then return 3; fi; echo \"got $1\"; }",
        ..PLAIN_ROW
    },
    Row {
        name: "function echo",
        top: "echo() { printf 'own %s\\n' \"$*\"; }",
        function: "handler() { [ \"$1\" != bad ] || return 3; echo \"$1\"; }",
        answers: &["own a", "!3", "own c", "own d"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "function command",
        shells: BASH,
        top: "command() { echo command; }",
        may_refuse: "command",
        ..PLAIN_ROW
    },
    Row {
        name: "function builtin",
        shells: BASH,
        top: "builtin() { echo builtin; }",
        may_refuse: "builtin",
        ..PLAIN_ROW
    },
    Row {
        name: "functions command and builtin that do nothing",
        shells: BASH,
        top: "command() { :; }; builtin() { :; }",
        may_refuse: "command",
        ..PLAIN_ROW
    },
    Row {
        name: "function command, POSIX",
        shells: &[Shell::Dash, Shell::Ash],
        top: "command() { echo command; }",
        may_refuse: "command",
        ..PLAIN_ROW
    },
    top("function read, POSIX", PLAIN, "read() { return 1; }"),
    top("function printf, POSIX", PLAIN, "printf() { return 1; }"),
    top("function cat, POSIX", PLAIN, "cat() { return 1; }"),
    top("function kill, POSIX", PLAIN, "kill() { return 1; }"),
    top("function wait, POSIX", PLAIN, "wait() { return 1; }"),
    top(
        "functions true, false and test, POSIX",
        PLAIN,
        "true() { return 1; }; false() { return 0; }; test() { return 1; }",
    ),
    tells(
        "function of the name of a program, exported",
        BASH,
        "greet() { echo hello; }; export -f greet",
        "handler() { bash -c greet; }",
        &["hello"],
    ),
    Row {
        name: "functions read and echo come with the environment",
        shells: BASH,
        env: &[
            ("BASH_FUNC_read%%", "() {  return 1; }"),
            ("BASH_FUNC_set%%", "() {  return 1; }"),
            ("BASH_FUNC_exec%%", "() {  return 1; }"),
        ],
        top: "unset -f set",
        ..PLAIN_ROW
    },
    Row {
        name: "enable -n read",
        shells: BASH,
        top: "enable -n read printf echo; enable echo",
        ..PLAIN_ROW
    },
    Row {
        name: "enable -n mapfile, several events",
        shells: BASH,
        top: "enable -n read mapfile",
        events: MANY,
        answers: MANY_GOT,
        may_refuse: "mapfile",
        ..PLAIN_ROW
    },
    Row {
        name: "function command, after a trap of CHLD",
        shells: BASH,
        top: "command() { return 1; }; trap 'exit 6' CHLD",
        may_refuse: "a function named 'command'",
        ..PLAIN_ROW
    },
    tells(
        "nocasematch, and a look for e",
        BASH,
        "set +e; shopt -s nocasematch",
        "handler() { case $- in *e*) echo e ;; *) echo no e ;; esac; }",
        &["no e"],
    ),
    Row {
        name: "functions declare and command",
        shells: BASH,
        top: "declare() { return 1; }; command() { return 1; }",
        may_refuse: "a function named 'command'",
        ..PLAIN_ROW
    },
    Row {
        name: "enable -n of much",
        shells: BASH,
        top: "enable -n set export trap eval exec kill wait",
        may_refuse: "while it was sourced",
        ..PLAIN_ROW
    },
    // Aliases.
    top(
        "aliases, expanded",
        BASH,
        "shopt -s expand_aliases; alias case=false while=false read=false echo=echo set=false",
    ),
    top(
        "aliases in POSIX shells",
        &[Shell::Dash, Shell::Ash, Shell::Ksh, Shell::Mksh],
        "alias case=false while=false read=false set=false if=false eval=false exec=false exit=false",
    ),
    init(
        "alias of the function, before it is defined",
        &[Shell::Dash, Shell::Ash],
        "alias handler='echo alias'",
        "status 2",
    ),
    top(
        "alias of the function",
        &[Shell::Bash, Shell::Ksh, Shell::Mksh],
        "alias handler='echo alias'",
    ),
    top(
        "aliases of grammar",
        BASH,
        "shopt -s expand_aliases; alias if=false then=false do=false done=false command=false builtin=false trap=false",
    ),
    // Options.
    top("set -m", PLAIN, "set -m"),
    top("set -m and a job", PLAIN, "set -m; sleep 1000 &"),
    top("set -k", BASH, "set -k"),
    top("set -x", ALL, "set -x"),
    top("set -C", ALL, "set -C"),
    top("set -f", ALL, "set -f"),
    top("set -a", ALL, "set -a"),
    top("set -v", ALL, "set -v"),
    top("set -b", BASH, "set -b"),
    top("set -B and +B", BASH, "set +B +H"),
    top("set -h off", BASH, "set +h"),
    top("set -p", BASH, "set -p"),
    top("set -P", BASH, "set -P"),
    top("set -t", &[Shell::Bash], "set +t"),
    top("options off", ALL, "set +eu"),
    top("set -E -T", BASH, "set -ET"),
    top(
        "set -u and unset names",
        BASH,
        "set -u; unset BASH_ENV PPID_ FUNCNAME || :",
    ),
    top("unset BASH_SUBSHELL", BASH, "unset BASH_SUBSHELL"),
    top("POSIX mode", BASH, "set -o posix"),
    top(
        "POSIX mode and CHLD trap",
        BASH,
        "set -o posix; trap 'echo child' CHLD",
    ),
    top("set --", ALL, "set -- one two three"),
    tells(
        "positional parameters of the top",
        ALL,
        "echo \"LOG: $# parameters\" >&2; set -- one two",
        "handler() { echo \"$#\"; }",
        &["1"],
    ),
    tells(
        "set -o noglob and a pattern",
        ALL,
        ":",
        "handler() { set -f; echo *.nosuch; }",
        &["*.nosuch"],
    ),
    tells(
        "set -k lets no caller in",
        BASH,
        "set -k",
        "handler() { echo \"$PATH\"; }",
        &["/usr/local/bin:/usr/bin:/bin"],
    ),
    tells(
        "the context is one variable",
        BASH,
        ":",
        "handler() { echo \"$LAMBDA_RUNTIME_CLIENT_CONTEXT\"; }",
        &[r#"{"custom":{"k":"v PATH=/nosuch IFS=x * -e $(echo evil) `echo evil` v"}}"#],
    ),
    tells(
        "set -a and the context",
        ALL,
        "set -a; IFS=' ='",
        "handler() { echo \"$LAMBDA_RUNTIME_CLIENT_CONTEXT\"; }",
        &[r#"{"custom":{"k":"v PATH=/nosuch IFS=x * -e $(echo evil) `echo evil` v"}}"#],
    ),
    tells(
        "the context is exported",
        ALL,
        ":",
        "handler() { sh -c 'echo $LAMBDA_RUNTIME_AWS_REQUEST_ID'; }",
        &["event-0"],
    ),
    // shopt.
    top("lastpipe", BASH, "shopt -s lastpipe"),
    top("inherit_errexit", BASH, "shopt -s inherit_errexit"),
    top("nullglob", BASH, "shopt -s nullglob"),
    top("failglob", BASH, "shopt -s failglob"),
    top("nocasematch", BASH, "shopt -s nocasematch"),
    top(
        "nocaseglob, dotglob and globstar",
        BASH,
        "shopt -s nocaseglob dotglob globstar",
    ),
    top("extglob", BASH, "shopt -s extglob"),
    top(
        "execfail, checkjobs and huponexit",
        BASH,
        "shopt -s execfail checkjobs huponexit",
    ),
    top(
        "localvar_inherit and varredir_close",
        BASH,
        "shopt -s localvar_inherit varredir_close",
    ),
    top("compat44", BASH, "BASH_COMPAT=4.4; shopt -s compat32 || :"),
    top("xpg_echo", BASH, "shopt -s xpg_echo"),
    top(
        "nounset and nocasematch with odd IFS",
        BASH,
        "shopt -s nocasematch failglob; IFS=0; set -f",
    ),
    top("shift_verbose", BASH, "shopt -s shift_verbose sourcepath"),
    tells(
        "a failure within a command substitution",
        BASH,
        ":",
        "handler() { x=$(false; echo on); echo \"$x\"; }",
        &["on"],
    ),
    tells(
        "what POSIX mode sets, as bash starts",
        BASH,
        ":",
        SHOPTS,
        &["off off on off on"],
    ),
    tells(
        "what POSIX mode sets, the other way round",
        BASH,
        "shopt -s expand_aliases inherit_errexit shift_verbose; shopt -u interactive_comments sourcepath",
        SHOPTS,
        &["on on off on off"],
    ),
    tells(
        "what POSIX mode sets, all on",
        BASH,
        "shopt -s expand_aliases inherit_errexit shift_verbose nocasematch",
        SHOPTS,
        &["on on on on on"],
    ),
    tells(
        "what POSIX mode sets, in POSIX mode",
        BASH,
        "set -o posix; shopt -u expand_aliases inherit_errexit",
        SHOPTS,
        &["off off on on on"],
    ),
    tells(
        "an alias that a text uses at the event",
        BASH,
        "shopt -s expand_aliases; alias greet='echo hello'",
        "handler() { eval greet; }",
        &["hello"],
    ),
    Row {
        name: "enable -n exec",
        shells: BASH,
        top: "enable -n exec",
        may_refuse: "exec",
        ..PLAIN_ROW
    },
    Row {
        name: "enable -n exec, event on standard input",
        shells: BASH,
        top: "enable -n exec",
        function: "handler() { cat; }",
        events: &["a", "b"],
        answers: &["a", "b"],
        stdin: true,
        runs: Some(0),
        may_refuse: "exec",
        ..PLAIN_ROW
    },
    Row {
        name: "enable -n shopt",
        shells: BASH,
        top: "enable -n shopt",
        may_refuse: "shopt",
        ..PLAIN_ROW
    },
    tells(
        "local -",
        BASH,
        ":",
        "handler() { f() { local -; set +e; false; }; f; false; echo on; }",
        &["!1"],
    ),
    // Environment.
    env("TMOUT in the environment", BASH, &[("TMOUT", "1")]),
    env("POSIXLY_CORRECT", PLAIN, &[("POSIXLY_CORRECT", "1")]),
    env("SHELLOPTS of xtrace", BASH, &[("SHELLOPTS", "xtrace")]),
    env(
        "SHELLOPTS of posix and noglob",
        BASH,
        &[("SHELLOPTS", "posix:noglob:noclobber")],
    ),
    env(
        "SHELLOPTS of monitor and keyword",
        BASH,
        &[("SHELLOPTS", "monitor:keyword:allexport")],
    ),
    env(
        "SHELLOPTS of errtrace and functrace",
        BASH,
        &[("SHELLOPTS", "errtrace:functrace:verbose")],
    ),
    env(
        "BASHOPTS",
        BASH,
        &[("BASHOPTS", "expand_aliases:nullglob:failglob:nocasematch")],
    ),
    env("IFS in the environment", PLAIN, &[("IFS", "0123456789")]),
    env(
        "LC_ALL odd",
        ALL,
        &[("LC_ALL", "xx_NOSUCH.weird"), ("LANG", "tr_TR.UTF-8")],
    ),
    env(
        "PS4 with a command",
        BASH,
        &[("PS4", "$(echo LOG: evil >&2)+ ")],
    ),
    env("PROMPT_COMMAND", BASH, &[("PROMPT_COMMAND", "echo evil")]),
    env(
        "CDPATH and GLOBIGNORE",
        BASH,
        &[("CDPATH", "/:/usr"), ("GLOBIGNORE", "*")],
    ),
    env(
        "PPID and UID in the environment",
        BASH,
        &[("PPID", "1"), ("UID", "1"), ("BASHPID", "1")],
    ),
    env(
        "likely names in the environment",
        ALL,
        &[
            ("_zs_fd", "x"),
            ("_zs_errexit", "x"),
            ("_zs_status", "1"),
            ("event", "x"),
            ("status", "1"),
            ("fd", "x"),
        ],
    ),
    Row {
        name: "BASH_ENV that prints",
        shells: BASH,
        env: &[("BASH_ENV", "@TASK@/env.sh")],
        holds: &["env file"],
        ..PLAIN_ROW
    },
    Row {
        name: "ENV in the environment",
        env: &[("ENV", "@TASK@/env.sh")],
        lacks: &["env file"],
        ..PLAIN_ROW
    },
    // TMOUT and time.
    Row {
        name: "TMOUT in the environment, idle",
        shells: BASH,
        env: &[("TMOUT", "1")],
        between: Between::PauseMs(2_500),
        ..PLAIN_ROW
    },
    Row {
        name: "readonly TMOUT, idle",
        top: "TMOUT=1; readonly TMOUT",
        between: Between::PauseMs(2_500),
        ..PLAIN_ROW
    },
    Row {
        name: "idle for a second",
        between: Between::PauseMs(1_100),
        ..PLAIN_ROW
    },
    // PATH.
    top("PATH of nothing", ALL, "PATH=/nosuch"),
    top("empty PATH", ALL, "PATH="),
    top("readonly PATH", ALL, "PATH=/nosuch; readonly PATH"),
    Row {
        name: "unset PATH",
        top: "unset PATH",
        ..PLAIN_ROW
    },
    top(
        "PATH with a false cat",
        ALL,
        "mkdir bin; printf '#!/bin/sh\\necho false cat\\n' >bin/cat; cp bin/cat bin/env; chmod +x bin/cat bin/env; PATH=$PWD/bin:$PATH",
    ),
    top("hash -r", ALL, "hash -r"),
    top(
        "hash -p of a false cat",
        BASH,
        "hash -p /bin/false cat; hash -p /bin/false sh",
    ),
    // Jobs and pipes at init.
    top("background job", ALL, "sleep 1000 &"),
    top(
        "background loop",
        FORKING,
        "( while :; do sleep 1; done ) &",
    ),
    top("background job that ended", FORKING, "true & wait $!"),
    top("background job that failed", FORKING, "false & :"),
    top("background job, disowned", BASH, "sleep 1000 & disown"),
    top("coproc", BASH, "coproc { cat; }"),
    top(
        "coproc of a name, and a second",
        BASH,
        "coproc one { sleep 1000; }; echo x >&\"${one[1]}\" || :",
    ),
    top(
        "process substitution held open",
        BASH,
        "exec 5< <(sleep 1000) 6> >(cat >/dev/null)",
    ),
    Row {
        name: "job that logs all the time",
        shells: FORKING,
        top: "( while sleep 0.05; do echo noise >&2; echo noise; done ) &",
        ..PLAIN_ROW
    },
    Row {
        name: "job that reads standard input",
        shells: FORKING,
        top: "cat <&0 >file &",
        ..PLAIN_ROW
    },
    Row {
        name: "idle shell with a loop is killed",
        shells: FORKING,
        top: "( while :; do sleep 1; done ) &",
        between: Between::KillShell,
        sourced: 2,
        unlike_reference: "the warm shell's death",
        ..PLAIN_ROW
    },
    Row {
        name: "idle shell is killed",
        between: Between::KillShell,
        sourced: 2,
        unlike_reference: "the warm shell's death",
        ..PLAIN_ROW
    },
    // What the function does to its own shell.
    Row {
        name: "function waits",
        shells: FORKING,
        top: "sleep 1000 &",
        function: "handler() { echo 'LOG: run' >&2; wait; sleep 0 & wait; [ \"$1\" != bad ] || return 3; echo \"got $1\"; }",
        ..PLAIN_ROW
    },
    tells(
        "function waits for its own job",
        ALL,
        ":",
        "handler() { { sleep 0.05; exit 7; } & wait $!; }",
        &["!7"],
    ),
    Row {
        name: "function kills itself",
        shells: BASH,
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || kill -9 $BASHPID; echo \"got $1\"; }",
        answers: &["got a", "!137", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "function kills itself in the middle of output",
        shells: FORKING,
        function: "handler() { echo 'LOG: run' >&2; echo part; [ \"$1\" != bad ] || sh -c 'kill -SEGV $PPID'; echo \"got $1\"; }",
        answers: &["part\ngot a", "!139", "part\ngot c", "part\ngot d"],
        ..PLAIN_ROW
    },
    Row {
        name: "function exits 137 by itself",
        function: "handler() { [ \"$1\" != bad ] || exit 137; echo \"got $1\"; }",
        answers: &["got a", "!137", "got c", "got d"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "function exits 255",
        function: "handler() { [ \"$1\" != bad ] || exit 255; echo \"got $1\"; }",
        answers: &["got a", "!255", "got c", "got d"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "function becomes a program",
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || exec sh -c 'exit 3'; exec echo \"got $1\"; }",
        ..PLAIN_ROW
    },
    Row {
        name: "function becomes a program that is not there",
        shells: FORKING,
        function: "handler() { [ \"$1\" != bad ] || exec /nosuch/program; echo \"got $1\"; }",
        answers: &["got a", "!127", "got c", "got d"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "function closes its streams",
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || return 3; echo \"got $1\"; exec <&- >&- 2>&-; }",
        ..PLAIN_ROW
    },
    Row {
        name: "function changes all",
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || return 3; echo \"got $1${x-}\"; x=set; cd /; umask 777; IFS=1; PATH=; readonly x; set -f; unset -f handler; }",
        ..PLAIN_ROW
    },
    Row {
        name: "function is redefined by an event",
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || return 3; echo \"got $1\"; handler() { echo other; }; }",
        ..PLAIN_ROW
    },
    Row {
        name: "function traps and fails",
        shells: FORKING,
        function: "handler() { echo 'LOG: run' >&2; trap '' TERM INT HUP PIPE; trap 'exit 0' USR1; [ \"$1\" != bad ] || return 3; echo \"got $1\"; }",
        ..PLAIN_ROW
    },
    Row {
        name: "function with errexit off",
        function: "handler() { echo 'LOG: run' >&2; set +e; false; echo \"got $1\"; [ \"$1\" != bad ]; }",
        answers: &["got a", "!1", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "function closes every descriptor",
        shells: FORKING,
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || return 3; for n in /proc/self/fd/*; do n=${n##*/}; case $n in 0|1|2) ;; ?) eval \"exec $n>&-\" ;; esac; done; echo \"got $1\"; }",
        ..PLAIN_ROW
    },
    Row {
        name: "failure in a deep recursion",
        shells: BASH,
        function: "down() { if [ \"$1\" -gt 0 ]; then down $(($1 - 1)); else return 5; fi; }\nhandler() { echo 'LOG: run' >&2; if [ \"$1\" = bad ]; then down 2500; fi; echo \"got $1\"; }",
        answers: &["got a", "!5", "got c", "got d"],
        ..PLAIN_ROW
    },
    tells(
        "the last argument of a command that fails",
        BASH,
        "set +e",
        "handler() { false one; echo \"$_\"; }",
        &["one"],
    ),
    tells(
        "the function unsets LINENO",
        BASH,
        ":",
        "handler() { unset LINENO; echo ok; }",
        &["ok"],
    ),
    Row {
        name: "nested subshell fails",
        function: "handler() { echo 'LOG: run' >&2; ( [ \"$1\" != bad ] || exit 3 ); echo \"got $1\"; }",
        ..PLAIN_ROW
    },
    Row {
        lacks: &["handler was killed by SIGPIPE"],
        name: "pipefail with SIGPIPE",
        shells: BASH,
        function: "handler() { yes | head -1; }",
        events: &["a"],
        answers: &["!141"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        lacks: &["see its log lines"],
        name: "grep without a match",
        function: "handler() { echo x | grep -c y; }",
        events: &["a"],
        answers: &["!1"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "unbound variable",
        shells: PLAIN,
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || echo \"$nosuch\"; echo \"got $1\"; }",
        answers: &["got a", "!1|2|127", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "command not found",
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || nosuch_command; echo \"got $1\"; }",
        answers: &["got a", "!127", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "syntax error in eval",
        shells: BASH,
        function: "handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || eval 'if'; echo \"got $1\"; }",
        answers: &["got a", "!1|2", "got c", "got d"],
        ..PLAIN_ROW
    },
    Row {
        name: "bad substitution in the function",
        shells: BASH,
        function: "handler() { [ \"$1\" != bad ] || : \"${x:?no}\"; echo \"got $1\"; }",
        answers: &["got a", "!1|2|127", "got c", "got d"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "function kills its own shell",
        shells: FORKING,
        function: "handler() { echo 'LOG: run' >&2; if [ \"$1\" = bad ]; then kill -KILL $$; sleep 1000; fi; echo \"got $1\"; }",
        answers: &["got a", "!137", "got c", "got d"],
        sourced: 2,
        unlike_reference: "the warm shell's death",
        ..PLAIN_ROW
    },
    // mksh sees TERM only when its child has ended.
    Row {
        name: "function ends its own shell by TERM",
        shells: PLAIN,
        function: "handler() { echo 'LOG: run' >&2; if [ \"$1\" = bad ]; then kill -TERM $$; sleep 1000; fi; echo \"got $1\"; }",
        answers: &["got a", "!143", "got c", "got d"],
        sourced: 2,
        unlike_reference: "the warm shell's death",
        ..PLAIN_ROW
    },
    // Deadlines.
    Row {
        name: "overrun under set -m writes nothing later",
        shells: PLAIN,
        top: "set -m",
        function: "handler() { if [ \"$1\" = bad ]; then sh -c 'sleep 2; : >late'; fi; if [ -e late ]; then echo late; else echo none; fi; }",
        events: &["bad", "c"],
        answers: &["!Function.TimedOut", "none"],
        deadline_ms: 1_500,
        between: Between::PauseMs(2_000),
        runs: Some(0),
        sourced: 2,
        unlike_reference: "a deadline",
        ..PLAIN_ROW
    },
    Row {
        name: "overrun with a job under set -m",
        shells: BASH,
        top: "set -m",
        function: "handler() { if [ \"$1\" = bad ]; then { sleep 2; : >late; } & wait; fi; if [ -e late ]; then echo late; else echo none; fi; }",
        events: &["bad", "c"],
        answers: &["!Function.TimedOut", "none"],
        deadline_ms: 1_500,
        between: Between::PauseMs(2_000),
        runs: Some(0),
        sourced: 2,
        unlike_reference: "a deadline",
        ..PLAIN_ROW
    },
    Row {
        name: "overrun that ignores TERM",
        shells: PLAIN,
        top: "trap '' TERM",
        function: "handler() { if [ \"$1\" = bad ]; then sleep 1000; fi; echo \"got $1\"; }",
        events: &["bad", "c"],
        answers: &["!Function.TimedOut", "got c"],
        deadline_ms: 1_500,
        runs: Some(0),
        sourced: 2,
        unlike_reference: "a deadline",
        ..PLAIN_ROW
    },
    Row {
        name: "sourcing is slow, and an event overruns",
        top: "sleep 0.6",
        function: "handler() { if [ \"$1\" = bad ]; then sleep 1000; fi; echo \"got $1\"; }",
        events: &["a", "bad", "c", "bad", "d"],
        answers: &[
            "got a",
            "!Function.TimedOut",
            "got c",
            "!Function.TimedOut",
            "got d",
        ],
        deadline_ms: 1_500,
        runs: Some(0),
        sourced: 3,
        unlike_reference: "a deadline",
        ..PLAIN_ROW
    },
    Row {
        name: "sourcing hangs the second time, and an event overruns",
        top: "if [ -e once ]; then sleep 1000; fi; : >once",
        function: "handler() { if [ \"$1\" = bad ]; then sleep 1000; fi; echo \"got $1\"; }",
        events: &["a", "bad", "c", "d"],
        answers: &[
            "got a",
            "!Function.TimedOut",
            "!Function|Runtime",
            "!Function|Runtime",
        ],
        deadline_ms: 1_500,
        runs: Some(0),
        sourced: 0,
        unlike_reference: "a deadline",
        ..PLAIN_ROW
    },
    // Standard input.
    tells(
        "standard input is empty",
        ALL,
        ":",
        "handler() { cat; echo end; }",
        &["end"],
    ),
    tells(
        "while read eats nothing",
        ALL,
        ":",
        "handler() { n=0; while read -r line; do n=$((n + 1)); done; echo $n; }",
        &["0"],
    ),
    tells(
        "ssh-like program eats nothing",
        FORKING,
        ":",
        "handler() { for x in 1 2 3; do cat >/dev/null; echo $x; done; }",
        &["1\n2\n3"],
    ),
    Row {
        name: "event on standard input",
        stdin: true,
        function: "handler() { echo \"$#\"; cat; }",
        events: &["a b", "{\"k\":1}", ""],
        answers: &["0\na b", "0\n{\"k\":1}", "0"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "event on standard input is not read",
        stdin: true,
        function: "handler() { echo ok; }",
        events: &["a b", "c", "d"],
        answers: &["ok", "ok", "ok"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "event on standard input, half read",
        stdin: true,
        function: "handler() { read -r line; echo \"$line\"; }",
        events: &["a\nb\nc\n", "d\ne\n"],
        answers: &["a", "d"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "event on standard input, closed at init",
        stdin: true,
        top: "exec <&-",
        function: "handler() { cat; }",
        events: &["a b", "c"],
        answers: &["a b", "c"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    // Events.
    Row {
        name: "odd events",
        function: "handler() { printf '%s' \"[$1]\"; }",
        events: &[
            "",
            "-n",
            "-e x",
            "$(echo evil)",
            "`echo evil`",
            "*",
            "a  b",
            "'",
            "\"",
            "\\",
            "\\n",
            "%s",
            "a\nb",
            "\n\nx",
            "-",
            "--",
            "~",
            "{a,b}",
            "!x",
            "é",
        ],
        answers: &[
            "[]",
            "[-n]",
            "[-e x]",
            "[$(echo evil)]",
            "[`echo evil`]",
            "[*]",
            "[a  b]",
            "[']",
            "[\"]",
            "[\\]",
            "[\\n]",
            "[%s]",
            "[a\nb]",
            "[\n\nx]",
            "[-]",
            "[--]",
            "[~]",
            "[{a,b}]",
            "[!x]",
            "[é]",
        ],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "odd events, odd IFS",
        top: "IFS='a[]\\-'; readonly IFS; set -f",
        function: "handler() { printf '%s' \"[$1]\"; }",
        events: &["", "-n", "a\\b", "*", "a  b", "a\tb", "\\"],
        answers: &["[]", "[-n]", "[a\\b]", "[*]", "[a  b]", "[a\tb]", "[\\]"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "odd events, globs match",
        top: ": >x; : >y",
        function: "handler() { printf '%s' \"[$1]\"; }",
        events: &["*", "?", "[xy]"],
        answers: &["[*]", "[?]", "[[xy]]"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    // The top's own end, output and state.
    Row {
        name: "top prints",
        top: "echo LOG: one; echo LOG: two >&2; printf 'LOG: three'",
        holds: &["one", "two"],
        ..PLAIN_ROW
    },
    Row {
        name: "return at the top",
        top: "handler() { echo \"got $1\"; }\nreturn 0\necho never",
        function: "handler() { echo later; }",
        events: &["a", "b"],
        answers: &["got a", "got b"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    init("return 3 at the top", ALL, "return 3", "status 3"),
    init("exit at the top", ALL, "exit 0", "status 0"),
    init("exit 5 at the top", ALL, "exit 5", "status 5"),
    init("false at the top", ALL, "false", "status 1"),
    init("unset name at the top", PLAIN, "echo $nosuch", "status "),
    init("syntax error", ALL, "if true; then", "status "),
    Row {
        function: "",
        ..init(
            "last line is false",
            ALL,
            "true; [ x = y ] && handler",
            "status 1",
        )
    },
    init(
        "command not found at the top",
        ALL,
        "nosuch_command_at_all",
        "status 127",
    ),
    init(
        "EXIT trap that prints, at a failed init",
        ALL,
        "trap 'echo ready; echo 0' EXIT; exit 4",
        "status 4",
    ),
    init(
        "ERR trap that prints, at a failed init",
        BASH,
        "trap 'echo ready' ERR; false",
        "status 1",
    ),
    init(
        "ERR trap that exits 0, at a failed init",
        BASH,
        "trap 'exit 0' ERR; false",
        "status 0",
    ),
    init("set -n at the top", BASH, "set -n", "function.sh"),
    init("exec of a program at the top", ALL, "exec true", "status 0"),
    init("killed at the top", PLAIN, "kill -9 $$", "signal 9"),
    Row {
        name: "function is missing",
        function: ":",
        answers: &["!init"],
        says: "handler",
        runs: Some(0),
        unlike_reference: "the loop would fail at each event",
        ..PLAIN_ROW
    },
    Row {
        name: "function is an alias",
        shells: &[Shell::Dash],
        top: "alias handler='echo alias'",
        function: ":",
        answers: &["!init"],
        says: "handler",
        runs: Some(0),
        unlike_reference: "the loop would fail at each event",
        ..PLAIN_ROW
    },
    Row {
        name: "option off is off",
        function: "handler() { false; echo \"on${x-}\"; }",
        top: "set +e",
        events: &["a"],
        answers: &["on"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "errexit is off for one command at the top",
        top: "set +e; false; set -e",
        ..PLAIN_ROW
    },
    Row {
        name: "status of the last line is not taken over",
        shells: ALL,
        top: "x=1",
        function: "handler() { echo $?; }",
        events: &["a"],
        answers: &["0"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "readonly names of ours, with values",
        top: "_zs_line=go _zs_text=x _zs_pairs=x; readonly _zs_line _zs_text _zs_pairs",
        may_refuse: "_zs_",
        shells: ALL,
        ..PLAIN_ROW
    },
    Row {
        name: "readonly name of ours, and a function return",
        top: "return() { builtin return 0; }; readonly _zs_line",
        events: &["a"],
        answers: &["got a"],
        may_refuse: "_zs_",
        shells: BASH,
        ..PLAIN_ROW
    },
    Row {
        name: "readonly text of ours",
        top: "_zs_text=x; readonly _zs_text",
        may_refuse: "_zs_",
        shells: ALL,
        ..PLAIN_ROW
    },
    Row {
        name: "readonly names of ours",
        top: "readonly _zs_fd=1 _zs_errexit=1 _zs_status=0 event=1 status=1 fd=1 verb=1 id=1 body=1 pair=1 line=1 number=1 REPLY=1",
        may_refuse: "_zs_",
        shells: PLAIN,
        ..PLAIN_ROW
    },
    top(
        "a value of its own for a variable that events may lack",
        ALL,
        "export LAMBDA_RUNTIME_CLIENT_CONTEXT=${LAMBDA_RUNTIME_CLIENT_CONTEXT:-none}",
    ),
    Row {
        name: "readonly REPLY and MAPFILE",
        top: "readonly REPLY=1 MAPFILE=1 OPTARG=1",
        shells: BASH,
        ..PLAIN_ROW
    },
    Row {
        name: "readonly OPTIND and LINENO",
        top: "readonly OPTIND=1 PPID_=1 OLDPWD PWD",
        shells: BASH,
        ..PLAIN_ROW
    },
    tells(
        "declare -r and arrays",
        BASH,
        "declare -r x=1; declare -A map=([k]=v); declare -a list=(a 'b c')",
        "handler() { echo \"$x ${map[k]} ${#list[@]} ${list[1]}\"; }",
        &["1 v 2 b c"],
    ),
    tells(
        "integer and upper case variables",
        BASH,
        "declare -i event=1 line=1 fd=1; declare -u name=x status=x",
        "handler() { echo \"$1\"; }",
        &["a"],
    ),
    tells(
        "nameref variables",
        BASH,
        "declare -n event=PATH line=PATH fd=PATH REPLY=PATH",
        "handler() { echo \"$PATH\"; }",
        &["/usr/local/bin:/usr/bin:/bin"],
    ),
    tells(
        "getopts at the top",
        ALL,
        "set -- -a -b; while getopts ab o; do :; done",
        "handler() { echo \"$OPTIND $1\"; }",
        &["3 a"],
    ),
    tells(
        "SECONDS",
        BASH,
        "SECONDS=1000",
        "handler() { [ \"$SECONDS\" -ge 1000 ] && echo ok; }",
        &["ok"],
    ),
    tells(
        "PIPESTATUS",
        BASH,
        ":",
        "handler() { if false | true; then :; fi; echo \"${PIPESTATUS[*]}\"; }",
        &["1 0"],
    ),
    tells(
        "here-document",
        ALL,
        "text=$(cat <<END\none $PWD two\nEND\n)\n",
        "handler() { cat <<END\ngot $1\nEND\n}",
        &["got a"],
    ),
    tells(
        "process substitution",
        BASH,
        "read -r x < <(echo one)",
        "handler() { cat <(echo \"$x $1\"); }",
        &["one a"],
    ),
    tells(
        "umask",
        ALL,
        "umask 027",
        "handler() { : >new; ls -l new | cut -c 1-10; }",
        &["-rw-r-----"],
    ),
    tells(
        "umask 777",
        ALL,
        "umask 777",
        "handler() { echo ok; }",
        &["ok"],
    ),
    top("ulimit -n of 20", FORKING, "ulimit -n 20"),
    top("ulimit -f of 1", ALL, "ulimit -f 1"),
    tells(
        "the folder is the task root",
        ALL,
        ":",
        "handler() { pwd; }",
        &["@TASK@"],
    ),
    tells(
        "cd at the top",
        ALL,
        "cd /usr",
        "handler() { pwd; }",
        &["/usr"],
    ),
    tells(
        "$0 is bootstrap in the task root",
        ALL,
        ":",
        "handler() { echo \"$0\"; }",
        &["@TASK@/bootstrap"],
    ),
    tells(
        "library by $0 after cd",
        ALL,
        ":",
        "handler() { cd /tmp; . \"$(dirname \"$0\")/lib.sh\"; echo \"$from_lib\"; }",
        &["yes"],
    ),
    tells(
        "library by BASH_SOURCE",
        BASH,
        "here=$(dirname \"${BASH_SOURCE[0]}\"); . \"$here/lib.sh\"",
        "handler() { echo \"$from_lib\"; }",
        &["yes"],
    ),
    tells(
        "library of the current folder",
        ALL,
        ". ./lib.sh",
        "handler() { echo \"$from_lib\"; }",
        &["yes"],
    ),
    tells(
        "main only where run as a program",
        BASH,
        "if [[ ${BASH_SOURCE[0]} == \"$0\" ]]; then exit 7; fi",
        "handler() { echo sourced; }",
        &["sourced"],
    ),
    Row {
        name: "variables are an event's own",
        function: "handler() { echo \"${seen-none}\"; seen=$1; export seen; }",
        events: &["a", "b", "c"],
        answers: &["none", "none", "none"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "request id is an event's own",
        function: "handler() { echo \"$LAMBDA_RUNTIME_AWS_REQUEST_ID\"; }",
        events: &["a", "b", "c"],
        answers: &["event-0", "event-1", "event-2"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "request id, readonly IFS and noglob",
        top: "IFS=event-; readonly IFS; set -f",
        function: "handler() { echo \"$LAMBDA_RUNTIME_AWS_REQUEST_ID\"; }",
        events: &["a", "b"],
        answers: &["event-0", "event-1"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "request id where printf, read and export are functions",
        shells: BASH,
        top: "printf() { :; }; read() { :; }; export() { :; }; declare() { :; }",
        function: "handler() { echo \"$LAMBDA_RUNTIME_AWS_REQUEST_ID\"; }",
        events: &["a", "b"],
        answers: &["event-0", "event-1"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    // Names of functions.
    env(
        "handler with the script's whole name",
        ALL,
        &[("_HANDLER", "function.sh.handler")],
    ),
    Row {
        name: "function with a hyphen",
        shells: BASH,
        env: &[("_HANDLER", "function.my-handler")],
        function: "my-handler() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || return 3; echo \"got $1\"; }",
        unlike_reference: "it calls `handler`",
        ..PLAIN_ROW
    },
    Row {
        name: "function with a colon",
        shells: BASH,
        env: &[("_HANDLER", "function.get:user")],
        function: "get:user() { echo 'LOG: run' >&2; [ \"$1\" != bad ] || return 3; echo \"got $1\"; }",
        unlike_reference: "it calls `handler`",
        ..PLAIN_ROW
    },
    // Again in other forms.
    Row {
        name: "CHLD trap, streaming",
        form: Form::Streaming,
        shells: PLAIN,
        top: "trap 'echo child' CHLD",
        answers: &["got a\n", "!3", "got c\n", "got d\n"],
        ..PLAIN_ROW
    },
    Row {
        name: "standard output moved, streaming",
        form: Form::Streaming,
        top: "exec >file",
        answers: &["got a\n", "!3", "got c\n", "got d\n"],
        ..PLAIN_ROW
    },
    Row {
        name: "ERR trap prints 0, JSON log",
        form: Form::Json,
        shells: BASH,
        top: "trap 'echo 0' ERR",
        ..PLAIN_ROW
    },
    Row {
        name: "standard error closed, JSON log",
        form: Form::Json,
        shells: PLAIN,
        top: "exec 2>&-",
        function: "handler() { [ \"$1\" != bad ] || return 3; echo \"got $1\"; }",
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "idle shell is killed, JSON log",
        form: Form::Json,
        between: Between::KillShell,
        sourced: 2,
        unlike_reference: "the warm shell's death",
        ..PLAIN_ROW
    },
    Row {
        name: "EXIT trap, four slots",
        form: Form::Slots,
        shells: FORKING,
        top: "trap 'echo bye; exit 0' EXIT",
        sourced: 4,
        ..PLAIN_ROW
    },
    Row {
        name: "background loop, four slots",
        form: Form::Slots,
        shells: FORKING,
        top: "( while :; do sleep 1; done ) &",
        sourced: 4,
        ..PLAIN_ROW
    },
    Row {
        name: "readonly IFS, event on standard input",
        stdin: true,
        top: "IFS=aegot; readonly IFS",
        function: "handler() { cat; }",
        events: &["a got e", "\n", "e"],
        answers: &["a got e", "", "e"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    Row {
        name: "traps, event on standard input",
        stdin: true,
        shells: FORKING,
        top: "trap 'cat; echo bye' EXIT; trap 'cat' USR1",
        function: "handler() { cat; exit 3; }",
        events: &["a", "b"],
        answers: &["!3", "!3"],
        runs: Some(0),
        ..PLAIN_ROW
    },
    // Much at once.
    Row {
        name: "much at once",
        shells: BASH,
        top: "set -ETeuo pipefail; IFS=01; readonly IFS; shopt -s nullglob failglob; trap 'echo LOG: err >&2' ERR; set -C -f -m; exec 3>three; sleep 1000 &\nread() { return 1; }; trap 'echo 0' CHLD",
        runs: Some(4),
        ..PLAIN_ROW
    },
    Row {
        name: "much at once, streaming",
        form: Form::Streaming,
        shells: BASH,
        top: "trap 'echo 0' ERR CHLD; IFS=0; readonly IFS; exec >file; sleep 1000 &",
        answers: &["got a\n", "!3", "got c\n", "got d\n"],
        ..PLAIN_ROW
    },
    Row {
        name: "much at once, JSON log",
        form: Form::Json,
        shells: BASH,
        top: "trap 'echo 0' ERR CHLD; IFS=0; readonly IFS; exec >file; sleep 1000 &",
        ..PLAIN_ROW
    },
    Row {
        name: "much at once, four slots",
        form: Form::Slots,
        shells: BASH,
        top: "trap 'echo 0' ERR CHLD; IFS=0; readonly IFS; exec >file; sleep 1000 &",
        sourced: 4,
        ..PLAIN_ROW
    },
    Row {
        name: "much at once, POSIX",
        shells: &[Shell::Dash, Shell::Ash],
        top: "IFS=01; readonly IFS; trap 'echo 0' CHLD EXIT; exec 3>three >file; PATH=/nosuch; alias read=false; cat() { return 1; }",
        ..PLAIN_ROW
    },
    top(
        "much at once, korn",
        KORN,
        "IFS=01; readonly IFS; exec 3>three >file; PATH=/nosuch; alias read=false",
    ),
    top(
        "dash, PATH of nothing, input closed",
        DASH,
        "PATH=/nosuch; exec <&-",
    ),
];

impl Row {
    pub(crate) fn case(&self, shell: Shell) -> Case {
        Case {
            shell,
            script: format!("{}\n{}", self.top, self.function),
            env: self
                .env
                .iter()
                .map(|(name, value)| ((*name).into(), (*value).into()))
                .collect(),
            events: self
                .events
                .iter()
                .map(|event| (*event).to_owned())
                .collect(),
            form: self.form,
            stdin: self.stdin,
            between: self.between,
            deadline_ms: self.deadline_ms,
        }
    }
}
