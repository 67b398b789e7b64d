//! Certificates from a real authority, for three routers that share a store.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use convoy_keys::{AcmeKey, AcmeLeaderRecord, Record};
use convoy_test_pebble::{Doors, Front, Options, Pebble, Ports, free_address, is_there};
use tempfile::TempDir;

use crate::support::{Keys, PATIENCE, Router, eventually, free_port, outcome, target};

/// Any 32 bytes.
const SECRET: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n";

/// A router on two doors of its own.
struct Edge {
    name: String,
    plain: u16,
    secure: u16,
    folder: TempDir,
    router: Router,
}

impl Edge {
    fn start(number: u8, endpoints: &str, config: &Path, credentials: &Path) -> Self {
        let (plain, secure) = (free_port(), free_port());
        let folder = tempfile::tempdir().unwrap();
        let notifications = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        notifications.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge-router"));
        command
            .args(["--listen", &format!("http=127.0.0.1:{plain}")])
            .args(["--listen", &format!("https=127.0.0.1:{secure}")])
            .args(["--access-log", "stderr"])
            .env("CONVOY_MACHINE_ID", format!("m{number}"))
            .env("CONVOY_CONFIG_PATH", config)
            .env("CONVOY_ETCD_ENDPOINTS", endpoints)
            .env("CREDENTIALS_DIRECTORY", credentials)
            .env("NOTIFY_SOCKET", folder.path().join("notify"))
            .env("STATE_DIRECTORY", folder.path())
            .env("RUNTIME_DIRECTORY", folder.path());
        let router = Router::start(command);
        let mut space = [0; 4096];
        while !String::from_utf8_lossy(&space).contains("READY=1") {
            notifications.recv(&mut space).expect("it is ready");
        }
        // The rest of what it says would fill the queue; a socket that is gone is nobody to talk to.
        drop(notifications);
        Self { name: format!("edge-m{number}"), plain, secure, folder, router }
    }

    /// Status and certificate that a client of this name gets over TLS.
    fn shows(&self, host: &str) -> (String, String) {
        let output = Command::new("curl")
            .args(["--silent", "--insecure", "--max-time", "20", "--output", "/dev/null"])
            .args(["--resolve", &format!("{host}:{}:127.0.0.1", self.secure)])
            .args(["--write-out", "%{http_code}\n%{certs}", &format!("https://{host}:{}/", self.secure)])
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (status, certificates) = text.split_once('\n').unwrap_or_default();
        let begin = certificates.find("-----BEGIN").unwrap_or(certificates.len());
        let leaf = certificates[begin..].split("-----END").next().unwrap_or_default();
        let is_for = certificates.contains(&format!("DNS:{host}"));
        (status.to_owned(), if is_for { leaf.to_owned() } else { String::new() })
    }

    fn doors(&self) -> Doors {
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Doors { plain: at(self.plain), secure: at(self.secure) }
    }

    fn metric(&self, name: &str) -> u64 {
        crate::support::metric(self.folder.path(), name).parse().unwrap()
    }
}

struct Stage {
    keys: Keys,
    pebble: Pebble,
    front: Arc<Front>,
    place: TempDir,
}

impl Stage {
    fn set(extra: &str) -> Option<Self> {
        if !is_there() {
            return None;
        }
        let keys = Keys::start();
        let address = free_address();
        let pebble = keys.block_on(Pebble::start(address, Options::default())).unwrap();
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("credentials")).unwrap();
        fs::write(place.path().join("credentials/acme-secret"), SECRET).unwrap();
        let config = format!(
            "[edge-router]\ndomains = ['d.example']\n[edge-router.acme]\ndirectory = '{}'\nagree_to_terms = true\n\
             contacts = ['mailto:test@d.example']\ntrust = '{}'\n{extra}",
            pebble.url(),
            pebble.trust().display()
        );
        fs::create_dir(place.path().join("config.d")).unwrap();
        fs::write(place.path().join("config.d/10-a.toml"), config).unwrap();
        let front = Front::start(address, Ports::default()).unwrap();
        Some(Self { keys, pebble, front, place })
    }

    fn edges(&self) -> Vec<Edge> {
        let (config, credentials) =
            (self.place.path().join("config.d"), self.place.path().join("credentials"));
        let endpoints = self.keys.endpoints();
        let edges: Vec<_> =
            (1..=3).map(|number| Edge::start(number, &endpoints, &config, &credentials)).collect();
        self.front.lead_to(edges.iter().map(Edge::doors));
        edges
    }

    fn leader(&self) -> String {
        let value = self.keys.get_at(&AcmeKey::Leader.to_string()).expect("an edge orders");
        AcmeLeaderRecord::parse(&value).unwrap().edge.to_string()
    }
}

/// Waits until all of them show the same certificate for a host and answer its requests.
fn all_serve(edges: &[Edge], host: &str) -> String {
    let mut shown = Vec::new();
    for edge in edges {
        eventually(&format!("{} serves {host}", edge.name), || {
            let (status, certificate) = edge.shows(host);
            let serves = status == "200" && !certificate.is_empty();
            if serves {
                shown.push(certificate);
            }
            serves
        });
    }
    assert!(shown.iter().all(|one| *one == shown[0]), "it is the same one");
    shown.remove(0)
}

