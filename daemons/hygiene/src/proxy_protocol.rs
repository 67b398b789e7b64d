//! The PROXY protocol, versions 1 and 2: a line or block in front of a connection that says who is at its other end.
//!
//! Source: HAProxy's `doc/proxy-protocol.txt`. It is believed only from peers that are trusted; from others it is no HTTP.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// The longest line of version 1, its end included.
const LINE_MAX: usize = 107;
/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// The fixed part of version 2.
const FIXED: usize = 16;
/// More than any sender puts in: addresses, a certificate's name, checksums.
const EXTRA_MAX: usize = 4096;

/// Why a beginning is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProxyError {
    /// Something else, such as HTTP itself.
    #[error("the connection does not begin with the PROXY protocol")]
    Missing,
    /// It begins right and goes on wrong.
    #[error("the PROXY protocol's header is malformed")]
    Malformed,
}

/// A header that is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// How many bytes it has.
    pub length: usize,
    /// Who is at the other end; none when the sender speaks for itself (a health check) or doesn't know.
    pub source: Option<SocketAddr>,
    /// Where that one connected to.
    pub destination: Option<SocketAddr>,
}

/// Parses the beginning of a connection. None when there have to be more bytes.
pub fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    if begins_with(bytes, SIGNATURE) {
        return if bytes.len() < FIXED { Ok(None) } else { binary(bytes) };
    }
    if begins_with(bytes, b"PROXY ") {
        return line(bytes);
    }
    Err(ProxyError::Missing)
}

/// As far as there are bytes.
fn begins_with(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(byte, expected)| byte == expected)
}

fn line(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    let window = bytes.get(..LINE_MAX.min(bytes.len())).unwrap_or(bytes);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < LINE_MAX { Ok(None) } else { Err(ProxyError::Malformed) };
    };
    let text =
        bytes.get(..end).and_then(|line| std::str::from_utf8(line).ok()).ok_or(ProxyError::Malformed)?;
    let length = end + 2;
    let mut words = text.split(' ').skip(1);
    let family = words.next().ok_or(ProxyError::Malformed)?;
    if family == "UNKNOWN" {
        return Ok(Some(ProxyHeader { length, source: None, destination: None }));
    }
    let [source, destination, source_port, destination_port] =
        [words.next(), words.next(), words.next(), words.next()];
    if words.next().is_some() {
        return Err(ProxyError::Malformed);
    }
    let address = |ip: Option<&str>, port: Option<&str>| {
        let ip: IpAddr = ip?.parse().ok()?;
        let fits = matches!((family, ip), ("TCP4", IpAddr::V4(_)) | ("TCP6", IpAddr::V6(_)));
        let port = port.filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()?;
        fits.then_some(SocketAddr::new(ip, port))
    };
    let source = address(source, source_port).ok_or(ProxyError::Malformed)?;
    let destination = address(destination, destination_port).ok_or(ProxyError::Malformed)?;
    Ok(Some(ProxyHeader { length, source: Some(source), destination: Some(destination) }))
}

fn binary(bytes: &[u8]) -> Result<Option<ProxyHeader>, ProxyError> {
    let [version_command, family, high, low] =
        bytes.get(12..FIXED).and_then(|part| part.try_into().ok()).ok_or(ProxyError::Malformed)?;
    let extra = usize::from(u16::from_be_bytes([high, low]));
    if version_command >> 4 != 2 || extra > EXTRA_MAX {
        return Err(ProxyError::Malformed);
    }
    let Some(rest) = bytes.get(FIXED..FIXED + extra) else { return Ok(None) };
    let length = FIXED + extra;
    let nobody = ProxyHeader { length, source: None, destination: None };
    match (version_command & 0xf, family) {
        // LOCAL: the sender speaks for itself. Unix sockets, datagrams, unspecified: somebody without an address that we
        // could use.
        (0, _) | (1, 0x00 | 0x12 | 0x22 | 0x31 | 0x32) => Ok(Some(nobody)),
        (1, 0x11) => {
            let source = Ipv4Addr::from(first::<4>(rest, 0)?);
            let destination = Ipv4Addr::from(first::<4>(rest, 4)?);
            with_addresses(length, source.into(), destination.into(), rest, 8)
        }
        (1, 0x21) => {
            let source = Ipv6Addr::from(first::<16>(rest, 0)?);
            let destination = Ipv6Addr::from(first::<16>(rest, 16)?);
            with_addresses(length, source.into(), destination.into(), rest, 32)
        }
        _ => Err(ProxyError::Malformed),
    }
}

/// So many bytes from there.
fn first<const N: usize>(bytes: &[u8], start: usize) -> Result<[u8; N], ProxyError> {
    bytes.get(start..start + N).and_then(|part| part.try_into().ok()).ok_or(ProxyError::Malformed)
}

