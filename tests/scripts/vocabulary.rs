//! Scripts composed of lines that are known to be troublesome.

use super::case::{ALL, BASH, Between, Case, DEADLINE_MS, FORKING, Form, PLAIN, Shell};

/// A line of the vocabulary: the shells that it is for, and a name that it takes from its shell, which
/// init may refuse.
type Line = (&'static [Shell], &'static str, &'static str);

const NOT_KSH: &[Shell] = FORKING;

/// What may stand at the top of a script.
const TOPS: &[Line] = &[
    // Traps.
    (BASH, "trap 'echo $LINENO' ERR", ""),
    (BASH, "trap 'echo 0' ERR", ""),
    (BASH, "trap 'echo LOG: err >&2' ERR", ""),
    (BASH, "trap 'exit 9' ERR", ""),
    (BASH, "trap 'echo debug' DEBUG", ""),
    (BASH, "trap 'false' DEBUG", ""),
    (BASH, "trap 'echo returned' RETURN", ""),
    (NOT_KSH, "trap 'echo bye' EXIT", ""),
    (NOT_KSH, "trap 'exit 0' EXIT", ""),
    (NOT_KSH, "trap 'echo LOG: bye >/dev/null; exit 7' EXIT", ""),
    (PLAIN, "trap 'echo child' CHLD", ""),
    (BASH, "trap 'exit 6' CHLD", ""),
    (ALL, "trap 'echo term' TERM USR1 HUP", ""),
    (ALL, "trap '' TERM INT", ""),
    (ALL, "trap '' PIPE", ""),
    (NOT_KSH, "trap - EXIT", ""),
    // Options.
    (BASH, "set -E", ""),
    (BASH, "set -T", ""),
    (BASH, "set -Eeuo pipefail", ""),
    (ALL, "set +e", ""),
    (ALL, "set +u", ""),
    (BASH, "set +o pipefail", ""),
    (PLAIN, "set -m", ""),
    (BASH, "set -k", ""),
    (ALL, "set -x", ""),
    (ALL, "set -v", ""),
    (ALL, "set -C", ""),
    (ALL, "set -f", ""),
    (ALL, "set -a", ""),
    (BASH, "set -b", ""),
    (BASH, "set -o posix", ""),
    (BASH, "set +B", ""),
    (BASH, "set +h", ""),
    (ALL, "set -- one two three", ""),
    (BASH, "shopt -s lastpipe inherit_errexit", ""),
    (BASH, "shopt -s nullglob", ""),
    (BASH, "shopt -s failglob", ""),
    (BASH, "shopt -s nocasematch", ""),
    (BASH, "shopt -s extglob dotglob globstar", ""),
    (BASH, "shopt -s expand_aliases", ""),
    (BASH, "shopt -s execfail xpg_echo", ""),
    (BASH, "shopt -s localvar_inherit", ""),
    (BASH, "shopt -s shift_verbose; shopt -u sourcepath", ""),
    (BASH, "shopt -s extdebug", ""),
    (BASH, "log::info() { trap 'echo failed' ERR; }", ""),
    (BASH, "FUNCNEST=9", ""),
    // Words.
    (BASH, "readonly IFS=$'\\n\\t'", ""),
    (ALL, "IFS=,; readonly IFS", ""),
    (ALL, "IFS=0123456789", ""),
    (ALL, "IFS=eadgvnt", ""),
    (ALL, "IFS=/:=.-", ""),
    (ALL, "IFS=", ""),
    (ALL, "unset IFS", ""),
    (ALL, "readonly TMOUT=100", ""),
    (ALL, "LC_ALL=xx_NOSUCH", ""),
    (ALL, "PS4='+ LOG '", ""),
    // Where programs are.
    (ALL, "PATH=/nosuch", ""),
    (ALL, "PATH=", ""),
    (ALL, "PATH=$PATH:/nosuch; readonly PATH", ""),
    (ALL, "hash -r", ""),
    (ALL, "cd /usr", ""),
    (ALL, "umask 077", ""),
    (NOT_KSH, "ulimit -n 64", ""),
    // Descriptors.
    (ALL, "exec 3>three", ""),
    (ALL, "exec 9>>nine 8>&9", ""),
    (BASH, "exec 10>>ten 11>&10 12>&1", ""),
    (BASH, "exec 200>two-hundred 63>&200", ""),
    (BASH, "exec {fd}>variable", ""),
    (ALL, "exec 3>&- 4>&- 5>&-", ""),
    (BASH, "for n in {3..255}; do eval \"exec $n>&-\"; done", ""),
    (ALL, "exec >out", ""),
    (ALL, "exec >&2", ""),
    (ALL, "exec 2>&1", ""),
    // In dash no builtin can write any more, also with another standard output.
    (
        &[Shell::Bash, Shell::Ash, Shell::Ksh, Shell::Mksh],
        "exec 1>&-",
        "",
    ),
    (ALL, "exec 0<&-", ""),
    (ALL, "exec </dev/null", ""),
    (ALL, "exec 2>err", ""),
    // Aliases.
    (ALL, "alias case=false while=false read=false", ""),
    (ALL, "alias set=false exec=false eval=false trap=false", ""),
    (ALL, "alias handler='echo alias'", ""),
    (ALL, "alias echo='echo alias'", ""),
    // Functions by the names of builtins and programs.
    (PLAIN, "read() { return 1; }", ""),
    (PLAIN, "cat() { return 1; }", ""),
    (PLAIN, "printf() { return 1; }", ""),
    (PLAIN, "kill() { return 1; }", ""),
    (PLAIN, "wait() { return 0; }", ""),
    (PLAIN, "test() { return 1; }", ""),
    (PLAIN, "true() { return 1; }", ""),
    (PLAIN, "umask() { echo umask; }", ""),
    (BASH, "set() { echo set; }", ""),
    (BASH, "exit() { echo exit; }", ""),
    (BASH, "trap() { echo trap; }", ""),
    (BASH, "eval() { echo eval; }", ""),
    (BASH, "exec() { echo exec; }", ""),
    (BASH, "export() { return 1; }", ""),
    (BASH, "unset() { return 1; }", ""),
    (BASH, "local() { return 1; }; declare() { return 1; }", ""),
    (BASH, "mapfile() { return 1; }", ""),
    (BASH, "function : { return 1; }", ""),
    (PLAIN, "command() { return 1; }", "command"),
    (BASH, "builtin() { return 1; }", "builtin"),
    (BASH, "enable -n read mapfile", "mapfile"),
    (BASH, "noise() { echo noise; }; export -f noise", ""),
    // Jobs and pipes.
    (ALL, "sleep 1000 &", ""),
    (NOT_KSH, "( while :; do sleep 1; done ) &", ""),
    (NOT_KSH, "true & wait \"$!\"", ""),
    (NOT_KSH, "false & :", ""),
    (BASH, "/bin/sleep 1000 & disown", ""),
    (BASH, "coproc cat", ""),
    (BASH, "exec 5< <(sleep 1000)", ""),
    (BASH, "exec 6> >(cat >/dev/null)", ""),
    (ALL, "x=$(echo one; echo two)", ""),
    // Variables.
    (
        PLAIN,
        "event=1 status=2 fd=3 line=4 number=5 id=6 function=7 script=8",
        "",
    ),
    (BASH, "declare -i event=1 status=1 line=1", ""),
    (
        BASH,
        "declare -A map=([k]=v); declare -a list=(a 'b c')",
        "",
    ),
    (BASH, "readonly REPLY=1", ""),
    (ALL, "OPTIND=3", ""),
    (BASH, "BASH_COMPAT=4.4", ""),
    (BASH, "GLOBIGNORE='*'", ""),
    // Text and output.
    (ALL, "echo 'LOG: top out'", ""),
    (ALL, "echo 'LOG: top err' >&2", ""),
    (ALL, "text=$(cat <<END\nhere $PWD\nEND\n)", ""),
    (ALL, ". ./lib.sh", ""),
    // Early ends.
    (ALL, "[ -e /nosuch ] && exit 3", ""),
    (ALL, "if [ -e lib.sh ]; then :; else exit 3; fi", ""),
    (ALL, "false || true", ""),
    (ALL, "false", ""),
    (ALL, "exit 0", ""),
    (BASH, "set -n", ""),
];

/// How rare the lines after which nothing is served must be: they are skipped this often of 10.
const ENDS: &[&str] = &["false", "exit 0", "set -n"];

/// What may stand in the function, before its last lines.
const BODIES: &[Line] = &[
    (ALL, "echo part", ""),
    (ALL, "echo 'LOG: body' >&2", ""),
    (ALL, "x=${x-none}; echo \"$x\"; x=set", ""),
    (ALL, "cd /", ""),
    (ALL, "set +e", ""),
    (ALL, "set -f; IFS=1", ""),
    (ALL, "echo \"$#\"", ""),
    (ALL, "echo \"$0\"", ""),
    (ALL, "echo \"${LAMBDA_RUNTIME_AWS_REQUEST_ID-none}\"", ""),
    (ALL, "echo \"${LAMBDA_RUNTIME_CLIENT_CONTEXT-none}\"", ""),
    (ALL, "echo \"$PATH\"", ""),
    (ALL, "echo \"$PWD\"", ""),
    (ALL, "echo \"${from_lib-no lib} ${text-no text}\"", ""),
    (ALL, "umask", ""),
    (ALL, "( exit 0 ); ( : ) || :", ""),
    (
        ALL,
        "y=$(echo inner; echo 'LOG: inner' >&2); echo \"$y\"",
        "",
    ),
    (
        NOT_KSH,
        "n=0; while read -r line; do n=$((n + 1)); done; echo \"read $n\"",
        "",
    ),
    (ALL, "if [ \"$1\" = bad ]; then false; fi", ""),
    (ALL, "[ \"$1\" != bad ] || exit 4", ""),
    (
        NOT_KSH,
        "if [ \"$1\" = bad ]; then echo \"$nosuch\"; fi",
        "",
    ),
    (NOT_KSH, "[ \"$1\" != bad ] || sh -c 'kill -KILL $PPID'", ""),
    (BASH, "[ \"$1\" != bad ] || kill -SEGV \"$BASHPID\"", ""),
    (NOT_KSH, "trap 'echo end' EXIT", ""),
    (NOT_KSH, "trap 'echo \"LOG: end\" >&2; exit 5' EXIT", ""),
    (BASH, "trap 'echo failed' ERR", ""),
    (BASH, "false | true", ""),
    (BASH, "echo \"${FUNCNAME[*]} ${#BASH_SOURCE[@]}\"", ""),
    (BASH, "x=$(false; echo on); echo \"$x\"", ""),
    (BASH, "set +e; false one; echo \"$_\"", ""),
    (BASH, "shopt || :", ""),
    (BASH, "trap 'echo failed' err", ""),
    (BASH, "helper-of() { false; :; }; helper-of || :", ""),
    (ALL, "cat", ""),
    (NOT_KSH, "sh -c 'kill -INT $$' || echo \"$?\"", ""),
    (BASH, "cat < <(echo substituted)", ""),
    (BASH, "local here=1; echo \"$here\"", ""),
    (NOT_KSH, "sleep 1000 &", ""),
    (NOT_KSH, "true & wait \"$!\"", ""),
    (ALL, "exec 7>>/dev/null; echo seven >&7; exec 7>&-", ""),
    (ALL, "exec 2>&-", ""),
    (ALL, "echo last; exec >&-", ""),
    (ALL, "cat <<END\nhere $1\nEND", ""),
    (ALL, "case $- in *e*) echo e ;; *) echo no e ;; esac", ""),
    (ALL, "case $- in *f*) echo f ;; *) echo no f ;; esac", ""),
    (ALL, "case $- in *u*) echo u ;; *) echo no u ;; esac", ""),
    (ALL, "for w in $1; do echo \"word $w\"; done", ""),
    (ALL, "for w in 'a b' c; do set -- $w; echo \"$#\"; done", ""),
    (
        ALL,
        "echo {\\\"errorType\\\":\\\"Function.Own\\\"}; [ \"$1\" != bad ] || exit 6",
        "",
    ),
    (ALL, "handler() { echo redefined; }", ""),
    (ALL, "unset -f handler", ""),
    (ALL, "exec 3>&- 4>&- 5>&- 6>&- 8>&- 9>&-", ""),
];

/// What may be in the environment.
const ENVIRONMENTS: &[(&[Shell], &str, &str)] = &[
    (ALL, "TMOUT", "100"),
    (BASH, "BASH_ENV", "@TASK@/env.sh"),
    (ALL, "ENV", "@TASK@/env.sh"),
    (BASH, "SHELLOPTS", "noglob:noclobber"),
    (BASH, "SHELLOPTS", "errtrace:functrace"),
    (BASH, "SHELLOPTS", "monitor:keyword"),
    (BASH, "SHELLOPTS", "posix:allexport"),
    (BASH, "BASHOPTS", "expand_aliases:nullglob"),
    (BASH, "BASHOPTS", "failglob:nocasematch:lastpipe"),
    (PLAIN, "POSIXLY_CORRECT", "1"),
    (PLAIN, "IFS", "0123456789"),
    (BASH, "PS4", "$(echo LOG: ps4 >&2)+ "),
    (BASH, "BASH_FUNC_read%%", "() {  return 1; }"),
    (BASH, "BASH_FUNC_set%%", "() {  return 1; }"),
    (ALL, "LC_ALL", "C.UTF-8"),
    (ALL, "x", "from the environment"),
];

/// The last lines of a function.
const ENDINGS: &[&str] = &[
    "[ \"$1\" != bad ] || return 3\necho \"got $1\"",
    "if [ \"$1\" = bad ]; then false; fi\necho \"got $1\"",
    "[ \"$1\" != bad ] || exit 9\nprintf 'got %s\\n\\n' \"$1\"",
    "echo \"got $1\"\n[ \"$1\" != bad ]",
];

const EVENTS: &[&str] = &[
    "a",
    "bad",
    "c d",
    "*",
    "",
    "-n",
    "{\"k\":[1,2]}",
    "\\",
    "bad",
    "01 23",
    "bad",
    "'\"$x",
];

/// How many lines there are.
pub(crate) fn lines() -> usize {
    TOPS.len() + BODIES.len() + ENVIRONMENTS.len() + ENDINGS.len()
}

/// A generator of numbers (Steele, Lea and Flood, splitmix64): the same ones for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ z >> 31) % bound as u64).expect("a number below a usize")
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// One line of the vocabulary that a shell knows.
fn line(random: &mut Random, of: &'static [Line], shell: Shell) -> &'static Line {
    loop {
        let line = &of[random.below(of.len())];
        let is_end = ENDS.contains(&line.1);
        if line.0.contains(&shell) && (!is_end || random.below(10) == 0) {
            return line;
        }
    }
}

/// A composed script.
#[derive(Clone)]
pub(crate) struct Composition {
    pub(crate) shell: Shell,
    env: Vec<(&'static str, &'static str)>,
    tops: Vec<&'static Line>,
    bodies: Vec<&'static Line>,
    ending: &'static str,
    events: Vec<&'static str>,
    form: Form,
    stdin: bool,
}

impl Composition {
    /// That of a seed and a number; `None` where its shell is not on this machine.
    pub(crate) fn new(seed: usize, number: usize) -> Option<Composition> {
        let mut random = Random((seed as u64) << 32 ^ number as u64);
        // Half of them are for bash, which has most to offer.
        let shell = if random.below(2) == 0 {
            Shell::Bash
        } else {
            random.pick(ALL)
        };
        shell.path()?;
        let tops = (0..random.below(5) + 1).map(|_| line(&mut random, TOPS, shell));
        let mut tops: Vec<_> = tops.collect();
        // Whether a job ends before the script does is chance.
        if tops.iter().any(|line| line.1 == "trap 'exit 6' CHLD") {
            tops.retain(|line| line.1.contains("CHLD") || !line.1.contains(['&', '<', '$']));
            tops.retain(|line| line.1 != "coproc cat");
        }
        let bodies = (0..random.below(4))
            .map(|_| line(&mut random, BODIES, shell))
            .collect();
        let mut env = Vec::new();
        if random.below(3) == 0 {
            let (shells, name, value) = random.pick(ENVIRONMENTS);
            if shells.contains(&shell) {
                env.push((name, value));
            }
        }
        let ending = random.pick(ENDINGS);
        let events = (0..3 + random.below(2))
            .map(|_| random.pick(EVENTS))
            .collect();
        let form = match random.below(12) {
            0 => Form::Streaming,
            1 => Form::Json,
            2 if random.below(2) == 0 => Form::Slots,
            _ => Form::Buffered,
        };
        let stdin = random.below(10) == 0;
        Some(Composition {
            shell,
            env,
            tops,
            bodies,
            ending,
            events,
            form,
            stdin,
        })
    }

    pub(crate) fn case(&self) -> Case {
        let text = |lines: &[&Line]| {
            lines
                .iter()
                .map(|line| format!("{}\n", line.1))
                .collect::<String>()
        };
        let (tops, bodies) = (text(&self.tops), text(&self.bodies));
        let ending = self.ending;
        // The lines below want an argument.
        let first = if self.stdin {
            "set -- \"$(cat)\"\n"
        } else {
            ""
        };
        Case {
            shell: self.shell,
            script: format!("{tops}handler() {{\necho 'LOG: run' >&2\n{first}{bodies}{ending}\n}}"),
            env: self
                .env
                .iter()
                .map(|&(name, value)| (name.into(), value.into()))
                .collect(),
            events: self.events.iter().map(|&event| event.to_owned()).collect(),
            form: self.form,
            stdin: self.stdin,
            between: Between::Nothing,
            deadline_ms: DEADLINE_MS,
        }
    }

    /// Whether its standard error may go elsewhere than to the log.
    pub(crate) fn moves_log(&self) -> bool {
        self.tops.iter().any(|line| line.1.contains("exec 2>"))
    }

    /// Whether a DEBUG trap of its fails, which under errexit ends bash at its next command.
    pub(crate) fn fails_at_debug(&self) -> bool {
        let has = |text| self.tops.iter().any(|line| line.1.contains(text));
        has("trap 'false' DEBUG") || has("trap 'echo debug' DEBUG") && has("exec 1>&-")
    }

    /// Whether several processes may write to the log at the same time.
    pub(crate) fn writes_at_once(&self) -> bool {
        self.has_slots() || self.bodies.iter().any(|line| line.1.ends_with('&'))
    }

    pub(crate) fn has_slots(&self) -> bool {
        self.form == Form::Slots
    }

    /// Names that its lines take, which init may refuse.
    pub(crate) fn taken(&self) -> impl Iterator<Item = &'static str> {
        self.tops
            .iter()
            .map(|line| line.2)
            .filter(|name| !name.is_empty())
    }

    /// Without one of its parts, counted over all of them; `None`: there are not so many.
    pub(crate) fn without(&self, mut at: usize) -> Option<Composition> {
        let mut smaller = self.clone();
        if at < self.tops.len() {
            smaller.tops.remove(at);
            return Some(smaller);
        }
        at -= self.tops.len();
        if at < self.bodies.len() {
            smaller.bodies.remove(at);
            return Some(smaller);
        }
        at -= self.bodies.len();
        if at < self.env.len() {
            smaller.env.remove(at);
            return Some(smaller);
        }
        at -= self.env.len();
        if at < self.events.len() && self.events.len() > 1 {
            smaller.events.remove(at);
            return Some(smaller);
        }
        None
    }
}
