//! From entries of the store to types. What can't be used is told with its key; what was there before it stays in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use convoy_certificates::Certificate;
use convoy_keys::{
    ACME, AccountRecord, AcmeKey, AcmeLeaderRecord, CERTIFICATES, ChallengeRecord, EdgeRecord, IssuedRecord,
    LedgerRecord, OrderRecord, Record,
};
use convoy_store::{FeedEvent, Mirror};
use http::Uri;

use super::World;
use super::world::Issued;
use crate::Sealing;
use crate::status::{Problem, Source};

/// Longest text of chain and key that is read.
const GIVEN_MAX: usize = 256 * 1024;

/// What a key says.
#[derive(Debug, Clone)]
enum Value {
    Given(Arc<Certificate>),
    Issued(Issued),
    Order(OrderRecord),
    Ledger(LedgerRecord),
    Challenge(ChallengeRecord),
    Account(AccountRecord),
    Edge(EdgeRecord),
    Leader(AcmeLeaderRecord),
}

/// A key with what it said last that made sense.
#[derive(Debug)]
struct Known {
    key: Option<AcmeKey>,
    text: Arc<[u8]>,
    value: Option<Value>,
    /// The text that the value is from, where it is a certificate: to be kept for a start without the store.
    good: Option<Arc<[u8]>>,
    problem: Option<String>,
}

/// Reads.
#[derive(Debug)]
pub(super) struct Reader {
    sealing: Option<Arc<Sealing>>,
    mirror: Mirror,
    known: BTreeMap<String, Known>,
    stale: Option<String>,
}

impl Reader {
    pub(super) fn new(sealing: Option<Arc<Sealing>>) -> Self {
        Self { sealing, mirror: Mirror::new(), known: BTreeMap::new(), stale: None }
    }

    /// The prefixes that are read.
    pub(super) fn prefixes() -> [&'static str; 2] {
        [CERTIFICATES, ACME]
    }

    /// What an earlier run had read, until the store answers.
    pub(super) fn adopt(&mut self, texts: BTreeMap<String, Vec<u8>>) {
        for (key, text) in texts {
            self.read(key, &text);
        }
    }

    /// Takes in an event. True if there is something to tell.
    pub(super) fn take(&mut self, event: &FeedEvent) -> bool {
        let stale = match event {
            FeedEvent::Stale { error } => Some(error.clone()),
            FeedEvent::Listed(_) | FeedEvent::Changed { .. } | FeedEvent::Current { .. } => None,
        };
        let is_changed = self.mirror.apply(event);
        let is_listed = matches!(event, FeedEvent::Listed(_));
        let is_news = is_changed || is_listed || stale != self.stale;
        self.stale = stale;
        // Before the first listing an empty mirror means nothing; a listing may well be empty.
        if self.mirror.has_listed() && (is_changed || is_listed) {
            self.read_changed();
        }
        is_news
    }

    fn read_changed(&mut self) {
        self.known.retain(|key, _| self.mirror.get(key).is_some());
        let changed: Vec<_> = self
            .mirror
            .iter()
            .filter(|(key, entry)| self.known.get(*key).is_none_or(|known| *known.text != *entry.value))
            .map(|(key, entry)| (key.clone(), entry.value.clone()))
            .collect();
        for (key, text) in changed {
            self.read(key, &text);
        }
    }

    fn read(&mut self, key: String, text: &[u8]) {
        let parsed = AcmeKey::parse(&key);
        let read = match &parsed {
            Some(parsed) => self.parse(&key, parsed, text),
            None => Err("it is no key of Convoy's; delete it".to_owned()),
        };
        let before = self.known.remove(&key);
        let text: Arc<[u8]> = text.into();
        let known = match read {
            Ok(value) => {
                let is_certificate = matches!(value, Value::Given(_) | Value::Issued(_));
                let good = is_certificate.then(|| Arc::clone(&text));
                Known { key: parsed, text, value: Some(value), good, problem: None }
            }
            Err(problem) => {
                let (value, good) = before.map_or((None, None), |known| (known.value, known.good));
                // Only of certificates the one before is better than none.
                let value = value.filter(|_| good.is_some());
                Known { key: parsed, text, value, good, problem: Some(problem) }
            }
        };
        self.known.insert(key, known);
    }

