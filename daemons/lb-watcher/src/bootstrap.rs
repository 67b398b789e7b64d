//! Before nginx or HAProxy starts: a port, and a configuration that is known to work.

use std::net::SocketAddr;

use anyhow::Context;
use convoy_config::ConfigError;
use convoy_lb_config::{Configuration, Engine, LoadBalancer, Template, Upstream};

use crate::balancer::check_on_host;
use crate::port::{choose, listen_addresses};
use crate::record::{Good, Kind, Record, Target};
use crate::settings::{AnnounceChoice, Settings};

/// A configuration to start with, and what it was made of.
struct Candidate {
    what: &'static str,
    text: String,
    good: Option<Good>,
}

/// Chooses the port and puts a working configuration in place: the last one that was proved to be served; the same
/// upstreams rendered anew, when the port or the kind of load balancer changed; or, the first time, one that answers 503.
///
/// On the host every candidate goes through `nginx -t` or `haproxy -c`, since it may have been upgraded meanwhile.
pub async fn bootstrap(settings: &Settings) -> anyhow::Result<Record> {
    let (files, kind) = (&settings.files, settings.kind);
    let (engine, on_host) = (kind.engine(), kind != Kind::Container);
    std::fs::create_dir_all(files.path())
        .with_context(|| format!("can't create {}", files.path().display()))?;
    let former = Record::read(files)?;
    let target = choose_target(settings, kind, former.as_ref().map(|record| record.target.announce))?;
    if on_host {
        files.create_runtime()?;
    }
    let load_balancer = settings.load_balancer(&target)?;
    let candidates = candidates(settings, &load_balancer, former.as_ref(), &target)?;
    let mut refused = None;
    for candidate in candidates {
        files.stage(&candidate.text)?;
        if on_host
            && settings.check_command.is_none()
            && let Err(error) = check_on_host(engine, settings.program(), &files.staged()).await
        {
            tracing::warn!(%error, "{engine} can't start with {}", candidate.what);
            refused = Some(error);
            continue;
        }
        files.install_staged()?;
        files.replace(&files.good(), &candidate.text)?;
        let record = Record { target, good: candidate.good };
        record.write(files)?;
        let address = record.target.announce;
        tracing::info!(%address, "{engine} starts with {} on {address}", candidate.what);
        return Ok(record);
    }
    match refused {
        Some(error) => {
            Err(anyhow::Error::new(error).context(format!("{engine} can't start with any configuration")))
        }
        None => Err(anyhow::anyhow!("there is no configuration that {engine} could start with")),
    }
}

fn choose_target(settings: &Settings, kind: Kind, kept: Option<SocketAddr>) -> Result<Target, ConfigError> {
    let choice = settings.announce.clone().map_err(|error| ConfigError::value("address", error))?;
    let announce = match choice {
        AnnounceChoice::Fixed(address) => address,
        AnnounceChoice::Machine(ip, port) => {
            let kept = kept.map(|address| address.port());
            let shared = settings.shared_dir.as_deref();
            SocketAddr::new(ip, choose(&settings.name, ip, port, kept, shared)?)
        }
    };
    Ok(Target { kind, announce, listen: listen_addresses(announce) })
}

fn candidates(
    settings: &Settings,
    load_balancer: &LoadBalancer,
    former: Option<&Record>,
    target: &Target,
) -> anyhow::Result<Vec<Candidate>> {
    let (files, engine) = (&settings.files, settings.kind.engine());
    let mut candidates = Vec::new();
    if let Some(record) = former
        && record.target == *target
        && let Some(text) = files.read(&files.good())?
    {
        candidates.push(Candidate { what: "the last good configuration", text, good: record.good.clone() });
    }
    if let Some(good) = former.and_then(|record| record.good.as_ref()) {
        let upstreams = good.upstreams();
        if let Some(template) = files.read(&files.good_template())? {
            let rendered = render(engine, "template.good", &template, load_balancer, &upstreams);
            candidates.extend(rendered.map(|rendered| Candidate {
                what: "the last known instances",
                good: Some(Good::new(rendered.digest().as_str(), good.revision, &upstreams)),
                text: rendered.text().to_owned(),
            }));
        }
        let rendered =
            render(engine, "shipped template", engine.shipped_template(), load_balancer, &upstreams);
        candidates.extend(rendered.map(|rendered| Candidate {
            what: "the last known instances in the shipped template",
            good: Some(Good::new(rendered.digest().as_str(), good.revision, &upstreams)),
            text: rendered.text().to_owned(),
        }));
    }
    let rendered = render(engine, "shipped template", engine.shipped_template(), load_balancer, &[]);
    candidates.extend(rendered.map(|rendered| Candidate {
        what: "a configuration that answers 503",
        good: None,
        text: rendered.text().to_owned(),
    }));
    Ok(candidates)
}

fn render(
    engine: Engine,
    name: &str,
    template: &str,
    load_balancer: &LoadBalancer,
    upstreams: &[Upstream],
) -> Option<Configuration> {
    match Template::parse(engine, name, template)
        .and_then(|template| template.render(load_balancer, upstreams))
    {
        Ok(configuration) => Some(configuration),
        Err(error) => {
            tracing::warn!(%error, "a template that worked before can't be rendered any more");
            None
        }
    }
}
