//! `list-units`, `list-unit-files`, `list-machines`.

use anyhow::Result;
use convoy_keys::{Desired, MaintenanceMode};
use serde::Serialize;

use super::Session;
use crate::{
    cli::{ListArguments, Output},
    console::Console,
    exit::Outcome,
    picture::Picture,
    table::{self, Column},
    wait::frozen,
};

/// What fleet shortened hashes to.
const SHORT_HASH: usize = 7;

#[derive(Debug, Serialize)]
struct UnitRow {
    unit: String,
    #[serde(rename = "machine")]
    machine_id: String,
    #[serde(skip)]
    machine: [String; 2],
    address: Option<String>,
    load: String,
    active: String,
    sub: String,
    hash: String,
    since: u64,
    failures: u32,
    restarts: u64,
    unclaimed: bool,
    error: Option<String>,
}

const UNITS: [Column<UnitRow>; 9] = [
    Column { name: "unit", about: "the unit", cell: |row, _| row.unit.clone() },
    Column { name: "machine", about: "where it is", cell: |row, full| either(&row.machine, full) },
    Column { name: "load", about: "systemd's load state", cell: |row, _| row.load.clone() },
    Column { name: "active", about: "systemd's active state", cell: |row, _| row.active.clone() },
    Column { name: "sub", about: "systemd's sub state", cell: |row, _| row.sub.clone() },
    Column { name: "hash", about: "SHA-256 of its text", cell: |row, full| hash(&row.hash, full) },
    Column { name: "failures", about: "failures in a row", cell: |row, _| row.failures.to_string() },
    Column {
        name: "restarts",
        about: "restarts asked for and carried out",
        cell: |row, _| row.restarts.to_string(),
    },
    Column {
        name: "error",
        about: "what stands in its way",
        cell: |row, _| row.error.clone().unwrap_or_default(),
    },
];

#[derive(Debug, Serialize)]
struct FileRow {
    unit: String,
    hash: String,
    dstate: &'static str,
    state: &'static str,
    global: bool,
    target: Option<String>,
    #[serde(skip)]
    label: [String; 2],
    desc: Option<String>,
    template: bool,
}

const FILES: [Column<FileRow>; 8] = [
    Column { name: "unit", about: "the unit", cell: |row, _| row.unit.clone() },
    Column { name: "hash", about: "SHA-256 of its text", cell: |row, full| hash(&row.hash, full) },
    Column { name: "dstate", about: "what is wanted of it", cell: |row, _| row.dstate.to_owned() },
    Column { name: "state", about: "how far it is", cell: |row, _| row.state.to_owned() },
    Column { name: "target", about: "the machine it is on", cell: |row, full| either(&row.label, full) },
    Column {
        name: "global",
        about: "whether it belongs on all machines",
        cell: |row, _| row.global.to_string(),
    },
    Column { name: "desc", about: "its description", cell: |row, _| row.desc.clone().unwrap_or_default() },
    Column { name: "tmachine", about: "old name of target", cell: |row, full| either(&row.label, full) },
];

#[derive(Debug, Serialize)]
struct MachineRow {
    #[serde(rename = "machine")]
    id: String,
    #[serde(skip)]
    short: String,
    ip: Option<String>,
    public_ip: Option<String>,
    metadata: std::collections::BTreeMap<String, String>,
    hostname: String,
    maintenance: Option<&'static str>,
    units: usize,
    version: String,
    memory: Option<u64>,
    cpu_millis: Option<u32>,
}

const MACHINES: [Column<MachineRow>; 8] = [
    Column {
        name: "machine",
        about: "its id",
        cell: |row, full| if full { row.id.clone() } else { row.short.clone() },
    },
    Column {
        name: "ip",
        about: "its address in the cluster",
        cell: |row, _| row.ip.clone().unwrap_or_default(),
    },
    Column {
        name: "metadata",
        about: "its metadata",
        cell: |row, _| {
            row.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
        },
    },
    Column { name: "hostname", about: "its host name", cell: |row, _| row.hostname.clone() },
    Column {
        name: "maintenance",
        about: "drain, cordon, reboot",
        cell: |row, _| row.maintenance.unwrap_or_default().to_owned(),
    },
    Column {
        name: "units",
        about: "how many units are scheduled there",
        cell: |row, _| row.units.to_string(),
    },
    Column { name: "version", about: "version of its agent", cell: |row, _| row.version.clone() },
    Column {
        name: "publicip",
        about: "the address that the world reaches it at",
        cell: |row, _| row.public_ip.clone().unwrap_or_default(),
    },
];

