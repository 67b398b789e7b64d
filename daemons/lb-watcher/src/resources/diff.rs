//! `lb-watcher diff`: what would change in the files if they were made now.

use std::fmt::Write as _;

use anyhow::Context;
use convoy_store::{Snapshot, Store};

use super::directory::Directory;
use super::options::Configuration;
use super::ranges::ranges;
use super::render::Templates;
use super::target::state_folder;
use crate::difference::compare;
use crate::install::disk;
use crate::output::print;

/// Prints the differences in the form of diff(1). True if there is none.
pub async fn diff(configuration: &Configuration) -> anyhow::Result<bool> {
    let settings = &configuration.settings;
    let directory = Directory::read(&settings.confdir, settings.prefix.as_deref())?;
    let snapshot = snapshot(configuration, &directory).await?;
    let mut text = String::new();
    for (name, why) in &directory.broken {
        let _ = writeln!(text, "{name} can't be used: {why}");
    }
    for (resource, _) in &directory.resources {
        let keys = snapshot.entries.iter().map(|(key, entry)| (key.as_str(), entry.value.as_slice()));
        let (view, _) = resource.view(keys);
        let rendered = match Templates::default().render(resource, &settings.confdir, &view) {
            Ok(rendered) => rendered,
            Err(error) => {
                let _ = writeln!(text, "{} can't be made: {error}", resource.name);
                continue;
            }
        };
        for (path, content) in rendered.set.iter() {
            let there = disk::read(path)?.map(|content| content.bytes);
            compare(&mut text, path, there.as_deref(), Some(&content.bytes));
        }
        let state = state_folder(&configuration.surroundings(), &resource.name).read();
        for path in state.files.iter().filter(|path| rendered.set.get(path).is_none()) {
            let there = disk::read(path)?.map(|content| content.bytes);
            compare(&mut text, path, there.as_deref(), None);
        }
    }
    print(text.as_bytes())?;
    Ok(text.is_empty())
}

/// All keys that the resources ask for.
pub(super) async fn snapshot(
    configuration: &Configuration,
    directory: &Directory,
) -> anyhow::Result<Snapshot> {
    let wanted = ranges(directory.resources.iter().map(|(resource, _)| resource));
    let store = Store::new(configuration.store().await?)?;
    store.read(&wanted).await.context("the keys can't be read")
}
