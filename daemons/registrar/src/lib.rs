//! Announces one instance of an app: finds its address, checks its health, owns its keys.
//!
//! Pure: [`options`], [`settings`] and [`key_template`] turn texts into types, [`address`] and [`target`] choose
//! what is announced and checked, [`registration`] says which keys follow from it. Shell: [`engine`] and
//! [`locate`] follow the container, [`probe`] and [`checker`] its health, [`drain`] its readers, and [`run`] is
//! the loop in the middle.

pub mod address;
pub mod checker;
pub mod cli;
pub mod container;
pub mod drain;
pub mod engine;
pub mod fragment;
pub mod key_template;
pub mod locate;
pub mod metrics;
pub mod options;
pub mod probe;
pub mod registration;
pub mod run;
pub mod settings;
mod standing;
pub mod target;
mod withdraw;

pub use standing::Holding;
