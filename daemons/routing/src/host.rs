//! The host of a request, as it is compared with the table.

use std::borrow::Cow;

use thiserror::Error;

/// Longest host name in text form (RFC 1035, section 2.3.4).
const LONGEST: usize = 253;

/// Why a `Host` field or an authority names no host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HostError {
    /// Nothing before the port.
    #[error("the host is empty")]
    Empty,
    /// Longer than any host name.
    #[error("the host is longer than 253 bytes")]
    TooLong,
    /// A byte that stands in no host name: user information, white space, an escape, an empty label.
    #[error("the host is no host name or address")]
    Syntax,
    /// What follows the colon is no port.
    #[error("the port is no number from 0 to 65535")]
    Port,
}

/// A host name or address without port and final dot, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host<'a>(Cow<'a, str>);

impl<'a> Host<'a> {
    /// Parses the value of a `Host` field or the authority of a URI: `uri-host [ ":" port ]` (RFC 9110, section
    /// 7.2). Narrower than RFC 3986 on purpose: no user information, no escapes, no sub-delimiters, since no name
    /// that is served has them. Allocates only when the name has capitals.
    pub fn parse(text: &'a str) -> Result<Self, HostError> {
        let (name, port) = split_port(text)?;
        if let Some(port) = port
            && !(port.bytes().all(|byte| byte.is_ascii_digit())
                && (port.is_empty() || port.parse::<u16>().is_ok()))
        {
            return Err(HostError::Port);
        }
        if name.is_empty() {
            return Err(HostError::Empty);
        }
        if let Some(address) = name.strip_prefix('[') {
            let address = address.strip_suffix(']').ok_or(HostError::Syntax)?;
            address.parse::<std::net::Ipv6Addr>().map_err(|_| HostError::Syntax)?;
            return Ok(Self(lower_case(name)));
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        if name.len() > LONGEST {
            return Err(HostError::TooLong);
        }
        if !has_host_syntax(name) {
            return Err(HostError::Syntax);
        }
        Ok(Self(lower_case(name)))
    }

    /// The name as the table has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name and, where there is a colon after it, the port.
fn split_port(text: &str) -> Result<(&str, Option<&str>), HostError> {
    if !text.starts_with('[') {
        return Ok(text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))));
    }
    let end = text.find(']').ok_or(HostError::Syntax)? + 1;
    match text.split_at_checked(end) {
        Some((name, "")) => Ok((name, None)),
        Some((name, rest)) => Ok((name, Some(rest.strip_prefix(':').ok_or(HostError::Syntax)?))),
        None => Err(HostError::Syntax),
    }
}

/// Labels of letters, digits, `-` and `_`, none of them empty.
pub(crate) fn has_host_syntax(name: &str) -> bool {
    let mut after_dot = true;
    for byte in name.bytes() {
        match byte {
            b'.' if after_dot => return false,
            b'.' => after_dot = true,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'A'..=b'Z' => after_dot = false,
            _ => return false,
        }
    }
    !after_dot
}

fn lower_case(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_final_dot_and_port_make_no_difference() {
        for text in [
            "someapp.mywebsite.com",
            "SomeApp.MyWebsite.COM",
            "someapp.mywebsite.com.",
            "someapp.mywebsite.com:80",
            "someapp.mywebsite.com.:8080",
            "someapp.mywebsite.com:",
        ] {
            assert_eq!(Host::parse(text).unwrap().as_str(), "someapp.mywebsite.com", "{text}");
        }
    }

    #[test]
    fn addresses_are_hosts_too() {
        for (text, host) in [("10.0.0.1:80", "10.0.0.1"), ("[FD00::1]:80", "[fd00::1]"), ("[::1]", "[::1]")] {
            assert_eq!(Host::parse(text).unwrap().as_str(), host);
        }
    }

    #[test]
    fn what_names_no_host_is_refused() {
        let long = "a.".repeat(127) + "aa";
        for (text, error) in [
            ("", HostError::Empty),
            (":80", HostError::Empty),
            (".", HostError::Syntax),
            (".a", HostError::Syntax),
            ("a..b", HostError::Syntax),
            ("a..", HostError::Syntax),
            ("user@a", HostError::Syntax),
            ("a b", HostError::Syntax),
            ("a/b", HostError::Syntax),
            ("a%2eb", HostError::Syntax),
            ("\u{e4}.example", HostError::Syntax),
            ("a,b", HostError::Syntax),
            ("a:80:80", HostError::Port),
            ("a:99999", HostError::Port),
            ("a:-1", HostError::Port),
            ("a:+1", HostError::Port),
            ("[::1", HostError::Syntax),
            ("[::1]x", HostError::Syntax),
            ("[a.example]", HostError::Syntax),
            ("::1", HostError::Port),
            (&long, HostError::TooLong),
        ] {
            assert_eq!(Host::parse(text), Err(error), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_parsed_host_is_lower_case_and_parses_to_itself(text in "\\PC{0,40}|[a-zA-Z0-9._:\\[\\]-]{0,40}") {
            if let Ok(host) = Host::parse(&text) {
                prop_assert!(!host.as_str().bytes().any(|byte| byte.is_ascii_uppercase()));
                let again = Host::parse(host.as_str()).unwrap();
                prop_assert_eq!(again.as_str(), host.as_str());
            }
        }
    }
}
