//! The machine that confd's functions ask: clock, environment, files, names.

mod dns;

pub(crate) use dns::services;

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Component, Path, PathBuf};

use convoy_confd::{Moment, Service, World};
use jiff::Zoned;

/// The biggest file that a template may include.
const MAX_INCLUDE: u64 = 8 << 20;

/// This machine, and the folder that templates include each other from.
#[derive(Debug)]
pub(crate) struct Machine {
    folder: PathBuf,
}

impl Machine {
    /// Includes come from the folder of this template.
    pub(crate) fn new(template: &Path) -> Self {
        let folder = match template.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        };
        Self { folder }
    }
}

impl World for Machine {
    fn now(&self) -> Moment {
        let now = Zoned::now();
        Moment {
            seconds: now.timestamp().as_second(),
            nanoseconds: u32::try_from(now.timestamp().subsec_nanosecond()).unwrap_or(0),
            offset: now.offset().seconds(),
            zone: now.strftime("%Z").to_string(),
        }
    }

    fn variable(&self, name: &str) -> Option<String> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return None;
        }
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn hostname(&self) -> Result<String, String> {
        std::fs::read_to_string("/proc/sys/kernel/hostname")
            .map(|name| name.trim_end().to_owned())
            .map_err(|error| format!("the host name can't be read: {error}"))
    }

    fn file_exists(&self, path: &str) -> bool {
        // As in confd: what can't be looked at is taken to be there.
        Path::new(path).try_exists().unwrap_or(true)
    }

    fn addresses(&self, host: &str) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = (host, 0)
            .to_socket_addrs()
            .map(|found| found.map(|address| address.ip()).collect())
            .unwrap_or_default();
        found.sort_unstable();
        found.dedup();
        found
    }

    fn interface_addresses(&self, name: &str) -> Vec<IpAddr> {
        let found = if_addrs::get_if_addrs().unwrap_or_default();
        found.into_iter().filter(|interface| interface.name == name).map(|interface| interface.ip()).collect()
    }

    fn services(&self, service: &str, protocol: &str, name: &str) -> Vec<Service> {
        let name = if service.is_empty() && protocol.is_empty() {
            name.to_owned()
        } else {
            format!("_{service}._{protocol}.{name}")
        };
        services(&name)
    }

    fn include(&self, name: &str) -> Result<(String, Vec<u8>), String> {
        let outside = Path::new(name)
            .components()
            .any(|part| !matches!(part, Component::Normal(_) | Component::CurDir));
        if outside {
            return Err(format!("include path {name:?} is outside template directory"));
        }
        let path = self.folder.join(name);
        let size = std::fs::metadata(&path).map_err(|error| format!("include {name}: {error}"))?.len();
        if size > MAX_INCLUDE {
            return Err(format!("include {name}: {size} bytes are more than {MAX_INCLUDE}"));
        }
        let text = std::fs::read(&path).map_err(|error| format!("include {name}: {error}"))?;
        Ok((path.display().to_string(), text))
    }
}
