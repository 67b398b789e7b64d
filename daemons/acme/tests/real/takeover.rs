//! The edge that orders dies in the middle of it.

use std::sync::Arc;
use std::time::Duration;

use convoy_store::{FeedEvent, Mirror, Store, StoreSettings};
use convoy_test_etcd::Proxy;
use tokio::time::sleep;

use crate::edge::{Edge, within};
use crate::front::Door;
use crate::stage::{LEASE, Stage, name};

#[tokio::test]
async fn killed_while_the_authority_asks_another_edge_finishes_the_same_order() {
    let Some(stage) = Stage::set().await else { return };
    stage.front.door(Door::Held);
    let mut knocks = stage.front.knocks();
    let mut edges = stage.edges(&stage.orders(), &["a.example"]);
    within("the authority's question", knocks.wait_for(|knocks| *knocks > 0)).await.unwrap();
    let leader = stage.leader(&edges).await;
    stage.kill(&mut edges, leader);
    stage.front.door(Door::Open);
    for edge in &edges {
        edge.serves("a.example", |_| true).await;
    }
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (1, 1));
    let taken_over: u64 = edges.iter().map(|edge| edge.certificates.metrics().orders_taken_over()).sum();
    assert_eq!(taken_over, 1);
    assert_eq!(stage.ledger("a.example").await.orders.len(), 1);
    assert_eq!((stage.left("orders").await, stage.left("challenges").await), (0, 0));
}

#[tokio::test]
async fn killed_as_soon_as_the_order_is_placed_another_edge_finishes_the_same_order() {
    let Some(stage) = Stage::set().await else { return };
    // The authority gets no answer from an edge that is about to die.
    stage.front.door(Door::Held);
    let mut feed = stage.store().follow(&["/convoy/acme/orders/"]);
    let mut mirror = Mirror::new();
    let mut edges = stage.edges(&stage.orders(), &["a.example"]);
    within("an order", async {
        while mirror.is_empty() {
            let event: FeedEvent = feed.next().await;
            mirror.apply(&event);
        }
    })
    .await;
    let leader = stage.leader(&edges).await;
    stage.kill(&mut edges, leader);
    stage.front.door(Door::Open);
    for edge in &edges {
        edge.serves("a.example", |_| true).await;
    }
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (1, 1));
}

#[tokio::test]
async fn an_edge_that_stops_in_good_order_hands_over_at_once() {
    let Some(stage) = Stage::set().await else { return };
    stage.front.door(Door::Held);
    let mut knocks = stage.front.knocks();
    let mut edges = stage.edges(&stage.orders(), &["a.example"]);
    within("the authority's question", knocks.wait_for(|knocks| *knocks > 0)).await.unwrap();
    let leader = edges.remove(stage.leader(&edges).await);
    stage.front.lead_to(&edges);
    let leader = Arc::into_inner(leader).expect("nobody else has it");
    leader.certificates.stop(LEASE).await;
    stage.front.door(Door::Open);
    edges[0].serves("a.example", |_| true).await;
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (1, 1));
}

#[tokio::test]
async fn a_crash_loop_in_the_middle_of_an_order_places_no_second_one() {
    let Some(stage) = Stage::set().await else { return };
    stage.front.door(Door::Held);
    let mut knocks = stage.front.knocks();
    let mut edges = stage.edges(&stage.orders(), &["a.example"]);
    within("the authority's question", knocks.wait_for(|knocks| *knocks > 0)).await.unwrap();
    for _ in 0..3 {
        edges.clear();
        stage.front.lead_to(&[]);
        edges = stage.edges(&stage.orders(), &["a.example"]);
        let took_over = async {
            while edges.iter().all(|edge| edge.certificates.metrics().orders_taken_over() == 0) {
                sleep(Duration::from_millis(20)).await;
            }
        };
        within("the order, taken over", took_over).await;
    }
    stage.front.door(Door::Open);
    edges[0].serves("a.example", |_| true).await;
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates(), stage.pebble.accounts()), (1, 1, 1));
    assert_eq!(stage.ledger("a.example").await.orders.len(), 1);
}

#[tokio::test]
async fn an_edge_that_is_cut_off_from_the_store_loses_the_order_to_another_and_spoils_nothing_later() {
    let Some(stage) = Stage::set().await else { return };
    stage.front.door(Door::Held);
    let mut knocks = stage.front.knocks();
    let proxy = Proxy::start(stage.etcd.member(0).address()).await.unwrap();
    let endpoints = vec![proxy.endpoint()];
    let line = Store::new(StoreSettings { endpoints, ..StoreSettings::default() }).unwrap();
    let first = Edge::start(stage.settings("edge-1", stage.orders()), Some(line));
    first.certificates.want([name("a.example")].into());
    within("the authority's question", knocks.wait_for(|knocks| *knocks > 0)).await.unwrap();
    let second = Edge::start(stage.settings("edge-2", stage.orders()), Some(stage.store()));
    second.certificates.want([name("a.example")].into());
    second.status("the first edge", |status| status.leader.is_some()).await;
    proxy.stall();
    stage.front.lead_to(std::slice::from_ref(&second));
    stage.front.door(Door::Open);
    let shown = second.serves("a.example", |_| true).await;
    assert_eq!(second.certificates.metrics().orders_taken_over(), 1);
    proxy.resume();
    assert_eq!(first.serves("a.example", |_| true).await, shown);
    // Whatever the first edge still wanted to write is refused by now.
    sleep(2 * LEASE).await;
    assert_eq!(second.shows("a.example").await, Some(shown));
    assert_eq!((stage.pebble.orders(), stage.ledger("a.example").await.failures), (1, 0));
    assert_eq!((stage.left("orders").await, stage.left("challenges").await), (0, 0));
}
