//! Which upstreams were served, over a restart: a store that has fewer of them then is not believed at once either.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use convoy_keys::AppName;

use super::target::{Surroundings, state_folder};
use crate::guarded::Upstreams;

/// The file `upstreams.json`. It may be a little behind; then a little less is held.
#[derive(Debug)]
pub(super) struct Memory {
    path: PathBuf,
    kept: Option<Upstreams>,
}

/// The file's form: what is no text was no upstream.
type Written = BTreeMap<String, BTreeMap<String, String>>;

impl Memory {
    pub(super) fn new(surroundings: &Surroundings) -> Self {
        Self { path: state_folder(surroundings, "").path().join("upstreams.json"), kept: None }
    }

    /// What was kept. A damaged file counts as none.
    pub(super) fn read(&self) -> Upstreams {
        let written: Written = fs::read_to_string(&self.path)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        written
            .into_iter()
            .filter_map(|(app, upstreams)| {
                let upstreams = upstreams.into_iter().map(|(key, value)| (key, value.into_bytes()));
                Some((AppName::parse(&app).ok()?, upstreams.collect()))
            })
            .collect()
    }

    /// Keeps these, if they are others.
    pub(super) fn keep(&mut self, upstreams: Upstreams) {
        if self.kept.as_ref() == Some(&upstreams) || (self.kept.is_none() && upstreams.is_empty()) {
            return;
        }
        let text = |value: &Vec<u8>| String::from_utf8(value.clone()).ok();
        let written: Written = upstreams
            .iter()
            .map(|(app, upstreams)| {
                let upstreams = upstreams.iter().filter_map(|(key, value)| Some((key.clone(), text(value)?)));
                (app.to_string(), upstreams.collect())
            })
            .collect();
        let folder = self.path.parent().map_or(Ok(()), fs::create_dir_all);
        let draft = self.path.with_extension("draft");
        let kept = folder
            .and_then(|()| fs::write(&draft, serde_json::to_vec(&written).unwrap_or_default()))
            .and_then(|()| fs::rename(&draft, &self.path));
        match kept {
            Ok(()) => self.kept = Some(upstreams),
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "the upstreams can't be kept for the next start");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::apply::Extent;

    #[test]
    fn what_is_kept_is_read_by_the_next_and_damage_counts_as_nothing() {
        let state = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            confdir: "/etc/confd".into(),
            state: state.path().to_owned(),
            extent: Extent::Whole,
            keeps_staged: false,
        };
        let mut memory = Memory::new(&surroundings);
        assert!(memory.read().is_empty());
        let upstreams = BTreeMap::from([("/services/a/upstream/1".to_owned(), b"10.0.0.1:80".to_vec())]);
        let upstreams = BTreeMap::from([(AppName::parse("a").unwrap(), upstreams)]);
        memory.keep(upstreams.clone());
        assert_eq!(Memory::new(&surroundings).read(), upstreams);
        fs::write(&memory.path, "{").unwrap();
        assert!(Memory::new(&surroundings).read().is_empty());
    }
}
