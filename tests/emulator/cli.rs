//! The embedded Runtime API on the command line; `zerostrap invoke` and `zerostrap serve` call it.

// The modules are shared with the tests, which use more of them.
#![allow(dead_code)]

mod api;
mod base64;
mod connection;
mod edits;
mod event;
mod front;
mod http;
mod interrupt;
mod journal;
mod json;
mod memory;
mod process;
mod record;
mod sandbox;
mod state;
mod url;

use event::Event;
use sandbox::{Function, Sandbox};
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{self, Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
usage: emulator invoke --bootstrap FILE [--task DIR] [--handler NAME] [--event TEXT|@FILE|@-] [OPTION]
       emulator serve  --bootstrap FILE [--task DIR] [--handler NAME] [--port 9000] [OPTION]
       OPTION: --timeout SECONDS (30), --memory MB (128), --env-file FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["invoke" | "serve", ..] => supervise(&words),
        [WORKER, command, options @ ..] => work(command, options),
        ["--help"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(USAGE.into()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("zerostrap: {error}");
        ExitCode::from(2)
    })
}

/// Not for users: the process that does the work, apart from the one that Ctrl-C ends.
const WORKER: &str = "worker";

/// Has a process of its own do the work. That one is in a process group of its own, which no
/// Ctrl-C reaches, and sees at its standard input when this one ends in whatever way: so it is
/// always there to kill what the function started. The caller's standard input is here alone, so
/// here the event and the variables are read.
fn supervise(words: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    // Wrong options are told before anything is started.
    let options = Options::read(words[0], &words[1..])?;
    let (event, variables) = (options.event()?, options.env_file()?);
    let mut command = Command::new(env::current_exe()?);
    command
        .arg(WORKER)
        .args(words)
        .process_group(0)
        .stdin(Stdio::piped());
    let mut worker = command.spawn()?;
    // Held until the end, or until Ctrl-C; `wait` would close it at once. The worker and its
    // processes are started before, with what we were started with.
    let mut held = worker
        .stdin
        .take()
        .ok_or("the worker has no standard input")?;
    // A worker that refuses an option ends without reading; its status tells.
    let _ = hand_over(&mut held, &event).and_then(|()| hand_over(&mut held, &variables));
    interrupt::closes(held.into());
    let code = worker
        .wait()?
        .code()
        .and_then(|code| u8::try_from(code).ok());
    if interrupt::came() {
        return Ok(ExitCode::from(options.interrupted));
    }
    Ok(ExitCode::from(
        code.ok_or("the emulator itself was killed")?,
    ))
}

/// Sends bytes and, before them, how many they are.
fn hand_over(worker: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    worker.write_all(&(bytes.len() as u64).to_ne_bytes())?;
    worker.write_all(bytes)
}

/// Reads what `hand_over` sent.
fn taken_over(mut supervisor: impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 8];
    supervisor.read_exact(&mut length)?;
    let mut bytes = Vec::new();
    let length = u64::from_ne_bytes(length);
    supervisor.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn work(command: &str, options: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::read(command, options)?;
    let port = options.port;
    let (event, variables) = (taken_over(io::stdin())?, taken_over(io::stdin())?);
    let sandbox = Arc::new(Sandbox::new(options.function(variables)?)?);
    end_with_supervisor(&sandbox);
    match command {
        "invoke" => invoke(&sandbox, event),
        _ => serve(&sandbox, port),
    }
}

/// Kills the sandbox and ends this process when the one before it ends.
fn end_with_supervisor(sandbox: &Arc<Sandbox>) {
    let sandbox = Arc::clone(sandbox);
    thread::spawn(move || {
        // An error ends the wait as the end does.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        sandbox.end();
        std::process::exit(2);
    });
}

fn invoke(sandbox: &Arc<Sandbox>, event: Vec<u8>) -> Result<ExitCode, Box<dyn Error>> {
    let mut output = io::stdout();
    let (mut written, mut last) = (Ok(()), None);
    let outcome = sandbox.invoke(sandbox.new_id(), Event::new(event), &mut |_, part| {
        if written.is_ok() {
            written = output.write_all(part).and_then(|()| output.flush());
        }
        last = part.last().copied().or(last);
    });
    let outcome = outcome.inspect_err(|_| sandbox.end())?;
    if outcome.streamed {
        if outcome.failed {
            sandbox.note(&format!(
                "the stream failed: {}",
                String::from_utf8_lossy(&outcome.body)
            ));
        }
    } else {
        front::note_form(sandbox, &outcome.body);
        written = output.write_all(&outcome.body);
        last = outcome.body.last().copied();
    }
    // The prompt of a shell shall begin a line; a program that reads this gets it as it is.
    if output.is_terminal() && last.is_some_and(|last| last != b'\n') {
        written = written.and_then(|()| output.write_all(b"\n"));
    }
    written.and_then(|()| output.flush())?;
    sandbox.end_log();
    sandbox.end();
    Ok(ExitCode::from(u8::from(outcome.failed)))
}

