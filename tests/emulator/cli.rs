//! The embedded Runtime API on the command line; `make invoke` and `make serve` call it.

// The modules are shared with the tests, which use more of them.
#![allow(dead_code)]

mod api;
mod base64;
mod connection;
mod event;
mod front;
mod http;
mod process;
mod record;
mod sandbox;
mod state;

use event::Event;
use sandbox::{Function, Sandbox};
use std::env;
use std::error::Error;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::thread;
use std::time::Duration;

const USAGE: &str = "\
usage: emulator invoke --bootstrap PATH --task DIR --handler H --event TEXT|@FILE [--timeout S]
       emulator serve --bootstrap PATH --task DIR --handler H [--port 9000] [--timeout S]

invoke runs one event. Standard output: the response, or the error document; standard error: the
log. Status 0: response, 1: function error, 2: nothing was run.
serve runs the events that are posted to /2015-03-31/functions/function/invocations.
--timeout is the function's, in seconds (30).";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["invoke" | "serve", ..] => supervise(&words),
        [WORKER, "invoke", options @ ..] => invoke(options),
        [WORKER, "serve", options @ ..] => serve(options),
        ["--help"] => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(USAGE.into()),
    };
    result.unwrap_or_else(|error| {
        eprintln!("emulator: {error}");
        ExitCode::from(2)
    })
}

/// Not for users: the process that does the work, apart from the one that Ctrl-C ends.
const WORKER: &str = "worker";

/// Has a process of its own do the work. That one is in a process group of its own, which no
/// Ctrl-C reaches, and sees at its standard input when this one ends in whatever way: so it is
/// always there to kill what the function started.
fn supervise(words: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    let mut command = Command::new(env::current_exe()?);
    command
        .arg(WORKER)
        .args(words)
        .process_group(0)
        .stdin(Stdio::piped());
    let mut worker = command.spawn()?;
    // `wait` would close it at once.
    let _held = worker.stdin.take();
    let code = worker
        .wait()?
        .code()
        .and_then(|code| u8::try_from(code).ok());
    Ok(ExitCode::from(
        code.ok_or("the emulator itself was killed")?,
    ))
}

/// Kills the sandbox and ends this process when the one before it ends.
fn end_with_supervisor(sandbox: &Sandbox) {
    let tag = sandbox.tag.clone();
    thread::spawn(move || {
        // An error ends the wait as the end does.
        let _ = io::stdin().read_to_end(&mut Vec::new());
        process::kill_tagged(&tag);
        std::process::exit(2);
    });
}

fn invoke(options: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = Options::read(options, "--event")?;
    let event = match options.last.take().ok_or(USAGE)? {
        text if text.starts_with('@') => {
            let path = &text[1..];
            fs::read(path).map_err(|error| format!("cannot read the event {path}: {error}"))?
        }
        text => text.into_bytes(),
    };
    let mut sandbox = Sandbox::new(options.function()?)?;
    end_with_supervisor(&sandbox);
    let outcome = sandbox.invoke(Event::new(event))?;
    let mut output = io::stdout();
    output.write_all(&outcome.body)?;
    output.flush()?;
    Ok(ExitCode::from(u8::from(outcome.failed)))
}

fn serve(options: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    let mut options = Options::read(options, "--port")?;
    let port = options.last.take().unwrap_or_else(|| "9000".to_owned());
    let port: u16 = port
        .parse()
        .map_err(|_| format!("--port is not a port: {port}"))?;
    let sandbox = Sandbox::new(options.function()?)?;
    end_with_supervisor(&sandbox);
    let listener = TcpListener::bind(("127.0.0.1", port))
        .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    let address = listener.local_addr()?;
    eprintln!("Serving http://{address}/2015-03-31/functions/function/invocations");
    front::serve(&listener, sandbox)?;
    Ok(ExitCode::SUCCESS)
}

/// The options of both commands; `last` is the one that only this command has.
#[derive(Default)]
struct Options {
    bootstrap: Option<String>,
    task: Option<String>,
    handler: Option<String>,
    timeout: Option<String>,
    last: Option<String>,
}

impl Options {
    fn read(words: &[&str], last: &str) -> Result<Options, String> {
        let mut options = Options::default();
        for pair in words.chunks(2) {
            let place = match pair[0] {
                "--bootstrap" => &mut options.bootstrap,
                "--task" => &mut options.task,
                "--handler" => &mut options.handler,
                "--timeout" => &mut options.timeout,
                other if other == last => &mut options.last,
                other => return Err(format!("unknown option {other}\n{USAGE}")),
            };
            let value = pair
                .get(1)
                .ok_or_else(|| format!("{}: no value\n{USAGE}", pair[0]))?;
            *place = Some((*value).to_owned());
        }
        Ok(options)
    }

    fn function(self) -> Result<Function, String> {
        let path = |option: Option<String>| {
            let path = PathBuf::from(option.ok_or(USAGE)?);
            path.canonicalize()
                .map_err(|error| format!("{}: {error}", path.display()))
        };
        let timeout = self.timeout.unwrap_or_else(|| "30".to_owned());
        let seconds = timeout
            .parse()
            .ok()
            .filter(|seconds: &f64| (0.001..=900.0).contains(seconds));
        let seconds = seconds.ok_or_else(|| format!("--timeout: not 0.001 to 900: {timeout}"))?;
        Ok(Function {
            bootstrap: path(self.bootstrap)?,
            task: path(self.task)?,
            handler: self.handler.ok_or(USAGE)?,
            timeout: Duration::from_secs_f64(seconds),
        })
    }
}
