//! Real etcd for tests.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let etcd = convoy_test_etcd::Etcd::start(3).await?;
//! let store = etcd.endpoints(); // ["http://127.83.20.7:2379", …]
//! let leader = etcd.leader().await?;
//! etcd.member(leader).freeze()?;
//! # Ok(()) }
//! ```
//!
//! Every cluster has a loopback address of its own, so that tests can run side by side with fixed ports, and
//! restarted members come back where they were. Dropping it kills everything and removes the data.

mod certificates;
mod cluster;
mod member;
mod proxy;

pub use certificates::Certificates;
pub use cluster::{Etcd, Options};
pub use member::Member;
pub use proxy::{BlackHole, Proxy};
