//! Commands beside the daemon: wait, check, status.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use convoy_keys::{Endpoint, InstanceName};
use convoy_lb_config::{Configuration, Engine, Upstream};
use rustix::io::Errno;
use rustix::process::{Pid, test_kill_process};
use tokio::time::{Instant, sleep};

use crate::balancer::{ask, check_on_host};
use crate::haproxy::RuntimeSocket;
use crate::port::listen_addresses;
use crate::record::{Kind, Record, Target};
use crate::settings::{AnnounceChoice, Settings};
use crate::template_file::TemplateFile;

/// A program that isn't up by then has a reason that its log tells.
const UP_DEADLINE: Duration = Duration::from_secs(30);
const ANSWER_DEADLINE: Duration = Duration::from_secs(1);
/// Any port will do where nothing is started.
const EXAMPLE_PORT: u16 = 8080;

/// Waits until the program that was just started answers with the configuration it was given.
pub async fn wait(settings: &Settings) -> anyhow::Result<()> {
    let files = &settings.files;
    let record = Record::read(files)?.context("there is no record; run lb-watcher bootstrap first")?;
    let live =
        files.read(&files.live())?.context("there is no configuration; run lb-watcher bootstrap first")?;
    let engine = files.engine();
    let main = main_process();
    let address = record.target.announce;
    let limit = Instant::now() + UP_DEADLINE;
    loop {
        let answer = ask(address, ANSWER_DEADLINE).await;
        match &answer {
            Ok(digest) if live.contains(digest.as_str()) => return Ok(()),
            _ if Instant::now() >= limit => {}
            _ if main.is_some_and(|main| !is_alive(main)) => {
                bail!("{engine} has ended; see its last lines above")
            }
            _ => {
                sleep(Duration::from_millis(5)).await;
                continue;
            }
        }
        match answer {
            Ok(digest) => {
                bail!("{address} serves {}, which is not the configuration in place", digest.short())
            }
            Err(error) => {
                bail!("{engine} does not answer on {address} after {} s: {error}", UP_DEADLINE.as_secs())
            }
        }
    }
}

/// What systemd calls the main process of the unit that this runs for.
fn main_process() -> Option<Pid> {
    Pid::from_raw(std::env::var("MAINPID").ok()?.parse().ok()?)
}

fn is_alive(process: Pid) -> bool {
    // Somebody else's process is as alive as ours.
    test_kill_process(process) != Err(Errno::SRCH)
}

/// Validates configuration and template without touching anything that is in use.
pub async fn check(settings: &Settings) -> anyhow::Result<()> {
    let announce = match settings.announce {
        Ok(AnnounceChoice::Fixed(address)) => address,
        Ok(AnnounceChoice::Machine(ip, _)) => (ip, EXAMPLE_PORT).into(),
        Err(_) => ([127, 0, 0, 1], EXAMPLE_PORT).into(),
    };
    let mut out = std::io::stdout().lock();
    if let Err(problem) = &settings.announce {
        writeln!(out, "note: {problem}")?;
    }
    let scratch = Scratch::create()?;
    let engine = settings.files.engine();
    let kind = if settings.kind == Kind::Container { Kind::Host } else { settings.kind };
    let target = Target { kind, announce, listen: listen_addresses(announce) };
    let mut load_balancer = settings.load_balancer(&target)?;
    load_balancer.runtime_dir = scratch.0.to_string_lossy().parse()?;
    let examples = [vec![], vec![example("1", "192.0.2.1:80")?, example("2", "[2001:db8::2]:80")?]];
    let mut template = TemplateFile::new(engine, settings.template.as_deref());
    let (template, _) = template.current()?;
    let is_here = settings.program().exists();
    for upstreams in &examples {
        let configuration = template.render(&load_balancer, upstreams)?;
        if is_here {
            let file = scratch.0.join(engine.file_name());
            std::fs::write(&file, configuration.text())
                .with_context(|| format!("can't write {}", file.display()))?;
            check_on_host(engine, settings.program(), &file)
                .await
                .with_context(|| format!("{}, with {} upstreams", template.name(), upstreams.len()))?;
        }
    }
    let by = if is_here {
        format!("renders and {engine} accepts it")
    } else {
        format!("renders (no {engine} here to check it)")
    };
    writeln!(out, "{}: the template {} {by}", settings.name, template.name())?;
    Ok(())
}

