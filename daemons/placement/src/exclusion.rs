//! What keeps a unit off a machine: the option, its value, and what was found there.

use std::fmt;

use serde::Serialize;

use crate::{
    Accepts,
    catalog::{Catalog, Entry},
    globals::{Relation, is_stronger},
    state::State,
    table::{MachineAt, UnitAt},
    teams::Teams,
};

/// One rule that keeps a unit off a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "rule", rename_all = "kebab-case")]
pub enum Exclusion {
    /// `MachineID=` names another machine.
    MachineId {
        /// The id that it names.
        wanted: String,
    },
    /// `MachineMetadata=` asks for something else.
    Metadata {
        /// The key.
        key: String,
        /// The values of which the machine should have one.
        wanted: Vec<String>,
        /// The value that it has.
        found: Option<String>,
    },
    /// The machine takes no new units.
    Cordoned,
    /// Everything has to leave the machine.
    Drained,
    /// `MachineOf=` names no unit that is known.
    NoSuchTarget {
        /// What it names.
        target: String,
    },
    /// `MachineOf=` names a unit that is not to run.
    TargetInactive {
        /// The unit.
        target: String,
    },
    /// `MachineOf=` names the unit itself.
    OwnTarget {
        /// The unit.
        target: String,
    },
    /// `MachineOf=` names a unit that waits itself.
    TargetPending {
        /// The unit.
        target: String,
    },
    /// `MachineOf=` names a unit that is on another machine, or a global one that is not here.
    TargetElsewhere {
        /// The unit.
        target: String,
        /// Where it is, if it is an ordinary unit.
        machine: Option<String>,
    },
    /// `BindsTo=` or `Requires=` ties it to a unit on another machine.
    TiedElsewhere {
        /// The other unit.
        unit: String,
        /// Where that is.
        machine: String,
    },
    /// A unit there and this one can't share a machine.
    Conflict {
        /// `Conflicts` or `Replaces`.
        option: String,
        /// The unit that has the option, if it is not this one.
        declared_by: Option<String>,
        /// The pattern.
        pattern: String,
        /// The unit that is there.
        unit: String,
    },
    /// `RequireCapacity=`: no room.
    NoRoom {
        /// What is lacking, with numbers.
        lacking: String,
    },
    /// It would do, but a unit that must share its machine is kept off.
    Companion {
        /// That unit.
        unit: String,
        /// By what.
        because: Box<Exclusion>,
    },
    /// It would do by itself, but not without leaving a unit with an older right nowhere.
    Displaces,
}

impl Exclusion {
    /// The option that excludes, as it is written: `MachineMetadata=zone=a`.
    pub fn rule(&self) -> String {
        match self {
            Self::MachineId { wanted } => format!("MachineID={wanted}"),
            Self::Metadata { key, wanted, .. } => {
                let pairs: Vec<String> = wanted.iter().map(|value| format!("{key}={value}")).collect();
                format!("MachineMetadata={}", pairs.join(" or "))
            }
            Self::Cordoned => "cordoned".to_owned(),
            Self::Drained => "drained".to_owned(),
            Self::NoSuchTarget { target }
            | Self::TargetInactive { target }
            | Self::OwnTarget { target }
            | Self::TargetPending { target }
            | Self::TargetElsewhere { target, .. } => format!("MachineOf={target}"),
            Self::TiedElsewhere { unit, .. } => format!("BindsTo= or Requires= with {unit}"),
            Self::Conflict { option, declared_by: None, pattern, .. } => format!("{option}={pattern}"),
            Self::Conflict { option, declared_by: Some(unit), pattern, .. } => {
                format!("{option}={pattern} of {unit}")
            }
            Self::NoRoom { .. } => "RequireCapacity=yes".to_owned(),
            Self::Companion { unit, because } => {
                format!("it shares a machine with {unit}, {}", because.rule())
            }
            Self::Displaces => "older rights".to_owned(),
        }
    }

