//! Certificates are renewed before anybody notices.

use std::time::Duration;

use convoy_acme::Limits;
use convoy_test_pebble::Options;

use crate::stage::Stage;

#[tokio::test]
async fn a_certificate_is_renewed_after_two_thirds_of_its_time_while_the_old_one_is_served() {
    let validity = Duration::from_secs(15);
    let Some(stage) = Stage::set_with(Options { validity, ..Options::default() }).await else { return };
    let orders = convoy_acme::OrderSettings {
        limits: Limits { per_name: 100, ..Limits::default() },
        ..stage.orders()
    };
    let edges = stage.edges(&orders, &["a.example"]);
    let first = edges[0].serves("a.example", |_| true).await;
    let begin = std::time::Instant::now();
    let second = edges[1].serves("a.example", |shown| shown != first).await;
    let waited = begin.elapsed();
    assert!(waited > validity / 2 && waited < validity, "{waited:?}");
    // Nobody had an old one only.
    for edge in &edges {
        edge.serves("a.example", |shown| shown == second).await;
    }
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (2, 2));
    let status = edges[2].status("no problem", |status| status.problems.is_empty()).await;
    assert_eq!(status.certificates.len(), 1);
}
