//! The edge that orders dies in the middle of it.

use convoy_store::{FeedEvent, Mirror};

use crate::edge::within;
use crate::front::Door;
use crate::stage::Stage;

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
    let leader = std::sync::Arc::into_inner(leader).expect("nobody else has it");
    leader.certificates.stop(crate::stage::LEASE).await;
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
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        };
        within("the order, taken over", took_over).await;
    }
    stage.front.door(Door::Open);
    edges[0].serves("a.example", |_| true).await;
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates(), stage.pebble.accounts()), (1, 1, 1));
    assert_eq!(stage.ledger("a.example").await.orders.len(), 1);
}
