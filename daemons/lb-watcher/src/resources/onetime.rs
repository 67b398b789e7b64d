//! One pass over all resources, as `confd -onetime`.

use anyhow::{Context, bail};
use convoy_store::Store;

use super::directory::Directory;
use super::options::Configuration;
use super::ranges::ranges;
use super::target::{Outcome, Target, note_broken};

/// Makes all files once. One that fails keeps no other from being made; the error says how many did.
pub async fn onetime(configuration: Configuration) -> anyhow::Result<()> {
    let settings = &configuration.settings;
    let surroundings = configuration.surroundings();
    let directory = Directory::read(&settings.confdir, settings.prefix.as_deref())?;
    for warning in &directory.warnings {
        tracing::warn!("{warning}");
    }
    for (name, why) in &directory.broken {
        tracing::error!(TARGET = name, error = why, "{name} can't be used: {why}");
        note_broken(&surroundings, name, why);
    }
    let all = directory.resources.len() + directory.broken.len();
    if all == 0 {
        tracing::warn!("there are no resources in {}", settings.confdir.join("conf.d").display());
    }
    let wanted = ranges(directory.resources.iter().map(|(resource, _)| resource));
    let (keys, revision) = if wanted.is_empty() {
        Default::default()
    } else {
        let store = Store::new(configuration.store().await?)?;
        let snapshot = store.read(&wanted).await.context("the keys can't be read, nothing was changed")?;
        (snapshot.entries, snapshot.revision)
    };
    let mut failed = directory.broken.len();
    for (resource, text) in directory.resources {
        let mut target = Target::new(resource, text, surroundings.clone());
        let mut keys = keys.iter().map(|(key, entry)| (key.as_str(), entry.value.as_slice()));
        let outcome = match target.start(&mut keys, (revision, false)) {
            Ok(work) => {
                let attempt = work.await;
                target.conclude(attempt)
            }
            Err(outcome) => outcome,
        };
        failed += usize::from(matches!(outcome, Outcome::Failed(_)));
    }
    if failed > 0 {
        bail!("{failed} of {all} resources could not be brought up to date");
    }
    Ok(())
}
