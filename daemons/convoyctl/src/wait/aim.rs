//! What is waited for, and whether it is there: pure.

use std::collections::BTreeMap;

use convoy_keys::{Desired, MachineId, ScheduleRecord, StateRecord};
use convoy_store::Revision;
use convoy_unit_files::{UnitName, syntax::UnitFile};

use crate::picture::{Picture, StoredUnit};

/// So many failures in a row are an answer.
const FAILURES: u32 = 3;

/// What a unit is to become.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// Active, with the text and the restarts of its record.
    Launched {
        /// The word for it: launched, restarted, updated.
        word: &'static str,
    },
    /// The same, and if it is an app that is announced, announced again since this revision.
    Healthy {
        /// The word for it.
        word: &'static str,
        /// When it was asked for.
        since: Revision,
    },
    /// On a machine.
    Loaded,
    /// Not running.
    Stopped,
    /// On no machine.
    Unloaded,
    /// On no machine, and nothing left.
    Destroyed,
}

/// A unit and what it is to become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The unit.
    pub name: UnitName,
    /// What it is to become.
    pub aim: Aim,
    /// It belongs on all machines that it fits.
    pub global: bool,
    /// An instance of an app was announced for it before.
    pub announced: bool,
    /// The runs before, by machine (systemd's InvocationID): an old failure is not a new one.
    pub before: BTreeMap<MachineId, String>,
}

/// How far it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There. The sentence that says so.
    Done(String),
    /// It won't come by waiting. Why.
    Failed(String),
    /// Not yet.
    Waiting {
        /// What it does meanwhile.
        what: String,
        /// What stands in its way, worth a line of its own.
        trouble: Option<String>,
    },
    /// It has no machine yet.
    Unplaced,
}

impl Wanted {
    /// Remembers how things were before they were asked for.
    pub fn new(picture: &Picture, name: &UnitName, aim: Aim) -> Self {
        let runs = picture.states_of(name);
        Self {
            name: name.clone(),
            aim,
            global: picture.is_global(name),
            announced: instance(picture, name).is_some(),
            before: runs.map(|(id, state)| (id.clone(), state.invocation_id.clone())).collect(),
        }
    }

    /// How far it is.
    pub fn look(&self, picture: &Picture) -> Verdict {
        match self.aim {
            Aim::Launched { .. } | Aim::Healthy { .. } | Aim::Loaded => self.present(picture),
            Aim::Stopped => self.stopped(picture),
            Aim::Unloaded => self.absent(picture, format!("Unit {} inactive", self.name)),
            Aim::Destroyed => self.absent(picture, format!("Destroyed {}", self.name)),
        }
    }

    fn present(&self, picture: &Picture) -> Verdict {
        let Some(unit) = picture.units.get(&self.name) else {
            return Verdict::Failed(format!("{}: somebody destroyed it meanwhile", self.name));
        };
        if let Aim::Healthy { since, .. } = self.aim
            && unit.modified < since
        {
            return waiting("asked for".to_owned(), None);
        }
        let least = if self.aim == Aim::Loaded { Desired::Loaded } else { Desired::Launched };
        if unit.record.desired < least {
            let desired = unit.record.desired.as_str();
            return Verdict::Failed(format!("{}: somebody wants it {desired} meanwhile", self.name));
        }
        // A global unit is not waited for on machines that are away.
        let places: Vec<_> = picture
            .scheduled(&self.name)
            .filter(|(machine, _)| !self.global || picture.machines.contains_key(machine))
            .collect();
        if places.is_empty() {
            return Verdict::Unplaced;
        }
        let mut done = Vec::new();
        for (machine, entry) in places {
            match self.on(picture, unit, machine, entry) {
                Verdict::Done(_) => done.push(machine),
                other => return other,
            }
        }
        self.arrived(picture, &done)
    }

