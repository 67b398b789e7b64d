//! `lb-watcher render` and `lint`, as a person or a script meets them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::path::PathBuf;
use std::process::{Command, Output};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            std::fs::write(folder.path(name), text).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lb-watcher"))
            .args(arguments)
            .current_dir(self.0.path())
            .env("NAME", "from the environment")
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

const KEYS: &[u8] =
    br#"{"/services/apache/1": "10.0.0.1:80", "/services/apache/2": "10.0.0.2:80", "/port": 8080}"#;
const RENDER: [&str; 5] = ["render", "--template", "t.tmpl", "--keys", "keys.json"];

#[test]
fn the_result_and_nothing_else_is_on_standard_output() {
    let template = b"upstream apache {\n{{range getvs \"/services/apache/*\"}}  server {{.}};\n{{end}}}\n";
    let folder = Folder::new(&[("t.tmpl", template), ("keys.json", KEYS)]);
    let output = folder.run(&RENDER);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "upstream apache {\n  server 10.0.0.1:80;\n  server 10.0.0.2:80;\n}\n");
    assert!(output.status.success());
}

#[test]
fn a_prefix_is_cut_off() {
    let folder =
        Folder::new(&[("t.tmpl", b"{{getv \"/apache/1\"}} {{exists \"/port\"}}"), ("keys.json", KEYS)]);
    let output = folder.run(&[RENDER.as_slice(), &["--prefix", "/services"]].concat());
    assert_eq!(text(&output.stdout), "10.0.0.1:80 false");
}

#[test]
fn an_error_is_on_standard_error_and_nothing_on_standard_output() {
    let cases: [(&[u8], &[u8], &str); 5] = [
        (
            b"before\n{{getv \"/nope\"}}",
            KEYS,
            "lb-watcher: template: t.tmpl:2:2: executing \"t.tmpl\" at <getv \"/nope\">: error calling getv: key does not exist: /nope\n",
        ),
        (
            b"{{if false}}{{nope}}{{end}}",
            KEYS,
            "lb-watcher: template: t.tmpl:1:14: function \"nope\" not defined\n",
        ),
        (b"{{end}}", KEYS, "lb-watcher: template: t.tmpl:1:5: unexpected {{end}}\n"),
        (
            b"",
            b"[1]",
            "lb-watcher: keys.json: the file holds a JSON array; an object of key to value is expected\n",
        ),
        (b"", b"{", "lb-watcher: keys.json: line 1: unexpected end of JSON input"),
    ];
    for (template, keys, expected) in cases {
        let folder = Folder::new(&[("t.tmpl", template), ("keys.json", keys)]);
        let output = folder.run(&RENDER);
        assert_eq!(text(&output.stdout), "");
        assert!(text(&output.stderr).starts_with(expected), "{}", text(&output.stderr));
        assert_eq!(output.status.code(), Some(1));
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = Folder::new(&[("keys.json", KEYS)]);
    let output = folder.run(&RENDER);
    assert!(text(&output.stderr).starts_with("lb-watcher: t.tmpl: the file can't be read"));
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
}

#[test]
fn the_machine_answers() {
    let template = b"{{getenv \"NAME\"}} {{fileExists \"keys.json\"}} {{lookupIPV4 \"127.0.0.1\"}} {{lookupIfaceIPV4 \"lo\"}} {{include \"part\" \"x\"}} {{eq hostname \"\"}} {{gt datetime.Year 2000}}";
    let folder = Folder::new(&[("t.tmpl", template), ("keys.json", b"{}"), ("part", b"<{{.}}>")]);
    let output = folder.run(&RENDER);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(text(&output.stdout), "from the environment true [127.0.0.1] 127.0.0.1 <x> false true");
}

#[test]
fn includes_stay_in_the_folder() {
    for name in ["../secret", "/etc/passwd", "a/../../b"] {
        let template = format!("{{{{include {name:?}}}}}");
        let folder = Folder::new(&[("t.tmpl", template.as_bytes()), ("keys.json", b"{}")]);
        let output = folder.run(&RENDER);
        assert!(text(&output.stderr).contains("is outside template directory"), "{name}");
        assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
    }
}

#[test]
fn lint_tells_what_bites() {
    let folder = Folder::new(&[("t.tmpl", b"{{range getvs \"/a/*\"}}{{.}}{{end}}\n{{printf \"%d\" \"a\"}}")]);
    let output = folder.run(&["lint", "--template", "t.tmpl"]);
    let lines: Vec<&str> = text(&output.stdout).lines().collect();
    assert!(lines[0].starts_with("t.tmpl:1:8: getvs sorts by value"), "{lines:?}");
    assert!(lines[1].starts_with("t.tmpl:2:2: this printf writes %!d(string=a) into the file"), "{lines:?}");
    assert_eq!((lines.len(), output.status.code()), (2, Some(0)));
}

#[test]
fn lint_refuses_what_is_no_template() {
    let folder = Folder::new(&[("t.tmpl", b"{{if}}")]);
    let output = folder.run(&["lint", "--template", "t.tmpl"]);
    assert_eq!(text(&output.stderr), "lb-watcher: template: t.tmpl:1:4: missing value for if\n");
    assert_eq!((output.status.code(), output.stdout), (Some(1), Vec::new()));
}
