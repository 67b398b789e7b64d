//! `lb-watcher diff`: what would change in the files if they were made now.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context;
use convoy_store::{Snapshot, Store};
use similar::TextDiff;

use super::directory::Directory;
use super::options::Configuration;
use super::ranges::ranges;
use super::render::Templates;
use super::target::state_folder;
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

fn compare(text: &mut String, path: &Path, there: Option<&[u8]>, wanted: Option<&[u8]>) {
    if there == wanted {
        return;
    }
    let name = |bytes: Option<&[u8]>| bytes.map_or("/dev/null".to_owned(), |_| path.display().to_string());
    let shown = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let (old, new) = (shown(there), shown(wanted));
    let difference = TextDiff::from_lines(&old, &new);
    let _ = write!(text, "{}", difference.unified_diff().header(&name(there), &name(wanted)));
}
