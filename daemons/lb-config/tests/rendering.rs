//! What is rendered, as golden text, and what real nginx says about it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::process::Command;

use convoy_keys::{AppName, Endpoint, InstanceName};
use convoy_lb_config::{
    AccessLog, Digest, Engine, LoadBalancer, ProxyOptions, Template, TemplateError, Upstream,
};
use proptest::prelude::*;

fn shipped() -> Template {
    Template::parse(Engine::Nginx, "nginx.conf.j2", Engine::Nginx.shipped_template()).unwrap()
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

/// `nginx -t` over the text; its words when it refuses.
fn nginx_accepts(text: &str, directory: &std::path::Path) -> Result<(), String> {
    let file = directory.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let output = Command::new("/usr/sbin/nginx")
        .args(["-t", "-q", "-e", "stderr", "-c"])
        .arg(&file)
        .output()
        .expect("nginx is installed for the tests (apt-get install nginx-light)");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[test]
fn two_instances() {
    let upstreams = [upstream("1", "10.0.0.1:3000"), upstream("someapp-2", "[fd00::2]:3000")];
    let configuration = shipped().render(&load_balancer("/run/lb"), &upstreams).unwrap();
    insta::assert_snapshot!("two_instances", configuration.text());
}

#[test]
fn no_instance() {
    let configuration = shipped().render(&load_balancer("/run/lb"), &[]).unwrap();
    insta::assert_snapshot!("no_instance", configuration.text());
}

#[test]
fn the_digest_stands_in_the_text_once_and_depends_on_everything_but_itself() {
    let template = shipped();
    let render = |lb: &LoadBalancer, upstreams: &[Upstream]| template.render(lb, upstreams).unwrap();
    let lb = load_balancer("/run/lb");
    let one = render(&lb, &[upstream("1", "10.0.0.1:3000")]);
    assert_eq!(one.text().matches(one.digest().as_str()).count(), 1);
    assert_eq!(Digest::find(one.text()).as_ref(), Some(one.digest()));
    assert_eq!(one, render(&lb, &[upstream("1", "10.0.0.1:3000")]));
    let mut other_port = lb.clone();
    other_port.listen = vec!["127.0.0.1:8081".parse().unwrap()];
    for other in [
        render(&lb, &[upstream("1", "10.0.0.1:3001")]),
        render(&lb, &[upstream("2", "10.0.0.1:3000")]),
        render(&lb, &[]),
        render(&other_port, &[upstream("1", "10.0.0.1:3000")]),
    ] {
        assert_ne!(one.digest(), other.digest());
    }
}

#[test]
fn a_broken_template_is_told_with_its_file_and_line() {
    let lb = load_balancer("/run/lb");
    for (text, line, word) in [
        ("a\nb {{ unknown }}\n", 2, "undefined"),
        ("a\nb\n{% if unknown %}x{% endif %}\n", 3, "undefined"),
        ("a\n{% for u in upstreams %}\n{{ u.port }}{% endfor %}", 3, "undefined"),
        ("a\n{% if upstreams %}\nb\n", 3, "end of input"),
        ("{{ app | no_such_filter }}", 1, "no_such_filter"),
        ("a\nb\n{{ app", 3, "end of input"),
    ] {
        let rendered = Template::parse(Engine::Nginx, "my.j2", text)
            .and_then(|template| template.render(&lb, &[upstream("1", "10.0.0.1:1")]));
        let Err(TemplateError::Broken { name, line: found, what }) = &rendered else {
            panic!("{text:?} gave {rendered:?}");
        };
        assert_eq!((name.as_str(), *found), ("my.j2", line), "{text:?}: {what}");
        assert!(what.contains(word), "{text:?}: {what}");
    }
}

#[test]
fn a_template_without_exactly_one_revision_server_is_refused() {
    let lb = load_balancer("/run/lb");
    for (text, count) in [("http { }", 0), ("http { {{ revision_server }} {{ revision_server }} }", 2)] {
        let rendered = Template::parse(Engine::Nginx, "my.j2", text).unwrap().render(&lb, &[]);
        assert_eq!(rendered, Err(TemplateError::RevisionServer { name: "my.j2".to_owned(), found: count }));
    }
}

#[test]
fn nginx_accepts_every_option() {
    let directory = tempfile::tempdir().unwrap();
    let mut lb = load_balancer(directory.path().to_str().unwrap());
    let file = AccessLog::File(format!("{}/access.log", directory.path().display()).parse().unwrap());
    for access_log in [AccessLog::Off, AccessLog::Journal, file] {
        lb.options.access_log = access_log;
        for trusted in [vec![], ProxyOptions::default().trusted_proxies, vec!["192.0.2.7".parse().unwrap()]] {
            lb.options.trusted_proxies = trusted;
            let text = shipped().render(&lb, &[upstream("1", "10.0.0.1:3000")]).unwrap();
            nginx_accepts(text.text(), directory.path()).unwrap();
        }
    }
}

#[test]
fn nginx_accepts_a_thousand_instances() {
    let directory = tempfile::tempdir().unwrap();
    let lb = load_balancer(directory.path().to_str().unwrap());
    let upstreams: Vec<_> = (0..1000)
        .map(|n| upstream(&format!("{n}-{}", "x".repeat(120)), &format!("[fd00::1:{n:x}]:65535")))
        .collect();
    let text = shipped().render(&lb, &upstreams).unwrap();
    nginx_accepts(text.text(), directory.path()).unwrap();
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
    fn nginx_accepts_whatever_was_parsed(upstreams in proptest::collection::vec((any_name(), any_endpoint()), 0..40)) {
        let directory = tempfile::tempdir().unwrap();
        let lb = load_balancer(directory.path().to_str().unwrap());
        let upstreams: Vec<_> =
            upstreams.into_iter().map(|(name, address)| Upstream { name, address }).collect();
        let configuration = shipped().render(&lb, &upstreams).unwrap();
        let verdict = nginx_accepts(configuration.text(), directory.path());
        prop_assert!(verdict.is_ok(), "{verdict:?}\n{}", configuration.text());
    }
}
