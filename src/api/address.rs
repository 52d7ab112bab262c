//! `AWS_LAMBDA_RUNTIME_API`: where the Runtime API is, and a connection to there.
//!
//! In: the variable's text, and for a host name /etc/hosts. Out: a connected stream. It must never
//! ask a name server, nor connect to anything else.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::number;
use crate::stream::TcpStream;

/// Most bytes of /etc/hosts that are read.
const HOSTS_LIMIT: u64 = 65_536;

/// What to do about each of the errors.
const REMEDY: &str =
    "Lambda and its emulators set this variable to host:port; set it so to run by hand";

/// Opens /etc/hosts, should it be needed. The bootstrap has a smaller way to do so than std.
pub(crate) type OpenHosts = fn() -> io::Result<File>;

/// Where the Runtime API is.
#[derive(Clone, Debug)]
pub struct Address {
    /// As it goes into the Host header.
    pub(crate) authority: String,
    /// What goes before every path; empty, or starting with `/`.
    pub(crate) prefix: String,
    candidates: Vec<SocketAddr>,
}

/// Why there is no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// The variable is not set.
    Missing,
    /// The value has not the form of an address.
    Malformed,
    /// No address of this host is known.
    UnknownHost(String),
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AddressError::Missing => write!(f, "the variable is not set; {REMEDY}"),
            AddressError::Malformed => write!(f, "the value is not host:port; {REMEDY}"),
            AddressError::UnknownHost(host) => write!(
                f,
                "the host '{host}' is neither an IP address nor in /etc/hosts, and no name server \
                 is asked; use its IP address, or add it to /etc/hosts"
            ),
        }
    }
}

impl Address {
    /// Reads `host:port`, `[v6]:port`, and either as `http://host:port/prefix`.
    ///
    /// # Errors
    /// The text has another form, or names a host that cannot be found.
    pub fn parse(text: &str, open_hosts: OpenHosts) -> Result<Address, AddressError> {
        let text = text.strip_prefix("http://").unwrap_or(text);
        let (authority, prefix) = text.split_at(text.find('/').unwrap_or(text.len()));
        let (host, port) = authority.rsplit_once(':').ok_or(AddressError::Malformed)?;
        let port = port_number(port).ok_or(AddressError::Malformed)?;
        let host = host_of(host).ok_or(AddressError::Malformed)?;
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(AddressError::Malformed);
        }
        let candidates: Vec<SocketAddr> = look_up(host, open_hosts)
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect();
        if candidates.is_empty() {
            return Err(AddressError::UnknownHost(host.to_owned()));
        }
        Ok(Address {
            authority: authority.to_owned(),
            prefix: prefix.trim_end_matches('/').to_owned(),
            candidates,
        })
    }

    /// Connects to the first of the host's addresses that answers.
    ///
    /// Without a limit of its own: the Runtime API is on the same machine, where a connect is
    /// accepted or refused at once, and the kernel gives up on any other after two minutes.
    ///
    /// # Errors
    /// None of the addresses accepts.
    pub(crate) fn connect(&self) -> io::Result<TcpStream> {
        TcpStream::connect(&*self.candidates)
    }
}

/// A port is 1 to 65,535.
fn port_number(digits: &str) -> Option<u16> {
    let number = number::decimal(digits.as_bytes())?;
    u16::try_from(number).ok().filter(|&port| port > 0)
}

/// The host without the brackets of an IPv6 address (RFC 3986 §3.2.2).
fn host_of(text: &str) -> Option<&str> {
    let bracketed = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let host = match bracketed {
        Some(host) => host,
        None if text.contains([':', '[', ']', '@', '?', '#']) => return None,
        None => text,
    };
    Some(host).filter(|host| !host.is_empty())
}

/// Returns the addresses of a host. If `host` is an IP address, that is the only one. Else they are
/// those in /etc/hosts, and for `localhost` the loopback, too (RFC 6761 §6.3).
///
/// No name server is asked: Lambda and its emulators set IP addresses. So the Runtime API is the
/// only thing on the network that this program ever talks to.
fn look_up(host: &str, open_hosts: OpenHosts) -> Vec<IpAddr> {
    if let Ok(ip) = host.parse() {
        return vec![ip];
    }
    let mut text = Vec::new();
    // A file that cannot be read names no host.
    let _ = open_hosts().and_then(|file| file.take(HOSTS_LIMIT).read_to_end(&mut text));
    let mut found = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        found.extend(address_in(line, host));
    }
    if host.eq_ignore_ascii_case("localhost") {
        found.push(IpAddr::from(Ipv4Addr::LOCALHOST));
        found.push(IpAddr::from(Ipv6Addr::LOCALHOST));
    }
    found
}

