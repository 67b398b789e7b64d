//! One certificate, however many edges.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use convoy_acme::{Sealing, Settings, Source, Step};
use convoy_certificates::Certificate;
use convoy_keys::{IssuedRecord, Record};
use convoy_store::{Store, StoreSettings};
use convoy_test_etcd::Proxy;

use crate::edge::Edge;
use crate::stage::{Stage, name};

const KEY: &str = "/convoy/acme/certificates/a.example";

#[tokio::test]
async fn three_edges_place_one_order_and_all_serve_its_certificate() {
    let Some(stage) = Stage::set().await else { return };
    let edges = stage.edges(&stage.orders(), &["a.example"]);
    let mut shown = Vec::new();
    for edge in &edges {
        shown.push(edge.serves("a.example", |_| true).await);
    }
    assert!(shown.iter().all(|one| *one == shown[0]), "it is the same one");
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates(), stage.pebble.accounts()), (1, 1, 1));
    let answered = edges.iter().map(|edge| edge.certificates.metrics().http01_answered());
    assert!(answered.sum::<u64>() >= 1, "the authority asked");
    let issued: u64 = edges.iter().map(|edge| edge.certificates.metrics().certificates_issued()).sum();
    assert_eq!(issued, 1);

    // What a status page shows.
    let status =
        edges[2].status("a fresh name", |status| matches!(status.names[0].step, Step::Fresh { .. })).await;
    assert_eq!(status.names[0].name, name("a.example"));
    let certificate = &status.certificates[0];
    assert_eq!(
        (&*certificate.names, &certificate.source),
        (&["a.example".to_owned()][..], &Source::Key(KEY.into()))
    );
    assert!(certificate.issuer.starts_with("CN=Pebble Intermediate CA"), "{}", certificate.issuer);
    assert!(status.problems.is_empty() && status.order_error.is_none(), "{status:?}");

    // Nothing but the certificate, its ledger and the account stays, and no key in the clear.
    assert_eq!((stage.left("orders").await, stage.left("challenges").await), (0, 0));
    assert_eq!(
        (stage.left("ledger").await, stage.left("accounts").await, stage.left("edges").await),
        (1, 1, 3)
    );
    let all = stage.store().list("/convoy/acme/").await.unwrap();
    assert!(all.entries.values().all(|entry| !String::from_utf8_lossy(&entry.value).contains("PRIVATE KEY")));

    // An edge that comes later serves it at once, and orders nothing.
    let late = Edge::start(stage.settings("edge-4", stage.orders()), Some(stage.store()));
    late.certificates.want([name("a.example")].into());
    assert_eq!(late.serves("a.example", |_| true).await, shown[0]);
    assert_eq!(stage.pebble.orders(), 1);
}

#[tokio::test]
async fn at_rest_nothing_is_written() {
    let Some(stage) = Stage::set().await else { return };
    let edges = stage.edges(&stage.orders(), &["a.example"]);
    for edge in &edges {
        edge.serves("a.example", |_| true).await;
        edge.status("rest", |status| matches!(status.names[0].step, Step::Fresh { .. })).await;
    }
    // The edges say that they answer nothing any more; then there is nothing to be said.
    let mut before = stage.store().revision().await.unwrap();
    crate::edge::within("silence", async {
        loop {
            tokio::time::sleep(crate::stage::LEASE * 3 / 2).await;
            let now = stage.store().revision().await.unwrap();
            if now == before {
                return;
            }
            before = now;
        }
    })
    .await;
    assert_eq!(stage.pebble.orders(), 1);
}

#[tokio::test]
async fn only_names_with_a_route_get_a_certificate_and_many_get_one_each() {
    let Some(stage) = Stage::set().await else { return };
    let edges = stage.edges(&stage.orders(), &[]);
    stage.leader(&edges).await;
    assert_eq!(stage.pebble.orders(), 0);
    let names: Vec<_> = (0..7).map(|number| format!("n{number}.example")).collect();
    for edge in &edges {
        edge.certificates.want(names.iter().map(|text| name(text)).collect());
    }
    for host in &names {
        edges[1].serves(host, |_| true).await;
    }
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates(), stage.pebble.accounts()), (7, 7, 1));
}

