//! Placement from outside: cases with names, and properties against an oracle that tries everything.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    unreachable_pub,
    reason = "helpers of tests"
)]

mod build;
mod cases;
mod explanations;
mod hard;
mod oracle;
mod properties;
