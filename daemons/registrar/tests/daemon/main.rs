//! The registrar as a process against a real etcd: what it announces when, and what it tells systemd.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // helpers of tests

mod commands;
mod containers;
mod engine;
mod ownership;
mod services;
mod stage;
