//! The edge router: the public door. systemd hands it the socket, the store tells it who serves what, and
//! [`convoy_proxy`] does the work in between.
//!
//! This crate is the shell around it: options, sockets, following the store, the table kept on disk for a start without
//! the store, the access log, metrics, and the life of a service.

mod access_log;
mod acknowledge;
mod address;
mod certificates;
mod changes;
pub mod check;
pub mod cli;
mod doors;
pub mod explain;
mod files;
mod follower;
mod imports;
mod metrics;
mod orders;
mod report;
mod router;
pub mod routes_file;
pub mod run;
mod saved;
pub mod settings;
pub mod sockets;
mod status_page;