#[tokio::test]
async fn an_edge_with_another_secret_serves_nothing_sealed_and_says_why() {
    let Some(stage) = Stage::set().await else { return };
    let edges = stage.edges(&stage.orders(), &["a.example"]);
    edges[0].serves("a.example", |_| true).await;
    let path = stage.place.path().join("other");
    std::fs::write(&path, "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=").unwrap();
    let sealing = Some(Arc::new(Sealing::read(&path).unwrap()));
    let other = Edge::start(
        Settings { sealing, orders: None, ..stage.settings("edge-4", stage.orders()) },
        Some(stage.store()),
    );
    let status = other.status("a problem", |status| !status.problems.is_empty()).await;
    let problem = status.problems[0].to_string();
    assert!(problem.starts_with(&format!("{KEY}: it was sealed with another secret")), "{problem}");
    assert!(other.shows("a.example").await.is_none());

    // Whoever can write to the store can't have one name's key served for another.
    let entry = stage.store().get(KEY).await.unwrap().unwrap();
    stage.store().put("/convoy/acme/certificates/b.example", &entry.value).await.unwrap();
    let status = edges[0].status("a problem", |status| !status.problems.is_empty()).await;
    assert!(status.problems[0].to_string().contains("sealed for another key"), "{:?}", status.problems);
    let record = IssuedRecord::parse(&entry.value).unwrap();
    let opened = stage.sealing().open(KEY, &record.key).unwrap();
    assert!(Certificate::parse(record.chain.as_bytes(), opened.as_bytes(), None).is_ok());
}

#[tokio::test]
async fn an_edge_that_can_not_open_the_account_lets_others_order() {
    let Some(stage) = Stage::set().await else { return };
    let edges = stage.edges(&stage.orders(), &["a.example"]);
    edges[0].serves("a.example", |_| true).await;
    stage.front.lead_to(&[]);
    for edge in edges {
        Arc::into_inner(edge).unwrap().certificates.stop(crate::stage::LEASE).await;
    }
    let path = stage.place.path().join("other");
    std::fs::write(&path, "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=").unwrap();
    let sealing = Some(Arc::new(Sealing::read(&path).unwrap()));
    let settings = Settings { sealing, ..stage.settings("edge-4", stage.orders()) };
    let other = Edge::start(settings, Some(stage.store()));
    other.certificates.want([name("b.example")].into());
    let status = other.status("its trouble", |status| status.order_error.is_some()).await;
    let error = status.order_error.clone().unwrap();
    assert!(error.contains("/convoy/acme/accounts/") && error.contains("same credential"), "{error}");
    let edges = stage.edges(&stage.orders(), &["b.example"]);
    edges[1].serves("b.example", |_| true).await;
    assert_eq!((stage.pebble.orders(), stage.pebble.accounts()), (2, 1));
}

#[tokio::test]
async fn an_edge_that_orders_nothing_answers_for_those_that_do_and_serves_what_they_get() {
    let Some(stage) = Stage::set().await else { return };
    let orders = stage.settings("edge-1", stage.orders());
    let answers = Settings { orders: None, ..stage.settings("edge-2", stage.orders()) };
    let answers = Edge::start(answers, Some(stage.store()));
    stage.front.lead_to(std::slice::from_ref(&answers));
    let orders = Edge::start(orders, Some(stage.store()));
    orders.certificates.want([name("a.example")].into());
    answers.serves("a.example", |_| true).await;
    assert!(answers.certificates.metrics().http01_answered() > 0);
    assert_eq!((stage.pebble.orders(), stage.left("edges").await), (1, 2));
}

#[tokio::test]
async fn the_authority_is_told_to_look_when_the_slowest_edge_answers() {
    let Some(stage) = Stage::set().await else { return };
    let proxy = Proxy::start(stage.etcd.member(0).address()).await.unwrap();
    proxy.slow(Duration::from_millis(500));
    let endpoints = vec![proxy.endpoint()];
    let far = Store::new(StoreSettings { endpoints, ..StoreSettings::default() }).unwrap();
    let slow = Edge::start(Settings { orders: None, ..stage.settings("edge-9", stage.orders()) }, Some(far));
    // It is there once it answers what there is.
    crate::edge::within("the slow edge", async {
        let near = Edge::start(stage.settings("edge-1", stage.orders()), Some(stage.store()));
        near.certificates.want(BTreeSet::new());
        while stage.left("edges").await < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    // The authority asks nobody else.
    stage.front.lead_to(std::slice::from_ref(&slow));
    let near = Edge::start(stage.settings("edge-2", stage.orders()), Some(stage.store()));
    near.certificates.want([name("a.example")].into());
    near.serves("a.example", |_| true).await;
    assert!(slow.certificates.metrics().http01_answered() > 0);
    assert_eq!((slow.certificates.metrics().http01_unknown(), stage.pebble.orders()), (0, 1));
}