    /// How far it is on one machine.
    fn on(
        &self,
        picture: &Picture,
        unit: &StoredUnit,
        machine: &MachineId,
        entry: &ScheduleRecord,
    ) -> Verdict {
        let label = picture.label(machine, false);
        let Some(state) = picture.state(&self.name, machine) else {
            let away = !picture.machines.contains_key(machine);
            let what = if away { "is away" } else { "is loading it" };
            return waiting(format!("{label} {what}"), None);
        };
        let trouble = state.error.as_ref().map(|error| format!("{} on {label}: {error}", self.name));
        let there = Verdict::Done(String::new());
        if self.aim == Aim::Loaded {
            return there;
        }
        if state.hash != unit.hash || state.restarts < unit.record.restarts || entry.hash != unit.hash {
            return waiting(format!("{label} has the former one: {}", words(state)), trouble);
        }
        // Between the end of one run and the begin of the next the states are those of the old one.
        let is_new_run = self.before.get(machine).is_none_or(|run| *run != state.invocation_id);
        let has_to_be_new = matches!(self.aim, Aim::Healthy { .. }) && !state.invocation_id.is_empty();
        match state.active.as_str() {
            "active" | "reloading" | "refreshing" if is_new_run || !has_to_be_new => {
                self.healthy(picture, &label).unwrap_or(there)
            }
            "failed" if is_new_run && is_given_up(unit, state) => Verdict::Failed(format!(
                "{} failed on {label} ({}); `convoyctl status {0}` and `convoyctl journal {0}` say more",
                self.name, state.sub
            )),
            "failed" if is_new_run => {
                let trouble = format!("{} failed on {label} ({}), and is tried again", self.name, state.sub);
                waiting(format!("{label}: {}", words(state)), Some(trouble))
            }
            // A oneshot that is through, or whatever else ended well by itself.
            "inactive" if is_new_run && !state.invocation_id.is_empty() => there,
            _ => waiting(format!("{label}: {}", words(state)), trouble),
        }
    }

    /// What an announced app still lacks.
    fn healthy(&self, picture: &Picture, label: &str) -> Option<Verdict> {
        let Aim::Healthy { since, .. } = self.aim else { return None };
        if !self.announced {
            return None;
        }
        match instance(picture, &self.name) {
            None => Some(waiting(format!("{label}: active, not announced yet"), None)),
            Some((state, modified)) if state != convoy_keys::InstanceState::Passing || modified <= since => {
                Some(waiting(format!("{label}: active, {}", state.as_str()), None))
            }
            Some(_) => None,
        }
    }

    fn arrived(&self, picture: &Picture, machines: &[&MachineId]) -> Verdict {
        let word = match self.aim {
            Aim::Launched { word } | Aim::Healthy { word, .. } => word,
            _ => "loaded",
        };
        let labels: Vec<_> = machines.iter().map(|machine| picture.label(machine, false)).collect();
        let kind = if self.global { "Global unit" } else { "Unit" };
        Verdict::Done(format!("{kind} {} {word} on {}", self.name, labels.join(", ")))
    }

    fn stopped(&self, picture: &Picture) -> Verdict {
        let running = picture.states_of(&self.name).find(|(_, state)| runs(state));
        if let Some((machine, state)) = running {
            let what = format!("{}: {}", picture.label(machine, false), words(state));
            let trouble = state.error.as_ref().map(|error| format!("{}: {error}", self.name));
            return waiting(what, trouble);
        }
        let obeyed = picture.scheduled(&self.name).all(|(_, entry)| entry.desired == Desired::Loaded);
        if !obeyed {
            return waiting("the scheduler has not taken it up yet".to_owned(), None);
        }
        let labels: Vec<_> =
            picture.states_of(&self.name).map(|(machine, _)| picture.label(machine, false)).collect();
        Verdict::Done(if labels.is_empty() {
            format!("Unit {} stopped", self.name)
        } else {
            format!("Unit {} loaded on {}", self.name, labels.join(", "))
        })
    }

    fn absent(&self, picture: &Picture, done: String) -> Verdict {
        if let Some((machine, state)) = picture.states_of(&self.name).next() {
            let what = format!("{}: {}", picture.label(machine, false), words(state));
            let trouble = state.error.as_ref().map(|error| format!("{}: {error}", self.name));
            return waiting(what, trouble);
        }
        match picture.scheduled(&self.name).next() {
            Some((machine, _)) => {
                waiting(format!("{} still has it scheduled", picture.label(machine, false)), None)
            }
            None => Verdict::Done(done),
        }
    }
}

fn waiting(what: String, trouble: Option<String>) -> Verdict {
    Verdict::Waiting { what, trouble }
}

/// The agent tries again what failed, with growing pauses, unless the file says that it shall not. A few times in a row
/// are no bad start any more.
fn is_given_up(unit: &StoredUnit, state: &StateRecord) -> bool {
    let file = UnitFile::parse(&unit.record.text);
    let is_final = file.last("Service", "Restart").is_some_and(|entry| entry.value.trim() == "no");
    is_final || state.failures == 0 || state.failures >= FAILURES
}

fn runs(state: &StateRecord) -> bool {
    !matches!(state.active.as_str(), "inactive" | "failed")
}

