// A function with crates, compiled by tests/it/crates.rs in a package of its own: its event says
// how it fails. The closure has no type written out, as in the one-line example.

use anyhow::Context as _;
use serde_json::Value;
use std::error::Error;
use std::fmt;

fn main() -> std::process::ExitCode {
    zerostrap::run(|_context, event| {
        match event {
            b"std" => drop("x".parse::<i32>()?),
            b"serde_json" => drop(serde_json::from_slice::<Value>(b"{")?),
            b"anyhow" => drop(
                "x".parse::<i32>()
                    .context("inner words")
                    .context("outer words")?,
            ),
            b"string" => Err(String::from("words of a string"))?,
            b"str" => Err("words of a str")?,
            b"box" => Err(Box::<dyn Error + Send + Sync>::from("words of a box"))?,
            b"own" => Err(zerostrap::Failure::new("Function.OutOfStock", "own words"))?,
            b"wrong" => return Err(zerostrap::Failure::new("out-of-stock", "own words")),
            b"endless" => Err(Endless)?,
            b"panic" => panic!("words of a panic"),
            _ => {}
        }
        Ok(event.to_vec())
    })
}

/// An error that is its own source.
#[derive(Debug)]
struct Endless;

impl fmt::Display for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no end")
    }
}

impl Error for Endless {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self)
    }
}
