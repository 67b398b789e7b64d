//! Environment and files turned into types.

use std::path::{Path, PathBuf};
use std::time::Duration;

use convoy_config::{ConfigError, SearchPath, Span, load, merge_options};
use convoy_keys::MachineId;
use serde::Deserialize;

use crate::policy::Policy;

/// etcd makes shorter leases longer: 1.5 times its election timeout.
const SHORTEST_TTL: Duration = Duration::from_secs(2);
const LONGEST_TTL: Duration = Duration::from_secs(600);

/// The table `[scheduler]` as written.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fragment {
    ttl: Option<Span>,
    agent_ttl: Option<Span>,
    freeze_share: Option<u8>,
    freeze_for: Option<Span>,
    drain_at_once: Option<usize>,
    drain_in_all: Option<usize>,
    move_after_failures: Option<u32>,
    avoid_for: Option<Span>,
    settle: Option<Span>,
    reboot_for: Option<Span>,
}

merge_options!(Fragment {
    ttl,
    agent_ttl,
    freeze_share,
    freeze_for,
    drain_at_once,
    drain_in_all,
    move_after_failures,
    avoid_for,
    settle,
    reboot_for,
});

/// The table of the agents, of which the scheduler has to know one value. The rest is the agent's to judge.
#[derive(Debug, Default, Clone, Deserialize)]
struct AgentFragment {
    ttl: Option<Span>,
}

merge_options!(AgentFragment { ttl });

/// Everything that is fixed for the scheduler's life.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This machine.
    pub machine: MachineId,
    /// Its host name.
    pub name: String,
    /// How long a leader that died keeps others from leading.
    pub ttl: Duration,
    /// How the rules are applied.
    pub policy: Policy,
    /// Where the metrics socket is made.
    pub runtime_dir: Option<PathBuf>,
}

impl Settings {
    /// Files under the environment. `variable` is the environment, `machine_id` the file with the machine's id.
    pub fn resolve(
        variable: impl Fn(&str) -> Option<String>,
        path: &SearchPath,
        machine_id: &Path,
        host_name: &Path,
    ) -> Result<Self, ConfigError> {
        let variable = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let fragment: Fragment = load("scheduler", path)?;
        let agent: AgentFragment = load("agent", path)?;
        let machine = convoy_config::machine_id(variable, machine_id)?;
        let name = variable("CONVOY_HOSTNAME")
            .or_else(|| std::fs::read_to_string(host_name).ok())
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| machine.short().to_owned());
        Ok(Self {
            machine,
            name,
            ttl: ttl("[scheduler] ttl", fragment.ttl)?,
            policy: policy(&fragment, &agent)?,
            runtime_dir: variable("RUNTIME_DIRECTORY").map(PathBuf::from),
        })
    }
}

fn ttl(origin: &str, span: Option<Span>) -> Result<Duration, ConfigError> {
    match span {
        None => Ok(Duration::from_secs(5)),
        Some(Span(span)) if (SHORTEST_TTL..=LONGEST_TTL).contains(&span) => Ok(span),
        Some(_) => Err(ConfigError::value(origin, "out of range; write 2s to 10min")),
    }
}

fn policy(fragment: &Fragment, agent: &AgentFragment) -> Result<Policy, ConfigError> {
    let ordinary = Policy::default();
    let at_least_one = |key: &str, number: Option<usize>, default: usize| match number {
        Some(0) => Err(ConfigError::value(
            format!("[scheduler] {key}"),
            "with 0 a drain would never end; write 1 or more, or leave it out",
        )),
        number => Ok(number.unwrap_or(default)),
    };
    let span = |span: Option<Span>, default: Duration| span.map_or(default, |Span(span)| span);
    let freeze_share = match fragment.freeze_share {
        None => ordinary.freeze_share,
        Some(percent @ 1..=100) => f64::from(percent) / 100.0,
        Some(_) => {
            return Err(ConfigError::value("[scheduler] freeze_share", "a share is 1 to 100, in per cent"));
        }
    };
    Ok(Policy {
        // Unless somebody says otherwise, what the agents are told here holds for all of them.
        agent_ttl: ttl("[scheduler] agent_ttl", fragment.agent_ttl.or(agent.ttl))?,
        freeze_share,
        freeze_for: span(fragment.freeze_for, ordinary.freeze_for),
        drain_at_once: at_least_one("drain_at_once", fragment.drain_at_once, ordinary.drain_at_once)?,
        drain_in_all: at_least_one("drain_in_all", fragment.drain_in_all, ordinary.drain_in_all)?,
        move_after_failures: fragment.move_after_failures.unwrap_or(ordinary.move_after_failures),
        avoid_for: span(fragment.avoid_for, ordinary.avoid_for),
        settle: span(fragment.settle, ordinary.settle),
        reboot_for: span(fragment.reboot_for, ordinary.reboot_for),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(environment: &[(&str, &str)], file: &str) -> Result<Settings, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("10-a.toml"), file).unwrap();
        let (id, name) = (folder.path().join("machine-id"), folder.path().join("hostname"));
        std::fs::write(&id, "0123456789abcdef0123456789abcdef\n").unwrap();
        let variable = |name: &str| {
            environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::resolve(variable, &SearchPath::new([folder.path().to_owned()]), &id, &name)
    }

    #[test]
    fn everything_has_a_default() {
        let settings = resolve(&[], "").unwrap();
        assert_eq!(settings.machine.as_str(), "0123456789abcdef0123456789abcdef");
        assert_eq!((settings.name.as_str(), settings.ttl), ("01234567", Duration::from_secs(5)));
        assert_eq!(settings.policy, Policy::default());
    }

    #[test]
    fn files_and_environment_are_heeded() {
        let file = "[scheduler]\nttl = '3s'\nfreeze_share = 30\ndrain_at_once = 2\navoid_for = '1min'\n\
                    [agent]\nttl = '8s'\n";
        let settings = resolve(&[("CONVOY_MACHINE_ID", "m1"), ("CONVOY_HOSTNAME", "one")], file).unwrap();
        assert_eq!((settings.machine.as_str(), settings.name.as_str()), ("m1", "one"));
        assert_eq!(
            (settings.ttl, settings.policy.agent_ttl),
            (Duration::from_secs(3), Duration::from_secs(8))
        );
        assert!((settings.policy.freeze_share - 0.3).abs() < 1e-9);
        assert_eq!((settings.policy.drain_at_once, settings.policy.avoid_for), (2, Duration::from_secs(60)));
        let explicit = resolve(&[], "[agent]\nttl = '8s'\n[scheduler]\nagent_ttl = '20s'\n").unwrap();
        assert_eq!(explicit.policy.agent_ttl, Duration::from_secs(20));
    }

    #[test]
    fn a_mistake_names_its_place() {
        for (environment, file, expected) in [
            (&[][..], "[scheduler]\nttl = '1s'\n", "[scheduler] ttl: out of range"),
            (&[], "[scheduler]\ntttl = '5s'\n", "10-a.toml:2: unknown field `tttl`"),
            (&[], "[scheduler]\nfreeze_share = 0\n", "freeze_share: a share is 1 to 100"),
            (&[], "[scheduler]\ndrain_at_once = 0\n", "drain_at_once: with 0 a drain would never end"),
            (&[("CONVOY_MACHINE_ID", "a/b")], "", "CONVOY_MACHINE_ID: \"a/b\" is not a machine id"),
        ] {
            let error = resolve(environment, file).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
