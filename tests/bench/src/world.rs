//! A machine that knows nothing, for templates that ask nothing of one.

use std::net::IpAddr;

use convoy_confd::{Moment, Service, World};

/// Answers every question with nothing.
#[derive(Debug)]
pub(crate) struct Nowhere;

impl World for Nowhere {
    fn now(&self) -> Moment {
        Moment { seconds: 0, nanoseconds: 0, offset: 0, zone: "UTC".to_owned() }
    }

    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn hostname(&self) -> Result<String, String> {
        Err("there is no machine".to_owned())
    }

    fn file_exists(&self, _path: &str) -> bool {
        false
    }

    fn addresses(&self, _host: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn interface_addresses(&self, _name: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn services(&self, _service: &str, _protocol: &str, _name: &str) -> Vec<Service> {
        Vec::new()
    }

    fn include(&self, name: &str) -> Result<(String, Vec<u8>), String> {
        Err(format!("there is no file {name}"))
    }
}
