//! From a name to a certificate.

use std::collections::HashMap;
use std::sync::Arc;

use crate::{Certificate, Validity};

/// All certificates at one moment.
#[derive(Debug, Default)]
pub struct Certificates {
    exact: HashMap<String, Choice>,
    /// By what follows the star and its dot.
    wildcards: HashMap<String, Choice>,
    /// For clients that ask for a name that nobody has, or for none.
    fallback: Option<Choice>,
    count: usize,
}

/// The best certificate for a name.
#[derive(Debug, Clone)]
struct Choice {
    certificate: Arc<Certificate>,
    validity: Validity,
}

impl Choice {
    /// Valid ones first, then the one that was made last: authorities shorten their lifetimes, so the newer one may well
    /// be the one that ends first.
    fn is_better_than(&self, other: &Self) -> bool {
        let rank = |choice: &Self| {
            let certificate = &choice.certificate;
            (choice.validity, certificate.not_before(), certificate.not_after())
        };
        rank(self) > rank(other)
    }

    fn is_valid(&self) -> bool {
        self.validity == Validity::Valid
    }
}

impl Certificates {
    /// Takes all for valid. Of two for the same name the newer one wins; the first of all is for those who ask for no name
    /// that is known.
    pub fn new(certificates: impl IntoIterator<Item = Arc<Certificate>>) -> Self {
        Self::build(certificates.into_iter().map(|certificate| (certificate, Validity::Valid)))
    }

    /// The same at a moment, in Unix time: one that is not valid is served only where no other is for the name, so that
    /// people who pass over its warning, or whose clock is wrong, still get through.
    pub fn at(now: i64, certificates: impl IntoIterator<Item = Arc<Certificate>>) -> Self {
        Self::build(certificates.into_iter().map(|certificate| {
            let validity = certificate.validity(now);
            (certificate, validity)
        }))
    }

    fn build(certificates: impl Iterator<Item = (Arc<Certificate>, Validity)>) -> Self {
        let mut table = Self::default();
        for (certificate, validity) in certificates {
            table.count += 1;
            let choice = Choice { certificate, validity };
            if table.fallback.as_ref().is_none_or(|known| !known.is_valid() && choice.is_valid()) {
                table.fallback = Some(choice.clone());
            }
            for name in choice.certificate.names() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(suffix) => (&mut table.wildcards, suffix),
                    None => (&mut table.exact, name.as_str()),
                };
                if map.get(name).is_none_or(|known| choice.is_better_than(known)) {
                    map.insert(name.to_owned(), choice.clone());
                }
            }
        }
        table
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Every name with the end of its certificate, in Unix time.
    pub fn ends(&self) -> impl Iterator<Item = (String, i64)> {
        let exact = self.exact.iter().map(|(name, choice)| (name.clone(), choice.certificate.not_after()));
        let wildcards = self.wildcards.iter();
        exact.chain(wildcards.map(|(name, choice)| (format!("*.{name}"), choice.certificate.not_after())))
    }

    /// The certificate that is for this name: its own before a wildcard, a valid one before one that isn't.
    pub fn find(&self, name: &str) -> Option<&Arc<Certificate>> {
        let own = self.exact.get(name);
        let chosen = match own {
            Some(own) if own.is_valid() => Some(own),
            _ => {
                let wildcard = name.split_once('.').and_then(|(_, suffix)| self.wildcards.get(suffix));
                wildcard.filter(|wildcard| own.is_none() || wildcard.is_valid()).or(own)
            }
        };
        chosen.map(|choice| &choice.certificate)
    }

    /// The certificate for this name, or the one for names that nobody has.
    pub fn find_any(&self, name: Option<&str>) -> Option<&Arc<Certificate>> {
        let fallback = self.fallback.as_ref().map(|choice| &choice.certificate);
        name.and_then(|name| self.find(name)).or(fallback)
    }

    /// Whether a connection that was opened for the first name has shown a certificate that is for the second one, too.
    pub fn covers(&self, opened: &str, host: &str) -> bool {
        match (self.find_any(Some(opened)), self.find(host)) {
            (Some(shown), Some(needed)) => Arc::ptr_eq(shown, needed),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::tests::certificate;

    const Y2030: i64 = 1_893_456_000;

    #[test]
    fn names_find_their_certificate() {
        let own = certificate(&["a.example"], (2020, 2040));
        let wild = certificate(&["*.example", "*.a.example", "b.example"], (2020, 2040));
        let table = Certificates::new([Arc::clone(&own), Arc::clone(&wild)]);
        for (name, expected) in [
            ("a.example", Some(&own)),
            ("b.example", Some(&wild)),
            ("c.example", Some(&wild)),
            ("x.a.example", Some(&wild)),
            ("y.x.a.example", None),
            ("example", None),
        ] {
            assert_eq!(table.find(name).map(Arc::as_ptr), expected.map(Arc::as_ptr), "{name}");
        }
        assert!(Arc::ptr_eq(table.find_any(None).unwrap(), &own));
        for (opened, host, covers) in [
            ("b.example", "c.example", true),
            ("a.example", "b.example", false),
            ("other", "a.example", true),
            ("a.example", "other", false),
        ] {
            assert_eq!(table.covers(opened, host), covers, "{opened} {host}");
        }
    }

    #[test]
    fn of_two_the_newer_one_wins_though_it_may_end_first_and_a_valid_one_before_any_other() {
        let name = &["a.example"][..];
        for (why, winner, loser) in [
            ("newer", (2025, 2035), (2020, 2040)),
            ("valid", (2020, 2040), (2025, 2027)),
            ("valid already", (2020, 2040), (2035, 2045)),
            ("to come rather than gone", (2035, 2045), (2020, 2025)),
            ("longer, of two of the same day", (2020, 2040), (2020, 2035)),
        ] {
            let (winner, loser) = (certificate(name, winner), certificate(name, loser));
            for order in [[&winner, &loser], [&loser, &winner]] {
                let table = Certificates::at(Y2030, order.map(Arc::clone));
                assert!(Arc::ptr_eq(table.find("a.example").unwrap(), &winner), "{why}");
            }
        }
    }

    #[test]
    fn an_own_certificate_that_expired_gives_way_to_a_wildcard_that_has_not() {
        let expired = certificate(&["x.a.example"], (2020, 2025));
        let wild = certificate(&["*.a.example"], (2020, 2040));
        let gone = certificate(&["*.a.example"], (2020, 2026));
        let table =
            |all: &[&Arc<Certificate>]| Certificates::at(Y2030, all.iter().map(|one| Arc::clone(one)));
        let with_valid = table(&[&expired, &wild]);
        assert!(Arc::ptr_eq(with_valid.find("x.a.example").unwrap(), &wild));
        assert!(Arc::ptr_eq(with_valid.find_any(None).unwrap(), &wild), "nor is it the one for strangers");
        let without = table(&[&expired, &gone]);
        assert!(Arc::ptr_eq(without.find("x.a.example").unwrap(), &expired));
        assert!(Arc::ptr_eq(without.find("y.a.example").unwrap(), &gone), "better than nothing");
    }
}