fn either([short, full]: &[String; 2], is_full: bool) -> String {
    if is_full { full.clone() } else { short.clone() }
}

fn hash(hash: &str, full: bool) -> String {
    if full { hash.to_owned() } else { hash.chars().take(SHORT_HASH).collect() }
}

/// `--fields help` asks for the list of fields.
pub(super) fn asks_for_fields(arguments: &ListArguments) -> bool {
    arguments.fields.as_deref() == Some("help")
}

pub(super) fn unit_fields() -> String {
    table::about(&UNITS)
}

pub(super) fn unit_file_fields() -> String {
    table::about(&FILES)
}

pub(super) fn machine_fields() -> String {
    table::about(&MACHINES)
}

pub(super) async fn units(session: &mut Session<'_>, arguments: &ListArguments) -> Result<Outcome> {
    let columns = table::pick(&UNITS, arguments.fields.as_deref(), &["unit", "machine", "active", "sub"])?;
    let picture = session.picture().await?;
    show(session.console, arguments, &columns, &unit_rows(&picture))?;
    warn(&picture, session.console);
    Ok(Outcome::Done)
}

pub(super) async fn unit_files(session: &mut Session<'_>, arguments: &ListArguments) -> Result<Outcome> {
    let ordinary = ["unit", "hash", "dstate", "state", "target"];
    let columns = table::pick(&FILES, arguments.fields.as_deref(), &ordinary)?;
    let picture = session.picture().await?;
    show(session.console, arguments, &columns, &file_rows(&picture))?;
    warn(&picture, session.console);
    Ok(Outcome::Done)
}

pub(super) async fn machines(session: &mut Session<'_>, arguments: &ListArguments) -> Result<Outcome> {
    let columns = table::pick(&MACHINES, arguments.fields.as_deref(), &["machine", "ip", "metadata"])?;
    let picture = session.picture().await?;
    show(session.console, arguments, &columns, &machine_rows(&picture))?;
    warn(&picture, session.console);
    Ok(Outcome::Done)
}

/// For a shell's completion: names of units, one per line.
pub(super) async fn names(session: &mut Session<'_>) -> Result<Outcome> {
    for name in session.picture().await?.units.keys() {
        session.console.line(name);
    }
    Ok(Outcome::Done)
}

fn show<R: Serialize>(
    console: &mut Console,
    arguments: &ListArguments,
    columns: &[&Column<R>],
    rows: &[R],
) -> Result<()> {
    match arguments.output {
        Output::Json => console.line(serde_json::to_string_pretty(rows)?),
        Output::Text => {
            let terminal = console.is_terminal();
            console.write(&table::render(columns, rows, arguments.full, !arguments.no_legend, terminal));
        }
    }
    Ok(())
}

/// What should not be overlooked.
fn warn(picture: &Picture, console: &mut Console) {
    if let Some(freeze) = &picture.freeze {
        console.note(format_args!("warning: {}", frozen(freeze.absent.len())));
    }
    if picture.leader.is_none() {
        console.note("warning: no scheduler leads, so nothing is placed or moved");
    }
    for (unit, machine) in picture.unclaimed() {
        let label = picture.label(machine, false);
        console.note(format_args!(
            "warning: {unit} runs on {label}, and the store doesn't know it: submit and start it again to keep it, or destroy it"
        ));
    }
    let pending = picture.units.iter().filter(|(name, unit)| {
        unit.record.desired != Desired::Inactive
            && !name.is_template()
            && picture.scheduled(name).next().is_none()
            && !picture.is_global(name)
    });
    match pending.map(|(name, _)| name).collect::<Vec<_>>().as_slice() {
        [] => {}
        [name] => {
            console.note(format_args!("{name} waits for a machine: `convoyctl explain {name}` says why"));
        }
        [name, ..] if picture.machines.is_empty() => {
            console.note(format_args!("No machine is there; {name} and others wait"));
        }
        names @ [name, ..] => console.note(format_args!(
            "{} units wait for a machine: `convoyctl explain {name}` says why for the first",
            names.len()
        )),
    }
}

