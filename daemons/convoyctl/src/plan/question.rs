//! Machines and units as they are, or as they would be, and how placement is asked about them.

use std::collections::{BTreeMap, BTreeSet};

use convoy_keys::Desired;
use convoy_placement::{Machine, Placement, Unit, place};
use convoy_unit_files::{Definition, Problem, Rejected, Strictness, UnitName, ties};

use super::{Answer, Rejection, UnitPlan, Warning};

/// A unit as it was submitted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Submitted {
    /// Its name; anything until it is read.
    pub name: String,
    /// What problems in it name, if not its name.
    pub file: Option<String>,
    /// Its file.
    pub text: String,
    /// What is wanted of it.
    pub desired: Desired,
    /// How it is read.
    pub strictness: Strictness,
    /// Where it is now.
    pub machine: Option<String>,
    /// It stays there though the machine is away.
    pub held: bool,
    /// Where the operator wants it.
    pub wish: Option<String>,
    /// Where it failed too often.
    pub avoid: BTreeSet<String>,
}

/// What placement is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// The machines.
    pub machines: Vec<Machine>,
    /// The units, in the order in which they were submitted.
    pub units: Vec<Submitted>,
}

/// What became of reading the units.
#[derive(Debug, Default)]
pub struct Read {
    /// Those that may be submitted, in order.
    pub definitions: Vec<Definition>,
    /// Those that may not.
    pub rejected: Vec<Rejection>,
}

impl Question {
    /// Reads every unit, alone and with the others.
    pub fn read(&self) -> Read {
        let mut read = Read::default();
        for unit in &self.units {
            let definition =
                UnitName::parse(&unit.name).map_err(|error| error.to_string()).and_then(|name| {
                    let file = unit.file.as_deref().unwrap_or(&unit.name);
                    Definition::read(&name, file, &unit.text, unit.strictness)
                        .map_err(|rejected| rejected.to_string())
                });
            match definition {
                Ok(definition) => read.definitions.push(definition),
                Err(error) => read.rejected.push(Rejection { name: unit.name.clone(), error }),
            }
        }
        self.tie(&mut read);
        read
    }

    /// Rejects what depends on another unit that may be on another machine. What is rejected isn't submitted, so it
    /// can't tie others together either: the rest is looked at again.
    fn tie(&self, read: &mut Read) {
        let strictness: BTreeMap<&str, Strictness> =
            self.units.iter().map(|unit| (unit.name.as_str(), unit.strictness)).collect();
        let check = |definitions: &[Definition], asked: Strictness| {
            let all: Vec<&Definition> = definitions.iter().collect();
            let mut problems: BTreeMap<UnitName, Vec<Problem>> = BTreeMap::new();
            for (name, problem) in ties::check(&all, asked) {
                if strictness.get(name.as_str()) == Some(&asked) {
                    problems.entry(name).or_default().push(problem);
                }
            }
            problems
        };
        loop {
            let problems = check(&read.definitions, Strictness::Strict);
            if problems.is_empty() {
                break;
            }
            read.definitions.retain(|definition| !problems.contains_key(&definition.name));
            let rejected = problems.into_iter().map(|(name, problems)| Rejection {
                name: name.into(),
                error: Rejected(problems).to_string(),
            });
            read.rejected.extend(rejected);
        }
        let mut warnings = check(&read.definitions, Strictness::Compatible);
        for definition in &mut read.definitions {
            definition.warnings.extend(warnings.remove(&definition.name).into_iter().flatten());
        }
        let order: BTreeMap<&str, usize> =
            self.units.iter().enumerate().map(|(index, unit)| (unit.name.as_str(), index)).collect();
        read.rejected.sort_by_key(|rejection| order.get(rejection.name.as_str()).copied());
    }

    /// What placement is told: the units that were read, without templates.
    pub fn placement_units(&self, read: &Read) -> Vec<Unit> {
        let submitted: BTreeMap<&str, &Submitted> =
            self.units.iter().map(|unit| (unit.name.as_str(), unit)).collect();
        let placed = read.definitions.iter().filter(|definition| !definition.name.is_template());
        placed
            .filter_map(|definition| {
                let unit = submitted.get(definition.name.as_str()).filter(|unit| !unit.held)?;
                Some(Unit {
                    name: unit.name.clone(),
                    rules: definition.rules.clone(),
                    wanted: unit.desired != Desired::Inactive,
                    current: unit.machine.clone(),
                    wish: unit.wish.clone(),
                    avoid: unit.avoid.clone(),
                })
            })
            .collect()
    }

    /// Places everything and says what came of it.
    pub fn answer(&self) -> Answer {
        let read = self.read();
        let units = self.placement_units(&read);
        let placement = place(&self.machines, &units);
        self.tell(read, &placement)
    }

    fn tell(&self, read: Read, placement: &Placement) -> Answer {
        let mut machines: BTreeMap<String, BTreeSet<String>> =
            self.machines.iter().map(|machine| (machine.id.clone(), BTreeSet::new())).collect();
        let assigned = placement.assigned.iter().map(|(unit, machine)| (machine, unit));
        let globals =
            placement.globals.iter().flat_map(|(unit, all)| all.iter().map(move |machine| (machine, unit)));
        for (machine, unit) in assigned.chain(globals) {
            machines.entry(machine.clone()).or_default().insert(unit.clone());
        }
        let mut answer = Answer {
            machines: machines.into_iter().map(|(id, units)| (id, units.into_iter().collect())).collect(),
            rejected: read.rejected,
            ..Answer::default()
        };
        let definitions: BTreeMap<&str, &Definition> =
            read.definitions.iter().map(|definition| (definition.name.as_str(), definition)).collect();
        for unit in &self.units {
            let Some(definition) = definitions.get(unit.name.as_str()) else { continue };
            if let (true, Some(machine)) = (unit.held, &unit.machine) {
                answer.machines.entry(machine.clone()).or_default().push(unit.name.clone());
            }
            let warnings = definition.warnings.iter().map(ToString::to_string);
            answer.warnings.extend(warnings.map(|warning| Warning { name: unit.name.clone(), warning }));
            let plan = plan(unit, definition, placement);
            if let Some(reasons) = placement.warnings.get(&unit.name) {
                let reasons: Vec<_> = reasons.iter().map(ToString::to_string).collect();
                answer.warnings.push(Warning { name: unit.name.clone(), warning: reasons.join("; ") });
            }
            answer.units.push(plan);
        }
        answer
    }
}

fn plan(unit: &Submitted, definition: &Definition, placement: &Placement) -> UnitPlan {
    let held = unit.machine.as_ref().filter(|_| unit.held);
    let machine = placement.assigned.get(&unit.name).or(held).cloned();
    let wanted = unit.desired != Desired::Inactive && !definition.name.is_template();
    UnitPlan {
        name: unit.name.clone(),
        moved: machine.is_some() && unit.machine.is_some() && machine != unit.machine,
        machine,
        reasons: placement.reasons(&unit.name).into_iter().map(|reason| reason.0).collect(),
        before: unit.machine.clone(),
        wanted,
        global: definition.rules.global,
        on: placement.globals.get(&unit.name).into_iter().flatten().cloned().collect(),
    }
}
