//! What this machine is, for its record.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use convoy_keys::MachineRecord;

/// What this machine says of itself.
pub fn record(
    root: &Path,
    metadata: &BTreeMap<String, String>,
    variable: impl Fn(&str) -> Option<String>,
) -> MachineRecord {
    let address = |name: &str| variable(name).and_then(|text| text.trim().parse::<IpAddr>().ok());
    let cpus = std::thread::available_parallelism().ok().and_then(|count| u32::try_from(count.get()).ok());
    MachineRecord {
        name: read(root, "proc/sys/kernel/hostname").unwrap_or_default(),
        address: address("CONVOY_PRIVATE_IPV4"),
        public_address: address("CONVOY_PUBLIC_IPV4"),
        metadata: metadata.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        boot_id: read(root, "proc/sys/kernel/random/boot_id").unwrap_or_default(),
        memory: read(root, "proc/meminfo").and_then(|text| memory(&text)),
        cpu_millis: cpus.map(|cpus| cpus.saturating_mul(1000)),
        agent_restarts: false,
    }
}

fn read(root: &Path, path: &str) -> Option<String> {
    let text = std::fs::read_to_string(root.join(path)).ok()?;
    Some(text.trim().to_owned())
}

/// `MemTotal:       16384 kB`, see proc_meminfo(5).
fn memory(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_it_is() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("proc/sys/kernel/hostname", "m1\n"),
            ("proc/sys/kernel/random/boot_id", "b\n"),
            ("proc/meminfo", "MemTotal:       2048 kB\nMemFree: 1 kB\n"),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let variable = |name: &str| (name == "CONVOY_PRIVATE_IPV4").then(|| "10.0.0.5".to_owned());
        let record = record(root.path(), &[("zone".into(), "a".into())].into(), variable);
        assert_eq!((record.name.as_str(), record.boot_id.as_str()), ("m1", "b"));
        assert_eq!((record.memory, record.address), (Some(2 << 20), "10.0.0.5".parse().ok()));
        assert!(record.cpu_millis.is_some_and(|millis| millis >= 1000));
    }
}
