//! Names, keys and values of the shared state.
//!
//! Everything that another machine wrote is hostile until it went through one of these types: names end up in
//! unit names, file names, host names and command lines, addresses in load balancer configurations. The layout
//! of the keys is part of Convoy's public interface; confd templates of 2014 read `/services/…` as it is.

mod endpoint;
mod key;
mod name;
mod network;
mod record;

pub use endpoint::{Endpoint, EndpointError};
pub use key::{
    KeyError, ServiceKey, applied_key, instance_key, instances_prefix, lb_key, lb_prefix, services_prefix,
    upstream_key, upstream_prefix,
};
pub use name::{AppName, InstanceName, NameError, UnitInstance};
pub use network::{Network, NetworkError};
pub use record::{InstanceRecord, InstanceState, RecordError};
