//! What to ask an instance.

use std::fmt;

use thiserror::Error;

/// Longest path asked for.
const PATH_MAX: usize = 1024;

/// Why a text is no check.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CheckError {
    /// None of the known forms.
    #[error("{0:?} is no check: write none, tcp, tcp:9000, http, http:/healthz, http:9000/healthz or engine")]
    Form(String),
    /// The path could change the meaning of the request.
    #[error("check path {0:?} may only have visible ASCII characters and at most {PATH_MAX} of them")]
    Path(String),
    /// Not a port.
    #[error("check port {0:?} is not between 1 and 65535")]
    Port(String),
}

/// What to ask an instance. A port stands for one other than the announced one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Check {
    /// Nothing: whatever runs, passes.
    None,
    /// A TCP connection is accepted.
    #[default]
    Tcp,
    /// As [`Check::Tcp`], on another port.
    TcpPort(u16),
    /// A `GET` is answered with a good status.
    Http(HttpCheck),
    /// The container engine's own health check (`HEALTHCHECK` of the image).
    Engine,
}

/// A `GET` with a good status as its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpCheck {
    /// Another port than the announced one.
    pub port: Option<u16>,
    /// Begins with a slash; may hold a query.
    pub path: String,
}

impl Check {
    /// Parses `none`, `tcp`, `tcp:9000`, `http`, `http:/healthz`, `http:9000/healthz`, `engine`.
    pub fn parse(text: &str) -> Result<Self, CheckError> {
        let (kind, rest) = match text.split_once(':') {
            Some((kind, rest)) => (kind, Some(rest)),
            None => (text, None),
        };
        match (kind, rest) {
            ("none", None) => Ok(Self::None),
            ("engine", None) => Ok(Self::Engine),
            ("tcp", None) => Ok(Self::Tcp),
            ("tcp", Some(port)) => Ok(Self::TcpPort(parse_port(port)?)),
            ("http", None) => Ok(Self::Http(HttpCheck { port: None, path: "/".to_owned() })),
            ("http", Some(rest)) => {
                let slash = rest.find('/').ok_or_else(|| refuse(text))?;
                let (port, path) = rest.split_at(slash);
                // `http://host/path` would be read as a path of two slashes: say what to write instead.
                if path.starts_with("//") {
                    return Err(refuse(text));
                }
                let port = if port.is_empty() { None } else { Some(parse_port(port)?) };
                Ok(Self::Http(HttpCheck { port, path: parse_path(path)? }))
            }
            _ => Err(refuse(text)),
        }
    }
}

fn refuse(text: &str) -> CheckError {
    CheckError::Form(text.chars().take(80).collect())
}

fn parse_port(text: &str) -> Result<u16, CheckError> {
    match text.parse() {
        Ok(port) if port != 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        _ => Err(CheckError::Port(text.chars().take(80).collect())),
    }
}

fn parse_path(text: &str) -> Result<String, CheckError> {
    // A fragment never travels, and white space or a line end would begin another header.
    if text.len() > PATH_MAX || !text.bytes().all(|b| b.is_ascii_graphic() && b != b'#') {
        return Err(CheckError::Path(text.chars().take(80).collect()));
    }
    Ok(text.to_owned())
}

impl fmt::Display for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => formatter.write_str("none"),
            Self::Tcp => formatter.write_str("tcp"),
            Self::TcpPort(port) => write!(formatter, "tcp:{port}"),
            Self::Http(HttpCheck { port: None, path }) => write!(formatter, "http:{path}"),
            Self::Http(HttpCheck { port: Some(port), path }) => write!(formatter, "http:{port}{path}"),
            Self::Engine => formatter.write_str("engine"),
        }
    }
}

impl std::str::FromStr for Check {
    type Err = CheckError;

    fn from_str(text: &str) -> Result<Self, CheckError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn http(port: Option<u16>, path: &str) -> Check {
        Check::Http(HttpCheck { port, path: path.to_owned() })
    }

    #[test]
    fn every_form_of_a_check() {
        for (text, check, printed) in [
            ("none", Check::None, "none"),
            ("engine", Check::Engine, "engine"),
            ("tcp", Check::Tcp, "tcp"),
            ("tcp:9000", Check::TcpPort(9000), "tcp:9000"),
            ("http", http(None, "/"), "http:/"),
            ("http:/healthz", http(None, "/healthz"), "http:/healthz"),
            ("http:9000/up?full=1", http(Some(9000), "/up?full=1"), "http:9000/up?full=1"),
        ] {
            assert_eq!(Check::parse(text).as_ref(), Ok(&check), "{text}");
            assert_eq!(check.to_string(), printed);
        }
    }

    #[test]
    fn anything_else_is_refused_and_says_what_to_write() {
        for text in [
            "",
            "tcp:",
            "tcp:0",
            "tcp:+80",
            "tcp:70000",
            "http:",
            "http:80",
            "http:x/",
            "http://host/",
            "https:/",
            "none:1",
            "http:/a b",
            "http:/a\r\nHost: evil",
            "http:/a#b",
            "exec:rm",
        ] {
            assert!(Check::parse(text).is_err(), "{text:?}");
        }
        let said = Check::parse("http://host/").unwrap_err().to_string();
        assert!(said.contains("http:/healthz"), "{said}");
    }

    proptest! {
        #[test]
        fn what_parses_prints_back(text in "(none|tcp|http|engine)?:?\\PC{0,30}") {
            if let Ok(check) = Check::parse(&text) {
                prop_assert_eq!(Check::parse(&check.to_string()), Ok(check));
            }
        }
    }
}
