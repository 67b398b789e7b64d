//! A machine that always answers the same.

use std::net::IpAddr;
use std::sync::Arc;

use convoy_confd::{Moment, Service, World};

/// Monday, 2 January 2006, 15:04:05.123456 in Greenwich.
#[derive(Debug)]
pub(crate) struct Still;

impl World for Still {
    fn now(&self) -> Moment {
        Moment { seconds: 1_136_214_245, nanoseconds: 123_456_000, offset: 0, zone: "UTC".to_owned() }
    }

    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "NAME" => Some("value".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn hostname(&self) -> Result<String, String> {
        Ok("m1".to_owned())
    }

    fn file_exists(&self, path: &str) -> bool {
        path == "/"
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let all = ["10.0.0.9", "2001:db8::1", "10.0.0.10", "::ffff:10.0.0.1"];
        if host == "many" { all.iter().filter_map(|text| text.parse().ok()).collect() } else { Vec::new() }
    }

    fn interface_addresses(&self, name: &str) -> Vec<IpAddr> {
        if name == "lo" { vec!["127.0.0.1".parse().unwrap(), "::1".parse().unwrap()] } else { Vec::new() }
    }

    fn services(&self, service: &str, protocol: &str, name: &str) -> Vec<Service> {
        let record = |target: &str, port| Service { target: target.to_owned(), port, priority: 1, weight: 2 };
        match (service, protocol, name) {
            ("etcd", "tcp", "example.com") => vec![record("b.", 80), record("a.", 9), record("a.", 10)],
            _ => Vec::new(),
        }
    }

    fn include(&self, name: &str) -> Result<(String, Vec<u8>), String> {
        let text = match name {
            "part" => "<{{.}}{{toUpper \"x\"}}>",
            "circle" => "{{include \"circle\"}}",
            "nested" => &format!("{{{{{}1{}}}}}", "(".repeat(140), ")".repeat(140)),
            "broken" => "{{",
            "failing" => "\n{{getv \"/nope\"}}",
            deep => match deep.strip_prefix("deep") {
                Some(number) => {
                    let next = number.parse::<u32>().map_err(|error| error.to_string())? + 1;
                    return Ok((name.to_owned(), format!("{{{{include \"deep{next}\"}}}}").into_bytes()));
                }
                None => return Err(format!("include {name}: not there")),
            },
        };
        Ok((format!("/templates/{name}"), text.as_bytes().to_vec()))
    }
}

/// It, as the functions want it.
pub(crate) fn still() -> Arc<dyn World> {
    Arc::new(Still)
}
