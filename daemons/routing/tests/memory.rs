//! What routes take in memory. A program of its own, so that nothing else is measured.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::sync::Arc;

use convoy_routing::{Routes, RoutesFile, Table};

const ROUTES: u64 = 20_000;
/// In bytes, everything included: the file's text, what is made of it, and what the allocator loses.
const MOST_PER_ROUTE: u64 = 1_500;

/// A line of /proc/self/status, in bytes.
fn status(word: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(word)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

fn file(number: u64) -> RoutesFile {
    let entry = |number| {
        format!(
            r#"{{"host":"app{number}.example","targets":["127.0.0.1:9000"],"https":true,"hold":"1s","body_max":"1MiB"}}"#
        )
    };
    let entries: Vec<_> = (0..number).map(entry).collect();
    RoutesFile::parse(format!(r#"{{"routes":[{}]}}"#, entries.join(",")).as_bytes()).unwrap()
}

fn table(routes: &Routes) -> Table {
    Table::empty(Arc::default()).next(routes, 1)
}

#[test]
fn a_route_takes_about_a_kilobyte_even_while_its_file_is_read() {
    let mut routes = Routes::new();
    // What is made once is no part of it.
    routes.replace_documents(file(1).documents, 0);
    drop(table(&routes));
    let before = status("VmRSS:");
    routes.replace_documents(file(ROUTES).documents, 0);
    let table = table(&routes);
    let peak = status("VmHWM:");
    assert!(table.find("app19999.example", "/").unwrap().unwrap().rule.https);
    let each = (peak - before) / ROUTES;
    assert!(each < MOST_PER_ROUTE, "{each} bytes for each of {ROUTES} routes");
}
