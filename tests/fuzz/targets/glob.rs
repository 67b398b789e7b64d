//! Patterns: they agree with their rules written down plainly.

#![no_main]

use convoy_unit_files::Glob;
use libfuzzer_sys::fuzz_target;

#[path = "../../../daemons/unit-files/tests/files/oracle.rs"]
mod oracle;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // The pattern, a NUL, a name.
    let (pattern, name) = text.split_once('\0').unwrap_or((text, text));
    let escaped = Glob::parse(&Glob::escape(name)).expect("an escaped text is a pattern");
    assert_eq!(escaped.literal(), Some(name));
    assert!(escaped.matches(name));
    let parsed = Glob::parse(pattern);
    if let Ok(glob) = &parsed {
        assert_eq!(glob.as_str(), pattern);
        if glob.matches(name) {
            assert!(name.starts_with(glob.literal_prefix()));
            assert!(glob.literal().is_none_or(|literal| literal == name));
            if let Some((prefix, suffix)) = glob.affixes() {
                assert!(name.len() >= prefix.len() + suffix.len() && name.ends_with(suffix));
            }
        }
    }
    // The plain rules try everything.
    let stars = pattern.bytes().filter(|byte| *byte == b'*').count();
    if stars > 5 || pattern.len() > 64 || name.len() > 32 {
        return;
    }
    let letters: Vec<char> = pattern.chars().collect();
    let expected = oracle::matches(&letters, &name.chars().collect::<Vec<_>>());
    assert_eq!(parsed.is_ok(), expected.is_some(), "{pattern:?}");
    // Where a class takes a slash, neither Go nor we look for another way.
    if let (Ok(glob), Some(expected)) = (parsed, expected)
        && (!pattern.contains('[') || !name.contains('/'))
    {
        assert_eq!(glob.matches(name), expected, "{pattern:?} {name:?}");
    }
});
