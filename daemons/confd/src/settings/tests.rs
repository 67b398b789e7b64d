use super::*;

const NOTHING: &dyn Fn(&str) -> Option<String> = &|_| None;

fn resolve(line: &str, variables: &[(&str, &str)], file: &str) -> Result<Settings, String> {
    let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Settings::resolve(&arguments, &variable, &|_| Ok(Some(file.to_owned())))
        .map_err(|error| error.to_string())
}

#[test]
fn the_command_line_wins_over_the_environment_and_that_over_the_file() {
    let file = "prefix = \"/file\"\nconfdir = \"/file\"\nnodes = [\"f:1\"]\nnoop = true\ninterval = 30\n";
    let variables = [("CONFD_PREFIX", "/variable"), ("CONFD_CONFDIR", "/variable"), ("CONFD_INTERVAL", "60")];
    let settings = resolve("-prefix /flag -noop=false", &variables, file).unwrap();
    assert_eq!(settings.prefix.as_deref(), Some("/flag"));
    assert_eq!(settings.confdir, PathBuf::from("/variable"));
    assert_eq!(settings.nodes, Nodes::Urls(vec!["http://f:1".into()]));
    assert_eq!(settings.interval, Some(Duration::from_secs(60)));
    assert!(settings.extent == Extent::Whole && settings.warnings.is_empty(), "{settings:?}");
}

#[test]
fn a_file_that_is_not_there_leaves_what_is_usual() {
    let settings = Settings::resolve(&[], NOTHING, &|_| Ok(None)).unwrap();
    assert_eq!(settings.nodes, Nodes::Configured);
    assert_eq!(settings.confdir, PathBuf::from("/etc/confd"));
    assert!(!settings.onetime && settings.prefix.is_none());
}

#[test]
fn lines_of_old_units_are_understood() {
    let settings = resolve("-onetime -backend etcd -node 10.1.42.1:4001", &[], "").unwrap();
    assert_eq!(
        (settings.onetime, &settings.nodes),
        (true, &Nodes::Urls(vec!["http://10.1.42.1:4001".into()]))
    );
    let settings = resolve(
        "-interval 10 -node http://a:2379,https://b:2379/ -config-file /etc/confd/conf.d/x.toml -watch",
        &[],
        "",
    )
    .unwrap();
    assert_eq!(settings.nodes, Nodes::Urls(vec!["http://a:2379".into(), "https://b:2379".into()]));
    let settings = resolve("", &[("ETCDCTL_PEERS", "http://a:1,http://b:1")], "").unwrap();
    assert_eq!(settings.nodes, Nodes::Urls(vec!["http://a:1".into(), "http://b:1".into()]));
    let settings = resolve("-srv-domain example.com -scheme https -backend etcdv3", &[], "").unwrap();
    let record = Nodes::Record { name: "_etcdv3._tcp.example.com.".into(), scheme: "https".into() };
    assert_eq!(settings.nodes, record);
}

#[test]
fn certificates_come_from_any_place_and_in_pairs() {
    let file = "client_cakeys = \"/ca\"\n";
    let variables = [("CONFD_CLIENT_CERT", "/cert"), ("CONFD_CLIENT_KEY", "/key")];
    let settings = resolve("-username u -password p -basic-auth", &variables, file).unwrap();
    assert_eq!(settings.access.ca, Some("/ca".into()));
    assert_eq!(settings.access.identity, Some(("/cert".into(), "/key".into())));
    assert_eq!(settings.access.user, Some(("u".into(), "p".into())));
    assert!(!format!("{settings:?}").contains("\"p\""), "a password is not printed");
    assert!(resolve("-client-cert /c", &[], "").unwrap_err().contains("set both or none"));
}

#[test]
fn what_is_wrong_is_named_and_what_has_no_effect_is_told() {
    for (line, file, word) in [
        ("-backend consul", "", "consul"),
        ("-node a/b", "", "a/b"),
        ("-interval soon", "", "interval"),
        ("-log-level loud", "", "log-level"),
        ("-basic-auth", "", "username"),
        ("-client-insecure", "", "client-ca-keys"),
        ("", "a = \n", "/etc/confd/confd.toml, line 1"),
        ("", "\nnoop = \"maybe\"\n", "noop"),
    ] {
        let error = resolve(line, &[], file).unwrap_err();
        assert!(error.contains(word), "{word}: {error}");
    }
    let settings = resolve("-auth-token x", &[], "intervall = 5\n").unwrap();
    assert_eq!(settings.warnings.len(), 2, "{settings:?}");
    assert!(settings.warnings[1].contains("line 1") && settings.warnings[1].contains("interval"));
}