    /// What was found on this machine.
    pub fn finding(&self, machine: &str) -> String {
        match self {
            Self::MachineId { .. } => format!("{machine} is another machine"),
            Self::Metadata { key, found: Some(found), .. } => format!("{machine} has {key}={found}"),
            Self::Metadata { key, found: None, .. } => format!("{machine} has no {key}"),
            Self::Cordoned => format!("{machine} takes no new units"),
            Self::Drained => format!("{machine} is to be empty"),
            Self::NoSuchTarget { .. } => "there is no such unit".to_owned(),
            Self::TargetInactive { .. } => "that unit is inactive".to_owned(),
            Self::OwnTarget { .. } => "that is the unit itself".to_owned(),
            Self::TargetPending { .. } => "that unit waits for a machine itself".to_owned(),
            Self::TargetElsewhere { machine: Some(other), .. }
            | Self::TiedElsewhere { machine: other, .. } => {
                format!("that unit is on {other}")
            }
            Self::TargetElsewhere { machine: None, .. } => format!("that unit is not on {machine}"),
            Self::Conflict { unit, .. } => format!("{unit} is on {machine}"),
            Self::NoRoom { lacking } => format!("{machine} lacks {lacking}"),
            Self::Companion { because, .. } => because.finding(machine),
            Self::Displaces => format!("on {machine} it would leave another unit without a machine"),
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.rule())
    }
}

/// What a finished placement is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Findings<'a, 'c> {
    pub(crate) catalog: &'c Catalog<'c>,
    pub(crate) teams: &'a Teams,
    pub(crate) state: &'a State<'c>,
}

impl Findings<'_, '_> {
    /// Everything that keeps a unit, which is nowhere now, off this machine; in the order in which fleet checks.
    pub(crate) fn exclusions(&self, unit: UnitAt, machine: MachineAt) -> Vec<Exclusion> {
        let mut found = Vec::new();
        let Some(entry) = self.catalog.entry(unit) else { return found };
        self.site(entry, machine, &mut found);
        self.targets(entry, machine, &mut found);
        self.ties(unit, machine, &mut found);
        self.conflicts(unit, entry, machine, &mut found);
        if found.is_empty()
            && !self.state.admits(unit, machine)
            && !self.state.room(machine).admits(entry, machine)
        {
            found.push(Exclusion::NoRoom { lacking: self.lacking(entry, machine) });
        }
        found
    }

    /// The same, companions included: never empty for a unit that waits.
    pub(crate) fn all(&self, unit: UnitAt, machine: MachineAt) -> Vec<Exclusion> {
        let mut found = self.exclusions(unit, machine);
        let block = self.teams.block_of[unit].filter(|_| found.is_empty());
        let companions = block.into_iter().flat_map(|block| self.teams.blocks[block].members());
        for other in companions.filter(|other| *other != unit) {
            let Some(known) = self.catalog.entry(other) else { continue };
            let reasons = self.exclusions(other, machine).into_iter();
            let apart = |reason: &Exclusion| !matches!(reason, Exclusion::TargetPending { .. });
            found.extend(reasons.filter(apart).map(|because| Exclusion::Companion {
                unit: known.unit.name.clone(),
                because: Box::new(because),
            }));
        }
        if found.is_empty() {
            found.push(Exclusion::Displaces);
        }
        found
    }

    fn site(&self, entry: &Entry<'_>, machine: MachineAt, found: &mut Vec<Exclusion>) {
        let known = self.catalog.sites.machine(machine);
        let rules = &entry.unit.rules;
        if let Some(wanted) = &rules.machine_id
            && !crate::sites::is_named(&known.id, wanted)
        {
            found.push(Exclusion::MachineId { wanted: wanted.clone() });
        }
        for (key, wanted) in &rules.metadata {
            let value = known.metadata.get(key);
            if !value.is_some_and(|value| wanted.contains(value)) {
                let wanted = wanted.iter().cloned().collect();
                found.push(Exclusion::Metadata { key: key.clone(), wanted, found: value.cloned() });
            }
        }
        match known.accepts {
            Accepts::All => {}
            Accepts::Present if entry.home == Some(machine) => {}
            Accepts::Present => found.push(Exclusion::Cordoned),
            Accepts::Nothing => found.push(Exclusion::Drained),
        }
    }

