//! Certificates from an authority for three edges, each a machine of its own.
//!
//! All machines are etcd members and edges, and TLS comes to them as the README says. The authority, and the name server
//! that it asks, are outside of them; it looks for proofs where any other one does, at port 80 or 443 of the address that a
//! name leads to.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use convoy_acme::Sealing;
use convoy_cluster::{BRIDGE_ADDRESS, Cluster, Machine, wait_until};
use convoy_keys::{
    AccountRecord, AcmeKey, AcmeLeaderRecord, Authority, CertificateName, IssuedRecord, LedgerRecord, Record,
};
use convoy_scenarios::{DOMAIN, SOON, Scenario, Stage, answer, options, run, serve};
use convoy_test_pebble::{Doors, Front, Options, Pebble, Ports, is_there};
use tokio::runtime::Builder;

const EDGES: [u8; 3] = [1, 2, 3];
const ROUTER: &str = "edge-router.service";
const SECRET: &str = "/etc/convoy/acme-secret";
const TRUST: &str = "/etc/convoy/authority.pem";

/// Three edges, the authority, and what stands before and behind the edges.
#[derive(Debug)]
struct Edges {
    stage: Stage,
    pebble: Pebble,
    /// Where names lead to, unless the name server says something else of them.
    front: Arc<Front>,
    app: SocketAddr,
    /// What those trust who trust the authority.
    root: PathBuf,
    /// The operator's secret, for a look at what it seals.
    secret: PathBuf,
}

/// What the authority has been asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    orders: usize,
    certificates: usize,
    accounts: usize,
}

fn main() -> ExitCode {
    if !is_there() {
        return ExitCode::SUCCESS;
    }
    run(
        options("certificates", 3, &[]),
        set_up,
        &[
            Scenario {
                name: "edges_in_service_get_a_certificate_by_one_order_and_serve_it_without_a_failed_request",
                prove: tls_comes,
            },
            Scenario {
                name: "whichever_edge_orders_a_name_is_proved_by_the_edge_that_it_leads_to",
                prove: proved_anywhere,
            },
            Scenario {
                name: "a_machine_that_crashes_in_the_middle_of_an_order_leaves_it_to_another_edge",
                prove: crashed_machine,
            },
            Scenario {
                name: "an_edge_that_is_killed_in_the_middle_of_an_order_costs_no_second_one",
                prove: killed_edge,
            },
            Scenario { name: "a_name_is_proved_at_port_443_alone", prove: by_tls },
            Scenario { name: "no_private_key_was_ever_in_the_store_in_the_clear", prove: sealed_keys },
        ],
    )
}

fn set_up(cluster: Cluster) -> Result<Edges> {
    let app = serve(&cluster, |client| answer(client, "app"))?;
    let outside = IpAddr::V4(BRIDGE_ADDRESS);
    let (pebble, front) = cluster.with_network(move || -> Result<_> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let options = Options { ports: Ports::PUBLIC, ..Options::default() };
        Ok((runtime.block_on(Pebble::start(outside, options))?, Front::start(outside, options.ports)?))
    })??;
    let fetch = ["curl", "-sS", "--fail", "--cacert", &pebble.trust().display().to_string(), &pebble.root()];
    let (root, secret) = (pebble.directory().join("root.pem"), pebble.directory().join("secret"));
    fs::write(&root, cluster.exec_in_network(&fetch, SOON)?.stdout)?;
    fs::write(&secret, cluster.machine(1).exec_ok(&["openssl", "rand", "-base64", "32"])?.stdout)?;
    let stage = Stage { cluster };
    for edge in EDGES {
        stage.cluster.machine(edge).systemctl(&["enable", "--now", "edge-router.socket", ROUTER])?;
        stage.wait_active(edge, ROUTER)?;
    }
    Ok(Edges { stage, pebble, front, app, root, secret })
}

fn host(app: &str) -> String {
    format!("{app}.{DOMAIN}")
}

fn name(app: &str) -> Result<CertificateName> {
    Ok(CertificateName::parse(&host(app))?)
}

impl Edges {
    fn machine(&self, edge: u8) -> Machine {
        self.stage.cluster.machine(edge)
    }

    /// Tells the name server where an app's name leads to.
    fn resolve(&self, app: &str, edges: &[u8]) -> Result<()> {
        let addresses: Vec<_> = edges.iter().map(|edge| self.machine(*edge).address()).collect();
        let record = serde_json::json!({ "host": host(app), "addresses": addresses }).to_string();
        let url = format!("{}/add-a", self.pebble.names());
        self.stage.cluster.exec_in_network(&["curl", "-sS", "--fail", "--data", &record, &url], SOON)?;
        Ok(())
    }

