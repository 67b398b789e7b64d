//! Files, without a store; and the store's certificates, when it is away.

use std::path::Path;
use std::time::Duration;

use convoy_acme::{Clock, Settings, Source};
use convoy_keys::InstanceName;
use convoy_store::{Store, StoreSettings};
use convoy_test_etcd::Etcd;
use rcgen::{CertificateParams, KeyPair};

use crate::edge::Edge;

/// Writes a pair, and gives its certificate.
fn write(folder: &Path, file: &str, name: &str, last_year: i32) -> Vec<u8> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(last_year, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(folder.join(file), certificate.pem() + &key.serialize_pem()).unwrap();
    certificate.der().to_vec()
}

/// A clock that starts there and goes with tokio's, so that a test can wind it.
fn clock(start: i64) -> Clock {
    let begin = tokio::time::Instant::now();
    Clock::new(move || start + i64::try_from(begin.elapsed().as_secs()).unwrap())
}

fn settings() -> Settings {
    Settings::new(InstanceName::parse("edge-1").unwrap())
}

#[tokio::test]
async fn files_are_served_at_once_and_taken_up_within_a_moment_when_they_change() {
    let place = tempfile::tempdir().unwrap();
    let first = write(place.path(), "a.pem", "a.example", 2090);
    let edge = Edge::start(Settings { folder: Some(place.path().to_owned()), ..settings() }, None);
    assert_eq!(edge.shows("a.example").await, Some(first.clone()));
    let second = write(place.path(), "a.pem", "a.example", 2091);
    let begin = std::time::Instant::now();
    edge.serves("a.example", |shown| shown == second).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "it was told, not looked for");
    std::fs::create_dir(place.path().join("b")).unwrap();
    let third = write(place.path(), "b/fullchain.pem", "b.example", 2090);
    std::fs::copy(place.path().join("b/fullchain.pem"), place.path().join("b/privkey.pem")).unwrap();
    edge.serves("b.example", |shown| shown == third).await;
}

#[tokio::test]
async fn an_expired_or_broken_file_is_told_and_harms_no_other() {
    let place = tempfile::tempdir().unwrap();
    let good = write(place.path(), "a.pem", "a.example", 2090);
    write(place.path(), "old.pem", "b.example", 2021);
    std::fs::write(place.path().join("bad.pem"), "nonsense").unwrap();
    let edge = Edge::start(Settings { folder: Some(place.path().to_owned()), ..settings() }, None);
    assert_eq!(edge.shows("a.example").await, Some(good));
    let status = edge.status("two problems", |status| status.problems.len() == 2).await;
    let problems: Vec<_> = status.problems.iter().map(ToString::to_string).collect();
    assert!(problems[0].contains("bad.pem: there is no certificate in it"), "{problems:?}");
    assert!(problems[1].contains("old.pem: it has expired; renew it"), "{problems:?}");
    assert_eq!(status.certificates[0].source, Source::File(place.path().join("a.pem")));
    // A check of the configuration says the same.
    let (certificates, mut found) = convoy_acme::look(place.path(), Clock::system().now());
    found.sort();
    assert_eq!((certificates, found), (status.certificates.clone(), status.problems.clone()));
}

#[tokio::test]
async fn an_edge_that_starts_without_its_store_serves_what_it_had() {
    let etcd = Etcd::start(1).await.unwrap();
    let store =
        || Store::new(StoreSettings { endpoints: etcd.endpoints(), ..StoreSettings::default() }).unwrap();
    let place = tempfile::tempdir().unwrap();
    let own = write(place.path(), "pair", "a.example", 2090);
    let text = std::fs::read(place.path().join("pair")).unwrap();
    store().put("/convoy/certificates/mine", &text).await.unwrap();
    let cache = place.path().join("certificates.json");
    let settings = || Settings { cache: Some(cache.clone()), ..settings() };
    let edge = Edge::start(settings(), Some(store()));
    edge.serves("a.example", |shown| shown == own).await;
    crate::edge::within("what is kept", async {
        while !cache.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await;
    drop(edge);
    etcd.member(0).kill().unwrap();
    let edge = Edge::start(settings(), Some(store()));
    assert_eq!(edge.shows("a.example").await, Some(own));
    let status = edge.status("the outage", |status| status.store_error.is_some()).await;
    assert_eq!(status.certificates.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_a_certificate_expires_a_wildcard_takes_its_place_in_that_second() {
    let place = tempfile::tempdir().unwrap();
    let own = write(place.path(), "own.pem", "a.x.example", 2030);
    let wild = write(place.path(), "wild.pem", "*.x.example", 2090);
    let end = 1_893_456_000; // 2030-01-01
    let folder = Some(place.path().to_owned());
    let edge = Edge::start(Settings { folder, clock: clock(end - 3 * 3600), ..settings() }, None);
    assert_eq!(edge.shows("a.x.example").await, Some(own.clone()));
    tokio::time::sleep(Duration::from_secs(3 * 3600 - 1)).await;
    assert_eq!(edge.shows("a.x.example").await, Some(own));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(edge.shows("a.x.example").await, Some(wild));
    let status = edge.status("a problem", |status| !status.problems.is_empty()).await;
    assert!(status.problems[0].to_string().contains("own.pem: it has expired"), "{status:?}");
}
