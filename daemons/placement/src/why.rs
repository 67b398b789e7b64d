//! Why a unit is where it is.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use crate::{
    Accepts,
    exclusion::{Exclusion, Findings, conflict},
    pass::Pass,
    place::Reason,
    table::{MachineAt, UnitAt},
};

/// Why a unit is on the machine that it was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Choice {
    /// It was there, and may stay.
    Stays,
    /// An operator asked for this machine.
    Wished,
    /// That is where the unit is that it belongs to.
    With(String),
    /// It takes the place of the unit that it replaces.
    Replaces(String),
    /// No other machine suits it.
    OnlyOne,
    /// The least loaded of so many that suit it, as far as Spread=, Prefer= and room leave a choice.
    LeastLoaded(usize),
}

/// Why a unit left the machine where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The machine is gone.
    MachineGone,
    /// The machine, or what is there now, excludes it.
    Excluded(Exclusion),
    /// An operator asked for another machine.
    Wished,
    /// It failed there too often.
    Failed,
    /// Another unit would have had no machine otherwise, or its group could not have stayed together.
    MakesRoom,
}

/// Why a unit is where it is, and what made it leave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Why {
    /// Why there.
    pub choice: Choice,
    /// The machine that it left, and why.
    pub left: Option<(String, Cause)>,
}

impl Why {
    /// As sentences, the most important first.
    pub fn reasons(&self) -> Vec<Reason> {
        let left = self.left.as_ref().map(|(machine, cause)| match cause {
            Cause::Excluded(exclusion) => {
                Reason(format!("moved from {machine}: {exclusion}: {}", exclusion.finding(machine)))
            }
            _ => Reason(format!("moved from {machine}: {cause}")),
        });
        left.into_iter().chain([Reason(self.choice.to_string())]).collect()
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stays => f.write_str("stays where it is"),
            Self::Wished => f.write_str("an operator asked for this machine"),
            Self::With(unit) => write!(f, "shares the machine of {unit}"),
            Self::Replaces(unit) => write!(f, "takes the place of {unit} (Replaces=)"),
            Self::OnlyOne => f.write_str("the only machine that suits it"),
            Self::LeastLoaded(of) => write!(f, "least loaded of {of} machines that suit it"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MachineGone => f.write_str("that machine is gone"),
            Self::Excluded(exclusion) => write!(f, "{exclusion}"),
            Self::Wished => f.write_str("an operator asked for it"),
            Self::Failed => f.write_str("it failed there too often"),
            Self::MakesRoom => f.write_str("so that other units find a machine"),
        }
    }
}

impl Pass<'_> {
    pub(crate) fn findings(&self) -> Findings<'_, '_> {
        Findings { catalog: self.catalog, teams: &self.teams, state: &self.state }
    }

    /// Why this unit is on this machine.
    pub(crate) fn why(&self, unit: UnitAt, machine: MachineAt) -> Why {
        let Some(entry) = self.entry(unit) else { return Why { choice: Choice::Stays, left: None } };
        let left = entry.unit.current.clone().map(|id| {
            let cause = entry.home.map_or(Cause::MachineGone, |home| self.cause(unit, home));
            (id, cause)
        });
        Why { choice: self.choice(unit, machine), left }
    }

    fn choice(&self, unit: UnitAt, machine: MachineAt) -> Choice {
        let Some(entry) = self.entry(unit) else { return Choice::Stays };
        if entry.wish == Some(machine) {
            return Choice::Wished;
        }
        if let Some(target) = entry.unit.rules.machine_of.first() {
            return Choice::With(target.clone());
        }
        if let Some(replaced) = self.replaced_at(unit, machine) {
            return Choice::Replaces(replaced);
        }
        match self.catalog.domain(entry).count() {
            0 | 1 => Choice::OnlyOne,
            several => Choice::LeastLoaded(several),
        }
    }

    /// Who was on the machine and is replaced by the unit.
    fn replaced_at(&self, unit: UnitAt, machine: MachineAt) -> Option<String> {
        let entry = self.entry(unit).filter(|entry| !entry.unit.rules.replaces.is_empty())?;
        let all = self.catalog.ranked().iter().filter_map(|other| self.entry(*other));
        let mut there = all.filter(|other| other.home == Some(machine) && other.is_ordinary());
        let replaced = there.find(|other| {
            let globs = &entry.unit.rules.replaces;
            other.unit.name != entry.unit.name && globs.iter().any(|glob| glob.matches(&other.unit.name))
        });
        replaced.map(|other| other.unit.name.clone())
    }

    fn cause(&self, unit: UnitAt, home: MachineAt) -> Cause {
        let Some(entry) = self.entry(unit) else { return Cause::MakesRoom };
        let machine = self.catalog.sites.machine(home);
        if !self.catalog.suits(entry, home) {
            let excluded = self.findings().exclusions(unit, home).into_iter().next();
            let drained = machine.accepts == Accepts::Nothing;
            return match excluded {
                Some(_) if drained => Cause::Excluded(Exclusion::Drained),
                Some(exclusion) => Cause::Excluded(exclusion),
                None => Cause::MakesRoom,
            };
        }
        if entry.wish.is_some() && entry.wish == self.state.at[unit] {
            return Cause::Wished;
        }
        if entry.avoid.contains(&home) {
            return Cause::Failed;
        }
        let targets = entry.unit.rules.machine_of.iter();
        for (name, target) in targets.filter_map(|name| Some((name, self.catalog.find(name)?))) {
            if let Some(place) = self.state.at[target].filter(|place| *place != home) {
                let machine = Some(self.catalog.sites.machine(place).id.clone());
                return Cause::Excluded(Exclusion::TargetElsewhere { target: name.clone(), machine });
            }
        }
        let blockers = self.state.blockers(unit, home);
        let first = blockers.into_iter().min_by_key(|other| self.teams.rank[*other]);
        let conflict = first.and_then(|other| conflict(entry, self.entry(other)?));
        conflict.map_or(Cause::MakesRoom, Cause::Excluded)
    }

    /// Why a unit is nowhere: option by option, with what was found on the machines.
    pub(crate) fn pending_reasons(&self, unit: UnitAt) -> Vec<Reason> {
        let mut machines = (0..self.catalog.sites.len()).peekable();
        if machines.peek().is_none() {
            return vec![Reason("there is no machine".to_owned())];
        }
        let mut by_rule: BTreeMap<(usize, String), Vec<String>> = BTreeMap::new();
        let mut order: Vec<String> = Vec::new();
        for machine in machines {
            let Some(exclusion) = self.findings().all(unit, machine).into_iter().next() else { continue };
            let rule = exclusion.rule();
            let at = order.iter().position(|known| *known == rule).unwrap_or_else(|| {
                order.push(rule.clone());
                order.len() - 1
            });
            let finding = exclusion.finding(&self.catalog.sites.machine(machine).id);
            let findings = by_rule.entry((at, rule)).or_default();
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        by_rule.into_iter().map(|((_, rule), findings)| Reason(sentence(&rule, &findings))).collect()
    }
}

/// More findings than this are only counted.
const SHOWN: usize = 8;

fn sentence(rule: &str, findings: &[String]) -> String {
    let shown: Vec<&str> = findings.iter().take(SHOWN).map(String::as_str).collect();
    let more = findings.len() - shown.len();
    let and = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{rule}: {}{and}", shown.join(", "))
}
