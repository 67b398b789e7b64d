//! What is rendered for HAProxy, as golden text, and what real HAProxy says about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::path::Path;
use std::process::Command;

use convoy_keys::{AppName, Endpoint, InstanceName};
use convoy_lb_config::{
    AccessLog, Configuration, Digest, Engine, LoadBalancer, ProxyOptions, Server, Template, TemplateError,
    Upstream,
};
use proptest::prelude::*;

fn shipped() -> Template {
    Template::parse(Engine::Haproxy, "haproxy.cfg.j2", Engine::Haproxy.shipped_template()).unwrap()
}

fn load_balancer(runtime_dir: &str) -> LoadBalancer {
    LoadBalancer {
        app: AppName::parse("someapp").unwrap(),
        instance: InstanceName::parse("1").unwrap(),
        listen: vec!["127.0.0.2:8080".parse().unwrap(), "127.0.0.1:8080".parse().unwrap()],
        runtime_dir: runtime_dir.parse().unwrap(),
        options: ProxyOptions::default(),
    }
}

fn upstream(name: &str, address: &str) -> Upstream {
    Upstream { name: InstanceName::parse(name).unwrap(), address: Endpoint::parse(address).unwrap() }
}

/// `haproxy -c` over the text: its words, which are an error when it refuses or even warns.
fn haproxy_accepts(text: &str, directory: &Path) -> Result<(), String> {
    let file = directory.join("haproxy.cfg");
    std::fs::write(&file, text).unwrap();
    let output = Command::new("/usr/sbin/haproxy")
        .args(["-c", "-f"])
        .arg(&file)
        .output()
        .expect("haproxy is installed for the tests (apt-get install haproxy)");
    let words = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() && !words.contains("WARNING") { Ok(()) } else { Err(words) }
}

/// The names and addresses of the `server` lines, as HAProxy's own words are split.
fn server_lines(text: &str) -> Vec<(&str, &str)> {
    let words = text.lines().map(str::split_ascii_whitespace);
    words
        .filter_map(|mut words| (words.next()? == "server").then_some((words.next()?, words.next()?)))
        .collect()
}

#[test]
fn two_instances() {
    let upstreams = [upstream("1", "10.0.0.1:3000"), upstream("someapp-2", "[fd00::2]:3000")];
    let configuration = shipped().render(&load_balancer("/run/lb"), &upstreams).unwrap();
    insta::assert_snapshot!("haproxy_two_instances", configuration.text());
}

#[test]
fn servers_that_come_and_go_leave_the_digest_as_it_is() {
    let template = shipped();
    let lb = load_balancer("/run/lb");
    let render = |upstreams: &[Upstream]| template.render(&lb, upstreams).unwrap();
    let one = render(&[upstream("1", "10.0.0.1:3000")]);
    assert_eq!(Digest::find(one.text()).as_ref(), Some(one.digest()));
    for other in [
        render(&[]),
        render(&[upstream("1", "10.0.0.1:3001")]),
        render(&[upstream("1", "10.0.0.1:3000"), upstream("2", "10.0.0.2:3000")]),
    ] {
        assert_eq!(one.digest(), other.digest());
        assert_ne!(one.membership(), other.membership());
        assert_ne!(one.loaded(), other.loaded());
        assert_ne!(one.text(), other.text());
    }
    let mut longer = lb.clone();
    longer.options.retry_after = std::time::Duration::from_secs(9);
    let upstreams = [upstream("1", "10.0.0.1:3000")];
    assert_ne!(template.render(&longer, &upstreams).unwrap().digest(), one.digest());
}

#[test]
fn whatever_else_depends_on_the_instances_is_part_of_the_digest() {
    let lb = load_balancer("/run/lb");
    let text = "frontend f\n{{ revision_rules }}\nbackend b\n# {{ upstreams | length }}\n{{ servers() }}\n";
    let template = Template::parse(Engine::Haproxy, "my.j2", text).unwrap();
    let one = template.render(&lb, &[upstream("1", "10.0.0.1:3000")]).unwrap();
    let moved = template.render(&lb, &[upstream("1", "10.0.0.1:3001")]).unwrap();
    let none = template.render(&lb, &[]).unwrap();
    assert_eq!(one.digest(), moved.digest());
    assert_ne!(one.digest(), none.digest());
}

#[test]
fn a_file_tells_what_it_was_rendered_for() {
    let upstreams = [upstream("1", "10.0.0.1:3000"), upstream("a=b", "[fd00::2]:3000")];
    let configuration = shipped().render(&load_balancer("/run/lb"), &upstreams).unwrap();
    assert_eq!(Configuration::find(configuration.text().to_owned()).as_ref(), Some(&configuration));
    assert_eq!(configuration.membership().servers, upstreams.iter().map(Server::from).collect::<Vec<_>>());
    let backends: Vec<_> = configuration.membership().backends.iter().map(|b| b.name.as_str()).collect();
    assert_eq!(backends, ["instances", "instances_fresh"]);
    assert_eq!(Configuration::find("global\n".to_owned()), None);
}

