//! Why one unit is where it is, or nowhere: machine by machine, and what would help.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    Accepts, Exclusion, Machine, Reason, Unit,
    catalog::Catalog,
    outcome,
    pass::Pass,
    place::{BUDGET, place},
    table::MachineAt,
};

/// More changes than this are not tried.
const MOST_TRIALS: usize = 64;
/// More remedies than this are not told.
const MOST_REMEDIES: usize = 8;

/// What there is to say about a unit's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The unit.
    pub unit: String,
    /// Where it stands.
    pub standing: Standing,
    /// In short.
    pub reasons: Vec<Reason>,
    /// What each machine has against it, by id; nothing if it could be there with everybody else where they are.
    pub machines: BTreeMap<String, Vec<Exclusion>>,
    /// If it waits: the smallest changes after which it would not, each tried out.
    pub remedies: Vec<Remedy>,
}

/// Where a unit stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// There is no such unit.
    Unknown,
    /// It is not wanted anywhere.
    Inactive,
    /// It is global, and on these machines.
    Global(Vec<String>),
    /// It is on this machine.
    Placed(String),
    /// It waits.
    Pending,
}

/// A change that would give a waiting unit a machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "change", rename_all = "kebab-case")]
pub enum Remedy {
    /// Start a unit that it follows.
    StartTarget {
        /// That unit.
        target: String,
        /// Where it would go itself.
        machine: String,
    },
    /// Take an option, or one value of it, out of a unit file.
    DropOption {
        /// The unit whose file it is.
        unit: String,
        /// The option with its value.
        option: String,
        /// Where the waiting unit would go.
        machine: String,
    },
    /// Give a machine metadata.
    AddMetadata {
        /// The machine.
        machine: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
    },
    /// Let a machine take units again.
    Uncordon {
        /// The machine.
        machine: String,
    },
    /// Stop a unit that is in the way.
    StopUnit {
        /// That unit.
        unit: String,
        /// Where the waiting unit would go.
        machine: String,
    },
    /// Add a machine.
    AddMachine {
        /// The metadata that it needs.
        metadata: BTreeMap<String, String>,
    },
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StartTarget { target, machine } => {
                write!(f, "start {target}: it would go to {machine} with it")
            }
            Self::DropOption { unit, option, machine } => {
                write!(f, "take {option} out of {unit}: it would go to {machine}")
            }
            Self::AddMetadata { machine, key, value } => {
                write!(f, "give {machine} the metadata {key}={value}")
            }
            Self::Uncordon { machine } => write!(f, "let {machine} take units again"),
            Self::StopUnit { unit, machine } => write!(f, "stop {unit}: it would go to {machine}"),
            Self::AddMachine { metadata } if metadata.is_empty() => f.write_str("add a machine"),
            Self::AddMachine { metadata } => {
                let pairs: Vec<String> =
                    metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
                write!(f, "add a machine with {}", pairs.join(","))
            }
        }
    }
}

/// Explains one unit. Takes as long as some dozen placements if the unit waits.
pub fn explain(machines: &[Machine], units: &[Unit], name: &str) -> Explanation {
    let mut catalog = Catalog::default();
    catalog.take(machines, units);
    let mut pass = Pass::new(&catalog, BUDGET);
    pass.run();
    let placement = outcome::of(&pass);
    let mut explanation = Explanation {
        unit: name.to_owned(),
        standing: Standing::Unknown,
        reasons: placement.reasons(name),
        machines: BTreeMap::new(),
        remedies: Vec::new(),
    };
    let Some(at) = catalog.find(name) else { return explanation };
    explanation.standing = match (placement.assigned.get(name), placement.globals.get(name)) {
        (Some(machine), _) => Standing::Placed(machine.clone()),
        (None, Some(on)) => Standing::Global(on.iter().cloned().collect()),
        (None, None) if placement.pending.contains_key(name) => Standing::Pending,
        (None, None) => Standing::Inactive,
    };
    if explanation.standing == Standing::Inactive {
        return explanation;
    }
    let here = pass.state.at[at];
    // Exclusions are those of a unit that is nowhere.
    pass.state.remove(at);
    for machine in 0..catalog.sites.len() {
        let id = catalog.sites.machine(machine).id.clone();
        let there = matches!(&explanation.standing, Standing::Global(on) if on.contains(&id));
        let exclusions =
            if here == Some(machine) || there { Vec::new() } else { exclusions(&pass, at, machine) };
        explanation.machines.insert(id, exclusions);
    }
    if explanation.standing == Standing::Pending {
        explanation.remedies = remedies(machines, units, name, &explanation.machines);
    }
    explanation
}

