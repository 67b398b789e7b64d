//! Health of an instance: what to check, and when results change its state.
//!
//! Pure: results and times go in, states come out. Whoever uses it does the connecting, the waiting and the
//! telling. [`Check`] says what is asked, [`Rules`] how often and how many results make a state, [`Monitor`]
//! holds the state with its hysteresis.

mod check;
mod monitor;
mod rules;
mod status_set;

pub use check::{Check, CheckError, HttpCheck};
pub use monitor::{Health, Monitor, Outcome, Transition};
pub use rules::{Rules, RulesError};
pub use status_set::{StatusSet, StatusSetError};
