//! Template resources: what is understood, what is refused and how that is told, what a template gets to see.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::time::Duration;

use convoy_confd::resource::{Each, Invocation, Owner, Reload, Resource, Wait};

fn read(document: &str) -> Resource {
    let (resource, warnings) = Resource::parse("a.toml", document, None).unwrap();
    assert_eq!(warnings, [], "{document}");
    resource
}

fn refused(fields: &str) -> String {
    let document = format!("[template]\nsrc = \"a.tmpl\"\ndest = \"/a\"\n{fields}\n");
    Resource::parse("a.toml", &document, None).expect_err(fields).to_string()
}

/// The resource of the Apache guide, as its readers have it.
const APACHE: &str = r#"
[template]
src = "apache.vhost.tmpl"
dest = "/etc/nginx/sites-enabled/apache.conf"
keys = [ "/services/apache" ]
owner = "root"
mode = "0644"
check_cmd = "/usr/sbin/nginx -t"
reload_cmd = "/usr/sbin/service nginx reload"
"#;

#[test]
fn a_resource_of_confd_is_read_as_it_is() {
    let resource = read(APACHE);
    assert_eq!(
        (resource.prefix.as_str(), resource.keys.as_slice()),
        ("/", ["/services/apache".to_owned()].as_slice())
    );
    let file = &resource.files[0];
    assert_eq!(file.source, "apache.vhost.tmpl");
    assert_eq!(file.destination(None).unwrap(), "/etc/nginx/sites-enabled/apache.conf");
    assert_eq!(
        (file.mode.unwrap().to_string().as_str(), file.owner.clone()),
        ("0644", Some(Owner::Name("root".into())))
    );
    let check = resource.check.unwrap();
    assert!(!check.names_source(), "it looks at what is in place");
    assert_eq!(check.invoke("/s", "/d").unwrap(), Invocation::Shell("/usr/sbin/nginx -t".into()));
    assert!(matches!(resource.reload, Some(Reload::Command(_))));
    assert_eq!(resource.wait, Wait::default());
}

#[test]
fn names_of_fields_may_be_of_any_case_and_unknown_ones_are_told() {
    let document = "[Template]\nSRC = \"a\"\nDest = \"/b\"\nreload_comand = \"true\"\n[other]\n";
    let (_, warnings) = Resource::parse("x/a.toml", document, None).unwrap();
    let told: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "x/a.toml, line 4: reload_comand is not known and has no effect; is reload_cmd meant?",
            "x/a.toml, line 5: other is not known and has no effect",
        ]
    );
}

#[test]
fn keys_are_joined_to_the_prefix_and_a_global_prefix_takes_its_place() {
    let document =
        "[template]\nsrc=\"a\"\ndest=\"/b\"\nprefix = \"app/\"\nkeys = [\"/x\", \"y/\", \"../z\"]\n";
    assert_eq!(read(document).keys, ["/app/x", "/app/y", "/z"]);
    let (resource, _) = Resource::parse("a.toml", document, Some("/all")).unwrap();
    assert_eq!((resource.prefix.as_str(), resource.keys[0].as_str()), ("/all", "/all/x"));
    assert!(read("[template]\nsrc=\"a\"\ndest=\"/b\"\n").keys.is_empty());
}

#[test]
fn what_the_maintained_fork_and_convoy_add_is_read() {
    let resource = read(
        r#"
        [template]
        prefix = "/services"
        keys = ["/"]
        check_cmd = ["/usr/sbin/haproxy", "-c", "-f", "{{.dest}}"]
        check_cmd_timeout = "5s"
        reload_unit = "haproxy.service"
        reload_cmd_timeout = "1m"
        verify_cmd = "curl -fs http://127.0.0.1/"
        wait = "50ms:1s"
        min_reload_interval = "3s"
        type = "line"
        [[template.files]]
        src = "haproxy.cfg.tmpl"
        dest = "/etc/haproxy/haproxy.cfg"
        uid = 0
        output_format = "yaml"
        [[template.files]]
        src = "errors.tmpl"
        dest = "/etc/haproxy/503.http"
        mode = "0o600"
        [[template.values]]
        match = "/*/upstream/*"
        type = "address"
        "#,
    );
    assert_eq!(resource.files.len(), 2);
    assert_eq!(resource.files[0].owner, Some(Owner::Id(0)));
    let check = resource.check.as_ref().unwrap();
    assert_eq!(check.deadline(), Duration::from_secs(5));
    let Invocation::Program(words) = check.invoke("/staged", "/etc/x").unwrap() else { panic!("no shell") };
    assert_eq!(words.last().unwrap(), "/etc/x");
    let Some(Reload::Unit { unit, deadline }) = &resource.reload else { panic!("no unit") };
    assert_eq!((unit.as_str(), *deadline), ("haproxy.service", Duration::from_secs(60)));
    assert_eq!(
        (resource.wait.quiet, resource.wait.pause),
        (Duration::from_millis(50), Duration::from_secs(3))
    );

    let keys: [(&str, &[u8]); 5] = [
        ("/services/a/upstream/1", b"10.0.0.1:80"),
        ("/services/a/upstream/2", b"10.0.0.2:80; } evil {"),
        ("/services/a/title", b"any one line"),
        ("/services/a/text", b"two\nlines"),
        ("/elsewhere", b"x"),
    ];
    let (snapshot, left_out) = resource.view(keys);
    assert_eq!(snapshot.len(), 2);
    assert!(snapshot.get(b"/a/upstream/1").is_some() && snapshot.get(b"/a/title").is_some());
    let left_out: Vec<&str> = left_out.iter().map(|left| left.key.as_str()).collect();
    assert_eq!(left_out, ["/services/a/upstream/2", "/services/a/text"]);
}

