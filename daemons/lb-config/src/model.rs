//! What a configuration is rendered from, apart from the upstreams.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use convoy_keys::{AppName, InstanceName, Network};
use thiserror::Error;

/// Why a path can't stand in a configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{0:?} can't be a path in a configuration: it must be absolute and made of letters, digits and / . _ @ : + - only"
)]
pub struct PlainPathError(String);

/// An absolute path that means the same in a configuration of nginx or HAProxy as in the file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainPath(String);

impl PlainPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PlainPath {
    type Err = PlainPathError;

    fn from_str(text: &str) -> Result<Self, PlainPathError> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._@:+-".contains(&b);
        if text.starts_with('/') && text.len() < 1024 && text.bytes().all(plain) {
            Ok(Self(text.to_owned()))
        } else {
            Err(PlainPathError(text.chars().take(200).collect()))
        }
    }
}

impl fmt::Display for PlainPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// HAProxy sends its log somewhere; it opens no file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("HAProxy can't write its access log to a file; choose journal (journalctl -t haproxy_lb) or off")]
pub struct AccessLogError;

/// Where a line per request is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum AccessLog {
    /// Nowhere: the edge router has logged the request already.
    #[default]
    Off,
    /// To the journal of the machine, through its syslog socket.
    Journal,
    /// Appended to a file.
    File(PlainPath),
}

impl AccessLog {
    /// The argument of nginx's `access_log` directive.
    pub(crate) fn nginx_directive(&self) -> String {
        match self {
            Self::Off => "off".to_owned(),
            Self::Journal => {
                "syslog:server=unix:/run/systemd/journal/dev-log,nohostname,tag=nginx_lb,severity=info convoy"
                    .to_owned()
            }
            Self::File(path) => format!("{path} convoy"),
        }
    }

    /// The arguments of HAProxy's `log` directive; none when nothing is to be logged.
    pub(crate) fn haproxy_directive(&self) -> Result<Option<&'static str>, AccessLogError> {
        match self {
            Self::Off => Ok(None),
            Self::Journal => Ok(Some("/run/systemd/journal/dev-log len 8192 local0 info")),
            Self::File(_) => Err(AccessLogError),
        }
    }
}

impl FromStr for AccessLog {
    type Err = PlainPathError;

    fn from_str(text: &str) -> Result<Self, PlainPathError> {
        match text {
            "off" => Ok(Self::Off),
            "journal" => Ok(Self::Journal),
            path => Ok(Self::File(path.parse()?)),
        }
    }
}

/// What an operator may choose about nginx or HAProxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyOptions {
    /// A line per request.
    pub access_log: AccessLog,
    /// Peers whose X-Forwarded-* headers are believed.
    pub trusted_proxies: Vec<Network>,
    /// How long an instance may take to accept a connection before the next one is tried.
    pub connect_timeout: Duration,
    /// How long an instance may be silent between two reads.
    pub response_timeout: Duration,
    /// How long workers of a former configuration, and instances that were taken out, may finish what they have.
    pub shutdown_timeout: Duration,
    /// What a client is told when there is no instance.
    pub retry_after: Duration,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            access_log: AccessLog::Off,
            trusted_proxies: Network::private(),
            connect_timeout: Duration::from_secs(2),
            response_timeout: Duration::from_secs(60),
            shutdown_timeout: Duration::from_secs(240),
            retry_after: Duration::from_secs(2),
        }
    }
}

/// One load balancer: everything about it that is not in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadBalancer {
    /// The app it balances.
    pub app: AppName,
    /// Its own instance name.
    pub instance: InstanceName,
    /// Where it listens; the announced address first.
    pub listen: Vec<SocketAddr>,
    /// Where the program may write (its pid, its socket, bodies too large for memory), as it sees the path.
    pub runtime_dir: PlainPath,
    /// The operator's choices.
    pub options: ProxyOptions,
}

/// A time as nginx and HAProxy write it, at least a millisecond: zero would switch a limit off.
pub(crate) fn written_time(time: Duration) -> String {
    match time.as_millis().max(1) {
        millis if millis % 1000 == 0 => format!("{}s", millis / 1000),
        millis => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_a_configuration_would_read_otherwise_are_refused() {
        for text in ["/var/lib/lb-watcher/someapp-1", "/run/a_b.c+d:e@f"] {
            assert_eq!(text.parse::<PlainPath>().unwrap().as_str(), text);
        }
        for text in ["", "relative", "/a b", "/a;", "/a{", "/$host", "/a\"b", "/a\nb", "/ä", "/a#b"] {
            assert!(text.parse::<PlainPath>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn an_access_log_is_off_the_journal_or_a_file() {
        assert_eq!("off".parse(), Ok(AccessLog::Off));
        assert_eq!("journal".parse(), Ok(AccessLog::Journal));
        assert_eq!("/var/log/x".parse::<AccessLog>().unwrap().nginx_directive(), "/var/log/x convoy");
        assert!("on".parse::<AccessLog>().is_err());
    }

    #[test]
    fn a_time_is_never_zero() {
        assert_eq!(written_time(Duration::ZERO), "1ms");
        assert_eq!(written_time(Duration::from_secs(2)), "2s");
        assert_eq!(written_time(Duration::from_millis(2500)), "2500ms");
    }
}
