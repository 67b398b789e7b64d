//! From a name to a certificate.

use std::collections::HashMap;
use std::sync::Arc;

use crate::Certificate;

/// All certificates at one moment.
#[derive(Debug, Default)]
pub struct Certificates {
    exact: HashMap<String, Arc<Certificate>>,
    /// By what follows the star and its dot.
    wildcards: HashMap<String, Arc<Certificate>>,
    /// For clients that ask for a name that nobody has, or for none.
    fallback: Option<Arc<Certificate>>,
    count: usize,
}

impl Certificates {
    /// Of two for the same name the one that is valid longer wins; the first one is for those who ask for no name that is
    /// known.
    pub fn new(certificates: impl IntoIterator<Item = Arc<Certificate>>) -> Self {
        let mut table = Self::default();
        for certificate in certificates {
            table.count += 1;
            table.fallback.get_or_insert_with(|| Arc::clone(&certificate));
            for name in certificate.names() {
                let (map, name) = match name.strip_prefix("*.") {
                    Some(suffix) => (&mut table.wildcards, suffix),
                    None => (&mut table.exact, name.as_str()),
                };
                let known = map.get(name);
                if known.is_none_or(|known| known.not_after() < certificate.not_after()) {
                    map.insert(name.to_owned(), Arc::clone(&certificate));
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
        let exact = self.exact.iter().map(|(name, certificate)| (name.clone(), certificate.not_after()));
        exact.chain(
            self.wildcards.iter().map(|(name, certificate)| (format!("*.{name}"), certificate.not_after())),
        )
    }

    /// The certificate that is for this name.
    pub fn find(&self, name: &str) -> Option<&Arc<Certificate>> {
        let wildcard = || name.split_once('.').and_then(|(_, suffix)| self.wildcards.get(suffix));
        self.exact.get(name).or_else(wildcard)
    }

    /// The certificate for this name, or the one for names that nobody has.
    pub fn find_any(&self, name: Option<&str>) -> Option<&Arc<Certificate>> {
        name.and_then(|name| self.find(name)).or(self.fallback.as_ref())
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

    #[test]
    fn names_find_their_certificate() {
        let own = Arc::new(certificate(&["a.example"], 2040));
        let wild = Arc::new(certificate(&["*.example", "*.a.example", "b.example"], 2040));
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
    fn of_two_the_one_that_is_valid_longer_wins() {
        let (old, new) =
            (Arc::new(certificate(&["a.example"], 2030)), Arc::new(certificate(&["a.example"], 2040)));
        for order in [[&old, &new], [&new, &old]] {
            let table = Certificates::new(order.map(Arc::clone));
            assert!(Arc::ptr_eq(table.find("a.example").unwrap(), &new));
        }
    }
}
