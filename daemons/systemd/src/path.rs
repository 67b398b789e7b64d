//! Unit names in object paths: what is no ASCII letter or digit is written as `_` and two hexadecimal digits
//! (sd_bus_path_encode(3)).

/// What the paths of all units begin with.
pub(crate) const UNITS: &str = "/org/freedesktop/systemd1/unit";

/// The object path of a unit.
pub(crate) fn unit_path(unit: &str) -> String {
    use std::fmt::Write;

    let mut path = format!("{UNITS}/");
    if unit.is_empty() {
        path.push('_');
    }
    for (index, byte) in unit.bytes().enumerate() {
        // A digit may not come first.
        if byte.is_ascii_alphabetic() || (byte.is_ascii_digit() && index > 0) {
            path.push(char::from(byte));
        } else {
            // Writing to a String never fails.
            let _ = write!(path, "_{byte:02x}");
        }
    }
    path
}

/// The unit of an object path; none if it is the path of something else.
pub(crate) fn unit_of(path: &str) -> Option<String> {
    let label = path.strip_prefix(UNITS)?.strip_prefix('/')?;
    let mut name = Vec::with_capacity(label.len());
    let mut bytes = label.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'_' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
            name.push(high * 16 + low);
        } else {
            name.push(byte);
        }
    }
    String::from_utf8(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_systemd() {
        for (unit, path) in [
            ("someapp@1.service", "someapp_401_2eservice"),
            ("a-b.timer", "a_2db_2etimer"),
            ("1st.service", "_31st_2eservice"),
            (r"a\x2d.mount", "a_5cx2d_2emount"),
        ] {
            let full = format!("{UNITS}/{path}");
            assert_eq!(unit_path(unit), full);
            assert_eq!(unit_of(&full).as_deref(), Some(unit));
        }
        for other in
            ["/org/freedesktop/systemd1", "/org/freedesktop/systemd1/unit/a_2", "/unit/a", "", "/a_zz"]
        {
            assert_eq!(unit_of(other), None, "{other:?}");
        }
    }
}
