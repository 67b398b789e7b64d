//! Waiting for what was asked for: by watching, saying what it waits for, and why.

mod aim;
mod follow;
mod reasons;
mod rolling;
mod until;

pub use aim::{Aim, Verdict, Wanted};
pub use follow::Follow;
pub use reasons::{Reasons, frozen, now};
pub use rolling::{Rollout, Step, roll};
pub use until::until;