fn exclusions(pass: &Pass<'_>, unit: usize, machine: MachineAt) -> Vec<Exclusion> {
    // One that is placed may well find another machine as good.
    let mut found = pass.findings().all(unit, machine);
    if pass.teams.block_of[unit].is_some() && pass.state.admits(unit, machine) {
        found.retain(|exclusion| *exclusion != Exclusion::Displaces);
    }
    found
}

/// Tries the changes that the exclusions suggest, those first that change least.
fn remedies(
    machines: &[Machine],
    units: &[Unit],
    name: &str,
    exclusions: &BTreeMap<String, Vec<Exclusion>>,
) -> Vec<Remedy> {
    let mut suggestions: Vec<Remedy> = Vec::new();
    let mut by_need: Vec<(&String, &Vec<Exclusion>)> = exclusions.iter().collect();
    by_need.sort_by_key(|(_, exclusions)| exclusions.len());
    for (machine, exclusions) in by_need {
        for exclusion in exclusions {
            suggest(exclusion, name, machine, &mut suggestions);
        }
    }
    suggestions.sort_by_key(|remedy| match remedy {
        Remedy::StartTarget { .. } => 0,
        Remedy::Uncordon { .. } => 1,
        Remedy::AddMetadata { .. } => 2,
        Remedy::DropOption { unit, .. } if unit == name => 3,
        Remedy::DropOption { .. } => 4,
        Remedy::StopUnit { .. } => 5,
        Remedy::AddMachine { .. } => 6,
    });
    suggestions.extend(units.iter().find(|unit| unit.name == name).and_then(new_machine));
    let mut tried: Vec<Remedy> = Vec::new();
    let mut remedies: Vec<Remedy> = Vec::new();
    for mut suggestion in suggestions {
        set_machine(&mut suggestion, "");
        let last = matches!(suggestion, Remedy::AddMachine { .. });
        if tried.contains(&suggestion)
            || (!last && (tried.len() >= MOST_TRIALS || remedies.len() + 1 >= MOST_REMEDIES))
        {
            continue;
        }
        tried.push(suggestion.clone());
        if let Some(machine) = try_out(machines, units, name, &suggestion) {
            set_machine(&mut suggestion, &machine);
            remedies.push(suggestion);
        }
    }
    remedies
}

fn suggest(exclusion: &Exclusion, name: &str, machine: &str, suggestions: &mut Vec<Remedy>) {
    let drop = |unit: &str, option: String| Remedy::DropOption {
        unit: unit.to_owned(),
        option,
        machine: String::new(),
    };
    match exclusion {
        Exclusion::MachineId { .. }
        | Exclusion::NoRoom { .. }
        | Exclusion::NoSuchTarget { .. }
        | Exclusion::OwnTarget { .. }
        | Exclusion::TargetElsewhere { .. }
        | Exclusion::TargetPending { .. } => suggestions.push(drop(name, exclusion.rule())),
        Exclusion::TargetInactive { target } => {
            suggestions.push(Remedy::StartTarget { target: target.clone(), machine: String::new() });
            suggestions.push(drop(name, exclusion.rule()));
        }
        Exclusion::Metadata { key, wanted, .. } => {
            suggestions.extend(wanted.first().map(|value| Remedy::AddMetadata {
                machine: machine.to_owned(),
                key: key.clone(),
                value: value.clone(),
            }));
            suggestions.push(drop(name, format!("MachineMetadata={key}")));
        }
        Exclusion::Cordoned | Exclusion::Drained => {
            suggestions.push(Remedy::Uncordon { machine: machine.to_owned() });
        }
        Exclusion::Conflict { option, declared_by, pattern, unit } => {
            suggestions.push(drop(declared_by.as_deref().unwrap_or(name), format!("{option}={pattern}")));
            suggestions.push(Remedy::StopUnit { unit: unit.clone(), machine: String::new() });
        }
        Exclusion::Companion { unit, because } => suggest(because, unit, machine, suggestions),
        Exclusion::TiedElsewhere { .. } | Exclusion::Displaces => {}
    }
}

/// A machine that the unit itself asks for; none if it is pinned to one.
fn new_machine(unit: &Unit) -> Option<Remedy> {
    let metadata = unit.rules.metadata.iter();
    let metadata =
        metadata.filter_map(|(key, values)| Some((key.clone(), values.first()?.clone()))).collect();
    unit.rules.machine_id.is_none().then_some(Remedy::AddMachine { metadata })
}

