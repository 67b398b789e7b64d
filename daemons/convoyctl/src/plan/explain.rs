//! One unit: where it can run, where not and why.

use std::fmt;

use convoy_placement::{Unit, place};
use serde::Serialize;

use super::{Question, UnitPlan};
use crate::{exit::Outcome, refusal::Refusal};

/// What there is to say about a unit's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The unit.
    pub name: String,
    /// The machine it is placed on.
    pub machine: Option<String>,
    /// The machines of a global unit.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub on: Vec<String>,
    /// It should be on a machine and fits none.
    pub pending: bool,
    /// What is wrong with its file, if it is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// In short.
    pub reasons: Vec<String>,
    /// Machine by machine.
    pub machines: Vec<MachineVerdict>,
}

/// What a machine has against the unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineVerdict {
    /// The machine.
    pub id: String,
    /// It could run there.
    pub fits: bool,
    /// Which option excludes the machine, by what.
    pub reasons: Vec<String>,
}

impl Explanation {
    /// Explains one unit of a cluster.
    pub fn of(question: &Question, name: &str) -> Result<Self, Refusal> {
        let answer = question.answer();
        let mut explanation = Self {
            name: name.to_owned(),
            machine: None,
            on: Vec::new(),
            pending: false,
            error: None,
            reasons: Vec::new(),
            machines: Vec::new(),
        };
        if let Some(rejection) = answer.rejected.into_iter().find(|rejection| rejection.name == name) {
            explanation.error = Some(rejection.error);
            return Ok(explanation);
        }
        let Some(plan) = answer.units.into_iter().find(|unit| unit.name == name) else {
            return Err(Refusal::NotFound(format!("{name}: there is no such unit")));
        };
        explanation.pending = plan.is_pending();
        explanation.machines = verdicts(question, &plan);
        let UnitPlan { machine, reasons, on, .. } = plan;
        (explanation.machine, explanation.reasons, explanation.on) = (machine, reasons, on);
        Ok(explanation)
    }

    /// Rejected, waiting, or fine.
    pub fn outcome(&self) -> Outcome {
        match (&self.error, self.pending) {
            (Some(_), _) => Outcome::Rejected,
            (None, true) => Outcome::Pending,
            (None, false) => Outcome::Done,
        }
    }
}

fn verdicts(question: &Question, plan: &UnitPlan) -> Vec<MachineVerdict> {
    let units: Vec<Unit> = question.placement_units(&question.read());
    let machines = question.machines.iter().map(|machine| {
        let wishes: Vec<Unit> = units
            .iter()
            .map(|unit| {
                let wish = (unit.name == plan.name).then(|| machine.id.clone());
                Unit { wish: wish.or_else(|| unit.wish.clone()), ..unit.clone() }
            })
            .collect();
        let placement = place(&question.machines, &wishes);
        let fits = plan.on.contains(&machine.id)
            || placement.assigned.get(&plan.name).is_some_and(|there| *there == machine.id);
        MachineVerdict { id: machine.id.clone(), fits, reasons: Vec::new() }
    });
    machines.collect()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.error, &self.machine) {
            (Some(error), _) => return writeln!(f, "{} is rejected:\n{error}", self.name),
            (None, Some(machine)) => writeln!(f, "{} is placed on {machine}.", self.name)?,
            (None, None) if !self.on.is_empty() => {
                writeln!(f, "{} is global: on {}.", self.name, self.on.join(", "))?;
            }
            (None, None) if self.pending => writeln!(f, "{} waits for a machine:", self.name)?,
            (None, None) => writeln!(f, "{} is wanted on no machine.", self.name)?,
        }
        for reason in &self.reasons {
            writeln!(f, "  {reason}")?;
        }
        for machine in &self.machines {
            if machine.fits {
                writeln!(f, "{}\tfits", machine.id)?;
            }
            for reason in &machine.reasons {
                writeln!(f, "{}\t{reason}", machine.id)?;
            }
        }
        Ok(())
    }
}
