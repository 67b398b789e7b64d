use std::time::{Duration, Instant};

use convoy_unit_files::Glob;

/// The cases of Go's own test of path.Match, and names of units.
#[test]
fn matching_is_that_of_path_match() {
    for (pattern, name, expected) in [
        ("abc", "abc", true),
        ("*", "abc", true),
        ("*c", "abc", true),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("a*", "ab/c", false),
        ("a*/b", "abc/b", true),
        ("a*/b", "a/c/b", false),
        ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/f", true),
        ("a*b*c*d*e*/f", "axbxcxdxe/xxx/f", false),
        ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
        ("a*b?c*x", "abxbbxdbxebxczzx", true),
        ("a*b?c*x", "abxbbxdbxebxczzy", false),
        ("ab[c]", "abc", true),
        ("ab[b-d]", "abc", true),
        ("ab[e-g]", "abc", false),
        ("ab[^c]", "abc", false),
        ("ab[^b-d]", "abc", false),
        ("ab[^e-g]", "abc", true),
        ("a\\*b", "a*b", true),
        ("a\\*b", "ab", false),
        ("a?b", "a☺b", true),
        ("a[^a]b", "a☺b", true),
        ("a???b", "a☺b", false),
        ("a[^a][^a][^a]b", "a☺b", false),
        ("[a-ζ]*", "α", true),
        ("*[a-ζ]", "A", false),
        ("a?b", "a/b", false),
        ("a*b", "a/b", false),
        ("[\\]a]", "]", true),
        ("[\\-]", "-", true),
        ("[x\\-]", "x", true),
        ("[x\\-]", "-", true),
        ("[x\\-]", "z", false),
        ("[\\-x]", "x", true),
        ("[\\-x]", "a", false),
        ("*x", "xxx", true),
        ("", "", true),
        ("", "a", false),
        ("*", "", true),
        ("**", "abc", true),
        ("[z-a]", "b", false),
        ("[^z-a]", "b", true),
        ("[!a]", "a", true),
        ("[!a]", "b", false),
        ("[^a]", "/", true),
        ("web@*.service", "web@1.service", true),
        ("web@*.service", "web@.service", true),
        ("web@*.service", "web.service", false),
        ("web@*.service", "web@1.socket", false),
        ("web@?.service", "web@12.service", false),
        ("web@[12].service", "web@2.service", true),
        ("{a,b}.service", "a.service", false),
        ("aa*aa", "aaa", false),
        ("a\\x2db.service", "a\\x2db.service", false),
        ("a\\\\x2db.service", "a\\x2db.service", true),
    ] {
        assert_eq!(Glob::parse(pattern).unwrap().matches(name), expected, "{pattern} on {name}");
    }
}

#[test]
fn broken_patterns_are_errors_wherever_they_break() {
    for pattern in [
        "[", "[]", "[]a]", "[-]", "[-x]", "[x-]", "[x", "[^", "[^bc", "a[", "a\\", "[a-\\", "a*[", "[a-b-c]",
        "x\\", "[^]a]",
    ] {
        assert!(Glob::parse(pattern).is_err(), "{pattern}");
    }
}

#[test]
fn literal_parts_can_be_looked_up() {
    for (pattern, literal, prefix, affixes) in [
        ("web.service", Some("web.service"), "web.service", None),
        ("web@*.service", None, "web@", Some(("web@", ".service"))),
        ("*", None, "", Some(("", ""))),
        ("web@**", None, "web@", Some(("web@", ""))),
        ("web@?.service", None, "web@", None),
        ("w\\*b@[1-3]*", None, "w*b@", None),
        ("a\\?b", Some("a?b"), "a?b", None),
    ] {
        let glob = Glob::parse(pattern).unwrap();
        assert_eq!(glob.literal(), literal, "{pattern}");
        assert_eq!(glob.literal_prefix(), prefix, "{pattern}");
        assert_eq!(glob.affixes(), affixes, "{pattern}");
        assert_eq!(glob.to_string(), pattern);
    }
}

#[test]
fn no_pattern_takes_long() {
    let glob = Glob::parse(&format!("{}b", "*a".repeat(120))).unwrap();
    let name = "a".repeat(255);
    let begin = Instant::now();
    for _ in 0..100 {
        assert!(!glob.matches(&name));
    }
    // Trying all ways to share the letters out would outlast the universe.
    assert!(begin.elapsed() < Duration::from_secs(10));
}
