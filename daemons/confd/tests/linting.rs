//! What lint tells, as a table.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

mod world;

use convoy_confd::{Snapshot, functions, lint};
use convoy_go_template::Template;

fn warnings(text: &str) -> Vec<String> {
    let functions = functions(&Snapshot::default(), &world::still());
    let template = Template::parse("t", text.as_bytes(), &functions).unwrap();
    lint(&template, &functions).iter().map(ToString::to_string).collect()
}

#[test]
fn what_bites_is_told() {
    let cases = [
        (r#"{{printf "%d" "a"}}"#, "t:1:2: this printf writes %!d(string=a) into the file"),
        (r#"{{printf "%d" (getv "/n")}}"#, "t:1:2: this printf writes %!d(string=text) into the file"),
        (r#"{{getv "/n" | printf "%d"}}"#, "t:1:14: this printf writes %!d(string=text) into the file"),
        (r#"{{printf "%s" (atoi (getv "/n"))}}"#, "t:1:2: this printf writes %!s(int=1) into the file"),
        (r#"{{printf "%s %s" "a"}}"#, "t:1:2: this printf writes %!s(MISSING) into the file"),
        (r#"{{printf "%s" "a" .x}}"#, "t:1:2: this printf writes %!(EXTRA "),
        (r#"{{printf "50%" }}"#, "t:1:2: this printf writes %!(NOVERB) into the file"),
        (r#"{{if false}}{{printf "%d" "a"}}{{end}}"#, "t:1:14: this printf writes %!d(string=a)"),
        ("a\n{{.port}}", "t:2:2: .port is always <no value>"),
        (r"{{$.port}}", "t:1:2: $.port is always <no value>"),
        (r#"{{(json (getv "/j")).port}}"#, ".port prints <no value> when the JSON has no such field"),
        (r#"{{with $j := json (getv "/j")}}{{$j.a}}{{end}}"#, "$j.a prints <no value>"),
        (r#"{{range jsonArray (getv "/j")}}{{.a}}{{end}}"#, "t:1:33: .a prints <no value>"),
        (r#"{{range getvs "/a/*"}}{{.}}{{end}}"#, "t:1:8: getvs sorts by value, as text: 10 comes before 9"),
        (r#"{{range gets "/a/**"}}{{.Key}}{{end}}"#, "** matches no more than *"),
        (r#"{{range gets "/a/[!b]"}}{{.Key}}{{end}}"#, "a class is negated with ^"),
        (r#"{{range gets "/a/["}}{{.Key}}{{end}}"#, "is no pattern: this fails as soon as there is a key"),
        (r#"{{range gets "a/*"}}{{.Key}}{{end}}"#, "matches nothing: every key begins with a slash"),
        (r#"{{getv "key"}}"#, "\"key\" is never there: every key begins with a slash"),
        (r#"{{getv "/key/"}}"#, "\"/key/\" is never there: keys have no slash at the end"),
        (r#"{{if exists "/a//b"}}{{end}}"#, "\"/a//b\" is never there"),
        (r#"{{range lsdir "/"}}{{.}}{{end}}"#, "lsdir \"/\" is always empty"),
        (r#"{{range ls "/"}}{{.}}{{end}}"#, "ls \"/\" gives top-level keys only"),
        (r#"{{$j := json (getv "/j")}}"#, "numbers in JSON print as 1e+06"),
        (r"{{datetime}}", "datetime makes every rendering differ"),
        (r#"{{range lookupIP "a"}}{{.}}{{end}}"#, "lookupIP is an empty list when the look-up fails"),
        (r#"{{range reverse (gets "/a/*")}}{{.Key}}{{end}}"#, "reverse does nothing to the result of gets"),
        (r#"{{getv "/a" | default "b"}}"#, "default does not help with a missing key"),
        (r#"{{if eq (getv "/n") 1}}{{end}}"#, "eq never compares string with int"),
        (r#"{{if lt (len "a") 1.5}}{{end}}"#, "lt never compares int with float64"),
        (r#"{{template "nope"}}"#, "template \"nope\" is not defined"),
        (r#"{{define "T"}}{{datetime}}{{end}}"#, "t:1:16: datetime makes every rendering differ"),
    ];
    for (template, expected) in cases {
        let found = warnings(template);
        assert!(found.iter().any(|warning| warning.contains(expected)), "{template}: {found:?}");
    }
}

#[test]
fn what_is_good_is_not_told() {
    let good = [
        "text",
        r#"{{range gets "/a/*"}}{{.Key}} {{.Value}} {{base .Key}}{{end}}"#,
        r#"{{getv "/a" "default"}}{{printf "%s:%d" (getv "/host") (atoi (getv "/port"))}}"#,
        r#"{{range $i, $p := gets "/a/*"}}{{if $i}},{{end}}{{$p.Value}}{{end}}"#,
        r#"{{$x := getv "/a"}}{{if eq $x "a" "b"}}{{$x}}{{end}}{{printf "%-10s|%5.1f" $x 1.5}}"#,
        r#"{{define "T"}}{{.x}}{{end}}{{template "T" (map "x" 1)}}"#,
        r#"{{range ls "/a"}}{{range gets (printf "/a/%s/*" .)}}{{.Value}}{{end}}{{end}}"#,
        r#"{{if eq (len (gets "/a/*")) 0}}none{{end}}"#,
    ];
    for template in good {
        assert_eq!(warnings(template), Vec::<String>::new(), "{template}");
    }
}

#[test]
fn warnings_come_in_the_order_of_the_text_and_once() {
    let found = warnings("{{datetime}}\n{{(json (getv \"/j\")).a}}\n{{.x}} {{range getvs \"/*\"}}{{end}}");
    let places: Vec<&str> = found.iter().filter_map(|warning| warning.get(..6)).collect();
    assert_eq!(places, ["t:1:2:", "t:2:2:", "t:2:3:", "t:3:2:", "t:3:15"], "{found:?}");
}