/// The address in a line of hosts(5), if that line names this host.
fn address_in(line: &[u8], host: &str) -> Option<IpAddr> {
    let line = line.split(|&byte| byte == b'#').next()?;
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let address = std::str::from_utf8(words.next()?).ok()?;
    if !words.any(|name| name.eq_ignore_ascii_case(host.as_bytes())) {
        return None;
    }
    address.parse().ok()
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests {
    use std::fs::File;
    use std::io::{self, Write};
    use std::os::fd::OwnedFd;

    use super::{Address, AddressError, OpenHosts};

    const HOSTS: &[u8] =
        b"10.0.0.2 api alias\r\n#10.0.0.3 api\n10.0.0.4 other # api\n\n \tfe80::2\t\tAPI\n\
        name api\n\xff api\napi 10.0.0.5\n";

    /// A file of these lines.
    fn hosts() -> io::Result<File> {
        let (reader, mut writer) = io::pipe()?;
        writer.write_all(HOSTS)?;
        Ok(File::from(OwnedFd::from(reader)))
    }

    #[test]
    fn address_in_each_of_its_forms_is_read() {
        let table: [(&str, &str, &str, &[&str]); 9] = [
            ("127.0.0.1:9001", "127.0.0.1:9001", "", &["127.0.0.1:9001"]),
            ("[::1]:80", "[::1]:80", "", &["[::1]:80"]),
            (
                "http://10.0.0.1:1/a/b//",
                "10.0.0.1:1",
                "/a/b",
                &["10.0.0.1:1"],
            ),
            ("10.0.0.1:1/", "10.0.0.1:1", "", &["10.0.0.1:1"]),
            (
                "api:65535",
                "api:65535",
                "",
                &["10.0.0.2:65535", "[fe80::2]:65535"],
            ),
            ("ALIAS:1", "ALIAS:1", "", &["10.0.0.2:1"]),
            ("other:1", "other:1", "", &["10.0.0.4:1"]),
            (
                "localhost:5",
                "localhost:5",
                "",
                &["127.0.0.1:5", "[::1]:5"],
            ),
            (
                "LocalHost:5",
                "LocalHost:5",
                "",
                &["127.0.0.1:5", "[::1]:5"],
            ),
        ];
        for (text, authority, prefix, candidates) in table {
            let address = Address::parse(text, hosts).expect(text);
            let found: Vec<String> = address.candidates.iter().map(ToString::to_string).collect();
            assert_eq!(address.authority, authority);
            assert_eq!(address.prefix, prefix, "{text}");
            assert_eq!(found, candidates, "{text}");
        }
    }

    #[test]
    fn text_of_another_form_is_refused() {
        for text in [
            "",
            "api",
            "api:",
            ":80",
            "[]:80",
            "api:0",
            "api:65536",
            "api:+1",
            "::1:80",
            "[::1:80",
            "::1]:80",
            "user@api:80",
            "api?x:80",
            "api#x:80",
            "http://http://api:80",
            "api:80 ",
            "api:80/a b",
            "api:80/\u{e9}",
        ] {
            let refused = Address::parse(text, hosts).expect_err(text);
            assert_eq!(refused, AddressError::Malformed, "{text}");
        }
    }

    #[test]
    fn host_that_is_neither_a_number_nor_in_the_file_is_named() {
        let no_file: OpenHosts = || Err(io::ErrorKind::NotFound.into());
        let table: [(&str, OpenHosts); 3] = [("nowhere", hosts), ("name", hosts), ("api", no_file)];
        for (host, open) in table {
            let error = Address::parse(&format!("{host}:80"), open).expect_err(host);
            assert_eq!(error, AddressError::UnknownHost(host.to_owned()));
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("the host '{host}' is neither"))
            );
        }
    }
}
