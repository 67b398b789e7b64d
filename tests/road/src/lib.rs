//! The whole road on loopback, for the demo, tests and benchmarks.
//!
//! [`traffic`] sends measured requests and says which of them failed; [`process`] runs our daemons and their
//! neighbours as children that can't outlive the caller; [`loopback`] puts a complete small Convoy together: etcd,
//! sample apps with their registrars, two load balancers and an edge router.

pub mod loopback;
pub mod process;
pub mod traffic;
