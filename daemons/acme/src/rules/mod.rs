//! The rules of ordering. No I/O: what is known and the time come in, decisions come out.

mod ledger;
mod lifetime;
mod plan;

pub use ledger::Limits;
pub(crate) use ledger::{Blame, counts_nothing, failed, ordered, refunded, succeeded};
pub(crate) use lifetime::{Window, renew_at, seed};
pub(crate) use plan::{Holding, Situation, plan};
pub use plan::{Step, Why};
