//! From keys and values of the store to upstreams.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use convoy_keys::{AppName, Endpoint, EndpointError, InstanceName, KeyError, ServiceKey};
use thiserror::Error;

/// One instance that requests are sent to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Upstream {
    /// The last segment of its key.
    pub name: InstanceName,
    /// Its value.
    pub address: Endpoint,
}

/// A key that is left out, and why. The rest is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The key as it stands in the store.
    pub key: String,
    /// What is wrong with it.
    pub reason: SkippedReason,
}

/// Why a key is left out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SkippedReason {
    /// The key is not `/services/<app>/upstream/<instance>`.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// It belongs elsewhere.
    #[error("the key is not an upstream of {0}")]
    Foreign(AppName),
    /// The value is no text.
    #[error("the value is not UTF-8 text")]
    Encoding,
    /// The value is no address.
    #[error(transparent)]
    Value(#[from] EndpointError),
    /// A link-local address with its interface: another machine's interface numbers mean nothing here.
    #[error("{0} names a network interface, which means nothing on another machine")]
    Scoped(SocketAddr),
    /// Requests would go round in a circle.
    #[error("{0} is the load balancer itself")]
    Itself(SocketAddr),
    /// Another key has the same address.
    #[error("{0} is announced by an earlier key already")]
    Twice(Endpoint),
}

/// Reads the entries under an app's upstream prefix, which must come in the order of their keys.
///
/// `own` are the addresses of the load balancer itself.
pub fn read_upstreams<'a>(
    app: &AppName,
    own: &[SocketAddr],
    entries: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> (Vec<Upstream>, Vec<Skipped>) {
    let mut upstreams = Vec::new();
    let mut skipped = Vec::new();
    let mut seen = BTreeSet::new();
    for (key, value) in entries {
        match read_one(app, own, key, value) {
            Ok(upstream) if !seen.insert(upstream.address) => {
                skipped.push(Skipped { key: key.to_owned(), reason: SkippedReason::Twice(upstream.address) });
            }
            Ok(upstream) => upstreams.push(upstream),
            Err(reason) => skipped.push(Skipped { key: key.to_owned(), reason }),
        }
    }
    (upstreams, skipped)
}

fn read_one(app: &AppName, own: &[SocketAddr], key: &str, value: &[u8]) -> Result<Upstream, SkippedReason> {
    let name = match ServiceKey::parse(key)? {
        ServiceKey::Upstream { app: found, instance } if found == *app => instance,
        _ => return Err(SkippedReason::Foreign(app.clone())),
    };
    let text = std::str::from_utf8(value).map_err(|_| SkippedReason::Encoding)?;
    let address = Endpoint::parse(text)?;
    match address.addr() {
        SocketAddr::V6(v6) if v6.scope_id() != 0 => Err(SkippedReason::Scoped(address.addr())),
        socket if own.contains(&socket) => Err(SkippedReason::Itself(socket)),
        _ => Ok(Upstream { name, address }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(entries: &[(&str, &[u8])]) -> (Vec<String>, Vec<String>) {
        let app = AppName::parse("someapp").unwrap();
        let own = ["10.0.0.9:8080".parse().unwrap()];
        let (upstreams, skipped) = read_upstreams(&app, &own, entries.iter().copied());
        (
            upstreams.iter().map(|u| format!("{}={}", u.name, u.address)).collect(),
            skipped.iter().map(|s| format!("{}: {}", s.key, s.reason)).collect(),
        )
    }

    #[test]
    fn valid_keys_keep_their_order() {
        let (upstreams, skipped) = read(&[
            ("/services/someapp/upstream/1", b"10.0.0.1:3000"),
            ("/services/someapp/upstream/2", b"10.0.0.2:3000\n"),
            ("/services/someapp/upstream/someapp-3", b"[fd00::3]:3000"),
        ]);
        assert_eq!(upstreams, ["1=10.0.0.1:3000", "2=10.0.0.2:3000", "someapp-3=[fd00::3]:3000"]);
        assert!(skipped.is_empty());
    }

    #[test]
    fn what_is_invalid_is_left_out_with_its_key_and_the_rest_stays() {
        for (key, value) in [
            ("/services/someapp/upstream/2", &b"10.0.0.2:3000; } server { listen 1"[..]),
            ("/services/someapp/upstream/2", b""),
            ("/services/someapp/upstream/2", b"\xff\xfe"),
            ("/services/someapp/upstream/2", b"10.0.0.9:8080"),
            ("/services/someapp/upstream/2", b"10.0.0.1:3000"),
            ("/services/someapp/upstream/2", b"[fe80::1%2]:3000"),
            ("/services/someapp/upstream/a/b", b"10.0.0.2:3000"),
            ("/services/someapp/upstream/a;b", b"10.0.0.2:3000"),
            ("/services/other/upstream/2", b"10.0.0.2:3000"),
            ("/services/someapp/lb/2", b"10.0.0.2:3000"),
        ] {
            let (upstreams, skipped) =
                read(&[("/services/someapp/upstream/1", b"10.0.0.1:3000"), (key, value)]);
            assert_eq!(upstreams, ["1=10.0.0.1:3000"], "{key} {value:?}");
            assert_eq!(skipped.len(), 1, "{key} {value:?}");
            assert!(skipped[0].starts_with(key), "{skipped:?}");
        }
    }
}
