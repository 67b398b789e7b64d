//! Sections and options that are nowhere known, and broken lines.

use convoy_suggest::nearest;

use crate::{
    UnitType, convoy, fleet,
    quote::shown,
    report::Report,
    syntax::{Fault, UnitFile},
};

/// Sections that systemd knows in this type of unit: others it passes over with a warning.
fn known(kind: UnitType, section: &str) -> bool {
    matches!(section, "Unit" | "Install") || Some(section) == kind.section()
}

fn is_ours(section: &str) -> bool {
    matches!(section, fleet::SECTION | convoy::SECTION)
}

/// Reports what no part of the file's meaning is read from.
pub(crate) fn check(file: &UnitFile, kind: UnitType, report: &mut Report<'_>) {
    for (line, fault) in file.faults() {
        self::fault(*line, fault, report);
    }
    for section in file.sections() {
        match section.name.as_str() {
            fleet::SECTION => options(file, fleet::SECTION, report),
            convoy::SECTION => options(file, convoy::SECTION, report),
            name if known(kind, name) => misplaced(file, name, report),
            name => unknown_section(section.line, name, kind, report),
        }
    }
}

fn unknown_section(line: u32, name: &str, kind: UnitType, report: &mut Report<'_>) {
    let ours = nearest(name, [fleet::SECTION, convoy::SECTION]).filter(|_| name.len() > 3);
    if let Some(ours) = ours {
        report.warning(
            line,
            "",
            format!("the section [{}] is passed over", shown(name)),
            format!("did you mean [{ours}]?"),
        );
    } else if !name.starts_with("X-") {
        let meant = nearest(name, ["Unit", "Install"].into_iter().chain(kind.section()));
        report.warning(
            line,
            "",
            format!("systemd passes the section [{}] over", shown(name)),
            meant.map_or_else(
                || format!("a {} has no such section", kind.suffix()),
                |meant| format!("did you mean [{meant}]?"),
            ),
        );
    }
}

/// Options of one of our sections that don't exist.
fn options(file: &UnitFile, section: &'static str, report: &mut Report<'_>) {
    let (own, old, other, place): (&[&str], &[&str], &[&str], &str) = if section == fleet::SECTION {
        (&fleet::OPTIONS, &fleet::LEGACY, &convoy::OPTIONS, convoy::SECTION)
    } else {
        (&convoy::OPTIONS, &[], &fleet::OPTIONS, fleet::SECTION)
    };
    for entry in file.entries(section) {
        let key = entry.key.as_str();
        if own.contains(&key) || old.contains(&key) {
            continue;
        }
        let inside = || own.iter().copied().find(|option| key.contains(option));
        let remedy = if other.contains(&key) {
            format!("it belongs into [{place}]")
        } else if let Some(meant) = nearest(key, own.iter().copied()).or_else(inside) {
            format!("did you mean {meant}?")
        } else if let Some(meant) = nearest(key, other.iter().copied()) {
            format!("did you mean {meant} in [{place}]?")
        } else {
            format!("[{section}] has {}", own.join(", "))
        };
        report.let_through(
            entry.line,
            &shown(key),
            &format!("[{section}] has no such option"),
            "it is passed over",
            remedy,
        );
    }
}

/// Placement options in a section of systemd's: nobody would obey them.
fn misplaced(file: &UnitFile, section: &str, report: &mut Report<'_>) {
    for entry in file.entries(section) {
        let key = entry.key.as_str();
        let of_fleet = key != "Conflicts" && (fleet::OPTIONS.contains(&key) || fleet::LEGACY.contains(&key));
        let place = match key {
            _ if of_fleet => fleet::SECTION,
            "WhenCutOff" | "StopWithin" | "MoveAfterFailures" | "Spread" | "Prefer" | "RequireCapacity" => {
                convoy::SECTION
            }
            _ => continue,
        };
        report.warning(
            entry.line,
            key,
            format!("nobody obeys it in [{section}]"),
            format!("it belongs into [{place}]"),
        );
    }
}

fn fault(line: u32, fault: &Fault, report: &mut Report<'_>) {
    match fault {
        Fault::LineTooLong => report.error(
            line,
            "",
            "the line has more than 1 MiB, and systemd refuses the file",
            "use several assignments",
        ),
        Fault::NulByte => report.error(line, "", "there is a NUL byte in the file", "write a text file"),
        Fault::Header(text) => report.error(
            line,
            "",
            format!("{:?} is no section header, and systemd refuses the file", shown(text)),
            "write the name of the section in brackets, such as [Service], alone on its line",
        ),
        Fault::OutsideSection(text) => report.warning(
            line,
            "",
            format!("{:?} stands before the first section and is passed over", shown(text)),
            "put it under a section header, such as [Unit]",
        ),
        Fault::NoEqualsSign { section, text } => {
            broken_line(line, section, report, &format!("{:?} has no equals sign", shown(text)));
        }
        Fault::NoKey { section, text } => {
            broken_line(
                line,
                section,
                report,
                &format!("{:?} has no option before the equals sign", shown(text)),
            );
        }
    }
}

/// A line without meaning. In our sections a rule may be lost with it.
fn broken_line(line: u32, section: &str, report: &mut Report<'_>, message: &str) {
    let remedy = "write OPTION=VALUE, end a line that goes on with a backslash, or begin a comment with #";
    if is_ours(section) {
        report.let_through(line, "", message, "the line is passed over", remedy);
    } else if !section.starts_with("X-") {
        report.warning(line, "", format!("{message}, and is passed over"), remedy);
    }
}
