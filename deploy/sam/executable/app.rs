//! An executable function: a process per event, the event on standard input, the answer on
//! standard output. Any language will do; this one needs nothing but a compiler.

use std::io::{self, Read};

fn main() -> io::Result<()> {
    let mut event = Vec::new();
    io::stdin().read_to_end(&mut event)?;
    println!("{{\"greeting\":\"Hello from an executable\",\"bytes\":{}}}", event.len());
    Ok(())
}
