//! What nobody needs any more.

use std::collections::BTreeSet;

use convoy_keys::{AcmeKey, Authority, CertificateName};

use crate::Limits;
use crate::rules::counts_nothing;
use crate::serve::World;

/// Removed at once: what is left comes next time. etcd takes 128.
const AT_ONCE: usize = 100;

/// Keys to be removed: challenges without an order, and what is left of names that have no route any more.
pub(super) fn leftovers(
    world: &World,
    authority: &Authority,
    wanted: &BTreeSet<CertificateName>,
    running: &BTreeSet<CertificateName>,
    limits: &Limits,
    now: i64,
) -> Vec<AcmeKey> {
    let is_gone = |name: &&CertificateName| !wanted.contains(*name) && !running.contains(*name);
    let challenges = world.challenges.keys().filter(|(host, _)| !world.orders.contains_key(host));
    let orders = world.orders.keys().filter(is_gone);
    let certificates = world.issued.iter().filter(|(name, issued)| {
        // An app that comes back soon finds its certificate.
        is_gone(name) && issued.certificate.not_after() < now
    });
    let records = world.ledger.iter().filter(|((of, name), record)| {
        (of != authority || is_gone(&name)) && counts_nothing(record, limits, now)
    });
    let challenges = challenges.map(|(host, token)| AcmeKey::Challenge(host.clone(), token.clone()));
    let orders = orders.map(|name| AcmeKey::Order(name.clone()));
    let certificates = certificates.map(|(name, _)| AcmeKey::Issued(name.clone()));
    let records = records.map(|((of, name), _)| AcmeKey::Ledger(of.clone(), name.clone()));
    challenges.chain(orders).chain(certificates).chain(records).take(AT_ONCE).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use convoy_certificates::Certificate;
    use convoy_keys::{
        ChallengeKind, ChallengeRecord, ChallengeToken, KeyAuthorization, LedgerRecord, OrderRecord,
    };
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;
    use crate::serve::Issued;

    const NOW: i64 = 1_800_000_000;

    fn name(text: &str) -> CertificateName {
        CertificateName::parse(text).unwrap()
    }

    fn issued(host: &str, last_year: i32) -> Issued {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([host.to_owned()]).unwrap();
        params.not_after = date_time_ymd(last_year, 1, 1);
        let pem = params.self_signed(&key).unwrap().pem();
        let certificate = Certificate::parse(pem.as_bytes(), key.serialize_pem().as_bytes(), None).unwrap();
        Issued { certificate: Arc::new(certificate), authority: "https://ca.example/dir".into() }
    }

    #[test]
    fn only_what_nobody_needs_is_removed() {
        let authority = Authority::of("https://ca.example/dir").unwrap();
        let order =
            OrderRecord { authority: String::new(), url: String::new(), key: String::new(), since: 0 };
        let token = ChallengeToken::parse("abc").unwrap();
        let answer = KeyAuthorization::parse(&format!("abc.{}", "x".repeat(43))).unwrap();
        let challenge = ChallengeRecord { kind: ChallengeKind::Http01, answer };
        let spent =
            LedgerRecord { orders: vec![u64::try_from(NOW - 10).unwrap()], ..LedgerRecord::default() };
        let mut world = World::default();
        for host in ["here.example", "running.example", "gone.example"] {
            world.orders.insert(name(host), order.clone());
        }
        for host in ["here.example", "left.example"] {
            world.challenges.insert((name(host), token.clone()), challenge.clone());
        }
        for (host, year) in [("here.example", 2020), ("gone.example", 2020), ("back.example", 2040)] {
            world.issued.insert(name(host), issued(host, year));
        }
        for (host, record) in [
            ("here.example", LedgerRecord::default()),
            ("gone.example", LedgerRecord::default()),
            ("spent.example", spent),
        ] {
            world.ledger.insert((authority.clone(), name(host)), record);
        }
        let (wanted, running) = ([name("here.example")].into(), [name("running.example")].into());
        let removed = leftovers(&world, &authority, &wanted, &running, &Limits::default(), NOW);
        assert_eq!(
            removed,
            [
                AcmeKey::Challenge(name("left.example"), token),
                AcmeKey::Order(name("gone.example")),
                AcmeKey::Issued(name("gone.example")),
                AcmeKey::Ledger(authority, name("gone.example")),
            ]
        );
    }
}