    /// From now on the front passes connections on to these.
    fn lead_to(&self, edges: &[u8]) {
        self.front.lead_to(edges.iter().map(|edge| {
            let address = IpAddr::V4(self.machine(*edge).address());
            Doors { plain: (address, 80).into(), secure: (address, 443).into() }
        }));
    }

    /// A service gets its first target, and with it a route.
    fn announce(&self, app: &str) -> Result<()> {
        self.stage.etcdctl(1, &["put", &format!("/services/{app}/upstream/1"), &self.app.to_string()])?;
        Ok(())
    }

    /// The certificate that a client gets who trusts the authority and nobody else, with an answer of the app.
    fn served(&self, edge: u8, app: &str) -> Result<String> {
        let (host, address) = (host(app), self.machine(edge).address());
        let output = self.stage.cluster.exec_in_network(
            &[
                &["curl", "-sS", "--fail", "--max-time", "20", "--write-out", "%{certs}"][..],
                &[
                    "--cacert",
                    &self.root.display().to_string(),
                    "--resolve",
                    &format!("{host}:443:{address}"),
                ],
                &[&format!("https://{host}/")],
            ]
            .concat(),
            SOON,
        )?;
        ensure!(output.stdout.starts_with("app\n"), "another answer than the app's: {output:?}");
        let leaf = output.stdout.split("-----BEGIN CERTIFICATE-----").nth(1).context("no certificate")?;
        Ok(leaf.split("-----END").next().unwrap_or_default().to_owned())
    }

    /// Waits until all of these serve an app with the same certificate.
    fn all_serve(&self, edges: &[u8], app: &str) -> Result<String> {
        let mut all = BTreeSet::new();
        for edge in edges {
            all.insert(wait_until(&format!("{app} over TLS on m{edge}"), SOON, || {
                self.served(*edge, app).map_err(|error| format!("{error:#}"))
            })?);
        }
        ensure!(all.len() == 1, "there are {} certificates for {app}", all.len());
        all.pop_first().context("no edge was asked")
    }

    fn asked(&self) -> Asked {
        Asked {
            orders: self.pebble.orders(),
            certificates: self.pebble.certificates(),
            accounts: self.pebble.accounts(),
        }
    }

    /// Fails unless the authority got one more order for one more certificate, of the same account, the ledger has just that
    /// one, and nothing of it is left over.
    fn expect_one_order(&self, app: &str, on: u8, before: Asked) -> Result<()> {
        let wanted = Asked { orders: before.orders + 1, certificates: before.certificates + 1, ..before };
        ensure!(self.asked() == wanted, "the authority was asked for {:?}, not {wanted:?}", self.asked());
        self.expect_ledger(app, on)?;
        for kind in ["orders", "challenges"] {
            self.stage.wait_for_keys(on, &format!("/convoy/acme/{kind}/"), &[], SOON)?;
        }
        Ok(())
    }

    fn expect_ledger(&self, app: &str, on: u8) -> Result<()> {
        let ledger: LedgerRecord = self.record(on, &AcmeKey::Ledger(self.authority()?, name(app)?))?;
        ensure!(ledger.orders.len() == 1 && ledger.failures == 0, "the ledger of {app} has {ledger:?}");
        Ok(())
    }

    fn authority(&self) -> Result<Authority> {
        Ok(Authority::of(&self.pebble.url())?)
    }

    fn record<R: Record>(&self, on: u8, key: &AcmeKey) -> Result<R> {
        let key = key.to_string();
        let value = self.stage.etcdctl(on, &["get", "--print-value-only", &key])?;
        R::parse(value.trim_end().as_bytes()).with_context(|| format!("{key} has {value:?}"))
    }

    /// The machine whose edge orders.
    fn leader(&self, on: u8) -> Result<u8> {
        let leader: AcmeLeaderRecord = self.record(on, &AcmeKey::Leader)?;
        let is_it = |edge: &u8| leader.edge.as_str() == format!("edge-{}", self.machine(*edge).machine_id());
        EDGES.into_iter().find(is_it).with_context(|| format!("{} is no edge of ours", leader.edge))
    }