#[test]
fn a_template_that_can_not_be_proved_or_followed_is_refused() {
    let lb = load_balancer("/run/lb");
    for (text, word) in [
        ("frontend f\n", "answers its revision 0 times"),
        ("frontend f\n{{ revision_rules }}\n{{ servers('check') }}\n", "must stand in a backend"),
        ("frontend f\n{{ revision_rules }}\nbackend b\n{{ servers('a;b') }}\n", "can't contain ';'"),
        ("frontend f\n{{ revision_server }}\n", "undefined"),
    ] {
        let rendered = Template::parse(Engine::Haproxy, "my.j2", text).unwrap().render(&lb, &[]);
        let error = rendered.unwrap_err().to_string();
        assert!(error.contains("my.j2") && error.contains(word), "{text:?}: {error}");
    }
}

#[test]
fn a_log_file_is_refused_because_haproxy_opens_none() {
    let mut lb = load_balancer("/run/lb");
    lb.options.access_log = AccessLog::File("/var/log/x".parse().unwrap());
    let error = shipped().render(&lb, &[]).unwrap_err();
    assert!(matches!(error, TemplateError::AccessLog(_)), "{error}");
    assert!(error.to_string().contains("choose journal"), "{error}");
}

#[test]
fn haproxy_accepts_every_option() {
    let directory = tempfile::tempdir().unwrap();
    let mut lb = load_balancer(directory.path().to_str().unwrap());
    for access_log in [AccessLog::Off, AccessLog::Journal] {
        lb.options.access_log = access_log;
        for trusted in [vec![], ProxyOptions::default().trusted_proxies, vec!["192.0.2.7".parse().unwrap()]] {
            lb.options.trusted_proxies = trusted;
            for upstreams in [vec![], vec![upstream("1", "10.0.0.1:3000")]] {
                let text = shipped().render(&lb, &upstreams).unwrap();
                haproxy_accepts(text.text(), directory.path()).unwrap();
            }
        }
    }
}

#[test]
fn haproxy_accepts_a_thousand_instances() {
    let directory = tempfile::tempdir().unwrap();
    let lb = load_balancer(directory.path().to_str().unwrap());
    let upstreams: Vec<_> = (0..1000)
        .map(|n| upstream(&format!("{n}-{}", "=".repeat(120)), &format!("[fd00::1:{n:x}]:65535")))
        .collect();
    let text = shipped().render(&lb, &upstreams).unwrap();
    haproxy_accepts(text.text(), directory.path()).unwrap();
}

fn any_name() -> impl Strategy<Value = InstanceName> {
    "[A-Za-z0-9!()*+,.:=?@^_~-]{1,128}"
        .prop_filter_map("no instance name", |text| InstanceName::parse(&text).ok())
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    any::<std::net::SocketAddr>()
        .prop_filter_map("no endpoint", |address| Endpoint::parse(&address.to_string()).ok())
        .prop_filter("left out by read_upstreams", |endpoint| match endpoint.addr() {
            std::net::SocketAddr::V6(v6) => v6.scope_id() == 0,
            std::net::SocketAddr::V4(_) => true,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn names_and_addresses_add_servers_and_nothing_else(
        upstreams in proptest::collection::btree_map(any_name(), any_endpoint(), 0..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let lb = load_balancer(directory.path().to_str().unwrap());
        let upstreams: Vec<_> =
            upstreams.into_iter().map(|(name, address)| Upstream { name, address }).collect();
        let configuration = shipped().render(&lb, &upstreams).unwrap();
        let verdict = haproxy_accepts(configuration.text(), directory.path());
        prop_assert!(verdict.is_ok(), "{verdict:?}\n{}", configuration.text());
        // Without its server lines, and what it says about itself, it is the text for no instance.
        let rest = |configuration: &Configuration| {
            let text = configuration.text().replace(configuration.loaded().unwrap().as_str(), "");
            let lines = text.lines().filter(|line| !line.trim_start().starts_with("server "));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        prop_assert_eq!(rest(&configuration), rest(&shipped().render(&lb, &[]).unwrap()));
        let servers: Vec<Server> = upstreams.iter().map(Server::from).collect();
        let written: Vec<_> = servers.iter().map(|s| (s.name.to_string(), s.address.to_string())).collect();
        let twice = [written.clone(), written].concat();
        let found: Vec<_> = server_lines(configuration.text()).into_iter().map(|(n, a)| (n.to_owned(), a.to_owned())).collect();
        prop_assert_eq!(found, twice);
    }
}
