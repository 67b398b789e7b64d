//! Binds sidekicks to their app units, and chooses how nginx runs.
//!
//! No specifier of systemd's can split `someapp-1`, so `registrar@someapp-1.service` gets its `BindsTo=` and
//! `After=` from a drop-in. Two writers, one text ([`binding`]):
//!
//! - `convoy-generator`, a systemd.generator(7), for every instance that the unit files and their links name
//!   ([`scan`]). A boot needs nothing else.
//! - `convoy-bind`, run by `registrar-bind@.service` before the sidekick starts, for instances that were started
//!   by hand ([`bind`]). It reloads the manager only if the manager does not know the binding yet.

pub mod bind;
pub mod binding;
pub mod generate;
pub mod scan;
pub mod specifier;
pub mod unit_path;
pub mod variant;
