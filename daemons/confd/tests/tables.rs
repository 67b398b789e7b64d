//! Templates and what Go makes of them: the tables under `cases` were written by Go 1.24 with confd's functions.
//!
//! Errors are Go's too; only parse errors have a column more.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

mod world;

use std::path::Path;

use convoy_confd::{functions, read_keys};
use convoy_go_template::{Limits, Template, Value};

fn render(text: &str, keys: &[u8]) -> Result<String, String> {
    let keys = read_keys(keys, "/").map_err(|error| error.to_string())?;
    let functions = functions(&keys, &world::still());
    let template = Template::parse("t", text.as_bytes(), &functions).map_err(|error| error.to_string())?;
    let rendered =
        template.render(&Value::Nil, &functions, Limits::default()).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&rendered).into_owned())
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(rune) = rest.next() {
        match (rune, rune == '\\') {
            (_, true) => out.push(match rest.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some('0') => '\0',
                other => other.expect("a backslash escapes something"),
            }),
            (rune, false) => out.push(rune),
        }
    }
    out
}

/// Runs a table and gives the number of its cases.
fn run(name: &str) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let table = std::fs::read_to_string(folder.join(name)).unwrap();
    let keys = std::fs::read(folder.join("keys.json")).unwrap();
    let lines: Vec<&str> = table.lines().skip(1).filter(|line| !line.is_empty()).collect();
    for case in lines.chunks(2) {
        let [template, expected] = case else { panic!("{name}: {case:?} has no result") };
        let found = match render(&unescape(template), &keys) {
            Ok(output) => format!("> {output}"),
            Err(error) => format!("! {error}"),
        };
        assert_eq!(found, unescape(expected), "{name}: {template}");
    }
    lines.len() / 2
}

#[test]
fn templates_are_what_go_makes_of_them() {
    let tables = ["language.txt", "builtins.txt", "printf.txt", "confd.txt", "fork.txt", "errors.txt"];
    let cases: usize = tables.iter().map(|table| run(table)).sum();
    assert!(cases >= 400, "only {cases} cases");
}

