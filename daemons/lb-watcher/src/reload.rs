//! `lb-watcher reload`: the reload as systemd's job, which ends well only when nginx serves its configuration.

use std::path::Path;

use anyhow::{Context, bail};
use convoy_lb_config::Digest;

use crate::nginx::{FOLLOW_DEADLINE, Master};
use crate::record::Record;
use crate::settings::Settings;

/// Tells nginx to read its configuration again and waits until it answers with it. The workers of the former one are
/// told at once to take no more connections.
pub async fn reload(settings: &Settings, pid: Option<&str>, pid_file: Option<&str>) -> anyhow::Result<()> {
    let files = &settings.files;
    let record = Record::read(files)?.context("there is no record; run lb-watcher bootstrap first")?;
    let live =
        files.read(&files.live())?.context("there is no configuration; run lb-watcher bootstrap first")?;
    let expected =
        Digest::find(&live).context("the configuration has no revision server, so it isn't ours")?;
    let master = match (pid_file, pid) {
        (Some(path), _) => Master::from_file(Path::new(path)),
        (None, Some(pid)) => {
            Master::find(pid.parse().with_context(|| format!("{pid:?} is no process number"))?)
        }
        (None, None) => Master::from_file(&files.nginx_pid()),
    };
    let master = master.context("nginx does not run")?;
    let address = record.target.announce;
    let former = master.workers();
    master.hang_up().context("nginx can't be signalled")?;
    match master.follow(&former, &expected, address, FOLLOW_DEADLINE).await {
        Ok(()) => Ok(()),
        Err(error) => bail!("{error}; the reason stands in its log"),
    }
}