    /// Announces an app whose order gets no further than the authority's question; gives the machine whose edge has placed it.
    fn order_that_hangs(&self, app: &str) -> Result<u8> {
        let knocks = self.front.knocks();
        self.front.hold(true);
        self.announce(app)?;
        wait_until("the authority's question", SOON, || {
            if self.front.knocks() > knocks { Ok(()) } else { Err("it asks nothing".into()) }
        })?;
        self.leader(1)
    }

    fn metric(&self, edge: u8, name: &str) -> Result<u64> {
        let words = ["curl", "-sS", "--unix-socket", "/run/edge-router/metrics.sock", "http://x/metrics"];
        let text = self.machine(edge).exec_ok(&words)?.stdout;
        let value =
            text.lines().find_map(|line| line.strip_prefix(&format!("edge_router_acme_{name}_total ")));
        value.with_context(|| format!("no {name} among the metrics"))?.parse().context("it is no number")
    }

    fn sum(&self, edges: &[u8], name: &str) -> Result<u64> {
        edges.iter().map(|edge| self.metric(*edge, name)).sum()
    }
}

fn tls_comes(edges: &Edges) -> Result<()> {
    let (before, machine) = (edges.asked(), |edge| edges.stage.cluster.machine(edge));
    // The first edge that is told to order does so while the others know nothing of it yet.
    edges.resolve("shop", &EDGES[..1])?;
    edges.announce("shop")?;
    let mut traffic = Vec::new();
    for edge in EDGES {
        let target = edges.stage.target(edge, 80, &host("shop"));
        edges.stage.wait_for_instances(&target, &["app"], SOON)?;
        traffic.push(edges.stage.traffic(&target, 2, Duration::from_millis(5))?);
    }
    let acme = format!(
        "[edge-router.acme]\nagree_to_terms = true\ncontacts = [\"mailto:you@{DOMAIN}\"]\n\
         directory = \"{}\"\ntrust = \"{TRUST}\"\n",
        edges.pebble.url(),
    );
    for edge in EDGES {
        machine(edge).write_file("/etc/convoy/config.d/60-acme.toml", acme.as_bytes(), "0644")?;
        machine(edge).write_file(TRUST, &fs::read(edges.pebble.trust())?, "0644")?;
        machine(edge).write_file(SECRET, &fs::read(&edges.secret)?, "0600")?;
        machine(edge).systemctl(&["enable", "edge-router-https.socket"])?;
        machine(edge).systemctl(&["restart", ROUTER])?;
    }
    edges.all_serve(&EDGES, "shop")?;
    edges.expect_one_order("shop", 1, Asked { accounts: 1, ..before })?;
    traffic.into_iter().try_for_each(|traffic| Stage::expect_no_failure(&traffic.stop()))
}

fn proved_anywhere(edges: &Edges) -> Result<()> {
    let names = ["orders_placed", "orders_failed"];
    let counts = || names.iter().map(|name| edges.sum(&EDGES, name)).collect::<Result<Vec<_>>>();
    let (before, counted) = (edges.asked(), counts()?);
    let mut certificates = BTreeSet::new();
    for edge in EDGES {
        let (app, answered) = (format!("shop-{edge}"), edges.metric(edge, "http01_answered")?);
        edges.resolve(&app, &[edge])?;
        edges.announce(&app)?;
        certificates.insert(edges.all_serve(&EDGES, &app)?);
        edges.expect_ledger(&app, edge)?;
        ensure!(edges.metric(edge, "http01_answered")? > answered, "{app} was not proved by m{edge}");
    }
    ensure!(certificates.len() == EDGES.len(), "names share a certificate");
    let (asked, wanted) = (edges.asked(), before.orders + EDGES.len());
    ensure!(asked == Asked { orders: wanted, certificates: wanted, ..before }, "{asked:?} after {before:?}");
    let placed = counts()?.iter().zip(&counted).map(|(now, before)| now - before).collect::<Vec<_>>();
    ensure!(placed == [3, 0], "{names:?}: {placed:?}");
    Ok(())
}

fn crashed_machine(edges: &Edges) -> Result<()> {
    let before = edges.asked();
    edges.lead_to(&EDGES);
    let crashed = edges.order_that_hangs("basket")?;
    let others: Vec<u8> = EDGES.into_iter().filter(|edge| *edge != crashed).collect();
    let on = *others.first().context("no other edge")?;
    let taken_over = edges.sum(&others, "orders_taken_over")?;
    edges.machine(crashed).crash()?;
    edges.lead_to(&others);
    edges.front.hold(false);
    let finished = edges.all_serve(&others, "basket").and_then(|certificate| {
        edges.expect_one_order("basket", on, before)?;
        ensure!(edges.sum(&others, "orders_taken_over")? == taken_over + 1, "nobody took the order over");
        ensure!(edges.leader(on)? != crashed, "m{crashed} still orders, though it is off");
        Ok(certificate)
    });
    // Back again, it serves what the others got.
    edges.machine(crashed).start()?;
    edges.stage.wait_active(crashed, ROUTER)?;
    let certificate = finished?;
    ensure!(edges.all_serve(&[crashed], "basket")? == certificate, "m{crashed} has another certificate");
    edges.expect_one_order("basket", crashed, before)
}

