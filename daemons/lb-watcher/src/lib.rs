//! lb-watcher: keeps one nginx or HAProxy in step with `/services/<app>/upstream/` and announces it.
//!
//! The road of a change: [`run`] follows the keys and lets bursts settle, `convoy-lb-config` renders, and
//! [`apply::Applier`] takes the text through check, swap, reload and proof. What comes out of that is the only
//! thing that is ever said about the load balancer: a configuration is served when the running program itself has answered
//! with its digest. HAProxy's servers come and go without a reload; its digest leaves them out, and it is asked for them
//! as well ([`haproxy`]).

mod announce;
pub mod apply;
pub mod balancer;
mod bootstrap;
pub mod cli;
mod difference;
pub mod files;
mod guarded;
pub mod haproxy;
pub mod inspect;
pub mod install;
mod machine;
mod metrics;
pub mod nginx;
mod output;
mod port;
pub mod record;
mod reload;
pub mod render;
mod report;
mod reservation;
pub mod resources;
mod run;
pub mod settings;
mod skipped;
mod story;
mod template_file;
mod watcher;

pub use bootstrap::bootstrap;
pub use reload::reload;
pub use report::{check, status, wait};
pub use run::run;