#[test]
fn three_routers_place_one_order_per_name_and_all_serve_its_certificate() {
    let Some(stage) = Stage::set("") else { return };
    stage.keys.put("a/lb/1", &target("one"));
    stage.keys.put("b/lb/1", &target("two"));
    stage.keys.put_at("/convoy/routes/b", r#"{"https": true}"#);
    let edges = stage.edges();
    let first = all_serve(&edges, "a.d.example");
    let second = all_serve(&edges, "b.d.example");
    assert_ne!(first, second);
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates(), stage.pebble.accounts()), (2, 2, 1));
    let sum = |name: &str| edges.iter().map(|edge| edge.metric(name)).sum::<u64>();
    assert_eq!(sum("edge_router_acme_orders_placed_total"), 2);
    assert!(sum("edge_router_acme_http01_answered_total") >= 2);
    assert_eq!(sum("edge_router_acme_orders_failed_total"), 0);

    // A name that gets a route later gets its certificate then. One that has none gets none, whoever asks for it.
    for edge in &edges {
        assert_eq!(edge.shows("nothing.d.example").1, "");
    }
    stage.keys.put_at("/convoy/routes/a", r#"{"host": "shop.example"}"#);
    all_serve(&edges, "shop.example");
    assert_eq!((stage.pebble.orders(), sum("edge_router_acme_orders_placed_total")), (3, 3));

    // What was got outlives the store and the router.
    stage.keys.etcd.member(0).kill().unwrap();
    let status = edges.iter().map(|edge| edge.shows("a.d.example"));
    assert!(status.into_iter().all(|(status, shown)| status == "200" && shown == first));
    for edge in edges {
        let (status, log) = edge.router.stop();
        assert!(status.success(), "{log}");
    }
}

#[test]
fn names_are_proved_by_tls_without_a_word_in_the_log_of_failures() {
    let Some(stage) = Stage::set("challenges = ['tls-alpn-01']\n") else { return };
    stage.keys.put("a/lb/1", &target("one"));
    let edges = stage.edges();
    all_serve(&edges, "a.d.example");
    let sum = |name: &str| edges.iter().map(|edge| edge.metric(name)).sum::<u64>();
    assert_eq!((stage.pebble.orders(), sum("edge_router_acme_http01_answered_total")), (1, 0));
    assert!(sum("edge_router_acme_tls_alpn01_proved_total") >= 1);
    // Clients that came too early failed, those of the authority didn't: they come through the front, one each.
    let failures = sum("edge_router_tls_failures_total");
    let knocks = stage.front.knocks();
    stage.keys.put("b/lb/1", &target("two"));
    eventually("the second name", || stage.pebble.certificates() == 2);
    assert!(stage.front.knocks() > knocks);
    assert_eq!(sum("edge_router_tls_failures_total"), failures);
}

#[test]
fn the_router_that_orders_is_killed_in_the_middle_and_another_one_finishes_the_same_order() {
    let Some(stage) = Stage::set("") else { return };
    stage.front.hold(true);
    let mut edges = stage.edges();
    stage.keys.put("a/lb/1", &target("one"));
    eventually("the authority's question", || stage.front.knocks() > 0);
    let leader = stage.leader();
    let place = edges.iter().position(|edge| edge.name == leader).unwrap();
    edges.remove(place).router.kill();
    stage.front.lead_to(edges.iter().map(Edge::doors));
    stage.front.hold(false);
    all_serve(&edges, "a.d.example");
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (1, 1));
    let taken_over = edges.iter().map(|edge| edge.metric("edge_router_acme_orders_taken_over_total"));
    assert_eq!(taken_over.sum::<u64>(), 1);
}

#[test]
fn mistakes_in_the_settings_name_file_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("10-a.toml");
    for (text, expected) in [
        ("directory = 'http://ca.example'", "10-a.toml:2: "),
        ("contacts = ['you@a.example']", "10-a.toml:2: \"you@a.example\" is no contact"),
        ("challenges = ['http']", "10-a.toml:2: unknown variant `http`"),
        ("agree = true", "10-a.toml:2: unknown field `agree`"),
        ("contacts = []", "[edge-router.acme] agree_to_terms: the authority's terms"),
        ("agree_to_terms = true\nchallenges = []", "[edge-router.acme] challenges: there is no way"),
        (
            "agree_to_terms = true\nchallenges = ['dns-01']",
            "[edge-router.acme] dns_hook: dns-01 needs a hook",
        ),
        ("dns_hook = ['hook']", "[edge-router.acme] dns_hook: write the program with its whole path"),
        ("agree_to_terms = true", "openssl rand -base64 32"),
        ("external_account = 'me'", "[edge-router.acme] external_account: "),
    ] {
        fs::write(&file, format!("[edge-router.acme]\n{text}\n")).unwrap();
        let (code, said) = outcome(&["check"], folder.path());
        assert_eq!(code, Some(78), "{said}");
        assert!(said.contains(expected), "{expected} in {said}");
    }
}
