//! Addresses that a configuration listens on, as far as they can be tried beforehand.
//!
//! `haproxy -c` does not try them. A reload onto an address that somebody else has fails, and for the two seconds that
//! HAProxy 2.6 tries it, the running worker has closed its own addresses (`Paused frontend`, `MAX_START_RETRIES`).

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// What new addresses can't be had, in words; none when all can.
pub(crate) fn taken(running: &str, candidate: &str) -> Option<String> {
    let known = addresses(running);
    let new = addresses(candidate).into_iter().filter(|address| !known.contains(address));
    let tried = new.filter_map(|address| match TcpListener::bind(address) {
        Err(error) if matches!(error.kind(), ErrorKind::AddrInUse | ErrorKind::PermissionDenied) => {
            Some(format!("{address}: {error}"))
        }
        // The others HAProxy tells itself, and sooner.
        _ => None,
    });
    let words: Vec<String> = tried.collect();
    (!words.is_empty()).then(|| words.join(", "))
}

/// The addresses of all `bind` lines; what is no plain address is left to HAProxy.
fn addresses(text: &str) -> BTreeSet<SocketAddr> {
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("bind "));
    let words = lines.filter_map(|line| line.split_ascii_whitespace().next());
    words.flat_map(|list| list.split(',')).filter_map(address).collect()
}

fn address(word: &str) -> Option<SocketAddr> {
    let word = ["ipv4@", "ipv6@"].iter().find_map(|family| word.strip_prefix(family)).unwrap_or(word);
    if let Ok(address) = word.parse() {
        return Some(address);
    }
    let (host, port) = word.rsplit_once(':')?;
    let any = host.is_empty() || host == "*";
    any.then_some(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_addresses_are_found() {
        let text = "frontend f\n  bind 127.0.0.1:80 backlog 5\n bind :81,*:82 ssl\n bind [::1]:83\n bind /run/x\n bind ipv4@10.0.0.1:84\n bind web:85\n # bind :86\n";
        let found: Vec<String> = addresses(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["0.0.0.0:81", "0.0.0.0:82", "10.0.0.1:84", "127.0.0.1:80", "[::1]:83"]);
    }

    #[test]
    fn only_what_is_new_is_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let with = format!("bind {address}\n");
        assert_eq!(taken(&with, &with), None);
        assert!(taken("", &with).unwrap().contains(&address.to_string()));
        drop(listener);
        assert_eq!(taken("", &with), None);
    }
}