fn example(name: &str, address: &str) -> anyhow::Result<Upstream> {
    Ok(Upstream { name: InstanceName::parse(name)?, address: Endpoint::parse(address)? })
}

/// A directory for one check, gone afterwards.
struct Scratch(PathBuf);

impl Scratch {
    fn create() -> anyhow::Result<Self> {
        let path = std::env::temp_dir().join(format!("lb-watcher-check-{}", std::process::id()));
        std::fs::create_dir(&path).with_context(|| format!("can't create {}", path.display()))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

fn remove(path: &Path) {
    if let Err(error) = std::fs::remove_dir_all(path) {
        tracing::warn!(%error, path = %path.display(), "a directory for temporary files was left behind");
    }
}

/// Prints what is served; fails when that is not what it should.
pub async fn status(settings: &Settings) -> anyhow::Result<()> {
    let files = &settings.files;
    let record = Record::read(files)?.with_context(|| {
        format!("{} has no record; was this load balancer ever started?", files.path().display())
    })?;
    let address = record.target.announce;
    let answer = ask(address, ANSWER_DEADLINE).await;
    let refused = files.read(&files.reason())?;
    let mut out = std::io::stdout().lock();
    let kind = match record.target.kind {
        Kind::Host => "nginx of the host",
        Kind::Container => "nginx in a container",
        Kind::Haproxy => "HAProxy of the host",
    };
    let engine = record.target.kind.engine();
    let program = engine.program();
    writeln!(out, "{} on {address} ({kind})", settings.name)?;
    let good = record.good.as_ref();
    match &answer {
        Ok(digest) => {
            writeln!(out, "  {:<14} configuration {}", format!("{program} serves"), digest.short())?;
        }
        Err(error) => writeln!(out, "  {program:<14} does not answer: {error}")?,
    }
    match good {
        Some(good) => {
            let short = good.digest.get(..8).unwrap_or(&good.digest);
            writeln!(out, "  last proved    configuration {short}, revision {}", good.revision)?;
            for (name, upstream) in &good.upstreams {
                writeln!(out, "  upstream       {upstream:<24} {name}")?;
            }
        }
        None => writeln!(out, "  last proved    nothing yet; every request is answered with 503")?,
    }
    let agreement = if engine == Engine::Nginx { Ok(true) } else { servers(settings, &mut out).await };
    if let Some(reason) = &refused {
        writeln!(out, "  REFUSED        {}", reason.trim())?;
    }
    match (answer, good) {
        (Ok(_), Some(_)) if agreement.is_err() => agreement.map(drop),
        (Ok(_), Some(_)) if agreement.is_ok_and(|agrees| !agrees) => {
            bail!("{engine} has other servers than its file")
        }
        (Ok(digest), Some(good)) if good.digest == digest.as_str() && refused.is_none() => Ok(()),
        (Ok(_), Some(_)) if refused.is_some() => {
            bail!("a newer configuration was refused; {}", files.reason().display())
        }
        (Ok(_), _) => bail!("{engine} does not serve a configuration that was proved"),
        (Err(_), _) => bail!("{engine} does not answer on {address}"),
    }
}

/// Prints the servers of a running HAProxy; whether they are those of its file.
async fn servers(settings: &Settings, out: &mut impl Write) -> anyhow::Result<bool> {
    let files = &settings.files;
    let Some(live) = files.read(&files.live())?.and_then(Configuration::find) else { return Ok(false) };
    let socket = RuntimeSocket::new(files.socket());
    for backend in &live.membership().backends {
        for server in socket.servers(backend).await? {
            let address = server.address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string());
            let state = match (server.is_out(), server.is_up) {
                (true, _) => "leaving",
                (false, true) => "up",
                (false, false) => "down",
            };
            let (place, name, used) = (&backend.name, &server.name, server.used);
            writeln!(out, "  server         {address:<24} {place}/{name}, {state}, {used} in use")?;
        }
    }
    Ok(socket.follows(live.membership()).await?)
}