fn set_machine(remedy: &mut Remedy, to: &str) {
    match remedy {
        Remedy::StartTarget { machine, .. }
        | Remedy::DropOption { machine, .. }
        | Remedy::StopUnit { machine, .. } => to.clone_into(machine),
        Remedy::AddMetadata { .. } | Remedy::Uncordon { .. } | Remedy::AddMachine { .. } => {}
    }
}

/// Places everything with the change; tells where the unit would be, if nobody else would lose a machine for it.
fn try_out(machines: &[Machine], units: &[Unit], name: &str, remedy: &Remedy) -> Option<String> {
    let (mut machines, mut units) = (machines.to_vec(), units.to_vec());
    let mut stopped = None;
    match remedy {
        Remedy::StartTarget { target, .. } => {
            units.iter_mut().find(|unit| unit.name == *target)?.wanted = true;
        }
        Remedy::DropOption { unit, option, .. } => {
            drop_option(units.iter_mut().find(|other| other.name == *unit)?, option);
        }
        Remedy::AddMetadata { machine, key, value } => {
            let machine = machines.iter_mut().find(|other| other.id == *machine)?;
            machine.metadata.insert(key.clone(), value.clone());
        }
        Remedy::Uncordon { machine } => {
            machines.iter_mut().find(|other| other.id == *machine)?.accepts = Accepts::All;
        }
        Remedy::StopUnit { unit, .. } => {
            units.iter_mut().find(|other| other.name == *unit)?.wanted = false;
            stopped = Some(unit.clone());
        }
        Remedy::AddMachine { metadata } => machines.push(Machine {
            // Sorts last, and is nobody's id.
            id: "\u{10ffff}".to_owned(),
            metadata: metadata.clone(),
            ..Machine::default()
        }),
    }
    let after = place(&machines, &units);
    let runs = |unit: &&Unit| unit.current.is_some() && stopped.as_ref() != Some(&unit.name);
    let harmed =
        units.iter().filter(runs).any(|unit| after.pending.contains_key(&unit.name) && unit.name != name);
    after.assigned.get(name).filter(|_| !harmed).cloned()
}

fn drop_option(unit: &mut Unit, option: &str) {
    let rules = &mut unit.rules;
    match option.split_once('=') {
        Some(("MachineID", _)) => rules.machine_id = None,
        Some(("RequireCapacity", _)) => rules.require_capacity = false,
        Some(("MachineOf", target)) => rules.machine_of.retain(|other| other != target),
        Some(("MachineMetadata", key)) => drop(rules.metadata.remove(key)),
        Some(("Conflicts", pattern)) => rules.conflicts.retain(|glob| glob.as_str() != pattern),
        Some(("Replaces", pattern)) => rules.replaces.retain(|glob| glob.as_str() != pattern),
        _ => {}
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.standing {
            Standing::Unknown => return write!(f, "{}: there is no such unit", self.unit),
            Standing::Inactive => return write!(f, "{} is inactive: it is on no machine", self.unit),
            Standing::Global(on) if on.is_empty() => write!(f, "{} is global and on no machine", self.unit)?,
            Standing::Global(on) => write!(f, "{} is global and on {}", self.unit, on.join(", "))?,
            Standing::Placed(machine) => write!(f, "{} is on {machine}", self.unit)?,
            Standing::Pending => write!(f, "{} waits for a machine", self.unit)?,
        }
        for reason in &self.reasons {
            write!(f, "\n  {reason}")?;
        }
        for (machine, exclusions) in &self.machines {
            let here = matches!(&self.standing, Standing::Placed(placed) if placed == machine)
                || matches!(&self.standing, Standing::Global(on) if on.contains(machine));
            match exclusions.first() {
                _ if here => write!(f, "\n  {machine}: it is here")?,
                None => write!(f, "\n  {machine}: would do")?,
                Some(_) => {
                    let all: Vec<String> =
                        exclusions.iter().map(|one| format!("{one} ({})", one.finding(machine))).collect();
                    write!(f, "\n  {machine}: {}", all.join("; "))?;
                }
            }
        }
        if !self.remedies.is_empty() {
            f.write_str("\n  what would help, any one of:")?;
        }
        for remedy in &self.remedies {
            write!(f, "\n    {remedy}")?;
        }
        Ok(())
    }
}
