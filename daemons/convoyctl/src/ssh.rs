//! Command lines for a command on a machine: here, or over SSH.

use std::{ffi::OsString, net::IpAddr, time::Duration};

/// How machines are reached.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// User on the machines.
    pub user: Option<String>,
    /// Port of SSH.
    pub port: Option<u16>,
    /// Longest time for making a connection.
    pub timeout: Duration,
    /// Host to go through.
    pub tunnel: Option<String>,
    /// ssh's options about host keys.
    pub host_keys: Vec<String>,
    /// Forward the authentication agent.
    pub forward_agent: bool,
    /// Ask for a terminal.
    pub terminal: bool,
}

impl Access {
    /// The arguments of `ssh` for a shell on a machine, or for a command line of its shell.
    pub fn arguments(&self, address: IpAddr, command: Option<&str>) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = Vec::new();
        let mut add = |text: &str| arguments.push(text.into());
        add("-o");
        add(&format!("ConnectTimeout={}", self.timeout.as_secs().max(1)));
        for option in &self.host_keys {
            add(option);
        }
        if let Some(tunnel) = &self.tunnel {
            add("-J");
            add(tunnel);
        }
        if let Some(port) = self.port {
            add("-p");
            add(&port.to_string());
        }
        if let Some(user) = &self.user {
            add("-l");
            add(user);
        }
        if self.forward_agent {
            add("-A");
        }
        if self.terminal {
            add("-t");
        }
        add("--");
        add(&address.to_string());
        if let Some(command) = command {
            add(command);
        }
        arguments
    }
}

/// One word of a shell's command line, whatever is in it.
pub fn quote(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:=@%+,".contains(&byte);
    if !word.is_empty() && word.bytes().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// Words as a shell's command line.
pub fn command_line(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_become_those_of_ssh() {
        let line = |access: &Access, command| {
            let arguments = access.arguments("10.0.0.1".parse().unwrap(), command);
            arguments.iter().map(|word| word.to_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
        };
        let plain = Access { timeout: Duration::from_secs(10), ..Access::default() };
        assert_eq!(line(&plain, None), "-o ConnectTimeout=10 -- 10.0.0.1");
        let all = Access {
            user: Some("core".into()),
            port: Some(2222),
            tunnel: Some("bastion:22".into()),
            host_keys: vec!["-o".into(), "StrictHostKeyChecking=no".into()],
            forward_agent: true,
            terminal: true,
            timeout: Duration::from_millis(200),
        };
        assert_eq!(
            line(&all, Some("uptime")),
            "-o ConnectTimeout=1 -o StrictHostKeyChecking=no -J bastion:22 \
             -p 2222 -l core -A -t -- 10.0.0.1 uptime"
        );
    }

    #[test]
    fn no_word_becomes_two_or_a_command() {
        for (word, quoted) in [
            ("someapp@1.service", "someapp@1.service"),
            (r"dev-disk-by\x2did.service", r"'dev-disk-by\x2did.service'"),
            ("", "''"),
            ("a b", "'a b'"),
            ("a;rm", "'a;rm'"),
            ("it's", r"'it'\''s'"),
            ("$(id)", "'$(id)'"),
        ] {
            assert_eq!(quote(word), quoted);
        }
        assert_eq!(command_line(&["journalctl".into(), "-u".into(), "a b".into()]), "journalctl -u 'a b'");
    }
}