fn unit_rows(picture: &Picture) -> Vec<UnitRow> {
    let states =
        picture.states.iter().flat_map(|(unit, all)| all.iter().map(move |(id, state)| (unit, id, state)));
    states
        .map(|(unit, id, state)| UnitRow {
            unit: unit.to_string(),
            machine_id: id.to_string(),
            machine: [picture.label(id, false), picture.label(id, true)],
            address: picture.machines.get(id).and_then(|record| record.address).map(|ip| ip.to_string()),
            load: state.load.clone(),
            active: state.active.clone(),
            sub: state.sub.clone(),
            hash: state.hash.clone(),
            since: state.since,
            failures: state.failures,
            restarts: state.restarts,
            unclaimed: state.unclaimed,
            error: state.error.clone(),
        })
        .collect()
}

fn file_rows(picture: &Picture) -> Vec<FileRow> {
    let rows = picture.units.iter().map(|(name, unit)| {
        let definition = unit.definition(name).ok();
        let global = definition.as_ref().is_some_and(|definition| definition.rules.global);
        let machine = picture.scheduled(name).next().filter(|_| !global);
        let label = |full| match machine {
            Some((id, _)) => picture.label(id, full),
            None if global => "global".to_owned(),
            None => "-".to_owned(),
        };
        let state = match machine {
            _ if global => "-",
            Some((id, entry)) if picture.state(name, id).is_some() => entry.desired.as_str(),
            _ => Desired::Inactive.as_str(),
        };
        FileRow {
            unit: name.to_string(),
            hash: unit.hash.clone(),
            dstate: unit.record.desired.as_str(),
            state,
            global,
            target: machine.map(|(id, _)| id.to_string()),
            label: [label(false), label(true)],
            desc: definition.and_then(|definition| definition.description),
            template: name.is_template(),
        }
    });
    rows.collect()
}

fn machine_rows(picture: &Picture) -> Vec<MachineRow> {
    let rows = picture.machines.iter().map(|(id, record)| {
        let short =
            if id.short().len() < id.as_str().len() { format!("{}...", id.short()) } else { id.to_string() };
        MachineRow {
            id: id.to_string(),
            short,
            ip: record.address.map(|ip| ip.to_string()),
            public_ip: record.public_address.map(|ip| ip.to_string()),
            metadata: record.metadata.clone(),
            hostname: record.name.clone(),
            maintenance: picture.maintenance.get(id).map(|record| mode(record.mode)),
            units: picture.schedule.values().filter(|entries| entries.contains_key(id)).count(),
            version: record.version.clone(),
            memory: record.memory,
            cpu_millis: record.cpu_millis,
        }
    });
    rows.collect()
}