fn with_addresses(
    length: usize,
    source: IpAddr,
    destination: IpAddr,
    rest: &[u8],
    ports: usize,
) -> Result<Option<ProxyHeader>, ProxyError> {
    let source_port = u16::from_be_bytes(first(rest, ports)?);
    let destination_port = u16::from_be_bytes(first(rest, ports + 2)?);
    Ok(Some(ProxyHeader {
        length,
        source: Some(SocketAddr::new(source, source_port)),
        destination: Some(SocketAddr::new(destination, destination_port)),
    }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v2(version_command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([version_command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn version_1_is_a_line() {
        for (text, source) in [
            ("PROXY TCP4 192.0.2.1 10.0.0.1 4711 80\r\nGET /", Some("192.0.2.1:4711")),
            ("PROXY TCP6 2001:db8::1 ::1 4711 80\r\n", Some("[2001:db8::1]:4711")),
            ("PROXY UNKNOWN\r\n", None),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
        ] {
            let header = parse(text.as_bytes()).unwrap().unwrap();
            assert_eq!(header.source, source.map(|source| source.parse().unwrap()), "{text}");
            assert_eq!(header.length, text.find("\r\n").unwrap() + 2);
        }
    }

    #[test]
    fn version_2_is_a_block() {
        let addresses = [192, 0, 2, 1, 10, 0, 0, 1, 0x12, 0x67, 0, 80];
        let header = parse(&v2(0x21, 0x11, &addresses)).unwrap().unwrap();
        assert_eq!(header.source, Some("192.0.2.1:4711".parse().unwrap()));
        assert_eq!((header.destination, header.length), (Some("10.0.0.1:80".parse().unwrap()), 28));
        let mut longer = addresses.to_vec();
        longer.extend([4, 0, 1, 0]);
        assert_eq!(
            parse(&v2(0x21, 0x11, &longer)).unwrap().unwrap().length,
            32,
            "what follows is passed over"
        );
        assert_eq!(parse(&v2(0x20, 0x00, &[])).unwrap().unwrap().source, None);
        let mut six = vec![0; 36];
        six[15] = 1;
        assert_eq!(parse(&v2(0x21, 0x21, &six)).unwrap().unwrap().source, Some("[::1]:0".parse().unwrap()));
    }

    #[test]
    fn what_is_incomplete_is_awaited_and_what_is_wrong_refused() {
        for text in [
            &b""[..],
            b"P",
            b"PROXY ",
            b"PROXY TCP4 192.0.2.1 10.",
            b"\r\n\r\n\0",
            SIGNATURE,
            &v2(0x21, 0x11, &[0; 12])[..20],
        ] {
            assert_eq!(parse(text), Ok(None), "{text:?}");
        }
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for (bytes, error) in [
            (&b"GET / HTTP/1.1\r\n"[..], ProxyError::Missing),
            (b"proxy TCP4", ProxyError::Missing),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4711\r\n", ProxyError::Malformed),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 80 x\r\n", ProxyError::Malformed),
            (b"PROXY TCP4 ::1 ::1 4711 80\r\n", ProxyError::Malformed),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 +1 80\r\n", ProxyError::Malformed),
            (b"PROXY TCP4 192.0.2.1 10.0.0.1 99999 80\r\n", ProxyError::Malformed),
            (&long, ProxyError::Malformed),
            (&v2(0x11, 0x11, &[0; 12]), ProxyError::Malformed),
            (&v2(0x21, 0x11, &[0; 11]), ProxyError::Malformed),
            (&v2(0x21, 0x77, &[0; 12]), ProxyError::Malformed),
            (&v2(0x22, 0x11, &[0; 12]), ProxyError::Malformed),
        ] {
            assert_eq!(parse(bytes), Err(error), "{bytes:?}");
        }
    }

    proptest! {
        /// More bytes never change what fewer bytes said.
        #[test]
        fn a_header_is_the_same_however_it_arrives(
            bytes in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..64),
                (any::<u8>(), any::<u8>(), prop::collection::vec(any::<u8>(), 0..64)).prop_map(|(a, b, rest)| v2(a, b, &rest)),
                "PROXY (TCP4|TCP6|UNKNOWN)( [0-9.:]{1,9}){0,5}\r\n".prop_map(String::into_bytes),
            ]
        ) {
            let whole = parse(&bytes);
            for end in 0..bytes.len() {
                match parse(&bytes[..end]) {
                    Ok(None) => {}
                    settled => {
                        prop_assert_eq!(settled, whole);
                        break;
                    }
                }
            }
            if let Ok(Some(header)) = whole {
                prop_assert!(header.length <= bytes.len());
            }
        }
    }
}
