//! Announces one instance of an app: finds its address, checks its health, owns its keys.
//!
//! Pure: [`address`] chooses among a container's addresses, [`options`], [`settings`] and [`key_template`] turn
//! texts into types. Shell: the engine's client, the prober and the loop around them.

pub mod address;
pub mod container;
pub mod fragment;
pub mod key_template;
pub mod options;
pub mod settings;
