//! Templates and formats: any text gets an answer within its budget, and the same one twice.

#![no_main]

use std::net::IpAddr;
use std::sync::Arc;

use convoy_confd::{Moment, Service, World, functions, lint, read_keys};
use convoy_go_template::{Limits, Template, Value};
use libfuzzer_sys::fuzz_target;

/// A machine that knows nothing.
#[derive(Debug)]
struct Nowhere;

impl World for Nowhere {
    fn now(&self) -> Moment {
        Moment { seconds: 0, nanoseconds: 0, offset: 0, zone: "UTC".to_owned() }
    }
    fn variable(&self, _: &str) -> Option<String> {
        None
    }
    fn hostname(&self) -> Result<String, String> {
        Err("nowhere".to_owned())
    }
    fn file_exists(&self, _: &str) -> bool {
        false
    }
    fn addresses(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }
    fn interface_addresses(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }
    fn services(&self, _: &str, _: &str, _: &str) -> Vec<Service> {
        Vec::new()
    }
    fn include(&self, name: &str) -> Result<(String, Vec<u8>), String> {
        Ok((name.to_owned(), b"{{include .}}".to_vec()))
    }
}

const KEYS: &[u8] = br#"{"/a/b":"1","/a/c":"x y","/a/d/e":"10.0.0.1:80","/j":"{\"a\":[1,null,{\"b\":2}]}"}"#;
const LIMITS: Limits = Limits { steps: 20_000, output: 1 << 16, memory: 1 << 20, depth: 300 };

fuzz_target!(|data: &[u8]| {
    let keys = read_keys(KEYS, "/").expect("the keys are an object");
    let world: Arc<dyn World> = Arc::new(Nowhere);
    let functions = functions(&keys, &world);
    let Ok(template) = Template::parse("t", data, &functions) else { return };
    lint(&template, &functions);
    let once = template.render(&Value::Nil, &functions, LIMITS);
    let twice = template.render(&Value::Nil, &functions, LIMITS);
    assert_eq!(once, twice);
});
