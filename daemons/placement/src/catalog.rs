//! Machines and units with everything that can be looked up ahead: what a pass reads, and edits keep up to date.
//!
//! Nothing here depends on the order of edits except the positions of units, which no decision looks at:
//! units are compared by rank (submission), machines by id.

use std::{borrow::Cow, collections::BTreeMap, ops::Deref};

use crate::{
    Accepts, Machine, Unit,
    bits::Bits,
    hash::FastMap,
    patterns::Patterns,
    sites::Sites,
    table::{MachineAt, Table, UnitAt},
};

/// A unit that somebody else keeps, or that is kept here.
#[derive(Debug, Clone)]
pub(crate) enum Held<'a> {
    Lent(&'a Unit),
    Owned(Box<Unit>),
}

impl Deref for Held<'_> {
    type Target = Unit;

    fn deref(&self) -> &Unit {
        match self {
            Self::Lent(unit) => unit,
            Self::Owned(unit) => unit,
        }
    }
}

/// One unit, with what its rules come to.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools, reason = "each is asked for thousands of times in a pass")]
pub(crate) struct Entry<'a> {
    pub(crate) unit: Held<'a>,
    /// Wanted, and not global.
    ordinary: bool,
    /// Linked with others by name.
    linked: bool,
    /// It has limits.
    roomy: bool,
    /// It has Replaces=.
    pub(crate) replaces: bool,
    pub(crate) order: u64,
    /// Where it is, if that machine is still there.
    pub(crate) home: Option<MachineAt>,
    pub(crate) wish: Option<MachineAt>,
    pub(crate) avoid: Vec<MachineAt>,
    /// What it asks of a machine by itself, see [`Sites`].
    pub(crate) site: usize,
    /// Patterns of units that it can't share a machine with, and patterns that its own name matches; both sorted.
    pub(crate) declares: Vec<usize>,
    pub(crate) hits: Vec<usize>,
    pub(crate) weight: i64,
    /// Its template, if that is spread over something.
    pub(crate) family: Option<usize>,
    /// Its soft wishes, see [`Sites`]; `None` if it has none.
    pub(crate) taste: Option<usize>,
}

impl Entry<'_> {
    /// Whether it is wanted, and not global.
    pub(crate) const fn is_ordinary(&self) -> bool {
        self.ordinary
    }

    /// Whether it is linked with others by name.
    pub(crate) const fn has_links(&self) -> bool {
        self.linked
    }

    /// Whether it has limits.
    pub(crate) const fn needs_room(&self) -> bool {
        self.roomy
    }
}

/// Everything that placement knows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalog<'a> {
    pub(crate) sites: Sites,
    pub(crate) patterns: Patterns,
    names: BTreeMap<Cow<'a, str>, UnitAt>,
    units: Table<Option<Entry<'a>>>,
    free: Vec<UnitAt>,
    ranked: Vec<UnitAt>,
    families: FastMap<String, usize>,
}

impl<'a> Catalog<'a> {
    pub(crate) fn find(&self, name: &str) -> Option<UnitAt> {
        self.names.get(name).copied()
    }