pub(super) fn mode(mode: MaintenanceMode) -> &'static str {
    match mode {
        MaintenanceMode::Cordon => "cordon",
        MaintenanceMode::Drain => "drain",
        MaintenanceMode::Reboot => "reboot",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::picture;

    const ID: &str = "148a18ff6e954cd892dac9de9bb90d5a";

    fn cluster() -> Picture {
        let hash = convoy_unit_files::hash("[Unit]\nDescription=Web %i\n");
        let state = format!(r#"{{"load":"loaded","active":"active","sub":"running","hash":"{hash}"}}"#);
        let failed =
            r#"{"load":"loaded","active":"failed","sub":"failed","hash":"00","error":"no such image"}"#;
        let entry = format!(r#"{{"hash":"{hash}","desired":"launched"}}"#);
        let text = r#"{"text":"[Unit]\nDescription=Web %i\n","desired":"launched"}"#;
        picture(&[
            (
                &format!("/convoy/machines/{ID}"),
                r#"{"name":"one","address":"10.0.1.1","metadata":{"zone":"a","disk":"ssd"}}"#,
            ),
            ("/convoy/machines/m2", r#"{"name":"two"}"#),
            ("/convoy/maintenance/m2", r#"{"mode":"drain","since":1}"#),
            ("/convoy/units/web@.service", r#"{"text":"[Unit]\nDescription=Web %i\n","desired":"inactive"}"#),
            ("/convoy/units/web@1.service", text),
            ("/convoy/units/web@2.service", text),
            ("/convoy/units/all.service", r#"{"text":"[X-Fleet]\nGlobal=true\n","desired":"launched"}"#),
            (&format!("/convoy/schedule/{ID}/web@1.service"), &entry),
            (&format!("/convoy/schedule/{ID}/all.service"), r#"{"hash":"x","desired":"launched"}"#),
            (&format!("/convoy/states/{ID}/web@1.service"), &state),
            ("/convoy/states/m2/all.service", failed),
        ])
    }

    fn text<R>(columns: &[Column<R>], ordinary: &[&str], rows: &[R], full: bool) -> String {
        let columns = table::pick(columns, None, ordinary).unwrap();
        table::render(&columns, rows, full, true, false)
    }

    #[test]
    fn units_are_listed_as_fleet_lists_them() {
        assert_eq!(
            text(&UNITS, &["unit", "machine", "active", "sub"], &unit_rows(&cluster()), false),
            "UNIT\tMACHINE\tACTIVE\tSUB\n\
             all.service\tm2\tfailed\tfailed\n\
             web@1.service\t148a18ff.../10.0.1.1\tactive\trunning\n"
        );
        let full = text(&UNITS, &["unit", "machine", "hash", "error"], &unit_rows(&cluster()), true);
        assert!(full.contains(&format!("web@1.service\t{ID}/10.0.1.1\t")), "{full}");
        assert!(full.contains("all.service\tm2\t00\tno such image"), "{full}");
        assert_eq!(full.lines().nth(2).unwrap().split('\t').nth(2).unwrap().len(), 64);
    }

    #[test]
    fn unit_files_are_listed_as_fleet_lists_them() {
        let columns = ["unit", "dstate", "state", "target", "global", "desc"];
        assert_eq!(
            text(&FILES, &columns, &file_rows(&cluster()), false),
            "UNIT\tDSTATE\tSTATE\tTARGET\tGLOBAL\tDESC\n\
             all.service\tlaunched\t-\tglobal\ttrue\t-\n\
             web@.service\tinactive\tinactive\t-\tfalse\tWeb %i\n\
             web@1.service\tlaunched\tlaunched\t148a18ff.../10.0.1.1\tfalse\tWeb 1\n\
             web@2.service\tlaunched\tinactive\t-\tfalse\tWeb 2\n"
        );
    }

    #[test]
    fn machines_are_listed_as_fleet_lists_them() {
        assert_eq!(
            text(
                &MACHINES,
                &["machine", "ip", "metadata", "maintenance", "units"],
                &machine_rows(&cluster()),
                false
            ),
            "MACHINE\tIP\tMETADATA\tMAINTENANCE\tUNITS\n\
             148a18ff...\t10.0.1.1\tdisk=ssd,zone=a\t-\t2\n\
             m2\t-\t-\tdrain\t0\n"
        );
    }

    #[test]
    fn programs_get_everything() {
        let json = serde_json::to_value(unit_rows(&cluster())).unwrap();
        assert_eq!(json[1]["machine"], ID);
        assert_eq!(json[1]["address"], "10.0.1.1");
        let json = serde_json::to_value(file_rows(&cluster())).unwrap();
        assert_eq!((&json[0]["target"], &json[0]["global"]), (&serde_json::Value::Null, &true.into()));
        let json = serde_json::to_value(machine_rows(&cluster())).unwrap();
        assert_eq!(json[0]["metadata"]["zone"], "a");
    }
}
