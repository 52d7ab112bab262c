//! `AWS_LAMBDA_RUNTIME_API`: where the Runtime API is, and a connection to there.
//!
//! In: the variable's text, and for a name /etc/hosts. Out: a connected stream. It must
//! never ask a name server, nor connect to anything else.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::http::number;
use crate::log::{self, Level};
use crate::settings;
use crate::stream::TcpStream;

/// Most bytes of /etc/hosts that are read.
const HOSTS_LIMIT: u64 = 65_536;

/// How /etc/hosts is opened, in case that it is needed.
type OpenHosts = fn() -> io::Result<File>;

/// Where the Runtime API is.
#[derive(Clone)]
pub struct Address {
    /// As it goes into the Host header.
    pub(crate) authority: String,
    /// What goes before every path; empty, or starting with `/`.
    pub(crate) prefix: String,
    candidates: Vec<SocketAddr>,
}

impl Address {
    /// Reads `AWS_LAMBDA_RUNTIME_API`; logs what is wrong where it is missing or malformed.
    pub(crate) fn from_environment(open_hosts: OpenHosts) -> Option<Address> {
        let address = settings::runtime_api().map(|text| Address::parse(&text, open_hosts));
        let why = match address {
            Some(Some(address)) => return Some(address),
            Some(None) => "the value is not host:port",
            None => "the variable is not set",
        };
        let mend = "Lambda and its emulators set it to host:port, set it so to run by hand";
        log::write(
            Level::Fatal,
            None,
            &format!("AWS_LAMBDA_RUNTIME_API: {why}; {mend}"),
        );
        None
    }

    /// Reads `host:port`, `[v6]:port`, and either as `http://host:port/prefix`.
    pub(crate) fn parse(text: &str, open_hosts: OpenHosts) -> Option<Address> {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let (authority, prefix) = text.split_at_checked(text.find('/').unwrap_or(text.len()))?;
        let (host, port) = authority.rsplit_once(':')?;
        let port = number(port.as_bytes(), 10).and_then(|port| u16::try_from(port).ok())?;
        let bracketed = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        let host_is_plain = bracketed.is_some() || !host.contains([':', '[', ']', '@', '?', '#']);
        let is_visible = text.bytes().all(|byte| matches!(byte, b'!'..=b'~'));
        let host = bracketed.unwrap_or(host);
        if port == 0 || host.is_empty() || !host_is_plain || !is_visible {
            return None;
        }
        let candidates = look_up(host, open_hosts).into_iter();
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
        TcpStream::connect(&*self.candidates)
    }
}

/// The addresses of a host: itself if it is one, else what /etc/hosts says, and for `localhost`
/// the loopback in any case (RFC 6761 §6.3).
///
/// No name server is asked. Lambda and its emulators give numbers, and so the only thing on the
/// network that this program ever talks to is the Runtime API.
fn look_up(host: &str, open_hosts: OpenHosts) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    let mut text = Vec::new();
    // What cannot be read names nothing.
    let _ = open_hosts().and_then(|file| file.take(HOSTS_LIMIT).read_to_end(&mut text));
    let mut found = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
        let mut words = line
            .split(u8::is_ascii_whitespace)
            .filter(|word| !word.is_empty());
        let first = String::from_utf8_lossy(words.next().unwrap_or_default());
        if words.any(|name| name.eq_ignore_ascii_case(host.as_bytes())) {
            found.extend(first.parse::<IpAddr>());
        }
    }
    if host.eq_ignore_ascii_case("localhost") {
        found.extend([
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ]);
    }
    found
}