    fn targets(&self, entry: &Entry<'_>, machine: MachineAt, found: &mut Vec<Exclusion>) {
        for target in &entry.unit.rules.machine_of {
            let target = target.clone();
            let known = self.catalog.find(&target).and_then(|at| Some((at, self.catalog.entry(at)?)));
            let Some((at, other)) = known else {
                found.push(Exclusion::NoSuchTarget { target });
                continue;
            };
            if !other.unit.wanted {
                found.push(Exclusion::TargetInactive { target });
            } else if other.unit.name == entry.unit.name {
                found.push(Exclusion::OwnTarget { target });
            } else if other.unit.rules.global {
                if !self.state.globals.present_on(machine).contains(&at) {
                    found.push(Exclusion::TargetElsewhere { target, machine: None });
                }
            } else if let Some(place) = self.state.at[at] {
                if place != machine {
                    let place = self.catalog.sites.machine(place).id.clone();
                    found.push(Exclusion::TargetElsewhere { target, machine: Some(place) });
                }
            } else if !self.shares_block(entry, at) {
                found.push(Exclusion::TargetPending { target });
            }
        }
    }

    /// Units in one block wait together; that says nothing.
    fn shares_block(&self, entry: &Entry<'_>, other: UnitAt) -> bool {
        let unit = self.catalog.find(&entry.unit.name);
        unit.and_then(|unit| self.teams.block_of[unit])
            .is_some_and(|block| self.teams.block_of[other] == Some(block))
    }

    fn ties(&self, unit: UnitAt, machine: MachineAt, found: &mut Vec<Exclusion>) {
        let Some(block) = self.teams.block_of[unit] else { return };
        for tie in &self.teams.blocks[block].ties {
            let lead = self.teams.blocks[*tie].lead;
            let Some(place) = self.state.at[lead].filter(|place| *place != machine) else { continue };
            if let Some(other) = self.catalog.entry(lead) {
                let machine = self.catalog.sites.machine(place).id.clone();
                found.push(Exclusion::TiedElsewhere { unit: other.unit.name.clone(), machine });
            }
        }
    }

    fn conflicts(&self, unit: UnitAt, entry: &Entry<'_>, machine: MachineAt, found: &mut Vec<Exclusion>) {
        let mut there = self.state.blockers(unit, machine);
        for (_, global, relation) in self.state.globals.related(unit) {
            let present = self.state.globals.present_on(machine).contains(&global);
            if relation == Relation::Conflicts && present && !is_stronger(self.catalog, unit, global, machine)
            {
                there.push(global);
            }
        }
        there.sort_by_key(|other| self.teams.rank[*other]);
        for other in there {
            if let Some(other) = self.catalog.entry(other) {
                found.extend(conflict(entry, other));
            }
        }
    }

    fn lacking(&self, entry: &Entry<'_>, machine: MachineAt) -> String {
        let resources = entry.unit.rules.resources;
        let (memory, cpu) = self.state.room(machine).left();
        let mut lacking = Vec::new();
        if let (Some(wanted), Some(left)) = (resources.memory, memory)
            && wanted > left
        {
            lacking.push(format!("memory ({wanted} bytes asked for, {left} free)"));
        }
        if let (Some(wanted), Some(left)) = (resources.cpu_millis, cpu)
            && wanted > left
        {
            lacking.push(format!("processors ({wanted} thousandths asked for, {left} free)"));
        }
        if lacking.is_empty() { "room for what is there already".to_owned() } else { lacking.join(" and ") }
    }
}

/// By which option the two can't share a machine.
pub(crate) fn conflict(entry: &Entry<'_>, other: &Entry<'_>) -> Option<Exclusion> {
    let unit = &other.unit.name;
    let exclusion = |option: &str, declared_by: Option<&String>, pattern: &str| Exclusion::Conflict {
        option: option.to_owned(),
        declared_by: declared_by.cloned(),
        pattern: pattern.to_owned(),
        unit: unit.clone(),
    };
    let sides = [(entry, unit, None), (other, &entry.unit.name, Some(unit))];
    sides.into_iter().find_map(|(side, name, declared_by)| {
        let rules = &side.unit.rules;
        let conflicts = rules.conflicts.iter().map(|glob| ("Conflicts", glob));
        let mut globs = conflicts.chain(rules.replaces.iter().map(|glob| ("Replaces", glob)));
        globs
            .find(|(_, glob)| glob.matches(name))
            .map(|(option, glob)| exclusion(option, declared_by, glob.as_str()))
    })
}
