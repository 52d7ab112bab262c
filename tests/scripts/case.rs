//! What is tried, and what came of it: the same two types for the bootstrap and for the reference.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Lines of the log that begin so were written by the script. Others are a shell's own, which name
/// line numbers and programs, and are not compared.
pub(crate) const MARK: &str = "LOG: ";

/// What the task's folder is called in texts that are compared.
const TASK: &str = "@TASK@";

/// A kind of shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shell {
    Bash,
    Dash,
    Ash,
    Ksh,
    Mksh,
}

pub(crate) const ALL: &[Shell] = &[
    Shell::Bash,
    Shell::Dash,
    Shell::Ash,
    Shell::Ksh,
    Shell::Mksh,
];
pub(crate) const BASH: &[Shell] = &[Shell::Bash];
pub(crate) const DASH: &[Shell] = &[Shell::Dash];
/// Those in which `( … )` is always a process of its own; ksh93's is not.
pub(crate) const FORKING: &[Shell] = &[Shell::Bash, Shell::Dash, Shell::Ash, Shell::Mksh];
/// Bash and the two of its kin that know little more than POSIX.
pub(crate) const PLAIN: &[Shell] = &[Shell::Bash, Shell::Dash, Shell::Ash];
pub(crate) const KORN: &[Shell] = &[Shell::Ksh, Shell::Mksh];

impl Shell {
    /// The name that scripts give in their first line, and the programs that may be it.
    fn names(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Shell::Bash => ("bash", &["bash"]),
            Shell::Dash => ("dash", &["dash"]),
            Shell::Ash => ("ash", &["busybox"]),
            Shell::Ksh => ("ksh", &["ksh93"]),
            Shell::Mksh => ("mksh", &["mksh"]),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.names().0
    }

    /// Where it is; `None`: this machine does not have it. All are reached through one folder of
    /// links, so that `ash` and `ksh` are the same shells on every machine.
    pub(crate) fn path(self) -> Option<&'static Path> {
        static FOUND: OnceLock<BTreeMap<Shell, PathBuf>> = OnceLock::new();
        let found = FOUND.get_or_init(|| {
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shells");
            fs::create_dir_all(&folder).expect("a folder in the target folder");
            let find = |shell: &Shell| {
                let (name, programs) = shell.names();
                let folders = ["/usr/bin", "/bin", "/usr/local/bin"].map(Path::new);
                let mut files = folders
                    .iter()
                    .flat_map(|at| programs.iter().map(|p| at.join(p)));
                let program = files.find(|file| file.is_file())?;
                let link = folder.join(name);
                // It may be there from the last time.
                let _ = fs::remove_file(&link);
                symlink(program, &link).expect("a link in an own folder");
                Some((*shell, link))
            };
            ALL.iter().filter_map(find).collect()
        });
        found.get(&self).map(PathBuf::as_path)
    }
}

/// How the bootstrap is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Buffered,
    Streaming,
    Json,
    Slots,
}

/// A script, its environment and its events.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) shell: Shell,
    /// Without the first line, and without the line that logs that it was sourced.
    pub(crate) script: String,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) events: Vec<String>,
    pub(crate) form: Form,
    /// The event is standard input, and no argument.
    pub(crate) stdin: bool,
    pub(crate) between: Between,
    /// How long each event may take.
    pub(crate) deadline_ms: u64,
}

/// By default far below the time that a case may take, so that a function that hangs is answered.
pub(crate) const DEADLINE_MS: u64 = 8_000;

/// What happens after the first event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Between {
    Nothing,
    PauseMs(u64),
    /// The warm shell is killed while it is idle.
    KillShell,
}

impl Case {
    /// The script as the bootstrap and the reference find it.
    pub(crate) fn text(&self) -> String {
        let shell = self
            .shell
            .path()
            .expect("a shell of this machine")
            .display();
        format!("#!{shell}\necho '{MARK}sourced' >&2\n{}\n", self.script)
    }

    /// A new task folder with the script in it.
    pub(crate) fn folder(&self) -> Folder {
        let folder = Folder::new();
        fs::write(folder.0.join("function.sh"), self.text()).expect("a script can be written");
        fs::write(folder.0.join("lib.sh"), "from_lib=yes\n").expect("a script can be written");
        let noise = "echo 'LOG: env file' >&2\n";
        fs::write(folder.0.join("env.sh"), noise).expect("a script can be written");
        folder
    }

    /// A command with the environment that both have in common: little, and the case's own.
    pub(crate) fn command(&self, program: &Path, folder: &Folder, api: &str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(&folder.0);
        command
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", &folder.0);
        command
            .env("LAMBDA_TASK_ROOT", &folder.0)
            .env("_HANDLER", "function.handler");
        command
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .env(Folder::SIGN, folder.sign());
        match self.form {
            Form::Buffered => {}
            Form::Streaming => {
                command.env("BOOTSTRAP_RESPONSE_MODE", "streaming");
            }
            Form::Json => {
                command.env("AWS_LAMBDA_LOG_FORMAT", "JSON");
            }
            Form::Slots => {
                command.env("AWS_LAMBDA_MAX_CONCURRENCY", "4");
            }
        }
        if self.stdin {
            command.env("BOOTSTRAP_EVENT_VIA", "stdin");
        }
        let task = folder.0.to_str().expect("a path in UTF-8");
        command.envs(
            self.env
                .iter()
                .map(|(name, value)| (name, value.replace(TASK, task))),
        );
        command
    }
}

