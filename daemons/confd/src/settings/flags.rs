//! The command line, as Go's package flag reads it.

use std::collections::BTreeMap;

use thiserror::Error;

/// What confd's command line has: the name, and whether it is a switch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) name: &'static str,
    pub(crate) is_switch: bool,
    /// What it is for.
    pub(crate) what: &'static str,
    /// False for what has no meaning with etcd, or none any more.
    pub(crate) has_effect: bool,
}

const fn value(name: &'static str, what: &'static str) -> Flag {
    Flag { name, is_switch: false, what, has_effect: true }
}

const fn switch(name: &'static str, what: &'static str) -> Flag {
    Flag { name, is_switch: true, what, has_effect: true }
}

const fn idle(name: &'static str, is_switch: bool) -> Flag {
    Flag { name, is_switch, what: "has no meaning with etcd", has_effect: false }
}

/// All flags of confd.
pub(crate) const FLAGS: [Flag; 38] = [
    value("backend", "etcd or etcdv3"),
    value("node", "an etcd member, as host:port or URL; may be given several times"),
    value("prefix", "taken in place of each resource's own prefix"),
    value("confdir", "the folder with conf.d and templates [default: /etc/confd]"),
    value("config-file", "[default: /etc/confd/confd.toml]"),
    switch("onetime", "make all files once, and end"),
    value(
        "interval",
        "accepted for old units: changes are followed; files on disk are looked at this often, in seconds",
    ),
    switch("watch", "accepted for old units: changes are always followed"),
    switch("noop", "say what would be done, and do nothing"),
    switch("sync-only", "make the files, but run neither check nor reload"),
    switch("keep-stage-file", "keep staged files that were not put in place"),
    value("log-level", "debug, info, warn or error"),
    value("client-cert", "our certificate for etcd"),
    value("client-key", "its key"),
    value("client-ca-keys", "the authority of etcd's certificates"),
    switch("basic-auth", "log in with user name and password"),
    value("username", "etcd user"),
    value("password", "its password"),
    value("srv-domain", "the domain whose service records name the members"),
    value("srv-record", "the service record that names the members"),
    value("scheme", "http or https, for members from service records [default: http]"),
    switch("version", "print the version"),
    switch("client-insecure", "not supported: name the authority with client-ca-keys"),
    idle("auth-token", false),
    idle("auth-type", false),
    idle("app-id", false),
    idle("user-id", false),
    idle("role-id", false),
    idle("secret-id", false),
    idle("path", false),
    idle("table", false),
    idle("separator", false),
    idle("file", false),
    idle("filter", false),
    idle("secret-keyring", false),
    idle("failure-mode", false),
    idle("systemd-notify", true),
    idle("watchdog-interval", false),
];

/// The command line can't be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FlagError {
    /// No such flag.
    #[error("flag provided but not defined: -{name}{meant}")]
    Unknown {
        /// Its name.
        name: String,
        /// What may be meant.
        meant: String,
    },
    /// A flag without its value.
    #[error("flag needs an argument: -{0}")]
    Missing(String),
    /// A switch with something else than true or false.
    #[error("invalid boolean value {value:?} for -{name}: write true or false")]
    Switch {
        /// The flag.
        name: String,
        /// What was given.
        value: String,
    },
    /// Not a flag.
    #[error("bad flag syntax: {0}")]
    Syntax(String),
}

/// Values by name, in the order given.
pub(crate) type Given = BTreeMap<&'static str, Vec<String>>;

/// Reads arguments up to the first that is no flag. One dash and two mean the same, a value follows or is joined by `=`.
pub(crate) fn parse(arguments: &[String]) -> Result<Given, FlagError> {
    let mut given = Given::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(rest) = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-')) else { break };
        match rest {
            "" if argument == "--" => break,
            "" => break,
            _ if rest.starts_with(['-', '=']) => return Err(FlagError::Syntax(argument.clone())),
            _ => {}
        }
        let (name, joined) = match rest.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (rest, None),
        };
        let Some(flag) = FLAGS.iter().find(|flag| flag.name == name) else {
            let meant = convoy_suggest::nearest(name, FLAGS.iter().map(|flag| flag.name));
            let meant = meant.map(|meant| format!("; is -{meant} meant?")).unwrap_or_default();
            return Err(FlagError::Unknown { name: name.to_owned(), meant });
        };
        let value = match (flag.is_switch, joined) {
            (true, None) => "true".to_owned(),
            (true, Some(value)) if truth(&value).is_none() => {
                return Err(FlagError::Switch { name: name.to_owned(), value });
            }
            (_, Some(value)) => value,
            (false, None) => arguments.next().cloned().ok_or_else(|| FlagError::Missing(name.to_owned()))?,
        };
        given.entry(flag.name).or_default().push(value);
    }
    Ok(given)
}

/// Go's `strconv.ParseBool`.
pub(crate) fn truth(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A line per flag, for people.
pub fn usage() -> String {
    let lines = FLAGS.iter().filter(|flag| flag.has_effect).map(|flag| {
        let name = if flag.is_switch { flag.name.to_owned() } else { format!("{} VALUE", flag.name) };
        format!("  -{name:<22} {}\n", flag.what)
    });
    lines.collect::<Vec<_>>().concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Given, FlagError> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn one_dash_or_two_joined_or_not() {
        let given = read("-onetime --node=a:1 -node b:2 -noop=false -prefix / rest -bad").unwrap();
        assert_eq!(given["node"], ["a:1", "b:2"]);
        assert_eq!(given["onetime"], ["true"]);
        assert_eq!(given["noop"], ["false"]);
        assert_eq!(given["prefix"], ["/"]);
        assert_eq!(given.len(), 4);
        assert!(read("-- -onetime").unwrap().is_empty());
    }

    #[test]
    fn what_can_not_be_read_is_told_as_go_tells_it() {
        for (line, expected) in [
            ("-confdri /x", "flag provided but not defined: -confdri; is -confdir meant?"),
            ("-node", "flag needs an argument: -node"),
            ("-noop=maybe", "invalid boolean value \"maybe\" for -noop: write true or false"),
            ("---x", "bad flag syntax: ---x"),
        ] {
            assert_eq!(read(line).unwrap_err().to_string(), expected);
        }
    }
}