fn words(state: &StateRecord) -> String {
    let words = format!("{} ({})", state.active, state.sub);
    if state.failures > 0 { format!("{words}, failed {} times", state.failures) } else { words }
}

/// What the registrar of a unit says, and when it said so.
fn instance(picture: &Picture, unit: &UnitName) -> Option<(convoy_keys::InstanceState, Revision)> {
    let mut instances = picture.instances.values();
    let found = instances.find(|instance| instance.record.unit == unit.as_str())?;
    Some((found.record.state, found.modified))
}

/// Whether a unit runs as it should, and is announced as well if it is an app that is announced.
pub(super) fn is_well(picture: &Picture, unit: &UnitName) -> bool {
    let mut places = picture.scheduled(unit).peekable();
    places.peek().is_some()
        && places
            .all(|(machine, _)| picture.state(unit, machine).is_some_and(|state| state.active == "active"))
        && instance(picture, unit).is_none_or(|(state, _)| state == convoy_keys::InstanceState::Passing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::{picture, unit};

    const NAME: &str = "app@1.service";

    /// A cluster with the unit: its record, where it is scheduled, what `m1` says of it, what its registrar says.
    struct Scene {
        desired: &'static str,
        restarts: u64,
        scheduled: bool,
        state: Option<(&'static str, &'static str, u64)>,
        announced: Option<&'static str>,
    }

    const RUNS: Scene = Scene {
        desired: "launched",
        restarts: 0,
        scheduled: true,
        state: Some(("active", "run-1", 0)),
        announced: None,
    };

    impl Scene {
        fn picture(&self) -> Picture {
            let hash = convoy_unit_files::hash("text");
            let mut entries = vec![(
                format!("/convoy/units/{NAME}"),
                format!(r#"{{"text":"text","desired":"{}","restarts":{}}}"#, self.desired, self.restarts),
            )];
            entries.push(("/convoy/machines/m1".into(), r#"{"name":"one"}"#.into()));
            if self.scheduled {
                entries.push((
                    format!("/convoy/schedule/m1/{NAME}"),
                    format!(r#"{{"hash":"{hash}","desired":"{}"}}"#, self.desired),
                ));
            }
            if let Some((active, run, restarts)) = self.state {
                entries.push((
                    format!("/convoy/states/m1/{NAME}"),
                    format!(
                        r#"{{"load":"loaded","active":"{active}","sub":"sub","hash":"{hash}","restarts":{restarts},"invocation_id":"{run}"}}"#
                    ),
                ));
            }
            if let Some(state) = self.announced {
                entries.push((
                    "/convoy/instances/app/1".into(),
                    format!(r#"{{"state":"{state}","machine_id":"m1","unit":"{NAME}","since":1}}"#),
                ));
            }
            let entries: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
            picture(&entries)
        }

        fn look(&self, before: &Scene, aim: Aim) -> &'static str {
            match Wanted::new(&before.picture(), &unit(NAME), aim).look(&self.picture()) {
                Verdict::Done(_) => "done",
                Verdict::Failed(_) => "failed",
                Verdict::Waiting { .. } => "waiting",
                Verdict::Unplaced => "unplaced",
            }
        }
    }

    #[test]
    fn a_start_is_over_when_the_unit_is_active_or_failed_anew_or_is_through() {
        let aim = Aim::Launched { word: "launched" };
        let nothing = Scene { state: None, scheduled: false, ..RUNS };
        let failed = Scene { state: Some(("failed", "run-1", 0)), ..RUNS };
        for (before, now, verdict) in [
            (&nothing, Scene { ..RUNS }, "done"),
            (&nothing, Scene { state: None, ..RUNS }, "waiting"),
            (&nothing, Scene { state: None, scheduled: false, ..RUNS }, "unplaced"),
            (&nothing, Scene { desired: "loaded", ..RUNS }, "failed"),
            (&nothing, Scene { state: Some(("activating", "run-1", 0)), ..RUNS }, "waiting"),
            (&nothing, Scene { state: Some(("failed", "run-1", 0)), ..RUNS }, "failed"),
            (&nothing, Scene { state: Some(("inactive", "run-1", 0)), ..RUNS }, "done"),
            (&nothing, Scene { state: Some(("inactive", "", 0)), ..RUNS }, "waiting"),
            (&failed, Scene { state: Some(("failed", "run-1", 0)), ..RUNS }, "waiting"),
            (&failed, Scene { state: Some(("failed", "run-2", 0)), ..RUNS }, "failed"),
            (&RUNS, RUNS, "done"),
        ] {
            assert_eq!(now.look(before, aim), verdict, "{:?} {:?}", now.state, now.desired);
        }
    }

    #[test]
    fn a_bad_start_that_is_tried_again_is_no_answer_yet() {
        let hash = |text: &str| convoy_unit_files::hash(text);
        for (text, failures, verdict) in [
            ("", 1, "waiting"),
            ("", 2, "waiting"),
            ("", 3, "failed"),
            ("[Service]\nRestart=always\n", 1, "waiting"),
            ("[Service]\nRestart=no\n", 1, "failed"),
        ] {
            let json = serde_json::to_string(text).unwrap();
            let record = format!(r#"{{"text":{json},"desired":"launched"}}"#);
            let entry = format!(r#"{{"hash":"{}","desired":"launched"}}"#, hash(text));
            let state = format!(
                r#"{{"load":"loaded","active":"failed","sub":"failed","hash":"{}","failures":{failures}}}"#,
                hash(text)
            );
            let picture = picture(&[
                (&format!("/convoy/units/{NAME}"), &record),
                (&format!("/convoy/schedule/m1/{NAME}"), &entry),
                (&format!("/convoy/states/m1/{NAME}"), &state),
            ]);
            let wanted = Wanted::new(&Picture::default(), &unit(NAME), Aim::Launched { word: "launched" });
            let found = match wanted.look(&picture) {
                Verdict::Waiting { trouble: Some(_), .. } => "waiting",
                Verdict::Failed(_) => "failed",
                other => panic!("{other:?}"),
            };
            assert_eq!(found, verdict, "{text:?} {failures}");
        }
    }

    #[test]
    fn a_restart_is_over_when_another_run_is_active_and_announced_again() {
        // Everything in the pictures was written at a revision of 1 to 5.
        let healthy = |since| Aim::Healthy { word: "restarted", since: Revision::new(since) };
        let before = Scene { announced: Some("passing"), ..RUNS };
        let now = |state, announced| Scene { restarts: 1, state: Some(state), announced, ..RUNS };
        for (scene, since, verdict) in [
            (now(("active", "run-1", 0), Some("passing")), 1, "waiting"),
            (now(("active", "run-1", 1), Some("passing")), 1, "waiting"),
            (now(("failed", "run-1", 1), None), 1, "waiting"),
            (now(("inactive", "run-1", 1), None), 1, "waiting"),
            (now(("active", "run-2", 1), None), 1, "waiting"),
            (now(("active", "run-2", 1), Some("starting")), 1, "waiting"),
            (now(("active", "run-2", 1), Some("passing")), 1, "done"),
            (now(("active", "run-2", 1), Some("passing")), 9, "waiting"),
            (now(("failed", "run-2", 1), None), 1, "failed"),
        ] {
            assert_eq!(
                scene.look(&before, healthy(since)),
                verdict,
                "{:?} {:?}",
                scene.state,
                scene.announced
            );
        }
        // An app without a registrar has nothing to announce.
        assert_eq!(now(("active", "run-2", 1), None).look(&RUNS, healthy(1)), "done");
    }

    #[test]
    fn the_way_back_is_over_when_nothing_is_left() {
        let loaded = Scene { desired: "loaded", ..RUNS };
        let pending = Scene { scheduled: false, state: None, ..RUNS };
        for (scene, aim, verdict) in [
            (Scene { state: Some(("active", "run-1", 0)), ..loaded }, Aim::Stopped, "waiting"),
            (Scene { state: Some(("deactivating", "run-1", 0)), ..loaded }, Aim::Stopped, "waiting"),
            (Scene { state: Some(("inactive", "run-1", 0)), ..loaded }, Aim::Stopped, "done"),
            (Scene { state: Some(("failed", "run-1", 0)), ..loaded }, Aim::Stopped, "done"),
            (Scene { state: Some(("inactive", "run-1", 0)), ..RUNS }, Aim::Stopped, "waiting"),
            (Scene { ..pending }, Aim::Stopped, "done"),
            (Scene { ..pending }, Aim::Unloaded, "done"),
            (Scene { scheduled: false, ..RUNS }, Aim::Destroyed, "waiting"),
            (Scene { state: None, ..RUNS }, Aim::Destroyed, "waiting"),
            (Scene { state: Some(("inactive", "", 0)), ..loaded }, Aim::Loaded, "done"),
            (Scene { state: Some(("inactive", "", 0)), restarts: 3, ..loaded }, Aim::Loaded, "done"),
        ] {
            assert_eq!(scene.look(&RUNS, aim), verdict, "{aim:?} {:?}", scene.state);
        }
    }
}
