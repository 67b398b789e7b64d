//! Names, keys and values of the shared state.
//!
//! Everything that another machine wrote is hostile until it went through one of these types: names end up in
//! unit names, file names, host names and command lines, addresses in load balancer configurations. The layout
//! of the keys is part of Convoy's public interface; confd templates of 2014 read `/services/…` as it is.

mod acme;
mod acme_key;
mod certificate_name;
mod cluster_key;
mod endpoint;
mod json;
mod key;
mod machine;
mod name;
mod network;
mod record;
mod unit;

pub use acme::{
    AccountRecord, AcmeLeaderRecord, ChallengeError, ChallengeKind, ChallengeRecord, ChallengeToken,
    EdgeRecord, IssuedRecord, KeyAuthorization, LedgerRecord, OrderRecord,
};
pub use acme_key::{
    ACME, ACME_ACCOUNTS, ACME_CERTIFICATES, ACME_CHALLENGES, ACME_EDGES, ACME_LEADER, ACME_LEDGER,
    ACME_ORDERS, AcmeKey, Authority, AuthorityError, CERTIFICATES,
};
pub use certificate_name::{CertificateName, CertificateNameError};
pub use cluster_key::{
    CLUSTER, ClusterKey, FREEZE, LEADER, MACHINES, MAINTENANCE, MOVES, RESUME, SCHEDULE, STATES, UNITS,
    machine_key, maintenance_key, move_key, schedule_key, schedule_prefix, state_key, states_prefix,
    unit_key,
};
pub use endpoint::{Endpoint, EndpointError};
pub use json::{Record, ValueError};
pub use key::{
    KeyError, ServiceKey, applied_key, instance_key, instances_prefix, instances_root, lb_key, lb_prefix,
    routes_key, routes_prefix, services_prefix, upstream_key, upstream_prefix,
};
pub use machine::{MachineId, MachineIdError, MachineRecord, MaintenanceMode, MaintenanceRecord};
pub use name::{AppName, InstanceName, NameError, UnitInstance};
pub use network::{Network, NetworkError};
pub use record::{InstanceRecord, InstanceState, RecordError};
pub use unit::{
    ClusterRecord, Desired, FreezeRecord, LeaderRecord, MoveRecord, ScheduleRecord, StateRecord, UnitRecord,
};
