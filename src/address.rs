//! `AWS_LAMBDA_RUNTIME_API`: where the Runtime API is, and a connection to there.
//!
//! In: the variable's text, and for a name the text of /etc/hosts. Out: a connected stream. It must
//! never ask a name server, nor connect to anything else.

use std::io;
#[cfg(not(fuzzing))]
pub(crate) use std::net::TcpStream;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::error::{Error, Kind};
use crate::http::number;
use crate::settings;
#[cfg(fuzzing)]
pub(crate) use crate::stream::TcpStream;

/// Most bytes of /etc/hosts that are read.
pub const HOSTS_LIMIT: u64 = 65_536;

/// Where the Runtime API is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As it goes into the Host header.
    pub(crate) authority: String,
    /// What goes before every path; empty, or starting with `/`.
    pub(crate) prefix: String,
    candidates: Vec<SocketAddr>,
}

impl Address {
    /// Reads `AWS_LAMBDA_RUNTIME_API`. A host that is a name is looked up in what `read_hosts`
    /// gives: the content of /etc/hosts, at most [`HOSTS_LIMIT`] bytes of it.
    ///
    /// # Errors
    /// The variable is missing or malformed.
    pub fn from_environment(read_hosts: fn() -> io::Result<Vec<u8>>) -> Result<Address, Error> {
        let address = match settings::runtime_api() {
            Some(text) => Address::parse(&text, read_hosts).ok_or("the value is not host:port"),
            None => Err("the variable is not set"),
        };
        address.map_err(|why| Kind::Address(why).during("AWS_LAMBDA_RUNTIME_API"))
    }

    /// Reads `host:port`, `[v6]:port`, and either as `http://host:port/prefix`.
    fn parse(text: &str, read_hosts: fn() -> io::Result<Vec<u8>>) -> Option<Address> {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let (authority, prefix) = text.split_at_checked(text.find('/').unwrap_or(text.len()))?;
        let (host, port) = authority.rsplit_once(':')?;
        let port = number(port.as_bytes(), 10).and_then(|port| u16::try_from(port).ok())?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host_is_plain = bracketed.is_some() || !host.contains([':', '[', ']', '@', '?', '#']);
        let is_visible = text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        let host = bracketed.unwrap_or(host);
        if port == 0 || host.is_empty() || !host_is_plain || !is_visible {
            return None;
        }
        let candidates = look_up(host, read_hosts).into_iter();
        Some(Address {
            authority: authority.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            candidates: candidates.map(|ip| SocketAddr::new(ip, port)).collect(),
        })
    }

    /// Connects to the first of the host's addresses that answers.
    ///
    /// Without a limit of its own: the Runtime API is on the same machine, where a connect is
    /// accepted or refused at once, and the kernel gives up on any other after two minutes.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        let refused = Err(io::ErrorKind::HostUnreachable.into());
        self.candidates.iter().fold(refused, |found, address| match found {
            Err(_) => TcpStream::connect(address),
            connected => connected,
        })
    }
}

/// The addresses of a host: itself if it is one, else what /etc/hosts says, and for `localhost`
/// the loopback in any case (RFC 6761 §6.3).
///
/// No name server is asked. Lambda and its emulators give numbers, and so the only thing on the
/// network that this program ever talks to is the Runtime API.
fn look_up(host: &str, read_hosts: fn() -> io::Result<Vec<u8>>) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    let text = read_hosts().unwrap_or_default();
    let mut found = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
        let ip: Option<IpAddr> =
            words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
        if words.any(|name| name.eq_ignore_ascii_case(host.as_bytes())) {
            found.extend(ip);
        }
    }
    if host.eq_ignore_ascii_case("localhost") {
        found.extend([IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)]);
    }
    found
}
