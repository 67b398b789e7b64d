//! One unit: where it can run, where not and why, and what would help.

use std::fmt;

use convoy_placement::{Exclusion, Standing, explain};
use serde::Serialize;

use super::Question;
use crate::{exit::Outcome, refusal::Refusal};

/// What there is to say about a unit's place. Its JSON is public interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The unit.
    pub name: String,
    /// The machine it is placed on.
    pub machine: Option<String>,
    /// It should be on a machine and fits none.
    pub pending: bool,
    /// What is wrong with its file, if it is rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// In short.
    pub reasons: Vec<String>,
    /// Machine by machine.
    pub machines: Vec<MachineVerdict>,
    /// If it waits: the smallest changes that would place it, each tried out.
    pub remedies: Vec<String>,
    /// All of it, for people.
    #[serde(skip)]
    text: String,
}

/// What a machine has against the unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MachineVerdict {
    /// The machine.
    pub id: String,
    /// It is there, or could be with everybody else where they are.
    pub fits: bool,
    /// Which option excludes the machine, by what.
    pub reasons: Vec<String>,
    /// The same for programs.
    pub exclusions: Vec<Exclusion>,
}

impl Explanation {
    /// Explains one unit of a cluster.
    pub fn of(question: &Question, name: &str) -> Result<Self, Refusal> {
        let mut explanation = Self {
            name: name.to_owned(),
            machine: None,
            pending: false,
            error: None,
            reasons: Vec::new(),
            machines: Vec::new(),
            remedies: Vec::new(),
            text: String::new(),
        };
        let read = question.read();
        if let Some(rejection) = read.rejected.iter().find(|rejection| rejection.name == name) {
            explanation.text = format!("{name} is rejected:\n{}", rejection.error);
            explanation.error = Some(rejection.error.clone());
            return Ok(explanation);
        }
        let Some(unit) = question.units.iter().find(|unit| unit.name == name) else {
            return Err(Refusal::NotFound(format!("{name}: there is no such unit")));
        };
        if let (true, Some(machine)) = (unit.held, &unit.machine) {
            explanation.machine = Some(machine.clone());
            explanation.text = format!("{name} is on {machine}, which is away and waited for");
            return Ok(explanation);
        }
        if read
            .definitions
            .iter()
            .any(|definition| definition.name.as_str() == name && definition.name.is_template())
        {
            explanation.text = format!("{name} is a template: only its instances run");
            return Ok(explanation);
        }
        let found = explain(&question.machines, &question.placement_units(&read), name);
        explanation.text = found.to_string();
        explanation.pending = found.standing == Standing::Pending;
        explanation.reasons = found.reasons.iter().map(ToString::to_string).collect();
        explanation.remedies = found.remedies.iter().map(ToString::to_string).collect();
        explanation.machine = match found.standing {
            Standing::Placed(machine) => Some(machine),
            _ => None,
        };
        let verdict = |(id, exclusions): (String, Vec<Exclusion>)| MachineVerdict {
            fits: exclusions.is_empty(),
            reasons: exclusions.iter().map(|one| format!("{one}: {}", one.finding(&id))).collect(),
            id,
            exclusions,
        };
        explanation.machines = found.machines.into_iter().map(verdict).collect();
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

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use convoy_unit_files::Strictness;

    use super::*;
    use crate::plan::file;

    fn question() -> Question {
        let text = r#"{"machines":[{"id":"A","metadata":{"zone":"a"}},{"id":"B"}],"units":[
            {"name":"web@1.service","text":"[X-Fleet]\nConflicts=web@*.service\n","machine":"A"},
            {"name":"web@2.service","text":"[X-Fleet]\nConflicts=web@*.service\nMachineMetadata=zone=a\n"},
            {"name":"pin.service","text":"[X-Fleet]\nMachineID=C\n"},
            {"name":"bad.service","text":"[X-Fleet]\nConflict=x\n"},
            {"name":"t@.service","text":""}]}"#;
        file::read(text, Strictness::Strict).unwrap()
    }

    #[test]
    fn a_unit_is_explained_machine_by_machine() {
        let pin = Explanation::of(&question(), "pin.service").unwrap();
        assert_eq!((pin.outcome(), pin.machine.as_deref(), pin.machines.len()), (Outcome::Pending, None, 2));
        assert!(pin.machines.iter().all(|machine| !machine.fits && !machine.reasons.is_empty()), "{pin:?}");
        assert!(pin.to_string().contains("MachineID=C"), "{pin}");
        assert!(!pin.remedies.is_empty());
        let web = Explanation::of(&question(), "web@1.service").unwrap();
        assert_eq!(web.outcome(), Outcome::Done);
    }

    #[test]
    fn what_is_not_placed_at_all_is_said_so() {
        for (name, outcome, said) in [
            ("bad.service", Outcome::Rejected, "bad.service:2: Conflict"),
            ("t@.service", Outcome::Done, "is a template"),
        ] {
            let explanation = Explanation::of(&question(), name).unwrap();
            assert_eq!(explanation.outcome(), outcome);
            assert!(explanation.to_string().contains(said), "{explanation}");
        }
        assert!(matches!(Explanation::of(&question(), "no.service"), Err(Refusal::NotFound(_))));
    }
}
