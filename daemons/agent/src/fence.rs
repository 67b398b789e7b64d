//! Which units systemd stops when this machine is cut off, and when. Pure.

use std::time::Duration;

use convoy_unit_files::CutOff;
use serde::{Deserialize, Serialize};

/// What a unit is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fence {
    /// To the machine's lease itself: `WhenCutOff=at-most-one`.
    Lease,
    /// To the lease and this many seconds more: `WhenCutOff=stop-after:…`.
    After(u64),
}

impl Fence {
    /// The fence of a policy; none for units that run on.
    pub fn of(policy: CutOff) -> Option<Self> {
        match policy {
            CutOff::Keep => None,
            CutOff::AtMostOne => Some(Self::Lease),
            CutOff::StopAfter(time) => Some(Self::After(time.as_secs() + u64::from(time.subsec_nanos() > 0))),
        }
    }

    /// The unit that lives as long as the fence holds.
    pub fn unit(self) -> String {
        match self {
            Self::Lease => "convoy-lease.service".to_owned(),
            Self::After(seconds) => format!("convoy-lease@{seconds}.service"),
        }
    }

    /// The socket at which that unit hears of keep-alives.
    pub fn socket(self) -> String {
        match self {
            Self::Lease => "/run/convoy-lease/lease.sock".to_owned(),
            Self::After(seconds) => format!("/run/convoy-lease-{seconds}/lease.sock"),
        }
    }

    /// How much longer than the lease it holds.
    pub fn grace(self) -> Duration {
        match self {
            Self::Lease => Duration::ZERO,
            Self::After(seconds) => Duration::from_secs(seconds),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_policy_has_its_unit() {
        for (policy, unit, grace) in [
            (CutOff::AtMostOne, "convoy-lease.service", 0),
            (CutOff::StopAfter(Duration::from_secs(60)), "convoy-lease@60.service", 60),
            (CutOff::StopAfter(Duration::from_millis(1500)), "convoy-lease@2.service", 2),
        ] {
            let fence = Fence::of(policy).unwrap();
            assert_eq!((fence.unit().as_str(), fence.grace()), (unit, Duration::from_secs(grace)));
        }
        assert_eq!(Fence::of(CutOff::Keep), None);
    }
}
