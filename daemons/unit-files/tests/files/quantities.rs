//! `MemoryMax=` and `CPUQuota=` (systemd.resource-control(5)), time spans (systemd.time(7)).

use std::time::Duration;

use convoy_unit_files::{Resources, Strictness};

use crate::read;

fn resources(text: &str) -> (Resources, usize) {
    let definition = read("app.service", &format!("[Service]\n{text}\n"), Strictness::Strict).unwrap();
    (definition.rules.resources, definition.warnings.len())
}

#[test]
fn memory() {
    let kib = 1024;
    for (text, expected, warnings) in [
        ("1", Some(1), 0),
        ("512M", Some(512 * kib * kib), 0),
        ("2G", Some(2 * kib * kib * kib), 0),
        ("1T", Some(kib * kib * kib * kib), 0),
        ("1.5K", Some(1536), 0),
        ("1G 512M", Some(1536 * kib * kib), 0),
        ("1G512M", Some(1536 * kib * kib), 0),
        ("100B", Some(100), 0),
        ("1 K", Some(kib), 0),
        ("infinity", None, 0),
        ("50%", None, 0),
        ("512M\nMemoryMax=infinity", None, 0),
        ("512M\nMemoryMax=", None, 0),
        ("512M\nMemoryMax=1G", Some(kib * kib * kib), 0),
        ("512M\nMemoryMax=lots", Some(512 * kib * kib), 1),
        ("0", None, 1),
        ("-1", None, 1),
        ("1X", None, 1),
        ("512M 1G", None, 1),
        ("%", None, 1),
        ("99999999999999999999E", None, 1),
        ("16E", None, 1),
    ] {
        let expected = Resources { memory: expected, cpu_millis: None };
        assert_eq!(resources(&format!("MemoryMax={text}")), (expected, warnings), "{text}");
    }
}

#[test]
fn processors() {
    for (text, expected, warnings) in [
        ("50%", Some(500), 0),
        ("150%", Some(1500), 0),
        ("20.5%", Some(205), 0),
        ("0.01%", Some(1), 0),
        ("5‰", Some(5), 0),
        ("5‱", Some(1), 0),
        ("50%\nCPUQuota=", None, 0),
        ("50", None, 1),
        ("0%", None, 1),
        ("half", None, 1),
        ("99999999999999%", None, 1),
    ] {
        let expected = Resources { memory: None, cpu_millis: expected };
        assert_eq!(resources(&format!("CPUQuota={text}")), (expected, warnings), "{text}");
    }
}

#[test]
fn limits_are_those_of_the_units_own_section() {
    for (unit, section, expected) in [
        ("a.service", "Service", true),
        ("a.service", "Socket", false),
        ("a.slice", "Slice", true),
        ("a.socket", "Socket", true),
        ("a.mount", "Mount", true),
        ("a.swap", "Swap", true),
        ("a.scope", "Scope", true),
        ("a.target", "Service", false),
    ] {
        let definition = read(unit, &format!("[{section}]\nMemoryMax=1K\n"), Strictness::Strict).unwrap();
        assert_eq!(definition.rules.resources.memory.is_some(), expected, "{unit} {section}");
    }
}

#[test]
fn time_spans() {
    let micros = Duration::from_micros;
    for (text, expected) in [
        ("50", Some(micros(50_000_000))),
        ("2min 200ms", Some(micros(120_200_000))),
        ("5min 20s", Some(micros(320_000_000))),
        ("5min20s", Some(micros(320_000_000))),
        ("5 min", Some(micros(300_000_000))),
        ("1.5s", Some(micros(1_500_000))),
        (".5s", Some(micros(500_000))),
        ("3m", Some(micros(180_000_000))),
        ("10us", Some(micros(10))),
        ("10µs", Some(micros(10))),
        ("1 minute 1 second", Some(micros(61_000_000))),
        ("1h", Some(Duration::from_secs(3600))),
        ("60 sec", Some(micros(60_000_000))),
        ("", None),
        ("s", None),
        ("5x", None),
        ("-5s", None),
        ("1e3", None),
        ("infinity", None),
        ("99999999999999999999", None),
        ("2y", None),
    ] {
        let text = format!("[X-Convoy]\nWhenCutOff=stop-after:{text}\n");
        let found = read("a.service", &text, Strictness::Strict).ok().map(|definition| definition.cut_off);
        assert_eq!(found, expected.map(convoy_unit_files::CutOff::StopAfter), "{text}");
    }
}