    fn parse(&self, key: &str, parsed: &AcmeKey, text: &[u8]) -> Result<Value, String> {
        fn record<R: Record>(text: &[u8]) -> Result<R, String> {
            R::parse(text).map_err(|error| format!("{error}; delete the key, and it is made anew"))
        }
        match parsed {
            AcmeKey::Given(_) => given(text).map(|certificate| Value::Given(Arc::new(certificate))),
            AcmeKey::Issued(name) => {
                let record: IssuedRecord = record(text)?;
                let sealing =
                    self.sealing.as_ref().ok_or("its key is sealed; give this edge the credential")?;
                let opened = sealing.open(key, &record.key).map_err(|error| error.to_string())?;
                let certificate = Certificate::parse(record.chain.as_bytes(), opened.as_bytes(), None)
                    .map_err(|error| format!("{error}; delete the key, and another one is ordered"))?;
                if !certificate.names().iter().any(|own| own == name.as_str()) {
                    return Err("the certificate is for another name; delete the key".to_owned());
                }
                Ok(Value::Issued(Issued { certificate: Arc::new(certificate), authority: record.authority }))
            }
            AcmeKey::Challenge(_, token) => {
                let challenge: ChallengeRecord = record(text)?;
                if !challenge.answer.answers(token) {
                    return Err("the answer is to another token; delete the key".to_owned());
                }
                Ok(Value::Challenge(challenge))
            }
            AcmeKey::Order(_) => {
                let order: OrderRecord = record(text)?;
                // Requests to it are signed with the account's key.
                let host = |url: &str| url.parse::<Uri>().ok().and_then(|url| url.authority().cloned());
                if host(&order.url).is_none() || host(&order.url) != host(&order.authority) {
                    return Err("its URL is not the authority's; delete the key".to_owned());
                }
                Ok(Value::Order(order))
            }
            AcmeKey::Ledger(..) => record(text).map(Value::Ledger),
            AcmeKey::Account(_) => record(text).map(Value::Account),
            AcmeKey::Edge(_) => record(text).map(Value::Edge),
            AcmeKey::Leader => record(text).map(Value::Leader),
        }
    }

    /// All of it.
    pub(super) fn world(&self) -> World {
        let mut world = World {
            revision: self.mirror.revision().get(),
            has_listed: self.mirror.has_listed(),
            stale: self.stale.clone(),
            ..World::default()
        };
        for known in self.known.values() {
            match (known.key.clone(), known.value.clone()) {
                (Some(AcmeKey::Given(_)), Some(Value::Given(certificate))) => world.given.push(certificate),
                (Some(AcmeKey::Issued(name)), Some(Value::Issued(issued))) => {
                    world.issued.insert(name, issued);
                }
                (Some(AcmeKey::Order(name)), Some(Value::Order(order))) => {
                    world.orders.insert(name, order);
                }
                (Some(AcmeKey::Ledger(authority, name)), Some(Value::Ledger(ledger))) => {
                    world.ledger.insert((authority, name), ledger);
                }
                (Some(AcmeKey::Challenge(host, token)), Some(Value::Challenge(challenge))) => {
                    world.challenges.insert((host, token), challenge);
                }
                (Some(AcmeKey::Account(authority)), Some(Value::Account(account))) => {
                    world.accounts.insert(authority, account);
                }
                (Some(AcmeKey::Edge(edge)), Some(Value::Edge(record))) => {
                    world.edges.insert(edge, record);
                }
                (Some(AcmeKey::Leader), Some(Value::Leader(leader))) => world.leader = Some(leader.edge),
                _ => {}
            }
        }
        world
    }

