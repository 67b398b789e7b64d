//! Start, stop, restart, and mistakes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::support::{Client, Door, Keys, outcome, target};

#[test]
fn restarts_under_load_lose_no_request() {
    let keys = Keys::start();
    keys.put("a/lb/1", &target("one"));
    let door = Door::new();
    let mut router = door.open(&keys.endpoints());
    door.wait_for("READY=1");
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let _router = thread::scope(|scope| {
        for number in 0..8 {
            let (over, asked, address) = (&over, &asked, door.address);
            scope.spawn(move || {
                let mut client = Client::new(address);
                // Half with a body, which nobody can send twice; two on a new connection each time.
                let method = if number % 2 == 0 { "GET" } else { "POST" };
                while !over.load(Ordering::SeqCst) {
                    assert_eq!(client.ask(method, "a").unwrap(), (200, "one".to_owned()));
                    asked.fetch_add(1, Ordering::SeqCst);
                    if number < 2 {
                        client = Client::new(address);
                    }
                }
            });
        }
        for _ in 0..4 {
            let before = asked.load(Ordering::SeqCst);
            let (status, log) = router.stop();
            assert!(status.success(), "{log}");
            assert!(log.contains("no request was lost"), "{log}");
            router = door.open(&keys.endpoints());
            door.wait_for("READY=1");
            crate::support::eventually("requests go on", || asked.load(Ordering::SeqCst) > before + 50);
        }
        over.store(true, Ordering::SeqCst);
        // It has to outlive the clients, which the end of the scope waits for.
        router
    });
}

#[test]
fn systemd_is_told_the_story() {
    let keys = Keys::start();
    keys.put("a/lb/1", &target("one"));
    keys.put("a/lb/2", &target("two"));
    let door = Door::new();
    let router = door.open(&keys.endpoints());
    let ready = door.wait_for("READY=1");
    assert!(ready.contains("STATUS=serving 1 service, 2 targets, revision "), "{ready}");
    door.wait_for("WATCHDOG=1");
    keys.delete("a/lb/2");
    door.wait_for("STATUS=serving 1 service, 1 target, revision ");
    let mut client = Client::new(door.address);
    assert_eq!(client.get("a").0, 200);
    router.terminate();
    let stopping = door.wait_for("STOPPING=1");
    assert!(stopping.contains("new ones wait at the socket"), "{stopping}");
    let (status, log) = router.stop();
    assert!(status.success(), "{log}");
    assert!(log.contains("GET a.d.example/ 200, 3 bytes in "), "the access log is written to its end: {log}");
}

#[test]
fn who_connects_while_nobody_is_there_is_served_by_the_next_one() {
    let keys = Keys::start();
    keys.put("a/lb/1", &target("one"));
    let door = Door::new();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let address = door.address;
            thread::spawn(move || Client::new(address).get("a"))
        })
        .collect();
    let _router = door.open(&keys.endpoints());
    for client in waiting {
        assert_eq!(client.join().unwrap(), (200, "one".to_owned()));
    }
}

#[test]
fn mistakes_are_told_and_not_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("10-a.toml");
    std::fs::write(&file, "[edge-router]\ndomains = ['a.example']\n").unwrap();
    let (code, text) = outcome(&["check"], folder.path());
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("The configuration is fine: domains a.example"), "{text}");
    let (code, text) = outcome(&["--version"], folder.path());
    assert_eq!((code, text.starts_with("edge-router ")), (Some(0), true), "{text}");
    let (code, text) = outcome(&[], folder.path());
    assert_eq!(code, Some(78), "{text}");
    assert!(text.contains("start edge-router.socket, or give --listen"), "{text}");
    std::fs::write(&file, "[edge-router]\ndomain = 'a.example'\n").unwrap();
    for arguments in [&["check"][..], &["--listen", "http=127.0.0.1:0"]] {
        let (code, text) = outcome(arguments, folder.path());
        assert_eq!(code, Some(78), "{text}");
        assert!(text.contains("10-a.toml:2: unknown field `domain`"), "{text}");
    }
    let (code, text) = outcome(&["--no-such-option"], folder.path());
    assert_eq!(code, Some(2), "{text}");
}
