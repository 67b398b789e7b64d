//! Template resources against real etcd, real nginx and real files: confd's failures, each as the promise that it does not
//! happen here. B1 to B19 are the failures that were reproduced with confd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

mod bursts;
mod commands;
mod disk;
mod failures;
mod flags;
mod nginx;
mod stage;
mod store;