    /// Certificates from keys, with their keys; given ones first.
    pub(super) fn certificates(&self) -> impl Iterator<Item = (&str, &Arc<Certificate>)> {
        let of = |is_given: bool| {
            self.known.iter().filter_map(move |(key, known)| match &known.value {
                Some(Value::Given(certificate)) if is_given => Some((key.as_str(), certificate)),
                Some(Value::Issued(issued)) if !is_given => Some((key.as_str(), &issued.certificate)),
                _ => None,
            })
        };
        of(true).chain(of(false))
    }

    /// Texts of certificates, to be kept.
    pub(super) fn texts(&self) -> BTreeMap<&str, &[u8]> {
        let good = self.known.iter().filter_map(|(key, known)| Some((key.as_str(), known.good.as_deref()?)));
        good.collect()
    }

    /// Keys that are of no use.
    pub(super) fn problems(&self) -> impl Iterator<Item = Problem> {
        self.known.iter().filter_map(|(key, known)| {
            let error = known.problem.clone()?;
            Some(Problem { source: Source::Key(key.clone()), error })
        })
    }
}

fn given(text: &[u8]) -> Result<Certificate, String> {
    if text.len() > GIVEN_MAX {
        return Err(format!("it is larger than {GIVEN_MAX} bytes"));
    }
    Certificate::parse(text, text, None).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use convoy_keys::{CertificateName, InstanceName};
    use convoy_store::{Entry, Revision, Snapshot};
    use rcgen::{CertificateParams, KeyPair};

    use super::*;
    use crate::seal::tests::sealing;

    const A: &str = "/convoy/certificates/a";
    const ISSUED: &str = "/convoy/acme/certificates/b.example";

    fn pem(name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([name.to_owned()]).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    fn issued(name: &str, sealed_for: &str, sealing: &Sealing) -> String {
        let (chain, key) = pem(name);
        let key = sealing.seal(sealed_for, &key).unwrap();
        let record = IssuedRecord { authority: "https://ca.example/dir".into(), chain, key, since: 1 };
        String::from_utf8(record.to_json().unwrap()).unwrap()
    }

    fn listing(revision: i64, pairs: &[(&str, &str)]) -> FeedEvent {
        let entry = |(key, value): &(&str, &str)| {
            let revision = Revision::new(revision);
            let entry = Entry {
                key: (*key).to_owned(),
                value: value.as_bytes().to_vec(),
                create_revision: revision,
                mod_revision: revision,
                version: 1,
                lease: 0,
            };
            ((*key).to_owned(), entry)
        };
        let entries = pairs.iter().map(entry).collect();
        FeedEvent::Listed(Snapshot { revision: Revision::new(revision), entries })
    }

    fn served(reader: &Reader) -> Vec<&str> {
        reader.certificates().map(|(key, _)| key).collect()
    }

    fn problems(reader: &Reader) -> Vec<String> {
        reader.problems().map(|problem| problem.to_string()).collect()
    }

    #[test]
    fn what_can_not_be_used_is_told_with_its_key_and_harms_no_other() {
        let sealing = Arc::new(sealing(&[1]));
        let (chain, key) = pem("a.example");
        let good = chain + &key;
        let own = issued("b.example", ISSUED, &sealing);
        let other = crate::seal::tests::sealing(&[2]);
        let foreign = issued("c.example", "/convoy/acme/certificates/c.example", &other);
        let moved = issued("d.example", "/convoy/acme/orders/d.example", &sealing);
        let renamed = issued("x.example", "/convoy/acme/certificates/e.example", &sealing);
        let order = |url: &str| {
            format!(r#"{{"authority":"https://ca.example/dir","url":"{url}","key":"","since":1}}"#)
        };
        let (order, elsewhere) = (order("https://ca.example/order/1"), order("https://evil.example/order/1"));
        let mut reader = Reader::new(Some(sealing));
        reader.take(&listing(
            7,
            &[
                (A, &good),
                ("/convoy/certificates/bad", "nonsense"),
                (ISSUED, &own),
                ("/convoy/acme/certificates/c.example", &foreign),
                ("/convoy/acme/certificates/d.example", &moved),
                ("/convoy/acme/certificates/e.example", &renamed),
                ("/convoy/acme/certificates/f.example", "{}"),
                ("/convoy/acme/whatever", "x"),
                ("/convoy/acme/challenges/a.example/abc", r#"{"kind":"http-01","answer":"<html>"}"#),
                ("/convoy/acme/orders/a.example", &elsewhere),
                ("/convoy/acme/orders/b.example", &order),
            ],
        ));
        assert_eq!(served(&reader), [A, ISSUED]);
        let problems = problems(&reader);
        for (key, expected) in [
            ("/convoy/certificates/bad", "there is no certificate in it; it has to be PEM"),
            ("/convoy/acme/certificates/c.example", "give all edges the same credential"),
            ("/convoy/acme/certificates/d.example", "sealed for another key"),
            ("/convoy/acme/certificates/e.example", "for another name"),
            ("/convoy/acme/certificates/f.example", "not a certificate record"),
            ("/convoy/acme/whatever", "no key of Convoy's"),
            ("/convoy/acme/challenges/a.example/abc", "not a challenge record"),
            ("/convoy/acme/orders/a.example", "not the authority's"),
        ] {
            let told = problems.iter().find(|problem| problem.starts_with(&format!("{key}: ")));
            assert!(told.is_some_and(|told| told.contains(expected)), "{key}: {problems:?}");
        }
        assert_eq!(problems.len(), 8);
        let world = reader.world();
        assert_eq!((world.revision, world.has_listed), (7, true));
        assert_eq!(world.issued.keys().collect::<Vec<_>>(), [&CertificateName::parse("b.example").unwrap()]);
        assert!(world.challenges.is_empty() && world.orders.len() == 1);
    }

    #[test]
    fn the_certificate_before_a_bad_one_is_served_on_and_a_deleted_one_is_not() {
        let (chain, key) = pem("a.example");
        let good = chain + &key;
        let mut reader = Reader::new(None);
        reader.take(&listing(1, &[(A, &good)]));
        reader.take(&listing(2, &[(A, "half of it")]));
        assert_eq!((served(&reader), problems(&reader).len()), (vec![A], 1));
        assert_eq!(reader.texts()[A], good.as_bytes());
        reader.take(&listing(3, &[(A, &good)]));
        assert_eq!((served(&reader), problems(&reader).len()), (vec![A], 0));
        reader.take(&listing(4, &[]));
        assert!(served(&reader).is_empty() && reader.texts().is_empty());
    }

    #[test]
    fn an_earlier_run_s_certificates_are_served_until_the_store_says_otherwise() {
        let sealing = Arc::new(sealing(&[1]));
        let own = issued("b.example", ISSUED, &sealing);
        let mut reader = Reader::new(Some(sealing));
        reader.adopt([(ISSUED.to_owned(), own.clone().into_bytes())].into());
        reader.take(&FeedEvent::Stale { error: "away".into() });
        assert_eq!(served(&reader), [ISSUED]);
        let world = reader.world();
        assert_eq!((world.has_listed, world.stale.as_deref()), (false, Some("away")));
        reader.take(&listing(1, &[]));
        assert!(served(&reader).is_empty());
        assert_eq!(reader.world().stale, None);
    }

    #[test]
    fn an_edge_without_the_credential_says_so() {
        let own = issued("b.example", ISSUED, &sealing(&[1]));
        let mut reader = Reader::new(None);
        reader.take(&listing(1, &[(ISSUED, &own), ("/convoy/acme/edges/one", r#"{"revision":1}"#)]));
        assert!(problems(&reader)[0].contains("give this edge the credential"));
        assert!(reader.world().edges.contains_key(&InstanceName::parse("one").unwrap()));
    }
}