    pub(crate) fn entry(&self, at: UnitAt) -> Option<&Entry<'a>> {
        self.units[at].as_ref()
    }

    /// One more than the highest position of a unit.
    pub(crate) const fn positions(&self) -> usize {
        self.units.len()
    }

    /// All units in the order of their submission.
    pub(crate) fn ranked(&self) -> &[UnitAt] {
        &self.ranked
    }

    /// Takes these machines and units into an empty catalog; of two units with one name the first counts.
    pub(crate) fn take(&mut self, machines: &[Machine], units: &'a [Unit]) {
        self.set_machines(machines.to_vec());
        let mut named: Vec<(&str, usize)> =
            units.iter().enumerate().map(|(at, unit)| (unit.name.as_str(), at)).collect();
        named.sort_unstable();
        named.dedup_by_key(|(name, _)| *name);
        let mut first = Table::filled(false, units.len());
        for (_, at) in &named {
            first[*at] = true;
        }
        // All patterns first, then all names: each finds the other once.
        let mut positions = Table::filled(usize::MAX, units.len());
        for (at, unit) in units.iter().enumerate().filter(|(at, _)| first[*at]) {
            let position = self.units.len();
            let globs = unit.rules.conflicts.iter().chain(&unit.rules.replaces);
            let declares = self.patterns.declare(position, globs, &self.names, |_, _| {});
            let entry = self.look_up(at as u64, Held::Lent(unit), declares, Vec::new());
            self.units.push(Some(entry));
            self.ranked.push(position);
            positions[at] = position;
        }
        for position in 0..self.units.len() {
            if let Some(entry) = self.units[position].as_mut() {
                entry.hits = self.patterns.hits(position, &entry.unit.name);
            }
        }
        self.names = named.into_iter().map(|(name, at)| (Cow::Borrowed(name), positions[at])).collect();
    }

    /// All units in the order of their names.
    pub(crate) fn by_name(&self) -> impl Iterator<Item = UnitAt> + '_ {
        self.names.values().copied()
    }

    /// Takes these machines in place of the former ones.
    pub(crate) fn set_machines(&mut self, machines: Vec<Machine>) {
        self.sites.set_machines(machines);
        for entry in self.units.iter_mut().flatten() {
            resolve(&self.sites, entry);
        }
    }

    /// Adds a unit, or changes it.
    pub(crate) fn upsert(&mut self, order: u64, unit: Held<'a>) {
        if let Some(at) = self.find(&unit.name) {
            let same = self.entry(at).is_some_and(|entry| entry.unit.rules == unit.rules);
            if same {
                self.unrank(at);
                if let Some(entry) = self.units[at].as_mut() {
                    entry.order = order;
                    entry.unit = unit;
                    resolve(&self.sites, entry);
                }
                self.rank(at);
                return;
            }
            self.remove(&unit.name.clone());
        }
        let at = self.free.pop().unwrap_or_else(|| self.units.push(None));
        let globs = || unit.rules.conflicts.iter().chain(&unit.rules.replaces);
        let declares = self.patterns.declare(at, globs(), &self.names, |other, pattern| {
            if let Some(entry) = self.units[other].as_mut() {
                insert_sorted(&mut entry.hits, pattern);
            }
        });
        let hits = self.patterns.hits(at, &unit.name);
        let entry = self.look_up(order, unit, declares, hits);
        let name = match &entry.unit {
            Held::Lent(unit) => Cow::Borrowed(unit.name.as_str()),
            Held::Owned(unit) => Cow::Owned(unit.name.clone()),
        };
        self.names.insert(name, at);
        self.units[at] = Some(entry);
        self.rank(at);
    }

    fn look_up(&mut self, order: u64, unit: Held<'a>, declares: Vec<usize>, hits: Vec<usize>) -> Entry<'a> {
        let spread = !unit.rules.spread.is_empty();
        let family = if spread || !self.families.is_empty() { family(&unit.name) } else { None };
        let family = family.filter(|name| spread || self.families.contains_key(name));
        let family = family.map(|name| self.family(name));
        let mut entry = Entry {
            order,
            ordinary: false,
            linked: !unit.rules.machine_of.is_empty() || !unit.rules.ties.is_empty(),
            roomy: unit.rules.resources.memory.is_some() || unit.rules.resources.cpu_millis.is_some(),
            replaces: !unit.rules.replaces.is_empty(),
            home: None,
            wish: None,
            avoid: Vec::new(),
            site: self.sites.site(&unit.rules),
            declares,
            hits,
            weight: unit.rules.weight.map_or(1, i64::from),
            family,
            taste: self.sites.taste(&unit.rules),
            unit,
        };
        resolve(&self.sites, &mut entry);
        entry
    }

    /// Forgets a unit; nothing happens if there is none.
    pub(crate) fn remove(&mut self, name: &str) {
        let Some(at) = self.names.remove(name) else { return };
        self.unrank(at);
        let Some(entry) = self.units[at].take() else { return };
        for gone in self.patterns.forget(at, &entry.declares, &entry.hits) {
            for member in gone.members {
                if let Some(entry) = self.units[member].as_mut() {
                    entry.hits.retain(|pattern| *pattern != gone.pattern);
                }
            }
        }
        self.free.push(at);
    }

    /// Changes where a unit is.
    pub(crate) fn set_current(&mut self, name: &str, current: Option<&str>) {
        if let Some(at) = self.find(name)
            && let Some(entry) = self.units[at].as_mut()
        {
            let mut unit = Unit::clone(&entry.unit);
            unit.current = current.map(str::to_owned);
            entry.unit = Held::Owned(Box::new(unit));
            resolve(&self.sites, entry);
        }
    }

    /// Whether the machine suits the unit as far as machine and unit alone are concerned.
    pub(crate) fn suits(&self, entry: &Entry<'_>, machine: MachineAt) -> bool {
        self.sites.allows(entry.site, machine)
            && match self.sites.machine(machine).accepts {
                Accepts::All => true,
                Accepts::Present => entry.home == Some(machine),
                Accepts::Nothing => false,
            }
    }

    /// All machines that suit the unit.
    pub(crate) fn domain(&self, entry: &Entry<'_>) -> Bits {
        let mut domain = self.sites.mask(entry.site).clone();
        domain.keep(self.sites.open());
        if let Some(home) = entry.home.filter(|home| self.suits(entry, *home)) {
            domain.insert(home);
        }
        domain
    }

    fn family(&mut self, name: String) -> usize {
        let next = self.families.len();
        if let Some(known) = self.families.get(&name) {
            return *known;
        }
        // Instances that came before the first one with Spread= count as well.
        for entry in self.units.iter_mut().flatten() {
            if family(&entry.unit.name).as_deref() == Some(name.as_str()) {
                entry.family = Some(next);
            }
        }
        self.families.insert(name, next);
        next
    }

    fn sort_key(&self, at: UnitAt) -> (u64, &str) {
        self.entry(at).map_or((u64::MAX, ""), |entry| (entry.order, entry.unit.name.as_str()))
    }

    fn rank(&mut self, at: UnitAt) {
        let key = self.sort_key(at);
        let to = match self.ranked.last() {
            Some(last) if self.sort_key(*last) > key => {
                self.ranked.partition_point(|other| self.sort_key(*other) < key)
            }
            _ => self.ranked.len(),
        };
        self.ranked.insert(to, at);
    }

    fn unrank(&mut self, at: UnitAt) {
        if let Some(from) = self.ranked.iter().position(|other| *other == at) {
            self.ranked.remove(from);
        }
    }
}

fn resolve(sites: &Sites, entry: &mut Entry<'_>) {
    entry.ordinary = entry.unit.wanted && !entry.unit.rules.global;
    entry.home = entry.unit.current.as_deref().and_then(|id| sites.find(id));
    entry.wish = entry.unit.wish.as_deref().and_then(|id| sites.find(id));
    entry.avoid = entry.unit.avoid.iter().filter_map(|id| sites.find(id)).collect();
}

/// The template of an instance: `web@.service` for `web@1.service`.
fn family(name: &str) -> Option<String> {
    let (prefix, rest) = name.split_once('@')?;
    let (_, suffix) = rest.rsplit_once('.')?;
    Some(format!("{prefix}@.{suffix}"))
}

pub(crate) fn insert_sorted(list: &mut Vec<usize>, item: usize) {
    if let Err(to) = list.binary_search(&item) {
        list.insert(to, item);
    }
}
