//! `restart` and `update`: all at once, or one after another while the rest keeps serving.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use convoy_keys::{Desired, UnitRecord};
use convoy_store::Store;
use convoy_unit_files::{Strictness, UnitName};

use super::{Session, launch, stop};
use crate::{
    batch::{Batch, Item},
    cli::{RestartArguments, Rolling, UpdateArguments, Waiting},
    exit::Outcome,
    picture::Picture,
    refusal::Refusal,
    select::{self, Templates},
    source::{LocalText, Source},
    wait::{Aim, Follow, Step, Wanted, roll, until},
    write::{self, Written},
};

pub(super) async fn restart(session: &mut Session<'_>, arguments: &RestartArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let mut selection = select::stored(&picture, &arguments.units, Templates::Instances)?;
    for name in selection.names.iter().filter(|name| !picture.units.contains_key(*name)) {
        selection.missing.push(format!("{name}: runs, but is not in the store"));
    }
    let outcome = stop::missing(session, &selection.missing);
    let by_template = select::words(&arguments.units)?
        .iter()
        .any(|word| UnitName::complete(word).is_ok_and(|name| name.is_template()));
    // A template stands for what runs of it; an instance that was stopped by hand stays so unless it is named.
    let named: BTreeSet<UnitName> =
        select::words(&arguments.units)?.iter().filter_map(|word| UnitName::complete(word).ok()).collect();
    let units: Vec<UnitName> = selection
        .names
        .into_iter()
        .filter(|name| picture.units.contains_key(name))
        .filter(|name| named.contains(name) || desired(&picture, name) == Some(Desired::Launched))
        .collect();
    let step = Restart { store: session.store.clone() };
    let done = carry_out(session, units, by_template, arguments.rolling, arguments.waiting, step).await?;
    Ok(outcome.and(done))
}

pub(super) async fn update(session: &mut Session<'_>, arguments: &UpdateArguments) -> Result<Outcome> {
    let picture = session.picture().await?;
    let strictness = launch::strictness(arguments.compat);
    let (mut items, mut templates, mut by_template) = (Vec::new(), Vec::new(), false);
    for word in select::words(&arguments.units)? {
        let source = Source::find(&picture, &word)?;
        let (text, file) = newest(&source);
        let item = |name: &UnitName| Item {
            name: name.clone(),
            text: Some(text.clone()),
            file: file.clone(),
            compatible: strictness == Strictness::Compatible,
        };
        if source.name.is_template() {
            by_template = true;
            templates.push(item(&source.name));
            let instances = picture.in_order().into_iter().map(|(name, _)| name);
            items.extend(instances.filter(|name| name.template().as_ref() == Some(&source.name)).map(item));
        } else if source.stored.is_some() {
            items.push(item(&source.name));
        } else {
            let message = format!("{} is not in the store; `start` it", source.name);
            return Err(Refusal::NotFound(message).into());
        }
    }
    let batch = Batch { items: items.iter().chain(&templates).cloned().collect(), notes: Vec::new() };
    launch::check(session, &picture, &batch, strictness)?;
    let units: Vec<UnitName> = items.iter().map(|item| item.name.clone()).collect();
    let items = items.into_iter().map(|item| (item.name.clone(), item)).collect();
    let step = Update { store: session.store.clone(), items };
    let outcome = carry_out(session, units, by_template, arguments.rolling, arguments.waiting, step).await?;
    // Instances made from now on are of the new text, unless it turned out to be no good.
    if outcome == Outcome::Done {
        for template in templates {
            write::unit(&session.store, &template.name, |before| Ok(template.record(before))).await?;
            session.console.line(format_args!("Template {} updated", template.name));
        }
    }
    Ok(outcome)
}

/// For an update the file wins over the store.
fn newest(source: &Source) -> (String, String) {
    if let Some(LocalText { text, path }) = &source.local {
        return (text.clone(), path.display().to_string());
    }
    let text = if source.name.is_template() { &source.stored } else { &source.template };
    let text = text.clone().or_else(|| source.stored.clone()).unwrap_or_default();
    (text, source.name.to_string())
}

fn desired(picture: &Picture, name: &UnitName) -> Option<Desired> {
    picture.units.get(name).map(|unit| unit.record.desired)
}

async fn carry_out(
    session: &mut Session<'_>,
    units: Vec<UnitName>,
    by_template: bool,
    rolling: Rolling,
    waiting: Waiting,
    mut step: impl Step,
) -> Result<Outcome> {
    let window = match rolling.max_unavailable {
        Some(count) => usize::try_from(count.get())?,
        None if by_template && !waiting.no_block => 1,
        None => usize::MAX,
    };
    if units.is_empty() {
        return Ok(Outcome::Done);
    }
    let mut follow = Follow::start(&session.store, session.console).await?;
    if window == usize::MAX || waiting.no_block {
        if waiting.no_block && rolling.max_unavailable.is_some() {
            let message = "--max-unavailable waits for each unit, so --no-block doesn't go with it";
            return Err(Refusal::Usage(message.to_owned()).into());
        }
        let mut wanted = Vec::new();
        for name in &units {
            wanted.extend(step.ask(name, follow.picture()).await?);
        }
        if waiting.no_block {
            for unit in &wanted {
                session.console.line(format_args!("Triggered unit {} restart", unit.name));
            }
            return Ok(Outcome::Done);
        }
        // A listing made after the writes: what was read before them can't be taken for their effect.
        let mut follow = Follow::start(&session.store, session.console).await?;
        return until(&mut follow, session.console, wanted, waiting.limit()).await;
    }
    let rollout = roll(&mut follow, session.console, &units, window, waiting.limit(), &mut step).await?;
    if rollout.outcome != Outcome::Done {
        let left: Vec<_> = rollout.left.iter().map(ToString::to_string).collect();
        session.console.note(if left.is_empty() {
            "Stopped; no unit is left as it was.".to_owned()
        } else {
            format!("Stopped. Left as they were: {}", left.join(" "))
        });
    }
    Ok(rollout.outcome)
}

struct Restart {
    store: Store,
}

impl Step for Restart {
    async fn ask(&mut self, name: &UnitName, picture: &Picture) -> Result<Option<Wanted>> {
        let written = write::unit(&self.store, name, |before| {
            Ok(before.map(|record| UnitRecord {
                restarts: record.restarts + 1,
                desired: Desired::Launched,
                ..record.clone()
            }))
        })
        .await?;
        Ok(wanted(name, picture, written, "restarted"))
    }
}

struct Update {
    store: Store,
    items: BTreeMap<UnitName, Item>,
}

impl Step for Update {
    async fn ask(&mut self, name: &UnitName, picture: &Picture) -> Result<Option<Wanted>> {
        let Some(item) = self.items.get(name) else { return Ok(None) };
        let mut launched = false;
        let written = write::unit(&self.store, name, |before| {
            launched = before.is_some_and(|record| record.desired == Desired::Launched);
            Ok(before.and_then(|_| item.record(before)))
        })
        .await?;
        // What doesn't run has its new text, and nothing has to be waited for.
        Ok(wanted(name, picture, written, "updated").filter(|_| launched))
    }
}

fn wanted(name: &UnitName, picture: &Picture, written: Written, word: &'static str) -> Option<Wanted> {
    match written {
        Written::Changed(since) => Some(Wanted::new(picture, name, Aim::Healthy { word, since })),
        Written::Unchanged | Written::Missing => None,
    }
}