fn serve(sandbox: &Arc<Sandbox>, port: u16) -> Result<ExitCode, Box<dyn Error>> {
    let listener = TcpListener::bind(("127.0.0.1", port)).map_err(|error| {
        format!("cannot listen on port {port}: {error}; choose another one by --port")
    })?;
    let address = listener.local_addr()?;
    eprintln!("Serving http://{address}/2015-03-31/functions/function/invocations");
    eprintln!("Function URL http://{address}/lambda-url/");
    front::serve(&listener, sandbox)?;
    Ok(ExitCode::SUCCESS)
}

struct Options {
    bootstrap: Option<PathBuf>,
    task: PathBuf,
    handler: String,
    event: String,
    port: u16,
    timeout: Duration,
    memory: u64,
    env_file: Option<String>,
    /// The status after a Ctrl-C. Make, which ends by Ctrl-C itself, prints an error if it is not 0.
    interrupted: u8,
}

impl Options {
    fn read(command: &str, words: &[&str]) -> Result<Options, String> {
        let mut options = Options {
            bootstrap: None,
            task: PathBuf::from("."),
            handler: "function.handler".to_owned(),
            event: "{}".to_owned(),
            port: 9000,
            timeout: Duration::from_secs(30),
            memory: 128,
            env_file: None,
            // For `serve` it is the usual end.
            interrupted: if command == "serve" { 0 } else { 130 },
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if !word.starts_with('-') {
                return Err(format!("unexpected argument {word}; {HELP}"));
            }
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (*word, words.next().copied()),
            };
            options.set(command, name, value)?;
        }
        Ok(options)
    }

    fn set(&mut self, command: &str, name: &str, value: Option<&str>) -> Result<(), String> {
        let needed = || value.ok_or_else(|| format!("{name} needs a value; {HELP}"));
        match (name, command) {
            ("--bootstrap", _) => self.bootstrap = Some(PathBuf::from(needed()?)),
            ("--task", _) => self.task = PathBuf::from(needed()?),
            ("--handler", _) => needed()?.clone_into(&mut self.handler),
            ("--event", "invoke") => needed()?.clone_into(&mut self.event),
            ("--port", "serve") => {
                let value = needed()?;
                let port = value.parse();
                self.port = port.map_err(|_| format!("--port is not a port: {value}"))?;
            }
            ("--timeout", _) => {
                let value = needed()?;
                let seconds = value
                    .parse()
                    .ok()
                    .filter(|s: &f64| (0.001..=900.0).contains(s));
                let seconds =
                    seconds.ok_or_else(|| format!("--timeout: not 0.001 to 900: {value}"))?;
                self.timeout = Duration::from_secs_f64(seconds);
            }
            ("--memory", _) => {
                let value = needed()?;
                let megabytes = value.parse().ok().filter(|mb| (128..=10_240).contains(mb));
                self.memory =
                    megabytes.ok_or_else(|| format!("--memory: not 128 to 10240: {value}"))?;
            }
            ("--env-file", _) => self.env_file = Some(needed()?.to_owned()),
            ("--interrupted", _) => {
                let value = needed()?;
                let status = value.parse();
                self.interrupted = status.map_err(|_| format!("--interrupted: {value}"))?;
            }
            _ => return Err(format!("unknown option {name} of {command}; {HELP}")),
        }
        Ok(())
    }

    /// The bytes of the event. What Lambda would refuse is refused here.
    fn event(&self) -> Result<Vec<u8>, String> {
        let event = match self.event.strip_prefix('@') {
            Some(path) => read(path)
                .map_err(|error| format!("cannot read the event {path}: {error}; {EVENT_HELP}"))?,
            None => self.event.clone().into_bytes(),
        };
        if event.len() > connection::RESPONSE_LIMIT {
            let limit = connection::RESPONSE_LIMIT;
            return Err(format!(
                "the event has {} bytes, Lambda takes {limit}",
                event.len()
            ));
        }
        let event = front::given(event);
        if json::depth(&event).is_none() {
            return Err(
                "the event is not JSON, and Lambda takes nothing else: put text into \
                        quotes, as in --event '\"text\"'"
                    .to_owned(),
            );
        }
        Ok(event)
    }

    /// The text of the file of variables; empty if there is none.
    fn env_file(&self) -> Result<Vec<u8>, String> {
        let Some(path) = &self.env_file else {
            return Ok(Vec::new());
        };
        read(path).map_err(|error| format!("cannot read {path}: {error}; {ENV_FILE_HELP}"))
    }

    /// Also takes the text of the file of variables.
    fn function(self, variables: Vec<u8>) -> Result<Function, String> {
        let bootstrap = self
            .bootstrap
            .ok_or_else(|| format!("--bootstrap is missing; {HELP}"))?;
        check_program(&bootstrap)?;
        let bootstrap = absolute(&bootstrap)?;
        if !self.task.is_dir() {
            let task = self.task.display();
            return Err(format!(
                "{task} is not a folder: --task takes the function's folder"
            ));
        }
        let task = absolute(&self.task)?;
        let Options {
            handler,
            timeout,
            memory,
            env_file,
            ..
        } = self;
        let variables = self::variables(&env_file.unwrap_or_default(), &variables)?;
        Ok(Function {
            bootstrap,
            task,
            handler,
            timeout,
            memory,
            variables,
        })
    }
}

