//! Which revision the resources of a service have loaded, for those who wait for it.

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_confd::resource::Resource;
use convoy_keys::{AppName, InstanceName, applied_key};
use convoy_store::{LeaseSettings, Ownership, Store};

use super::options::Configuration;
use super::target::Target;
use crate::install::apply::Extent;

/// A machine that died counts as a reader no longer than this.
const LEASE_TTL: Duration = Duration::from_secs(15);

/// Keeps `/convoy/applied/<app>/<reader>` for each service that a resource is made of, under one lease.
#[derive(Debug)]
pub(crate) struct Announcer {
    ownership: Option<Ownership>,
    machine: String,
    announced: BTreeMap<String, Vec<u8>>,
}

impl Announcer {
    /// Nothing is announced by a machine without a name, or by a run that changes nothing.
    pub(crate) fn new(store: &Store, configuration: &Configuration) -> Self {
        let acts = configuration.settings.extent == Extent::Whole;
        let machine = configuration.machine.clone().filter(|_| acts);
        let ownership = machine.is_some().then(|| store.own(LeaseSettings::new(LEASE_TTL)));
        Self { ownership, machine: machine.unwrap_or_default(), announced: BTreeMap::new() }
    }

    /// Says what is loaded now.
    pub(crate) fn serve<'t>(&mut self, targets: impl IntoIterator<Item = &'t Target>) {
        let Some(ownership) = &self.ownership else { return };
        let mut keys = BTreeMap::new();
        for target in targets {
            let Some(revision) = target.standing().announced else { continue };
            let resource = target.resource();
            let Some(reader) = reader(&self.machine, &resource.name) else { continue };
            for app in apps(resource) {
                keys.insert(applied_key(&app, &reader), revision.to_string().into_bytes());
            }
        }
        if keys != self.announced {
            self.announced.clone_from(&keys);
            ownership.declare(keys);
        }
    }

    /// Takes the keys out of the store.
    pub(crate) async fn withdraw(self, deadline: Duration) {
        if let Some(ownership) = self.ownership
            && let Err(error) = ownership.release(deadline).await
        {
            tracing::warn!(%error, "not withdrawn; what is announced ends with its lease");
        }
    }
}

/// The services that a resource is made of, as far as its keys name them.
fn apps(resource: &Resource) -> Vec<AppName> {
    let named = resource.keys.iter().filter_map(|key| {
        let app = key.strip_prefix("/services/")?.split('/').next()?;
        AppName::parse(app).ok()
    });
    named.collect()
}

/// `file-<machine>-<resource>`, without what can't stand in a name.
fn reader(machine: &str, resource: &str) -> Option<InstanceName> {
    let stem = resource.strip_suffix(".toml").unwrap_or(resource);
    let stem: String =
        stem.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(40).collect();
    InstanceName::parse(&format!("file-{machine}-{stem}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_has_a_name_that_tells_machine_and_resource() {
        assert_eq!(reader("0123abcd", "sub/my app.toml").unwrap().as_str(), "file-0123abcd-sub_my_app");
    }

    #[test]
    fn services_are_those_that_keys_name() {
        let document =
            "[template]\nsrc=\"a\"\ndest=\"/a\"\nkeys=[\"/services/a/upstream\", \"/x\", \"/services\"]\n";
        let (resource, _) = Resource::parse("a.toml", document, None).unwrap();
        assert_eq!(apps(&resource).iter().map(AppName::as_str).collect::<Vec<_>>(), ["a"]);
    }
}
