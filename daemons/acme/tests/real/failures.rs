//! Failures are counted, waited for, and remembered.

use std::time::Duration;

use convoy_acme::{Limits, OrderSettings, Step, Why};

use crate::front::Door;
use crate::stage::Stage;

#[tokio::test]
async fn a_proof_that_fails_is_waited_for_and_a_crash_loop_orders_nothing_more() {
    let Some(stage) = Stage::set().await else { return };
    stage.front.door(Door::Shut);
    let limits = Limits { shortest_wait: Duration::from_secs(12), ..Limits::default() };
    let orders = OrderSettings { limits, ..stage.orders() };
    let mut edges = stage.edges(&orders, &["a.example"]);
    let failed =
        |status: &convoy_acme::Status| status.names.first().is_some_and(|name| name.last_error.is_some());
    let status = edges[0].status("a failure", failed).await;
    let name = &status.names[0];
    let Step::Wait { until, why: Why::Failure } = name.step else { panic!("{name:?}") };
    let error = name.last_error.clone().unwrap();
    assert!(error.contains("Http01") && error.contains("a.example"), "{error}");
    assert_eq!(stage.pebble.orders(), 1);
    assert_eq!((stage.left("orders").await, stage.left("challenges").await), (0, 0));

    // All edges crash and come back, again and again.
    for _ in 0..2 {
        edges.clear();
        stage.front.lead_to(&[]);
        edges = stage.edges(&orders, &["a.example"]);
        edges[0].status("what was known", failed).await;
        stage.leader(&edges).await;
    }
    let again = edges[0].status("what was known", failed).await;
    assert_eq!(again.names[0].step, Step::Wait { until, why: Why::Failure }, "{again:?}");
    assert_eq!((stage.pebble.orders(), stage.ledger("a.example").await.failures), (1, 1));

    // When the cause is gone, the next try succeeds and the failure is forgotten.
    stage.front.door(Door::Open);
    edges[0].serves("a.example", |_| true).await;
    let record = stage.ledger("a.example").await;
    assert_eq!((stage.pebble.orders(), record.failures, record.orders.len()), (2, 0, 2));
    let tls: u64 = edges.iter().map(|edge| edge.certificates.resolver().proved()).sum();
    assert!(tls > 0, "after a failure the next kind of proof is tried");
}

#[tokio::test]
async fn a_name_is_ordered_no_more_often_than_it_may_be() {
    let Some(stage) = Stage::set().await else { return };
    stage.front.door(Door::Shut);
    let limits = Limits { shortest_wait: Duration::from_millis(100), per_name: 2, ..Limits::default() };
    let edges = stage.edges(&OrderSettings { limits, ..stage.orders() }, &["a.example"]);
    let status = edges[1]
        .status("the limit", |status| {
            let step = status.names.first().map(|name| name.step);
            matches!(step, Some(Step::Wait { why: Why::NameLimit, .. }))
        })
        .await;
    // It counts before it is placed.
    crate::edge::within("the second failure", async {
        while stage.ledger("a.example").await.failures < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    assert!(status.names[0].last_error.is_some());
    assert_eq!((stage.pebble.orders(), stage.ledger("a.example").await.orders.len()), (2, 2));
}

#[tokio::test]
async fn an_authority_that_is_away_costs_no_orders_and_is_told() {
    let Some(stage) = Stage::set().await else { return };
    let orders = OrderSettings { directory: "https://127.0.0.1:1/dir".into(), ..stage.orders() };
    let edges = stage.edges(&orders, &["a.example"]);
    let leader = stage.leader(&edges).await;
    let status = edges[leader].status("the trouble", |status| status.order_error.is_some()).await;
    let error = status.order_error.clone().unwrap();
    assert!(error.contains("refused"), "{error}");
    assert_eq!((stage.left("ledger").await, stage.left("accounts").await), (0, 0));
}
