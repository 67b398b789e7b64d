//! The answer for people.

use std::fmt;

use super::{Answer, UnitPlan};

impl UnitPlan {
    /// What becomes of it, in a few words.
    fn story(&self) -> String {
        match (&self.before, &self.machine) {
            (Some(before), Some(machine)) if self.moved => format!("moves from {before} to {machine}"),
            (Some(_), Some(machine)) => format!("stays on {machine}"),
            (None, Some(machine)) => format!("goes to {machine}"),
            _ if self.is_global() && self.on.is_empty() => "on no machine (global)".to_owned(),
            _ if self.is_global() => format!("on {} (global)", self.on.join(", ")),
            (Some(before), None) if self.wanted => format!("leaves {before} and waits"),
            _ if self.wanted => "waits".to_owned(),
            (Some(before), None) => format!("leaves {before}"),
            (None, None) => "nowhere".to_owned(),
        }
    }
}

impl fmt::Display for Answer {
    /// Units with their machine and the reasons of those that wait, then problems and warnings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for unit in &self.units {
            writeln!(f, "{}\t{}", unit.name, unit.story())?;
            // Who stays where it was needs no reason.
            let is_news = unit.machine.is_none() || unit.machine != unit.before;
            for reason in unit.reasons.iter().filter(|_| is_news) {
                writeln!(f, "\t{reason}")?;
            }
        }
        for rejection in &self.rejected {
            writeln!(f, "{}\trejected", rejection.name)?;
            for line in rejection.error.lines() {
                writeln!(f, "\t{line}")?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "{}\twarning: {}", warning.name, warning.warning)?;
        }
        let count = |test: fn(&UnitPlan) -> bool| self.units.iter().filter(|unit| test(unit)).count();
        let placed = count(|unit| unit.machine.is_some() || !unit.on.is_empty());
        let (moved, pending) = (count(|unit| unit.moved), count(UnitPlan::is_pending));
        let rejected = self.rejected.len();
        if self.unchanged > 0 {
            writeln!(f, "{} units stay as they are", self.unchanged)?;
        }
        writeln!(f, "{placed} placed, {moved} of them moved, {pending} waiting, {rejected} rejected")
    }
}
