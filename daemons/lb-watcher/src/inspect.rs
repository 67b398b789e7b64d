//! `lb-watcher why` and `diff` for a load balancer: which instance it serves, which it doesn't and why, and what its
//! configuration would be if it were made now. Nothing is changed.

use std::fmt::Write as _;

use anyhow::Context;
use convoy_config::{SearchPath, etcd_inputs};
use convoy_keys::{upstream_key, upstream_prefix};
use convoy_lb_config::{Skipped, Upstream, read_upstreams};
use convoy_store::{Snapshot, Store, StoreSettings};

use crate::difference::compare;
use crate::output::print;
use crate::record::Record;
use crate::settings::Settings;
use crate::template_file::TemplateFile;

/// What the load balancer remembers, and what the store says.
struct Views {
    record: Record,
    snapshot: Snapshot,
    upstreams: Vec<Upstream>,
    skipped: Vec<Skipped>,
}

async fn views(settings: &Settings) -> anyhow::Result<Views> {
    let record = Record::read(&settings.files)?.with_context(|| {
        format!("{} has no record; was this load balancer ever started?", settings.files.path().display())
    })?;
    let store = Store::new(StoreSettings::try_from(etcd_inputs(&SearchPath::system())?)?)?;
    let snapshot = store.list(&upstream_prefix(&settings.app)).await.context("the keys can't be read")?;
    let entries = snapshot.entries.iter().map(|(key, entry)| (key.as_str(), entry.value.as_slice()));
    let (upstreams, skipped) = read_upstreams(&settings.app, &record.target.listen, entries);
    Ok(Views { record, snapshot, upstreams, skipped })
}

/// Prints a line per key of the service.
pub async fn why(settings: &Settings) -> anyhow::Result<()> {
    let Views { record, snapshot, upstreams, skipped } = views(settings).await?;
    let good = record.good.as_ref();
    let proved = good.map_or(0, |good| good.revision);
    let served = good.map(crate::record::Good::upstreams).unwrap_or_default();
    let refused = settings.files.read(&settings.files.reason())?;
    let mut text = format!(
        "the store is at revision {}, {} serves revision {proved}\n",
        snapshot.revision, settings.name
    );
    // Writing to a String can't fail.
    for upstream in &upstreams {
        let key = upstream_key(&settings.app, &upstream.name);
        let revision = snapshot.entries.get(&key).map_or(0, |entry| entry.mod_revision.get());
        let verdict = if served.contains(upstream) {
            format!("served since revision {revision}")
        } else {
            let reason = refused.as_deref().unwrap_or("it is on its way").trim();
            format!("not yet, it is of revision {revision}: {reason}")
        };
        let _ = writeln!(text, "  {key}  {}  {verdict}", upstream.address);
    }
    for entry in &skipped {
        let reason = entry.reason.to_string();
        let _ = writeln!(text, "  {}  left out: {}", entry.key.escape_debug(), reason.escape_debug());
    }
    for upstream in served.iter().filter(|served| upstreams.iter().all(|there| there.name != served.name)) {
        let key = upstream_key(&settings.app, &upstream.name);
        let _ = writeln!(
            text,
            "  {key}  {}  served although it is gone: held for a while, or on its way out",
            upstream.address
        );
    }
    if upstreams.is_empty() && skipped.is_empty() {
        let _ = writeln!(text, "  there is no key below {}", upstream_prefix(&settings.app));
    }
    print(text.as_bytes())
}

/// Prints how the configuration in place differs from the one that would be made now. True if it doesn't.
pub async fn diff(settings: &Settings) -> anyhow::Result<bool> {
    let Views { record, upstreams, .. } = views(settings).await?;
    let files = &settings.files;
    let mut template = TemplateFile::new(files.engine(), settings.template.as_deref());
    let (template, _) = template.current()?;
    let wanted = template.render(&settings.load_balancer(&record.target)?, &upstreams)?;
    let there = files.read(&files.live())?;
    let mut text = String::new();
    compare(&mut text, &files.live(), there.as_deref().map(str::as_bytes), Some(wanted.text().as_bytes()));
    print(text.as_bytes())?;
    Ok(text.is_empty())
}
