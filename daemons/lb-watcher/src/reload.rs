//! `lb-watcher reload`: the reload as systemd's job, which ends well only when the configuration is served.

use std::path::Path;

use anyhow::{Context, bail};
use convoy_lb_config::{Configuration, Engine};
use rustix::process::Signal;

use crate::balancer::{FOLLOW_DEADLINE, Master};
use crate::haproxy::{Generation, RuntimeSocket};
use crate::nginx;
use crate::record::Record;
use crate::settings::Settings;

/// Tells the program to read its configuration again and waits until it answers with it. nginx's workers of the former
/// one are told at once to take no more connections; HAProxy does that itself.
pub async fn reload(settings: &Settings, pid: Option<&str>, pid_file: Option<&str>) -> anyhow::Result<()> {
    let files = &settings.files;
    let engine = files.engine();
    let record = Record::read(files)?.context("there is no record; run lb-watcher bootstrap first")?;
    let live =
        files.read(&files.live())?.context("there is no configuration; run lb-watcher bootstrap first")?;
    let expected =
        Configuration::find(live).context("the configuration has no revision server, so it isn't ours")?;
    let master = match (pid_file, pid) {
        (Some(path), _) => Master::from_file(engine, Path::new(path)),
        (None, Some(pid)) => {
            Master::find(engine, pid.parse().with_context(|| format!("{pid:?} is no process number"))?)
        }
        (None, None) => Master::from_file(engine, &files.pid_file()),
    };
    let master = master.with_context(|| format!("{engine} does not run"))?;
    let address = record.target.announce;
    let followed = match engine {
        Engine::Nginx => {
            let former = master.workers();
            signal(engine, master, Signal::HUP)?;
            nginx::follow(master, &former, expected.digest(), address, FOLLOW_DEADLINE).await
        }
        Engine::Haproxy => {
            let socket = RuntimeSocket::new(files.socket());
            let former = Generation::now(&socket, Some(master)).await;
            signal(engine, master, Signal::USR2)?;
            former.follow(&socket, &expected, address, FOLLOW_DEADLINE).await
        }
    };
    match followed {
        Ok(()) => Ok(()),
        Err(error) => bail!("{error}; the reason stands in its log"),
    }
}

fn signal(engine: Engine, master: Master, signal: Signal) -> anyhow::Result<()> {
    master.signal(signal).with_context(|| format!("{engine} can't be signalled"))
}
