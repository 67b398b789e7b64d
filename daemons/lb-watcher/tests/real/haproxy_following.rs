//! Keys change, HAProxy follows, without a reload.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use convoy_lb_config::Engine;
use convoy_road::process::wait_until;

use super::balancer::{Balancer, SOON, read, request};
use super::upstream::{Instance, header};

async fn start() -> Balancer {
    Balancer::of(Engine::Haproxy, &[]).await
}

fn is_zero(metric: f64) -> bool {
    metric.to_bits() == 0f64.to_bits()
}

/// An instance that takes one request and answers when it is told to.
struct Slow {
    address: String,
    answer: Sender<()>,
}

impl Slow {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (answer, told) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                // A check connects and goes.
                if stream.read(&mut [0; 4096]).is_ok_and(|count| count > 0) {
                    let Ok(()) = told.recv() else { return };
                    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nslow").unwrap();
                    return;
                }
            }
        });
        Self { address, answer }
    }
}

/// What `lb-watcher status` says about the servers of the running process.
fn servers(balancer: &Balancer) -> String {
    balancer.call("status").1
}

fn wait_servers(balancer: &Balancer, what: &str, is_so: impl Fn(&str) -> bool) {
    wait_until(what, SOON, || Ok(is_so(&servers(balancer)))).unwrap_or_else(|error| {
        panic!("{error}: {}\n{}", servers(balancer), balancer.program_log());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_come_move_and_go_without_a_reload_and_the_file_agrees() {
    let balancer = start().await;
    let empty = balancer.get();
    assert_eq!((empty.status, header(&empty.head, "retry-after").as_deref()), (503, Some("2")));
    assert_eq!(empty.body, "No instance of someapp is available.\n");
    let worker = read(&balancer.state().join("haproxy/haproxy.pid"));
    let (one, two, three) = (Instance::start("one"), Instance::start("two"), Instance::start("three"));

    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "one");
    assert!(read(&balancer.live()).contains(&format!("server 1::{} ", one.address())));

    let revision = balancer.put("2", &two.address()).await;
    balancer.wait_applied(revision).await;
    let both: std::collections::BTreeSet<_> = (0..4).map(|_| balancer.get().instance().to_owned()).collect();
    assert_eq!(both, ["one".to_owned(), "two".to_owned()].into());

    let revision = balancer.put("2", &three.address()).await;
    balancer.wait_applied(revision).await;
    for method in ["GET", "POST", "GET", "POST"] {
        assert_ne!(request(balancer.address, method, "").unwrap().instance(), "two");
    }

    let revision = balancer.withdraw("1").await;
    balancer.wait_applied(revision).await;
    for method in ["GET", "POST", "GET", "POST"] {
        assert_eq!(request(balancer.address, method, "").unwrap().instance(), "three");
    }
    let text = read(&balancer.live());
    assert!(
        !text.contains(&one.address()) && text.contains(&format!("server 2::{} ", three.address())),
        "{text}"
    );
    wait_servers(&balancer, "the first is deleted", |text| !text.contains("instances/1::"));
    let (good, status) = balancer.call("status");
    assert!(good && status.contains(&format!("{0:<24} instances/2::{0}, up", three.address())), "{status}");

    let revision = balancer.withdraw("2").await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().status, 503);
    assert!(is_zero(balancer.metric("lb_watcher_reloads_total")), "{}", balancer.log());
    assert_eq!(balancer.metric("lb_watcher_runtime_changes_total").to_bits(), 5f64.to_bits());
    assert_eq!(read(&balancer.state().join("haproxy/haproxy.pid")), worker);
    assert_eq!(balancer.program_log().matches("New worker").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_not_cut_when_its_instance_leaves_or_moves() {
    let balancer = start().await;
    for leaves in [true, false] {
        let (slow, other) = (Slow::start(), Instance::start("other"));
        let revision = balancer.put("1", &slow.address).await;
        balancer.wait_applied(revision).await;
        let address = balancer.address;
        let long = std::thread::spawn(move || request(address, "GET", ""));
        wait_servers(&balancer, "the request is under way", |text| {
            text.contains(&format!("instances/1::{}, up, 1 in use", slow.address))
        });
        let revision = if leaves {
            balancer.put("2", &other.address()).await;
            balancer.withdraw("1").await
        } else {
            balancer.put("1", &other.address()).await
        };
        // Applied long before the request ends: from now on nothing new goes there.
        balancer.wait_applied(revision).await;
        for method in ["GET", "POST", "GET", "POST"] {
            assert_eq!(request(address, method, "").unwrap().instance(), "other");
        }
        assert!(!long.is_finished());
        slow.answer.send(()).unwrap();
        assert_eq!(long.join().unwrap().unwrap().body, "slow");
        wait_servers(&balancer, "only the other is there", |text| {
            text.matches("instances/").count() == 1 && text.contains(&other.address())
        });
        balancer.withdraw("2").await;
        let revision = balancer.withdraw("1").await;
        balancer.wait_applied(revision).await;
    }
    assert!(is_zero(balancer.metric("lb_watcher_reloads_total")), "{}", balancer.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_left_is_cut_off_when_its_time_is_over() {
    let mut balancer = Balancer::of_without_watcher(Engine::Haproxy, &[]).await;
    std::fs::create_dir_all(balancer.path("config.d")).unwrap();
    std::fs::write(balancer.path("config.d/10.toml"), "[lb-watcher]\nshutdown_timeout = \"2s\"\n").unwrap();
    balancer.stop_program();
    balancer.start_program();
    balancer.start_watcher();
    let slow = Slow::start();
    let revision = balancer.put("1", &slow.address).await;
    balancer.wait_applied(revision).await;
    let address = balancer.address;
    let long = std::thread::spawn(move || request(address, "GET", ""));
    wait_servers(&balancer, "the request is under way", |text| {
        text.contains(&format!("instances/1::{}, up, 1 in use", slow.address))
    });
    let begin = Instant::now();
    let revision = balancer.withdraw("1").await;
    balancer.wait_applied(revision).await;
    wait_servers(&balancer, "the server is gone", |text| !text.contains("instances/1::"));
    assert!(begin.elapsed() >= Duration::from_secs(2), "{:?}", begin.elapsed());
    assert_ne!(long.join().unwrap().map_or(0, |answer| answer.status), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_puts_in_half_a_second_make_no_reload_and_the_last_value_is_live() {
    let balancer = start().await;
    let last = Instance::start("last");
    let begin = Instant::now();
    for n in 0..199 {
        balancer.put("1", &format!("127.0.0.1:{}", 20000 + n)).await;
        tokio::time::sleep_until((begin + Duration::from_micros(2500) * n).into()).await;
    }
    let revision = balancer.put("1", &last.address()).await;
    let took = begin.elapsed();
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "last");
    assert!(is_zero(balancer.metric("lb_watcher_reloads_total")), "{}", balancer.log());
    println!(
        "200 puts in {took:?}: {} changes, no reload",
        balancer.metric("lb_watcher_runtime_changes_total")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_names_and_values_reach_neither_the_socket_nor_the_file() {
    let balancer = start().await;
    let one = Instance::start("one");
    balancer.put("2", "127.0.0.1:80; disable frontend public").await;
    balancer.put("3\nshutdown frontend public", &one.address()).await;
    balancer.put("4;disable frontend public", &one.address()).await;
    let name = "a=b,c:d~!*()+@^.-_?";
    let revision = balancer.put(name, &one.address()).await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().instance(), "one");
    let text = read(&balancer.live());
    assert!(!text.contains("disable frontend") && !text.contains("shutdown"), "{text}");
    assert!(
        servers(&balancer).contains("instances/a:3Db:2Cc:3Ad:7E:21:2A:28:29:2B:40:5E.-_:3F::127.0.0.1:"),
        "{text}"
    );
    let revision = balancer.withdraw(name).await;
    balancer.wait_applied(revision).await;
    assert_eq!(balancer.get().status, 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_of_a_trusted_peer_are_passed_on_and_connections_fit_the_method() {
    let balancer = start().await;
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let headers = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\nX-Request-Id: abc\r\nX_Forwarded_For: evil\r\n";
    let body = request(balancer.address, "GET", headers).unwrap().body;
    for (name, value) in [
        ("host", Some("some.app:81")),
        ("x-forwarded-for", Some("203.0.113.9, 127.0.0.1")),
        ("x-forwarded-proto", Some("https")),
        ("x-forwarded-host", Some("some.app:81")),
        ("x-real-ip", Some("127.0.0.1")),
        ("x-request-id", Some("abc")),
        ("x_forwarded_for", None),
    ] {
        assert_eq!(header(&body, name).as_deref(), value, "{name}: {body}");
    }
    let none = request(balancer.address, "GET", "X-Forwarded-Proto:\r\n").unwrap().body;
    assert_eq!(header(&none, "x-forwarded-for").as_deref(), Some("127.0.0.1"), "{none}");
    assert_eq!(header(&none, "x-forwarded-proto").as_deref(), Some("http"), "{none}");
    assert!(header(&none, "x-request-id").is_some_and(|id| id.len() > 20), "{none}");
    let post = request(balancer.address, "POST", "Upgrade: h2c\r\n").unwrap().body;
    assert_eq!(header(&post, "upgrade"), None, "{post}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_may_not_speak_for_others() {
    let balancer = Balancer::of_without_watcher(Engine::Haproxy, &[]).await;
    std::fs::create_dir_all(balancer.path("config.d")).unwrap();
    std::fs::write(balancer.path("config.d/10.toml"), "[lb-watcher]\ntrusted_proxies = []\n").unwrap();
    let mut balancer = balancer;
    balancer.stop_program();
    balancer.start_program();
    balancer.start_watcher();
    let one = Instance::start("one");
    let revision = balancer.put("1", &one.address()).await;
    balancer.wait_applied(revision).await;
    let headers = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 203.0.113.8\r\nX-Forwarded-Proto: https\r\n\
                   X-Real-IP: 203.0.113.9\r\nForwarded: for=203.0.113.9\r\nX-Request-Id: abc\r\nX-Forwarded-Port: 443\r\n";
    let body = request(balancer.address, "GET", headers).unwrap().body;
    let port = balancer.address.port().to_string();
    for (name, value) in [
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-proto", Some("http")),
        ("x-forwarded-port", Some(port.as_str())),
        ("x-real-ip", Some("127.0.0.1")),
        ("forwarded", None),
    ] {
        assert_eq!(header(&body, name).as_deref(), value, "{name}: {body}");
    }
    assert!(!body.contains("203.0.113"), "{body}");
    assert_ne!(header(&body, "x-request-id").as_deref(), Some("abc"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_goes_through_and_back() {
    let balancer = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 4096];
            let Ok(count) = stream.read(&mut bytes) else { continue };
            let head = String::from_utf8_lossy(bytes.get(..count).unwrap()).to_ascii_lowercase();
            if !head.contains("upgrade: websocket") || !head.contains("connection: upgrade") {
                continue;
            }
            let accept = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{accept}\r\n\r\n"
            );
            stream.write_all(answer.as_bytes()).unwrap();
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                stream.write_all(bytes.get(..count).unwrap()).unwrap();
            }
        }
    });
    let revision = balancer.put("1", &address).await;
    balancer.wait_applied(revision).await;
    let mut client = TcpStream::connect(balancer.address).unwrap();
    client.set_read_timeout(Some(SOON)).unwrap();
    let key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";
    let hello = format!(
        "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n"
    );
    client.write_all(hello.as_bytes()).unwrap();
    let mut bytes = [0; 4096];
    let count = client.read(&mut bytes).unwrap();
    let head = String::from_utf8_lossy(bytes.get(..count).unwrap()).into_owned();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    for word in ["hello", "again"] {
        client.write_all(word.as_bytes()).unwrap();
        let count = client.read(&mut bytes).unwrap();
        assert_eq!(bytes.get(..count).unwrap(), word.as_bytes());
    }
    // It is a request under way: its instance may leave without cutting it.
    let revision = balancer.withdraw("1").await;
    balancer.wait_applied(revision).await;
    client.write_all(b"still").unwrap();
    let count = client.read(&mut bytes).unwrap();
    assert_eq!(bytes.get(..count).unwrap(), b"still");
}
