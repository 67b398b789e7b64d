//! Which servers a configuration sends requests to, apart from everything else that stands in it.
//!
//! A template of HAProxy writes `{{ servers("options") }}` where the `server` lines of a backend belong. What is left
//! without these lines is the *shape* of the configuration, and the digest is the shape's: a server that comes or
//! goes changes the lines and nothing else, so the running process can be told instead of being reloaded.

use std::fmt::{self, Write as _};
use std::net::SocketAddr;

use convoy_keys::InstanceName;

use crate::upstreams::Upstream;

/// Begins the line that stands in the shape for the servers of a backend; the options follow, and an at sign ends it.
const PLACEHOLDER: &str = "@SERVERS WITH ";
/// Begins the comment before the servers of a backend.
const HEAD: &str = "# The servers of ";
/// Ends that comment's part about the backend.
const HEAD_END: &str = ", kept in step with the running process:";
/// The comment after the servers of a backend.
const TAIL: &str = "# No more servers.";
/// Words that begin a section of HAProxy's configuration.
const SECTIONS: [&str; 15] = [
    "backend",
    "cache",
    "defaults",
    "fcgi-app",
    "frontend",
    "global",
    "http-errors",
    "listen",
    "log-forward",
    "mailers",
    "peers",
    "program",
    "resolvers",
    "ring",
    "userlist",
];

/// An instance at an address, as HAProxy accepts names. Letters, digits, dots, underscores and dashes of the instance stay,
/// every other byte is a colon and two hexadecimal digits; two colons and the address follow. So two instances never get
/// the same name, and neither do two addresses of one.
///
/// With its address, because a server can be given another one, but not without its past: HAProxy 2.6 keeps connections
/// that were busy at that moment, and sends later requests over them to where the instance no longer is. A server of
/// another name has no past, and the old one can finish what it has.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Box<str>);

impl ServerName {
    /// The name as it is in a running process; no claim that it is one of ours.
    pub fn verbatim(text: &str) -> Self {
        Self(text.into())
    }

    fn new(instance: &InstanceName, address: SocketAddr) -> Self {
        let mut name = String::with_capacity(instance.as_str().len() + 24);
        // Writing to a String can't fail.
        for byte in instance.as_str().bytes() {
            if byte.is_ascii_alphanumeric() || b"._-".contains(&byte) {
                name.push(char::from(byte));
            } else {
                let _ = write!(name, ":{byte:02X}");
            }
        }
        let _ = write!(name, "::{}:{}", address.ip(), address.port());
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One `server` line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Server {
    /// The instance there.
    pub name: ServerName,
    /// Where it is.
    pub address: SocketAddr,
}

impl From<&Upstream> for Server {
    fn from(upstream: &Upstream) -> Self {
        let address = upstream.address.addr();
        Self { name: ServerName::new(&upstream.name, address), address }
    }
}

/// A backend whose servers come and go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Its name.
    pub name: String,
    /// What follows the address on each of its `server` lines.
    pub options: String,
}

/// The servers of a configuration, the same in each of its backends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Membership {
    /// The backends. None when the digest speaks for the whole text, as nginx's does.
    pub backends: Vec<Backend>,
    /// The servers of each of them.
    pub servers: Vec<Server>,
}

impl Membership {
    /// Whether nothing can change without a reload.
    pub fn is_fixed(&self) -> bool {
        self.backends.is_empty()
    }

    /// The servers that stand in a text which [`write_servers`] made.
    pub(crate) fn find(text: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut lines = text.lines().map(str::trim);
        while let Some(line) = lines.next() {
            let Some(head) = line.strip_prefix(HEAD) else { continue };
            let (name, options) = head.split_once(HEAD_END)?;
            let mut servers = Vec::new();
            for line in lines.by_ref().take_while(|line| *line != TAIL) {
                let mut words = line.strip_prefix("server ")?.split_ascii_whitespace();
                let name = ServerName::verbatim(words.next()?);
                servers.push(Server { name, address: words.next()?.parse().ok()? });
            }
            let backend = Backend { name: name.to_owned(), options: options.trim().to_owned() };
            let all = found.get_or_insert_with(|| Self { backends: Vec::new(), servers: servers.clone() });
            if all.servers != servers {
                return None;
            }
            all.backends.push(backend);
        }
        Some(found.unwrap_or_default())
    }
}

/// What stands in the shape for the servers of a backend. The error tells what is wrong with the options: they go
/// through HAProxy's socket as well, where nothing can be quoted.
pub(crate) fn placeholder(options: &str) -> Result<String, String> {
    match options.chars().find(|&c| c.is_control() || "@;\"'\\#$<>".contains(c)) {
        Some(character) => Err(format!("the options of servers can't contain {character:?}")),
        None => Ok(format!("{PLACEHOLDER}{}@", options.trim())),
    }
}

