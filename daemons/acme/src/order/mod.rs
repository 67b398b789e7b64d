//! Orders: one edge places them for all.
//!
//! The edges elect one of them. It alone talks to the authority and writes; each of its writes is refused once it leads no
//! more. What is under way can be read from the store alone, so the next one goes on where it stopped:
//!
//! 1. the ledger counts the order, before it is placed;
//! 2. the order's URL and the sealed key that it is for are put down;
//! 3. the answer to the challenge is put down, and every living edge says that it gives it;
//! 4. only then the authority is told to ask;
//! 5. certificate, ledger, and the end of order and challenge are one transaction.

mod account;
mod campaign;
mod clear;
mod failure;
mod hook;
mod job;
mod leader;
mod prove;
mod suggestions;
mod transport;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use convoy_keys::{Authority, CertificateName, LedgerRecord};

use crate::OrderSettings;
use crate::rules::{Situation, Step, Window, plan};
use crate::serve::World;
pub(crate) use campaign::{Context, Desk, run};
pub use hook::DnsHook;

/// What the authority suggests, by name.
pub(crate) type Windows = BTreeMap<CertificateName, Window>;

/// What is to be done for each name.
pub(crate) fn steps(
    world: &World,
    wanted: &BTreeSet<CertificateName>,
    orders: &OrderSettings,
    windows: &Windows,
    now: i64,
) -> BTreeMap<CertificateName, Step> {
    let holding = |(name, issued): (&CertificateName, &_)| {
        let issued: &crate::serve::Issued = issued;
        (name.clone(), issued.holding(&orders.directory, windows.get(name).copied()))
    };
    plan(&Situation {
        now,
        wanted,
        given: &world.given,
        issued: &world.issued.iter().map(holding).collect(),
        ledger: &ledger(world, orders),
        open: &world.open_orders(&orders.directory),
        limits: &orders.limits,
        has_dns: orders.dns_hook.is_some(),
    })
}

/// What was tried with the authority of the settings.
pub(crate) fn ledger(world: &World, orders: &OrderSettings) -> BTreeMap<CertificateName, LedgerRecord> {
    Authority::of(&orders.directory).map_or_else(|_| BTreeMap::new(), |authority| world.ledger_of(&authority))
}
