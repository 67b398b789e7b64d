//! Paths in the one form in which rules compare them.

use std::borrow::Cow;

use thiserror::Error;

/// Why a path has no such form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// More `..` than segments before them.
    #[error("the path leads out of the root")]
    Escapes,
    /// A percent sign without two digits behind it. What one program leaves as it is, the next one may take for the
    /// beginning of an escape once another one behind it is taken off: `%%32e` becomes `%2e`, and that a dot.
    #[error("the path has a percent sign that begins no escape")]
    Broken,
}

/// Brings a path into normal form (RFC 3986, section 6.2.2): escapes of letters, digits, `-._~` are taken off, others
/// are in capitals, `.` and `..` are resolved. Empty segments stay.
///
/// A rule for `/admin` that a request for `/%61dmin` or `/x/../admin` passes by would be no rule. What was compared is
/// also what is sent to the target, so that both mean the same.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathError> {
    if !path.contains('%') && !path.contains("/.") {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = decode(path)?;
    let resolved = if decoded.contains("/.") { resolve(&decoded)? } else { decoded };
    Ok(if resolved == path { Cow::Borrowed(path) } else { Cow::Owned(resolved) })
}

fn decode(path: &str) -> Result<String, PathError> {
    let mut out = String::with_capacity(path.len());
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        match after.as_bytes() {
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                let byte = hex(*high) << 4 | hex(*low);
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                    out.push(char::from(byte));
                } else {
                    out.push('%');
                    out.push(char::from(high.to_ascii_uppercase()));
                    out.push(char::from(low.to_ascii_uppercase()));
                }
                rest = after.get(2..).unwrap_or("");
            }
            _ => return Err(PathError::Broken),
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Of a digit that was checked.
fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

fn resolve(path: &str) -> Result<String, PathError> {
    let mut kept: Vec<&str> = Vec::new();
    let mut ends_with_slash = false;
    for segment in path.split('/').skip(1) {
        ends_with_slash = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                kept.pop().ok_or(PathError::Escapes)?;
            }
            other => kept.push(other),
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in kept {
        out.push('/');
        out.push_str(segment);
    }
    if ends_with_slash || out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn one_form_for_all_that_mean_the_same() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/%61dmin", "/admin"),
            ("/%7euser", "/~user"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%20b", "/a%20b"),
            ("/x/../admin", "/admin"),
            ("/x/%2e%2E/admin", "/admin"),
            ("/x/.%2e/admin", "/admin"),
            ("/a/./b", "/a/b"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/a//b", "/a//b"),
            ("/a//../b", "/a/b"),
            ("/.well-known/x", "/.well-known/x"),
            ("/..x", "/..x"),
            ("/%252e", "/%252e"),
        ] {
            assert_eq!(normalise(path).unwrap(), normal, "{path}");
        }
        for path in ["/..", "/../x", "/a/../../b", "/%2e%2e/x"] {
            assert_eq!(normalise(path), Err(PathError::Escapes), "{path}");
        }
        for path in ["/100%", "/%zz", "/%\u{e4}", "/%%32e%%32e/admin", "/%2"] {
            assert_eq!(normalise(path), Err(PathError::Broken), "{path}");
        }
    }

    proptest! {
        #[test]
        fn the_form_is_stable_and_has_no_dots(path in "/([a-z./~]|%2[eEfF]|%[0-9a-f]{2}|%%[0-9a-f]{3}|\\PC){0,30}") {
            if let Ok(normal) = normalise(&path) {
                prop_assert!(normal.starts_with('/'));
                prop_assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")), "{}", normal);
                prop_assert_eq!(normalise(&normal), Ok(Cow::Borrowed(&*normal)));
            }
        }
    }
}
