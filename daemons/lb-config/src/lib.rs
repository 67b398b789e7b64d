//! From the upstreams of an app to the configuration of its nginx or HAProxy, and when to apply it.
//!
//! Pure: keys and values go in, a [`Configuration`] comes out. Everything that stands in it was parsed into a type
//! before, so no value of the store can add a directive. [`Settle`] decides when a change is due, [`Guard`] whether a
//! disappearance is believed; the daemon around it does the rest.

mod configuration;
mod engine;
mod guard;
mod membership;
mod model;
mod revision;
mod settle;
mod template;
mod upstreams;

pub use configuration::{Configuration, Digest, hexadecimal};
pub use engine::Engine;
pub use guard::{Guard, GuardLimits};
pub use membership::{Backend, Membership, Server, ServerName};
pub use model::{AccessLog, AccessLogError, LoadBalancer, PlainPath, PlainPathError, ProxyOptions};
pub use revision::{REVISION_HEADER, REVISION_HOST, REVISION_PATH};
pub use settle::Settle;
pub use template::{Template, TemplateError};
pub use upstreams::{Skipped, SkippedReason, Upstream, read_upstreams};
