//! The status page, as somebody at the end of `ssh -L` sees it in a browser.

use std::fs;
use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;

use crate::browser::{Browser, is_there};
use crate::support::{Client, Door, Keys, eventually, free_port, target};
use crate::tls::certificate;

/// Leads connections to a local socket, as `ssh -L PORT:SOCKET` does. Never ends.
fn lead_to(socket: PathBuf) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            // Nobody listens while the router is away: the connection ends.
            let Ok(server) = UnixStream::connect(&socket) else { continue };
            thread::spawn(move || relay(&client, &server));
        }
    });
    port
}

fn relay(client: &TcpStream, server: &UnixStream) {
    let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    thread::spawn(move || {
        // Whoever breaks off ends both directions.
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
    let (mut from, mut to) = (server, client);
    let _ = io::copy(&mut from, &mut to);
    let _ = client.shutdown(Shutdown::Both);
}

/// The text of a cell in the row of an app.
fn cell(app: &str, number: u8) -> String {
    format!("document.querySelector('tr[data-app={app}] td:nth-child({number})')?.textContent ?? ''")
}

#[test]
fn the_page_shows_services_targets_health_and_certificates_and_moves_with_requests() {
    if !is_there() {
        return;
    }
    let keys = Keys::start();
    let (good, dead) = (target("good"), format!("127.0.0.1:{}", free_port()));
    keys.put("shop/upstream/1", &good);
    keys.put("shop/upstream/2", &dead);
    keys.put("blog/lb/1", &good);
    keys.put("blog/upstream/1", &good);
    keys.put("blog/upstream/<b>2</b>", &"<img src=x onerror=\"console.error('run')\">");
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), "shop", &["shop.d.example", "www.shop.example"]);
    fs::write(folder.path().join("broken.pem"), "nonsense").unwrap();
    let door = Door::new();
    let router = door.open_whole(&keys.endpoints(), free_port(), folder.path());
    door.wait_for("READY=1");
    let url = format!("http://localhost:{}/", lead_to(door.folder.path().join("status.sock")));
    let mut browser = Browser::open(&url);
    let shows = |browser: &mut Browser, expression: &str, expected: &str| {
        let mut last = String::new();
        eventually(&format!("{expected:?} by {expression}"), || {
            last = browser.text(expression);
            last.contains(expected)
        });
        last
    };

    // What there is.
    shows(&mut browser, "document.getElementById('status')?.textContent", "serving 2 services, 4 targets");
    let targets = shows(&mut browser, &cell("shop", 2), &good.to_string());
    assert!(targets.contains(&format!("{dead} 2 (direct)")), "{targets}");
    let targets = shows(&mut browser, &cell("blog", 2), "1 (lb)");
    assert!(targets.contains("1 (direct), used when no load balancer is"), "{targets}");
    let certificates = shows(
        &mut browser,
        "document.querySelector('#certificates tbody').innerText",
        "shop.d.example www.shop.example",
    );
    assert!(certificates.contains("shop.pem"), "{certificates}");
    // Texts of others are texts.
    let notes = shows(&mut browser, "document.getElementById('notes').textContent", "broken.pem");
    assert!(notes.contains("unusable: /services/blog/upstream/<b>2</b>"), "{notes}");
    assert_eq!(browser.value("document.querySelectorAll('#notes b, #notes img').length"), 0);

    // Requests move the curves, of that app and of all.
    let curve = "document.querySelector('tr[data-app=shop] polyline').getAttribute('points')";
    let whole = "document.querySelector('#traffic .requests').getAttribute('points')";
    let lowest = |points: &str, height: &str| {
        points.split(' ').all(|point| point.split_once(',').is_some_and(|(_, y)| y == height))
    };
    eventually("two looks", || browser.text(whole).contains(' '));
    let (curve_before, whole_before) = (browser.text(curve), browser.text(whole));
    assert!(lowest(&curve_before, "20.0") && lowest(&whole_before, "100.0"), "{curve_before} {whole_before}");
    let mut client = Client::new(door.address);
    for _ in 0..50 {
        assert_eq!(client.get("shop"), (200, "good".to_owned()));
    }
    shows(&mut browser, &cell("shop", 5), "50");
    let (curve_after, whole_after) = (browser.text(curve), browser.text(whole));
    assert!(!lowest(&curve_after, "20.0") && !lowest(&whole_after, "100.0"), "{curve_after} {whole_after}");
    let quiet = browser.text("document.querySelector('tr[data-app=blog] polyline').getAttribute('points')");
    assert!(lowest(&quiet, "20.0"), "{quiet}");

    // Health follows: nobody listens at the second one.
    let targets = shows(&mut browser, &cell("shop", 2), "left out after");
    assert!(targets.contains(&format!("{dead} 2 (direct), left out after")), "{targets}");
    let states =
        "[...document.querySelectorAll('tr[data-app=shop] .target')].map(one => one.dataset.state).join()";
    assert_eq!(browser.text(states), "up,out");
    assert_ne!(browser.text(&cell("shop", 7)), "0", "tries were repeated");

    // Apps come and go.
    keys.put("wiki/upstream/1", &good);
    shows(&mut browser, &cell("wiki", 2), &good.to_string());
    keys.delete("wiki/upstream/1");
    shows(&mut browser, &cell("wiki", 2), "none");
    assert_eq!(browser.complaints().len(), 0, "{:?}", browser.complaints());

    // A router that is away is told, and found again.
    let away = "document.getElementById('away').hidden ? '' : document.getElementById('away').textContent";
    router.stop();
    shows(&mut browser, away, "No answer since");
    let router = door.open_whole(&keys.endpoints(), free_port(), folder.path());
    eventually("the new one is shown", || browser.text(away).is_empty());
    shows(&mut browser, &cell("shop", 5), "0");
    router.stop();
}