fn killed_edge(edges: &Edges) -> Result<()> {
    let before = edges.asked();
    edges.lead_to(&EDGES);
    let killed = edges.order_that_hangs("search")?;
    let first = edges.stage.property(killed, ROUTER, "MainPID")?;
    edges.machine(killed).systemctl(&["kill", "--kill-whom=main", "--signal=KILL", ROUTER])?;
    edges.front.hold(false);
    edges.all_serve(&EDGES, "search")?;
    let second = edges.stage.property(killed, ROUTER, "MainPID")?;
    ensure!(first != second, "the edge of m{killed} was not killed");
    edges.expect_one_order("search", killed, before)
}

fn by_tls(edges: &Edges) -> Result<()> {
    let before = edges.asked();
    for edge in EDGES {
        let text = "[edge-router.acme]\nchallenges = [\"tls-alpn-01\"]\n";
        edges.machine(edge).write_file("/etc/convoy/config.d/70-tls.toml", text.as_bytes(), "0644")?;
        edges.machine(edge).systemctl(&["restart", ROUTER])?;
    }
    edges.resolve("account", &EDGES)?;
    edges.announce("account")?;
    edges.all_serve(&EDGES, "account")?;
    edges.expect_one_order("account", 1, before)?;
    let (by_http, by_tls) = (edges.sum(&EDGES, "http01_answered")?, edges.sum(&EDGES, "tls_alpn01_proved")?);
    ensure!(by_http == 0 && by_tls > 0, "proved {by_http} times over HTTP, {by_tls} times over TLS");
    // What was had before is neither lost nor ordered again.
    edges.all_serve(&EDGES, "basket").map(drop)
}

fn sealed_keys(edges: &Edges) -> Result<()> {
    let sealing = Sealing::read(&edges.secret)?;
    let account = AcmeKey::Account(edges.authority()?);
    let sealed = edges.record::<AccountRecord>(1, &account)?.credentials;
    let credentials: serde_json::Value = serde_json::from_str(&sealing.open(&account.to_string(), &sealed)?)?;
    let secret = credentials.get("key_pkcs8").and_then(|key| key.as_str()).context("an account has a key")?;
    let mut all = vec![(account.to_string(), sealed, secret.to_owned())];
    for key in edges.stage.keys(1, "/convoy/acme/certificates/")?.keys() {
        let issued: IssuedRecord = edges.record(1, &AcmeKey::parse(key).context("a certificate's key")?)?;
        let opened = sealing.open(key, &issued.key)?;
        // Its second line is the larger part of the secret number.
        let secret = opened.lines().nth(2).filter(|line| line.len() == 64).context("a key has lines")?;
        all.push((key.clone(), issued.key, secret.to_owned()));
    }
    ensure!(all.len() == 1 + 1 + EDGES.len() + 3, "there are {} keys", all.len());
    // On disk there is also what was overwritten and deleted.
    let texts = all.iter().flat_map(|(_, sealed, secret)| [sealed.as_str(), secret]).chain(["PRIVATE KEY"]);
    let options = ["--recursive", "--text", "--no-filename", "--only-matching", "--fixed-strings"];
    let texts = texts.flat_map(|text| ["-e", text]);
    let words: Vec<&str> =
        ["grep"].into_iter().chain(options).chain(texts).chain(["/var/lib/etcd/convoy"]).collect();
    for edge in EDGES {
        let output = edges.machine(edge).exec_ok(&words)?.stdout;
        let found: BTreeSet<&str> = output.lines().collect();
        for (key, sealed, secret) in &all {
            ensure!(found.contains(sealed.as_str()), "m{edge} has no {key}: this looks at the wrong place");
            ensure!(!found.contains(secret.as_str()), "m{edge} has the secret of {key} in the clear");
        }
        ensure!(!found.contains("PRIVATE KEY"), "m{edge} has some private key in the clear");
    }
    Ok(())
}