/// Puts the servers where their placeholders stand in a shape. The error tells what is wrong with the shape.
pub(crate) fn write_servers(shape: &str, servers: Vec<Server>) -> Result<(String, Membership), String> {
    let mut text = String::with_capacity(shape.len() + servers.len() * 64);
    let mut backends: Vec<Backend> = Vec::new();
    let mut section = None;
    for line in shape.split_inclusive('\n') {
        let trimmed = line.trim();
        let Some(options) = trimmed.strip_prefix(PLACEHOLDER).and_then(|rest| rest.strip_suffix('@')) else {
            if trimmed.contains(PLACEHOLDER) {
                return Err("servers(…) must stand on a line of its own".to_owned());
            }
            section = section_of(trimmed).or(section);
            text.push_str(line);
            continue;
        };
        let Some(("backend" | "listen", name)) = section else {
            return Err("servers(…) must stand in a backend".to_owned());
        };
        if backends.iter().any(|backend| backend.name == name) {
            return Err(format!("servers(…) stands in the backend {name} twice"));
        }
        let indent: String = line.chars().take_while(|c| c.is_whitespace()).collect();
        // Writing to a String can't fail.
        let _ = writeln!(text, "{indent}{HEAD}{name}{HEAD_END} {options}");
        for server in &servers {
            let _ = writeln!(
                text,
                "{}",
                format!("{indent}server {} {} {options}", server.name, server.address).trim_end()
            );
        }
        let _ = writeln!(text, "{indent}{TAIL}");
        backends.push(Backend { name: name.to_owned(), options: options.to_owned() });
    }
    let servers = if backends.is_empty() { Vec::new() } else { servers };
    Ok((text, Membership { backends, servers }))
}

/// The section that a line begins: its kind and its name.
fn section_of(line: &str) -> Option<(&str, &str)> {
    let mut words = line.split_ascii_whitespace();
    let kind = words.next().filter(|word| SECTIONS.contains(word))?;
    Some((kind, words.next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn servers(list: &[(&str, &str)]) -> Vec<Server> {
        let server = |&(name, address): &(&str, &str)| {
            let address = address.parse().unwrap();
            Server { name: ServerName::new(&InstanceName::parse(name).unwrap(), address), address }
        };
        list.iter().map(server).collect()
    }

    #[test]
    fn servers_are_written_to_every_backend_and_found_again() {
        let two = servers(&[("1", "10.0.0.1:80"), ("a,b", "[fd00::2]:80")]);
        let shape = format!(
            "frontend f\n  default_backend a\nbackend a\n  {}\nbackend b\n{}\n",
            placeholder("check inter 2s").unwrap(),
            placeholder("").unwrap()
        );
        let (text, membership) = write_servers(&shape, two.clone()).unwrap();
        assert!(text.contains("\n  server a:2Cb::fd00::2:80 [fd00::2]:80 check inter 2s\n"), "{text}");
        assert!(text.contains("\nserver 1::10.0.0.1:80 10.0.0.1:80\n"), "{text}");
        assert_eq!(membership.servers, two);
        let options: Vec<_> =
            membership.backends.iter().map(|b| (b.name.as_str(), b.options.as_str())).collect();
        assert_eq!(options, [("a", "check inter 2s"), ("b", "")]);
        assert_eq!(Membership::find(&text), Some(membership));
    }

    #[test]
    fn a_text_without_servers_is_fixed() {
        let (text, membership) =
            write_servers("backend a\n server x 1.1.1.1:1\n", servers(&[("1", "10.0.0.1:80")])).unwrap();
        assert!(membership.is_fixed() && membership.servers.is_empty());
        assert_eq!(Membership::find(&text), Some(Membership::default()));
        assert_eq!(Membership::find("daemon off;\nhttp { }\n"), Some(Membership::default()));
    }

    #[test]
    fn a_damaged_text_has_no_membership() {
        let (text, _) = write_servers(
            &format!("backend a\n{}\n", placeholder("").unwrap()),
            servers(&[("1", "10.0.0.1:80")]),
        )
        .unwrap();
        for (from, to) in [(" 10.0.0.1:80", " somewhere"), (HEAD_END, ""), ("server 1", "sorver 1")] {
            assert_eq!(Membership::find(&text.replace(from, to)), None, "{from}");
        }
    }

    #[test]
    fn servers_stand_once_in_a_backend_on_a_line_of_their_own() {
        let hold = placeholder("check").unwrap();
        for (shape, word) in [
            (format!("{hold}\n"), "in a backend"),
            (format!("frontend f\n{hold}\n"), "in a backend"),
            (format!("backend b\nfrontend f\n{hold}\n"), "in a backend"),
            (format!("backend b\n{hold} weight 3\n"), "line of its own"),
            (format!("backend b\n{hold}\n{hold}\n"), "twice"),
        ] {
            assert!(write_servers(&shape, Vec::new()).unwrap_err().contains(word), "{shape}");
        }
        for options in ["check; shutdown sessions", "a\nb", "x \"y\"", "@1", "# x"] {
            assert!(placeholder(options).is_err(), "{options}");
        }
    }

    proptest! {
        #[test]
        fn two_servers_never_share_a_name_and_no_name_needs_quotes(
            a in ("[A-Za-z0-9:,._=^~!@+()-]{1,12}", any::<SocketAddr>()),
            b in ("[A-Za-z0-9:,._=^~!@+()-]{1,12}", any::<SocketAddr>()),
        ) {
            let (Ok(one), Ok(two)) = (InstanceName::parse(&a.0), InstanceName::parse(&b.0)) else { return Ok(()) };
            let names = [(&one, a.1), (&two, a.1), (&one, b.1)].map(|(name, address)| ServerName::new(name, address));
            let [first, renamed, moved] = &names;
            prop_assert_eq!(one == two, first == renamed);
            prop_assert_eq!((a.1.ip(), a.1.port()) == (b.1.ip(), b.1.port()), first == moved);
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
            prop_assert!(names.iter().all(|name| name.as_str().bytes().all(plain)));
        }
    }
}
