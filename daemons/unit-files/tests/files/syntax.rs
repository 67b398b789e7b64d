use convoy_unit_files::syntax::{Fault, UnitFile};

/// Sections, keys, values and lines in the order of the file.
fn entries(text: &str) -> Vec<(String, u32, String, String)> {
    let file = UnitFile::parse(text);
    let mut found = Vec::new();
    for section in file.sections() {
        for entry in &section.entries {
            found.push((section.name.clone(), entry.line, entry.key.clone(), entry.value.clone()));
        }
    }
    found
}

/// The values in a section `[A]`.
fn values(text: &str) -> Vec<(u32, String)> {
    entries(&format!("[A]\n{text}")).into_iter().map(|(_, line, _, value)| (line, value)).collect()
}

#[test]
fn values_have_no_blanks_around_them() {
    for (text, expected) in [
        ("k=v", "v"),
        ("k = v ", "v"),
        ("  k=v", "v"),
        ("k=\tv\t", "v"),
        ("k=a  b", "a  b"),
        ("k=a=b", "a=b"),
        ("k=\"v\"", "\"v\""),
        ("k=#v", "#v"),
        ("k=a # no comment", "a # no comment"),
        ("k=\\x2d", "\\x2d"),
        ("k=", ""),
    ] {
        assert_eq!(values(text), [(2, expected.to_owned())], "{text:?}");
    }
}

/// What systemd-analyze verify of systemd 252 says to these files.
#[test]
fn continued_lines_are_joined_by_a_blank() {
    for (text, expected) in [
        ("k=a\\\nb", "a b"),
        ("k=a \\\n   b", "a     b"),
        ("k=a\\\n# comment\n; comment\n  # comment\nb", "a b"),
        ("k=a\\\n# comment \\\nb", "a b"),
        ("k=a\\\n\nl=b", "a"),
        ("k=a\\\n\\\nb", "a  b"),
        ("k=a\\\\", "a\\\\"),
        ("k=a\\\\\\\nb", "a\\\\ b"),
        ("k=a\\ ", "a\\"),
        ("k=a\\", "a"),
        ("k=a\\\n[B]", "a [B]"),
        ("k=a\\\r\nb", "a b"),
        ("k\\\n=v", "v"),
        ("k=a\\\n\u{feff}b", "a b"),
    ] {
        assert_eq!(values(text).first(), Some(&(2, expected.to_owned())), "{text:?}");
    }
    assert_eq!(values("# comment \\\nk=v"), [(3, "v".to_owned())]);
}

#[test]
fn lines_end_as_systemd_has_it() {
    for (text, lines) in [
        ("k=1\nk=2\n", [2, 3]),
        ("k=1\r\nk=2", [2, 3]),
        ("k=1\rk=2", [2, 3]),
        ("k=1\n\rk=2", [2, 3]),
        ("k=1\n\nk=2", [2, 4]),
        ("k=1\r\r\nk=2", [2, 4]),
        ("k=1\0k=2", [2, 3]),
        ("k=1\n\0k=2", [2, 3]),
        ("k=1\0\nk=2", [2, 4]),
    ] {
        let expected = [(lines[0], "1".to_owned()), (lines[1], "2".to_owned())];
        assert_eq!(values(text), expected, "{text:?}");
    }
}

#[test]
fn a_section_that_comes_again_goes_on() {
    let file = UnitFile::parse("[A]\nk=1\n[B]\nk=2\n[A]\nk=3\n");
    assert_eq!(file.sections().iter().map(|section| section.name.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    let values: Vec<_> =
        file.values("A", "k").into_iter().map(|entry| (entry.line, entry.value.as_str())).collect();
    assert_eq!(values, [(2, "1"), (6, "3")]);
    assert_eq!(file.last("A", "k").unwrap().value, "3");
    assert_eq!(file.section("A").unwrap().line, 1);
}

#[test]
fn an_empty_assignment_takes_back_what_came_before() {
    let file = UnitFile::parse("[A]\nk=1\nk=\nk=2\nk=3\nl=1\nl=\n");
    let values: Vec<_> = file.values("A", "k").into_iter().map(|entry| entry.value.as_str()).collect();
    assert_eq!(values, ["2", "3"]);
    assert!(file.values("A", "l").is_empty());
    assert!(file.last("A", "l").is_none());
    assert!(file.last("A", "m").is_none());
    assert!(file.last("B", "k").is_none());
    assert!(file.faults().is_empty());
}

#[test]
fn a_byte_order_mark_is_taken_off_once() {
    assert_eq!(entries("\u{feff}[A]\nk=1")[0].0, "A");
    assert_eq!(entries("[A]\n\u{feff}k=1\n\u{feff}l=2")[1].2, "\u{feff}l");
    // systemd looks for comments before it takes the mark off.
    let file = UnitFile::parse("\u{feff}# comment\n[A]\nk=1");
    assert_eq!(file.faults(), [(1, Fault::OutsideSection("# comment".into()))]);
}

#[test]
fn what_is_broken_is_told_with_its_line() {
    let section = "A".to_owned();
    for (text, expected) in [
        ("k=v", (1, Fault::OutsideSection("k=v".into()))),
        ("[A]\nk", (2, Fault::NoEqualsSign { section: section.clone(), text: "k".into() })),
        ("[A]\n=v", (2, Fault::NoKey { section: section.clone(), text: "=v".into() })),
        ("[A]\nk\\\nv", (2, Fault::NoEqualsSign { section, text: "k v".into() })),
        ("[A", (1, Fault::Header("[A".into()))),
        ("[", (1, Fault::Header("[".into()))),
        ("[A] # comment", (1, Fault::Header("[A] # comment".into()))),
        ("[A\"]", (1, Fault::Header("[A\"]".into()))),
        ("[A\tB]\nk=v", (1, Fault::Header("[A\tB]".into()))),
        ("[A]\nk=1\n\nl\0=2\n", (4, Fault::NoEqualsSign { section: "A".into(), text: "l".into() })),
    ] {
        assert_eq!(UnitFile::parse(text).faults().first(), Some(&expected), "{text:?}");
    }
    let file = UnitFile::parse("[A]\n\nk=1\0\n");
    assert_eq!(file.faults().last(), Some(&(3, Fault::NulByte)));
    assert!(entries("[A\nk=v\n[B]\nl=w").iter().all(|entry| entry.0 == "B"));
    assert_eq!(UnitFile::parse("[]\nk=v").sections()[0].name, "");
    assert_eq!(UnitFile::parse("[ A ]\nk=v").sections()[0].name, " A ");
}

#[test]
fn a_line_of_a_mebibyte_is_too_long() {
    let limit = 1024 * 1024;
    let longest = format!("[A]\nk={}\n", "v".repeat(limit - 3));
    assert!(UnitFile::parse(&longest).faults().is_empty());
    let longer = format!("[A]\nk={}\nl=w\n", "v".repeat(limit - 2));
    let file = UnitFile::parse(&longer);
    assert_eq!(file.faults(), [(2, Fault::LineTooLong)]);
    assert!(file.entries("A").is_empty());
    let continued = format!("[A]\nk=\\\n{0}\\\n{0}\n", "v".repeat(limit / 2));
    assert_eq!(UnitFile::parse(&continued).faults(), [(2, Fault::LineTooLong)]);
}
