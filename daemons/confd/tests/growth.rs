//! The cost of a template grows with what it writes, not with its square (B19 of the failures that were reproduced with
//! confd: there each `gets` and `lsdir` looks at every key).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

mod world;

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use convoy_confd::{functions, read_keys};
use convoy_go_template::{Limits, Template, Value};

/// The usual nesting: an upstream block for each service, a server for each of its keys.
const NESTED: &str = "{{range $name := lsdir \"/services\"}}upstream {{$name}} {\n\
    {{range gets (printf \"/services/%s/upstream/*\" $name)}}  server {{.Value}};\n{{end}}}\n{{end}}";

/// The fastest of some renderings, and how much came out.
fn cost(services: usize) -> (Duration, usize) {
    let mut json = String::from("{\"/x\": \"\"");
    for service in 0..services {
        for instance in 0..5 {
            let _ = write!(json, ", \"/services/s{service}/upstream/{instance}\": \"10.0.0.{instance}:80\"");
        }
    }
    json.push('}');
    let keys = read_keys(json.as_bytes(), "/").unwrap();
    let functions = functions(&keys, &world::still());
    let template = Template::parse("t", NESTED.as_bytes(), &functions).unwrap();
    let mut best = Duration::MAX;
    let mut length = 0;
    for _ in 0..5 {
        let begin = Instant::now();
        length = template.render(&Value::Nil, &functions, Limits::default()).unwrap().len();
        best = best.min(begin.elapsed());
    }
    (best, length)
}

#[test]
fn eight_times_the_services_cost_about_eight_times_as_much() {
    let (small, little) = cost(125);
    let (large, much) = cost(1000);
    assert!(much > 7 * little);
    let growth = large.as_secs_f64() / small.as_secs_f64();
    // With the square it would be 64.
    assert!(growth < 24.0, "{small:?} became {large:?}");
}
