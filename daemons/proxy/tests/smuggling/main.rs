//! Messages that two programs could read differently, sent as raw bytes through Convoy, nginx and HAProxy.
//!
//! The cases are data: `cases/requests.toml` and `cases/answers.toml`. For each of them is written what Convoy does. What
//! it passes on has to be well-formed to the letter, and the other two, in the same run, must not have read it in
//! another way; where they did, or where Convoy alone takes a message, the case says why that is right.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test ends where its assumptions do; clippy sees that only inside test functions"
)]

mod answers;
mod case;
mod message;
mod proxies;
mod requests;
mod target;