#[test]
fn the_machine_is_asked() {
    let cases = [
        (r#"{{getenv "NAME"}} {{getenv "EMPTY" "d"}} {{getenv "NONE" "d"}}|{{getenv "NONE"}}"#, "value d d|"),
        ("{{hostname}}", "m1"),
        (r#"{{fileExists "/"}} {{fileExists "/x"}}"#, "true false"),
        (r#"{{lookupIP "many"}}"#, "[10.0.0.1 10.0.0.10 10.0.0.9 2001:db8::1]"),
        (r#"{{lookupIPV4 "many"}} {{lookupIPV6 "many"}}"#, "[10.0.0.1 10.0.0.10 10.0.0.9] [2001:db8::1]"),
        (r#"{{lookupIP "none"}}{{range lookupIP "none"}}x{{else}}nobody{{end}}"#, "[]nobody"),
        (r#"{{lookupIfaceIPV4 "lo"}} {{lookupIfaceIPV6 "lo"}} {{lookupIfaceIPV4 "none"}}"#, "127.0.0.1 ::1 "),
        (
            r#"{{range lookupSRV "etcd" "tcp" "example.com"}}{{.Target}}{{.Port}}/{{.Priority}}/{{.Weight}} {{end}}"#,
            "a.10/1/2 a.9/1/2 b.80/1/2 ",
        ),
        (r#"{{printf "%T %d" (index (lookupSRV "etcd" "tcp" "example.com") 0).Port 7}}"#, "uint16 7"),
        (r#"{{include "part" "dot"}} {{include "part"}}"#, "<dotX> <<no value>X>"),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template, b"{}").as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn includes_end() {
    let cases = [
        ("circle", "include cycle detected: /templates/circle is already being processed"),
        ("deep0", "maximum include depth (10) exceeded"),
        ("broken", "parse include broken: template: /templates/broken:1:2: unclosed action"),
        ("failing", "template: /templates/failing:2:2: executing \"/templates/failing\" at <getv \"/nope\">"),
        ("nope", "include nope: not there"),
    ];
    for (name, expected) in cases {
        let error = render(&format!("a\n{{{{include \"{name}\"}}}}"), b"{}").unwrap_err();
        assert!(error.starts_with("template: t:2:2: executing \"t\" at <include "), "{error}");
        assert!(error.contains(expected), "{error}");
    }
}

/// Evaluating one template and parsing the next share a thread's stack: this has to fit the two MiB of a test.
#[test]
fn deep_templates_include_deep_templates() {
    let around = |levels: usize| {
        format!("{}{{{{include \"nested\"}}}}{}", "{{if 1}}".repeat(levels), "{{end}}".repeat(levels))
    };
    assert_eq!(render(&around(140), b"{}").as_deref(), Ok("1"));
    let twice = format!("{{{{define \"T\"}}}}{}{{{{end}}}}{{{{template \"T\"}}}}", around(145));
    let deeper = format!("{}{{{{template \"T\"}}}}{}", "{{if 1}}".repeat(120), "{{end}}".repeat(120));
    let error = render(&(twice + &deeper), b"{}").unwrap_err();
    assert!(error.contains("nested deeper than 300 levels"), "{error}");
}

#[test]
fn an_include_that_failed_may_be_tried_again() {
    let keys = read_keys(b"{}", "/").unwrap();
    let functions = functions(&keys, &world::still());
    for _ in 0..20 {
        let template = Template::parse("t", b"{{include \"failing\"}}", &functions).unwrap();
        let error = template.render(&Value::Nil, &functions, Limits::default()).unwrap_err();
        assert!(error.to_string().contains("key does not exist"), "{error}");
    }
}

#[test]
fn a_pattern_is_not_looked_at_without_keys() {
    assert_eq!(render(r#"{{gets "["}}{{getvs "["}}"#, b"{}").as_deref(), Ok("[][]"));
}

#[test]
fn the_prefix_is_cut_off_at_a_slash() {
    let keys = br#"{"/app/a":"1","/app2/b":"2","/app":"self","other":"3"}"#;
    let list = |prefix| {
        let keys = read_keys(keys, prefix).unwrap();
        let functions = functions(&keys, &world::still());
        let template = Template::parse(
            "t",
            br#"{{range gets "/*"}}{{.Key}}={{.Value}} {{end}}{{ls "/app"}}"#,
            &functions,
        )
        .unwrap();
        String::from_utf8(template.render(&Value::Nil, &functions, Limits::default()).unwrap()).unwrap()
    };
    for prefix in ["", "/"] {
        assert_eq!(list(prefix), "/app=self /other=3 [a app]", "{prefix:?}");
    }
    for prefix in ["/app", "app", "/app/", "app/"] {
        assert_eq!(list(prefix), "/=self /a=1 []", "{prefix:?}");
    }
    assert_eq!(list("/nope"), "[]");
}

#[test]
fn values_that_are_no_strings_are_text() {
    let keys = br#"{"/n":8080,"/f":1.50,"/e":1e6,"/t":true,"/z":null,"/l":[1, "a"],"/o":{"b":1}}"#;
    let template = r#"{{getv "/n"}} {{getv "/f"}} {{getv "/e"}} {{getv "/t"}} {{getv "/z"}}| {{getv "/l"}} {{getv "/o"}}"#;
    assert_eq!(render(template, keys).as_deref(), Ok(r#"8080 1.50 1e6 true | [1,"a"] {"b":1}"#));
}

#[test]
fn keys_that_are_no_object_are_refused() {
    let cases = [
        ("[]", "the file holds a JSON array; an object of key to value is expected"),
        (
            "{\n\"a\" 1}",
            "line 2: invalid character '1' after object key, at byte 6; correct the file, an object of key to value is expected",
        ),
        (
            "",
            "line 1: unexpected end of JSON input, at byte 0; correct the file, an object of key to value is expected",
        ),
    ];
    for (keys, expected) in cases {
        assert_eq!(render("", keys.as_bytes()).unwrap_err(), expected);
    }
}
