//! The other ways to prove a name.

use std::os::unix::fs::PermissionsExt;

use convoy_acme::{DnsHook, ExternalAccount, OrderSettings, Step};
use convoy_certificates::Certificate;
use convoy_keys::ChallengeKind;
use convoy_test_pebble::{CUSTOMER, Options};

use crate::stage::{Stage, name};

#[tokio::test]
async fn a_name_is_proved_by_tls_whichever_edge_is_asked() {
    let Some(stage) = Stage::set().await else { return };
    let orders = OrderSettings { challenges: vec![ChallengeKind::TlsAlpn01], ..stage.orders() };
    let edges = stage.edges(&orders, &["a.example"]);
    for edge in &edges {
        edge.serves("a.example", |_| true).await;
    }
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (1, 1));
    let proved: u64 = edges.iter().map(|edge| edge.certificates.resolver().proved()).sum();
    assert!(proved >= 1);
    assert!(edges.iter().all(|edge| edge.certificates.metrics().http01_answered() == 0));
}

#[tokio::test]
async fn a_wildcard_is_proved_by_dns_and_spares_the_names_below_it() {
    let Some(stage) = Stage::set().await else { return };
    let path = stage.pebble.directory().join("hook");
    let script = format!(
        r#"#!/bin/sh
set -eu
echo "$@" >> "$(dirname "$0")/hook.log"
case $2 in
    present) call=set-txt ;;
    cleanup) call=clear-txt ;;
esac
curl --silent --fail --data "{{\"host\": \"$3\", \"value\": \"$4\"}}" "{}/$call"
"#,
        stage.pebble.names()
    );
    std::fs::write(&path, script).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let dns_hook = Some(DnsHook::new(path, vec!["--zone=a.example".into()]));
    let orders = OrderSettings { dns_hook, ..stage.orders() };
    let edges = stage.edges(&orders, &["*.a.example", "x.a.example"]);
    for edge in &edges {
        edge.serves_as("x.a.example", "*.a.example", |_| true).await;
    }
    let status = edges[0].status("both names", |status| status.names.len() == 2).await;
    let step = |of: &str| status.names.iter().find(|status| status.name == name(of)).unwrap().step;
    assert!(matches!(step("*.a.example"), Step::Fresh { .. }));
    assert_eq!(step("x.a.example"), Step::Covered);
    assert_eq!((stage.pebble.orders(), stage.pebble.certificates()), (1, 1));
    let log = std::fs::read_to_string(stage.pebble.directory().join("hook.log")).unwrap();
    let calls: Vec<_> = log.lines().collect();
    assert!(calls[0].starts_with("--zone=a.example present _acme-challenge.a.example. "), "{log}");
    assert_eq!(calls[1], calls[0].replace("present", "cleanup"));
    assert_eq!(calls.len(), 2);
}

#[tokio::test]
async fn a_hook_that_fails_is_quoted_and_waited_for() {
    let Some(stage) = Stage::set().await else { return };
    let path = stage.pebble.directory().join("hook");
    std::fs::write(&path, "#!/bin/sh\necho no such zone >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let orders = OrderSettings { dns_hook: Some(DnsHook::new(path, Vec::new())), ..stage.orders() };
    let edges = stage.edges(&orders, &["*.a.example"]);
    let failed =
        |status: &convoy_acme::Status| status.names.first().is_some_and(|name| name.last_error.is_some());
    let status = edges[0].status("a failure", failed).await;
    let error = status.names[0].last_error.clone().unwrap();
    assert!(error.contains("no such zone"), "{error}");
}

#[tokio::test]
async fn a_key_that_an_operator_put_there_is_served_by_all_and_nothing_is_ordered() {
    let Some(stage) = Stage::set().await else { return };
    let pair = rcgen::KeyPair::generate().unwrap();
    let chain =
        rcgen::CertificateParams::new(["*.example".to_owned()]).unwrap().self_signed(&pair).unwrap().pem();
    let text = chain.clone() + &pair.serialize_pem();
    stage.store().put("/convoy/certificates/mine", text.as_bytes()).await.unwrap();
    let edges = stage.edges(&stage.orders(), &["a.example"]);
    let own = Certificate::parse(chain.as_bytes(), text.as_bytes(), None).unwrap().leaf().unwrap().to_vec();
    for edge in &edges {
        assert_eq!(edge.serves_as("a.example", "*.example", |_| true).await, own);
        edge.status("rest", |status| status.names.first().is_some_and(|name| name.step == Step::Covered))
            .await;
    }
    stage.store().put("/convoy/certificates/mine", b"half of it").await.unwrap();
    let status = edges[0].status("a problem", |status| !status.problems.is_empty()).await;
    assert!(
        status.problems[0].to_string().starts_with("/convoy/certificates/mine: there is no"),
        "{status:?}"
    );
    assert_eq!(edges[0].shows("a.example").await, Some(own));
    assert_eq!(stage.pebble.orders(), 0);
}

#[tokio::test]
async fn an_authority_that_wants_customers_only_gets_to_know_one() {
    let Some(stage) = Stage::set_with(Options { customers_only: true, ..Options::default() }).await else {
        return;
    };
    let stranger = stage.edges(&stage.orders(), &["a.example"]);
    let leader = stage.leader(&stranger).await;
    let status = stranger[leader].status("the trouble", |status| status.order_error.is_some()).await;
    let error = status.order_error.clone().unwrap();
    assert!(error.contains("externalAccountRequired"), "{error}");
    stage.front.lead_to(&[]);
    drop(stranger);
    let path = stage.place.path().join("customer");
    std::fs::write(&path, CUSTOMER.1).unwrap();
    let external_account = Some(ExternalAccount::read(CUSTOMER.0, &path).unwrap());
    let edges = stage.edges(&OrderSettings { external_account, ..stage.orders() }, &["a.example"]);
    edges[0].serves("a.example", |_| true).await;
    assert_eq!((stage.pebble.accounts(), stage.pebble.orders()), (1, 1));
}
