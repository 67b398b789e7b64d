//! The line that `systemctl status` shows.

use std::fmt::Write as _;

use convoy_keys::MachineId;

use crate::step::Summary;

/// Characters of a reason in the line; the journal has all of it.
const REASON: usize = 160;

/// What a leader's line says.
pub(crate) fn leads(summary: Option<&Summary>, stale: Option<&str>) -> String {
    let mut line = match summary {
        None => "leads: reading the store".to_owned(),
        Some(summary) => lead_line(summary),
    };
    if let Some(error) = stale {
        // Writing to a String can't fail.
        let _ = write!(line, "; STORE UNREACHABLE, nothing is decided: {}", error.trim());
    }
    line
}

fn lead_line(summary: &Summary) -> String {
    let mut line =
        format!("leads: {} on {}", count(summary.units, "unit"), count(summary.machines, "machine"));
    if let Some((unit, reason)) = summary.pending.first() {
        let more = if summary.pending.len() > 1 { ", …" } else { "" };
        let _ = write!(line, ", {} pending ({unit}: {}{more})", summary.pending.len(), short(reason));
    }
    if summary.moving > 0 {
        let _ = write!(line, ", {} moving", summary.moving);
    }
    if !summary.frozen.is_empty() {
        let names: Vec<&str> = summary.frozen.iter().map(MachineId::short).collect();
        let _ = write!(
            line,
            "; FROZEN, absent: {}; end it with convoyctl resume if they are lost",
            names.join(", ")
        );
    }
    if summary.unusable > 0 {
        let _ = write!(line, "; {} left out", count(summary.unusable, "unusable key"));
    }
    if let Some(remark) = summary.remarks.first() {
        let _ = write!(line, "; {}", short(remark));
    }
    line
}

/// What a standby's line says.
pub(crate) fn follows(leader: &str, stale: Option<&str>) -> String {
    match stale {
        None => format!("stands by: {leader} leads"),
        Some(error) => format!("stands by: {leader} leads, when last heard of; store unreachable: {error}"),
    }
}

/// Nobody leads.
pub(crate) fn vacant(error: Option<&str>) -> String {
    match error {
        None => "takes part in the election of a leader".to_owned(),
        Some(error) => format!("takes part in the election of a leader: {error}"),
    }
}

fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    if line.chars().count() <= REASON {
        line.to_owned()
    } else {
        line.chars().take(REASON).chain(['…']).collect()
    }
}

/// A number of things, in the singular where it is one.
fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use convoy_unit_files::UnitName;

    use super::*;

    #[test]
    fn the_line_tells_what_is_led_and_then_what_is_wrong() {
        assert_eq!(leads(None, None), "leads: reading the store");
        let unit = UnitName::parse("someapp@5.service").unwrap();
        let mut summary = Summary { units: 12, machines: 4, ..Summary::default() };
        assert_eq!(leads(Some(&summary), None), "leads: 12 units on 4 machines");
        summary.pending = vec![(unit, "no machine is without a unit that conflicts".into())];
        let pending = "leads: 12 units on 4 machines, 1 pending (someapp@5.service: no machine is without a unit \
                       that conflicts)";
        assert_eq!(leads(Some(&summary), None), pending);
        summary.frozen = vec![MachineId::parse("m1").unwrap(), MachineId::parse("m2").unwrap()];
        assert_eq!(
            leads(Some(&summary), Some("no answer")),
            format!(
                "{pending}; FROZEN, absent: m1, m2; end it with convoyctl resume if they are lost; STORE \
                 UNREACHABLE, nothing is decided: no answer"
            )
        );
        assert_eq!(follows("m2", None), "stands by: m2 leads");
    }
}
