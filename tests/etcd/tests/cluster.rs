//! The harness does what its users rely on.

use convoy_test_etcd::{Etcd, Options};

#[tokio::test]
async fn three_members_elect_a_leader_and_another_when_it_is_killed() {
    let etcd = Etcd::start(3).await.unwrap();
    assert_eq!(etcd.endpoints().len(), 3);
    let first = etcd.leader().await.unwrap();
    etcd.member(first).kill().unwrap();
    let second = etcd.leader().await.unwrap();
    assert_ne!(first, second);
    etcd.member(first).restart().await.unwrap();
}

#[tokio::test]
async fn a_frozen_leader_is_replaced_and_comes_back() {
    let etcd = Etcd::start(3).await.unwrap();
    let first = etcd.leader().await.unwrap();
    etcd.member(first).freeze().unwrap();
    assert_ne!(etcd.leader().await.unwrap(), first);
    etcd.member(first).thaw().unwrap();
}

#[tokio::test]
async fn a_wiped_cluster_comes_back_empty_on_the_same_ports() {
    let mut etcd = Etcd::start(1).await.unwrap();
    let endpoints = etcd.endpoints();
    etcd.wipe("another").await.unwrap();
    assert_eq!(etcd.endpoints(), endpoints);
}

#[tokio::test]
async fn members_with_tls_serve_clients_with_a_certificate() {
    let etcd = Etcd::start_with(Options { tls: true, ..Options::default() }).await.unwrap();
    assert!(etcd.endpoints().iter().all(|url| url.starts_with("https://")));
    etcd.compact(1).await.unwrap();
}

#[tokio::test]
async fn nothing_is_left_when_it_is_dropped() {
    let etcd = Etcd::start(1).await.unwrap();
    let (address, directory) = (etcd.member(0).address(), etcd.directory().to_owned());
    drop(etcd);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    assert!(!directory.exists());
}