/// A folder that goes when its owner does, and with it all processes that have it in their
/// environment: what a script left running.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    const SIGN: &str = "ZEROSTRAP_SCRIPTS_FOLDER";

    pub(crate) fn new() -> Folder {
        Folder(scratch())
    }

    fn sign(&self) -> String {
        self.0.display().to_string()
    }

    /// The text with this folder's name taken out.
    pub(crate) fn hide(&self, text: &str) -> String {
        text.replace(&self.sign(), TASK)
    }

    /// Kills what has this folder's sign, or is in it, until nothing is left. One that is becoming its
    /// program shows no environment for a moment: so it is looked twice.
    pub(crate) fn sweep(&self) {
        let sign = format!("{}={}", Folder::SIGN, self.sign()).into_bytes();
        let is_ours = |pid: &u32| {
            let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            variables
                .split(|&byte| byte == 0)
                .any(|variable| variable == sign)
                || fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|at| at.starts_with(&self.0))
        };
        let mut clean = 0;
        for _ in 0..100 {
            let left: Vec<_> = processes()
                .filter(is_ours)
                .map(|pid| pid.to_string())
                .collect();
            if left.is_empty() {
                clean += 1;
                if clean == 2 {
                    return;
                }
            } else {
                clean = 0;
                signal("KILL", &left);
            }
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Who is being killed may still make a file.
        for _ in 0..10 {
            self.sweep();
            if fs::remove_dir_all(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A new folder for temporary files.
fn scratch() -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("zerostrap-scripts-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::create_dir_all(&path).expect("a folder for temporary files");
    fs::canonicalize(path).expect("a path of it")
}

/// Whether this process was started with HUP, INT, QUIT, USR1 or TERM ignored: its children ignore
/// them too, and no shell can undo that.
pub(crate) fn ignores_signals() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .expect("its line");
    let mask = u64::from_str_radix(mask.trim(), 16).expect("a mask");
    [1, 2, 3, 10, 15]
        .iter()
        .any(|signal| mask & 1 << (signal - 1) != 0)
}

/// Ids of all processes.
pub(crate) fn processes() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").expect("/proc").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The fields of `/proc/PID/stat` from the third on: state, parent, …
pub(crate) fn stat(pid: u32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Children of a process that have not ended.
pub(crate) fn children(parent: u32) -> Vec<u32> {
    let parent = parent.to_string();
    let is_child = |pid: &u32| stat(*pid).is_some_and(|stat| stat[1] == parent && stat[0] != "Z");
    processes().filter(is_child).collect()
}

/// Signals processes. Every shell has `kill` built in; a machine need not have the program. A shell for
/// each thread is kept for it.
pub(crate) fn signal(name: &str, pids: &[String]) {
    thread_local! {
        static KILLER: RefCell<(Child, BufReader<ChildStdout>)> = {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", "while read -r line; do kill $line; echo done; done 2>/dev/null"]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("a shell starts");
            let words = child.stdout.take().expect("its output");
            RefCell::new((child, BufReader::new(words)))
        }
    }
    KILLER.with_borrow_mut(|(child, words)| {
        let stdin = child.stdin.as_mut().expect("its input");
        writeln!(stdin, "-s {name} {}", pids.join(" ")).expect("the shell reads");
        words
            .read_line(&mut String::new())
            .expect("the shell answers");
    });
}

/// How an event was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Response(String),
    /// With a status; 128 and a signal's number where that ended the function.
    Failed(u32),
    /// The function's own error document.
    Document(String),
    /// Anything else, in words.
    Other(String),
}

/// What came of a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Why there was no event: the script failed or ended while it was sourced.
    pub(crate) init: Option<String>,
    pub(crate) answers: Vec<Answer>,
    /// The script's own lines, sorted: the order between processes is nobody's promise.
    pub(crate) log: Vec<String>,
    /// All that was logged.
    pub(crate) raw_log: String,
}

impl Outcome {
    /// Takes the script's lines out of a log, also where each is in a JSON object.
    pub(crate) fn read_log(&mut self, log: &str) {
        self.raw_log.push_str(log);
        for line in log.lines() {
            let marked = match line.split_once(r#""message":""#) {
                Some((_, message)) => message.trim_end_matches(r#""}"#),
                None => line,
            };
            if marked.starts_with(MARK) {
                self.log.push(marked.to_owned());
            }
        }
        self.log.sort();
    }

    /// How often a line was logged.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.log
            .iter()
            .filter(|logged| logged.strip_prefix(MARK) == Some(line))
            .count()
    }

    /// For a reader: one line each.
    pub(crate) fn shown(&self) -> String {
        let mut text = String::new();
        if let Some(why) = &self.init {
            text.push_str(&format!("  init failed: {why}\n"));
        }
        for (number, answer) in self.answers.iter().enumerate() {
            text.push_str(&format!("  event {number}: {answer:?}\n"));
        }
        text.push_str(&format!("  log of the script: {:?}\n", self.log));
        let log: Vec<_> = self
            .raw_log
            .lines()
            .filter(|line| !line.starts_with(MARK))
            .collect();
        text.push_str(&format!("  rest of the log: {:.600?}\n", log));
        text
    }
}