const HELP: &str = "zerostrap --help lists all";
const EVENT_HELP: &str = "--event takes a JSON text, @FILE or @- (standard input)";
const ENV_FILE_HELP: &str = "--env-file takes a file of NAME=value lines";

/// Reads a file, or for `-` standard input.
fn read(path: &str) -> io::Result<Vec<u8>> {
    if path != "-" {
        return fs::read(path);
    }
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The path from the root folder. Links stay in it: one that is set to another file is an edit.
fn absolute(path: &Path) -> Result<PathBuf, String> {
    path::absolute(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Refuses what cannot be a bootstrap on this machine, by its mode and the first bytes of its file.
fn check_program(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let refusal = |why: &str| {
        format!("{shown} {why}; --bootstrap takes a program of this machine, or leave it out")
    };
    let unreadable = |error: io::Error| refusal(&format!("cannot be read: {error}"));
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(refusal("is not a file"));
    }
    if metadata.mode() & 0o111 == 0 {
        return Err(format!("{shown} is not executable: run chmod +x {shown}"));
    }
    let mut head = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(20).read_to_end(&mut head).map_err(unreadable)?;
    if head.starts_with(b"#!") {
        return Ok(());
    }
    if !head.starts_with(b"\x7fELF") || head.len() < 20 {
        return Err(refusal("is neither an ELF program nor a script with #!"));
    }
    let (machine, name) = match env::consts::ARCH {
        "aarch64" => (183, "arm64"),
        _ => (62, "x86_64"),
    };
    let its = u16::from_le_bytes([head[18], head[19]]);
    let its_name = match its {
        183 => "arm64",
        62 => "x86_64",
        _ => "another machine",
    };
    // Where the kernel hands such programs to an emulator, they run.
    let handed_on = Path::new("/proc/sys/fs/binfmt_misc/qemu-aarch64").exists();
    if its != machine && !(handed_on && its == 183) {
        return Err(format!(
            "{shown} is a bootstrap for {its_name} and this machine is {name}: give one for {name} \
             by --bootstrap, or none"
        ));
    }
    Ok(())
}

/// The variables of a file: NAME=value lines, the value as it stands; blank lines and lines that
/// begin with # are left out.
fn variables(path: &str, text: &[u8]) -> Result<Vec<(String, String)>, String> {
    let text = str::from_utf8(text).map_err(|_| format!("{path} is not UTF-8: {ENV_FILE_HELP}"))?;
    let mut variables = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line);
        let is_name = |name: &str| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        match line.split_once('=') {
            Some((name, value)) if is_name(name) && !value.contains('\0') => {
                variables.push((name.to_owned(), value.to_owned()));
            }
            _ => return Err(format!("{path}: line {number} is not NAME=value")),
        }
    }
    Ok(variables)
}
