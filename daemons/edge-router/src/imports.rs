//! Keys of other proxies, kept as they are, and the documents that are made of them.

use std::collections::{BTreeMap, BTreeSet};

use convoy_keys::AppName;
use convoy_routing::{Document, Import};

/// What is imported.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    layouts: Vec<Import>,
    keys: BTreeMap<String, String>,
    /// Those that were told.
    ignored: BTreeMap<String, String>,
    changed: bool,
}

impl Imports {
    pub(crate) fn new(imports: Vec<Import>) -> Self {
        Self { layouts: imports, ..Self::default() }
    }

    /// Whether a key is for one of them.
    pub(crate) fn wants(&self, key: &str) -> bool {
        self.layouts.iter().any(|import| key.starts_with(&import.prefix))
    }

    pub(crate) fn put(&mut self, key: &str, value: &[u8]) {
        if self.wants(key) {
            // What is no text makes no sense in either layout, and is told as what is ignored.
            let text = String::from_utf8_lossy(value).into_owned();
            self.changed |= self.keys.insert(key.to_owned(), text.clone()).as_ref() != Some(&text);
        }
    }

    pub(crate) fn delete(&mut self, key: &str) {
        self.changed |= self.keys.remove(key).is_some();
    }

    pub(crate) fn retain(&mut self, listed: impl Fn(&str) -> bool) {
        let before = self.keys.len();
        self.keys.retain(|key, _| listed(key));
        self.changed |= self.keys.len() != before;
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.keys.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The documents, when they may be others than before. Of two with the same name the one of the import that was named
    /// first counts.
    pub(crate) fn documents(&mut self) -> Option<BTreeMap<AppName, Document>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut documents = BTreeMap::new();
        let mut ignored = BTreeMap::new();
        for import in &self.layouts {
            let imported = import.read(self.entries());
            for (app, document) in imported.documents {
                documents.entry(app).or_insert(document);
            }
            ignored.extend(imported.ignored);
        }
        let told: BTreeSet<_> = self.ignored.keys().collect();
        for (key, reason) in ignored.iter().filter(|(key, _)| !told.contains(key)) {
            tracing::info!(KEY = key, error = reason, "the key {key} is not followed: {reason}");
        }
        self.ignored = ignored;
        Some(documents)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_become_documents_when_they_change() {
        let mut imports = Imports::new(vec!["vulcand".parse().unwrap()]);
        imports.put("/services/a/lb/1", b"10.0.0.1:80");
        assert!(imports.documents().is_none());
        imports.put("/vulcand/backends/b/servers/s", br#"{"URL":"http://10.0.0.1:80"}"#);
        imports.put("/vulcand/frontends/f/frontend", br#"{"BackendId":"b","Route":"Host(\"a.example\")"}"#);
        assert_eq!(imports.documents().unwrap().len(), 1);
        imports.put("/vulcand/backends/b/servers/s", br#"{"URL":"http://10.0.0.1:80"}"#);
        assert!(imports.documents().is_none(), "nothing new");
        imports.retain(|key| key.contains("frontends"));
        assert!(imports.documents().unwrap().is_empty(), "without servers there is nothing to follow");
    }
}