#[test]
fn a_reload_is_plain_text_in_which_only_the_paths_are_filled_in() {
    let resource = read(
        "[template]\nsrc=\"a\"\ndest=\"/b\"\ncheck_cmd = \"test -s {{.src}} -o {{ .dest }}\"\n\
         reload_cmd = \"docker ps --format '{{.Names}}' > {{.dest}}\"\n",
    );
    let check = resource.check.unwrap();
    assert!(check.names_source());
    assert_eq!(check.invoke("/s", "/d").unwrap().to_string(), "test -s /s -o /d");
    let Some(Reload::Command(reload)) = resource.reload else { panic!("no command") };
    assert_eq!(reload.invoke("/s", "/d").unwrap().to_string(), "docker ps --format '{{.Names}}' > /d");
}

#[test]
fn a_file_for_each_key_or_folder_that_matches() {
    let resource = read(
        "[template]\nsrc=\"a\"\ndest=\"/conf.d/{{.Name}}.conf\"\nkeys=[\"/services\"]\nfor_each=\"/services/*\"\n",
    );
    let keys: [(&str, &[u8]); 5] = [
        ("/services/b/upstream/1", b"1"),
        ("/services/a/upstream/1", b"1"),
        ("/services/a/upstream/2", b"1"),
        ("/services/leaf", b"1"),
        ("/services/ev\nil/x", b"1"),
    ];
    let (snapshot, _) = resource.view(keys);
    let (each, unusable) = resource.instances(&snapshot);
    let paths: Vec<String> =
        each.iter().map(|each| resource.files[0].destination(each.as_ref()).unwrap()).collect();
    assert_eq!(paths, ["/conf.d/a.conf", "/conf.d/b.conf", "/conf.d/leaf.conf"]);
    assert_eq!(unusable, ["/services/ev\nil"]);
    assert_eq!(each[0], Some(Each { key: "/services/a".into(), name: "a".into() }));
}

#[test]
fn only_what_lies_below_a_key_is_needed() {
    let resource = read("[template]\nsrc=\"a\"\ndest=\"/b\"\nkeys=[\"/app\"]\n");
    for (key, needed) in [("/app", true), ("/app/x", true), ("/app2/x", false), ("/ap", false)] {
        assert_eq!(resource.needs(key), needed, "{key}");
    }
    assert!(read("[template]\nsrc=\"a\"\ndest=\"/b\"\nkeys=[\"/\"]\n").needs("/any"));
}

#[test]
fn what_can_not_be_meant_is_refused_with_file_line_and_remedy() {
    for (fields, words) in [
        ("keys = \"/x\"", vec!["a.toml, line 4", "list"]),
        ("mode = 640", vec!["line 4", "mode"]),
        ("mode = \"640\"", vec!["0200", "\"0640\""]),
        ("uid = \"root\"", vec!["uid"]),
        ("check_cmd = \"x {{.src\"", vec!["line 4", "check_cmd"]),
        ("check_cmd = \"x {{.source}}\"", vec!["{{.src}}"]),
        ("check_cmd = []", vec!["empty"]),
        ("check_cmd_timeout = \"5\"", vec!["check_cmd_timeout", "1m30s"]),
        ("reload_cmd = \"x\"\nreload_unit = \"y.service\"", vec!["line 4", "reload_unit"]),
        ("reload_unit = \"nginx\"", vec!["nginx.service"]),
        ("reload_unit = \"a.service; x\"", vec!["no unit"]),
        ("wait = \"2s:1s\"", vec!["wait"]),
        ("wait = \"1s\"\ndebounce = \"1s\"", vec!["line 5", "wait"]),
        ("type = \"adress\"", vec!["address"]),
        ("output_format = \"ini\"", vec!["json"]),
        ("for_each = \"services/*\"", vec!["slash"]),
        ("for_each = \"/services/*\"", vec!["dest", "{{.Name}}"]),
        ("for_each = \"/[\"", vec!["for_each"]),
        ("[[template.values]]\nmatch = \"/x\"", vec!["type is missing"]),
        ("[[template.files]]\nsrc = \"x\"\ndest = \"/x\"", vec!["src", "template.files"]),
        ("[backend]\nname = \"consul\"", vec!["back end"]),
        ("x = ", vec!["line 4"]),
    ] {
        let error = refused(fields);
        for word in words {
            assert!(error.contains(word), "{fields}: {error}");
        }
    }
    for (document, word) in [
        ("", "[template]"),
        ("[[template]]\nsrc = \"a\"\n", "[template]"),
        ("[template]\ndest = \"/a\"\n", "src is missing"),
        ("[template]\nsrc = \"a\"\n", "dest is missing"),
        ("[template]\nsrc = \"a\"\ndest = \"/a/\"\n", "names no file"),
        (
            "[template]\ncheck_cmd = \"x {{.src}}\"\n[[template.files]]\nsrc=\"a\"\ndest=\"/a\"\n[[template.files]]\nsrc=\"b\"\ndest=\"/b\"\n",
            "leave it out",
        ),
    ] {
        let error = Resource::parse("a.toml", document, None).unwrap_err().to_string();
        assert!(error.contains(word), "{document}: {error}");
    }
}
