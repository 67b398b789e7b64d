//! From the servers that run and those that are wanted to what HAProxy is to be told.

use std::time::Duration;

use convoy_lb_config::{Backend, Membership, Server, ServerName};

use super::answer::ServerState;

/// One line for the runtime socket. The commands of a line are carried out one after the other, whatever each of them
/// answers, and doing one twice does no harm: what came of it is read from [`ServerState`]s.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A server that isn't there.
    Add(Server),
    /// A server that somebody else has sent to another address than the one in its name.
    Move(Server),
    /// A server that gets no requests and should, or fewer than its share.
    Admit(ServerName),
    /// A server that gets no more new requests.
    Drain(ServerName),
    /// A drained server that goes. From maintenance it has to be led back to draining for a moment: only on the way
    /// from one to the other HAProxy closes the connections that it keeps.
    Remove(ServerName),
    /// The same, with whatever it still does cut off.
    Cut(ServerName),
}

impl Change {
    /// The line, without its end.
    pub fn line(&self, backend: &Backend) -> String {
        let of = |name: &ServerName| format!("{}/{name}", backend.name);
        match self {
            Self::Add(Server { name, address }) => {
                let (id, options) = (of(name), &backend.options);
                let added = format!("add server {id} {address} {options}");
                format!("{}; {}", added.trim_end(), admitted(&id, backend))
            }
            Self::Move(Server { name, address }) => {
                format!("set server {} addr {} port {}", of(name), address.ip(), address.port())
            }
            Self::Admit(name) => {
                format!("set server {0} weight 100%; {1}", of(name), admitted(&of(name), backend))
            }
            Self::Drain(name) => format!("set server {} state drain", of(name)),
            Self::Remove(name) => {
                format!("set server {0} state drain; set server {0} state maint; del server {0}", of(name))
            }
            Self::Cut(name) => {
                format!("shutdown sessions server {0}; set server {0} state maint; del server {0}", of(name))
            }
        }
    }
}

/// Added servers are in maintenance, with their checks off.
fn admitted(id: &str, backend: &Backend) -> String {
    let ready = format!("set server {id} state ready");
    if has_check(backend) { format!("{ready}; enable health {id}") } else { ready }
}

fn has_check(backend: &Backend) -> bool {
    backend.options.split_ascii_whitespace().any(|word| word == "check")
}

/// What HAProxy complains about in its answer to a line; none when it does not.
pub(super) fn complaint(answer: &str) -> Option<String> {
    let is_good = |line: &&str| {
        ["", "New server registered.", "Server deleted."].contains(line)
            // In the answer to a new address the first words tell what was changed and what was not.
            || (line.ends_with("by 'stats socket command'") && !line.starts_with("Invalid"))
    };
    let bad: Vec<&str> = answer.lines().map(str::trim).filter(|line| !is_good(line)).collect();
    (!bad.is_empty()).then(|| bad.join(" ").chars().take(300).collect())
}

/// Brings one backend in step: first what comes, then what goes, so that there is no moment without a server.
pub(super) fn plan(wanted: &Membership, backend: &Backend, running: &[ServerState]) -> Vec<Change> {
    let mut changes = Vec::new();
    for server in &wanted.servers {
        let Some(state) = running.iter().find(|state| state.name == server.name) else {
            changes.push(Change::Add(server.clone()));
            continue;
        };
        if state.address != Some(server.address) {
            changes.push(Change::Move(server.clone()));
        }
        if !state.is_in() || (has_check(backend) && state.lacks_check()) {
            changes.push(Change::Admit(server.name.clone()));
        }
    }
    let going = unwanted(wanted, running).filter(|state| !state.is_out());
    changes.extend(going.map(|state| Change::Drain(state.name.clone())));
    changes
}

/// Takes out the servers of one backend that have nothing more to do, or have had `longest` for it. The number is that of
/// those which are left after the changes.
pub(super) fn plan_tidying(
    wanted: &Membership,
    running: &[ServerState],
    longest: Duration,
) -> (Vec<Change>, usize) {
    let mut changes = Vec::new();
    let mut busy = 0;
    for state in unwanted(wanted, running).filter(|state| state.is_out()) {
        if state.used == 0 {
            changes.push(Change::Remove(state.name.clone()));
        } else if state.since > longest {
            // Both are whole seconds, so it has had all of them.
            changes.push(Change::Cut(state.name.clone()));
        } else {
            busy += 1;
        }
    }
    (changes, busy)
}

fn unwanted<'a>(wanted: &Membership, running: &'a [ServerState]) -> impl Iterator<Item = &'a ServerState> {
    running.iter().filter(|state| !wanted.servers.iter().any(|server| server.name == state.name))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::answer::read_servers;
    use super::*;

    fn backend(options: &str) -> Backend {
        Backend { name: "b".to_owned(), options: options.to_owned() }
    }

    fn wanted(servers: &[(&str, &str)]) -> Membership {
        let server = |&(name, address): &(&str, &str)| Server {
            name: ServerName::verbatim(name),
            address: address.parse().unwrap(),
        };
        Membership { backends: vec![backend("check")], servers: servers.iter().map(server).collect() }
    }

    /// Servers as `name address admin-state weight seconds check-state used`.
    fn running(servers: &[&str]) -> Vec<ServerState> {
        let mut states =
            "# be_id srv_name srv_addr srv_port srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_state srv_op_state\n"
                .to_owned();
        let mut connections = "# bkname/svname used_cur\n".to_owned();
        for server in servers {
            let words: Vec<_> = server.split(' ').collect();
            let [name, address, admin, weight, since, check, used] = words[..] else { panic!("{server}") };
            let address: std::net::SocketAddr = address.parse().unwrap();
            let (ip, port) = (address.ip(), address.port());
            let _ = writeln!(states, "3 {name} {ip} {port} {admin} {weight} 1 {since} {check} 2");
            let _ = writeln!(connections, "b/{name} {used}");
        }
        read_servers(&states, &connections).unwrap()
    }

    fn lines(wanted: &Membership, servers: &[&str]) -> Vec<String> {
        let backend = &wanted.backends[0];
        plan(wanted, backend, &running(servers)).iter().map(|change| change.line(backend)).collect()
    }

    #[test]
    fn each_difference_has_its_line_and_agreement_has_none() {
        let one = wanted(&[("1", "10.0.0.1:80")]);
        for (name, servers, expected) in [
            ("in step", vec!["1 10.0.0.1:80 0 1 9 6 0"], vec![]),
            (
                "absent",
                vec![],
                vec!["add server b/1 10.0.0.1:80 check; set server b/1 state ready; enable health b/1"],
            ),
            ("moved", vec!["1 10.0.0.2:81 0 1 9 6 0"], vec!["set server b/1 addr 10.0.0.1 port 80"]),
            (
                "added by somebody who was killed then",
                vec!["1 10.0.0.1:80 1 1 9 2 0"],
                vec!["set server b/1 weight 100%; set server b/1 state ready; enable health b/1"],
            ),
            (
                "unchecked",
                vec!["1 10.0.0.1:80 0 1 9 2 0"],
                vec!["set server b/1 weight 100%; set server b/1 state ready; enable health b/1"],
            ),
            (
                "back from draining, elsewhere",
                vec!["1 10.0.0.2:80 8 1 9 6 3"],
                vec![
                    "set server b/1 addr 10.0.0.1 port 80",
                    "set server b/1 weight 100%; set server b/1 state ready; enable health b/1",
                ],
            ),
            (
                "without weight",
                vec!["1 10.0.0.1:80 0 0 9 6 0"],
                vec!["set server b/1 weight 100%; set server b/1 state ready; enable health b/1"],
            ),
            (
                "another one",
                vec!["2 10.0.0.2:80 0 1 9 6 5"],
                vec![
                    "add server b/1 10.0.0.1:80 check; set server b/1 state ready; enable health b/1",
                    "set server b/2 state drain",
                ],
            ),
            ("another one that is going", vec!["1 10.0.0.1:80 0 1 9 6 0", "2 10.0.0.2:80 8 1 9 6 5"], vec![]),
        ] {
            assert_eq!(lines(&one, &servers), expected, "{name}");
        }
    }

    #[test]
    fn a_backend_without_checks_has_none_to_enable() {
        let mut one = wanted(&[("1", "[fd00::1]:80")]);
        one.backends = vec![backend("")];
        assert_eq!(lines(&one, &[]), ["add server b/1 [fd00::1]:80; set server b/1 state ready"]);
        assert_eq!(lines(&one, &["1 [fd00::2]:80 0 1 9 2 0"]), ["set server b/1 addr fd00::1 port 80"]);
    }

    #[test]
    fn a_server_goes_when_it_has_nothing_to_do_and_is_cut_off_when_its_time_is_over() {
        let none = wanted(&[("1", "10.0.0.1:80")]);
        let longest = Duration::from_secs(240);
        for (name, server, expected, busy) in [
            ("wanted", "1 10.0.0.1:80 8 1 999 6 0", "", 0),
            ("not told yet", "2 10.0.0.2:80 0 1 999 6 0", "", 0),
            ("busy", "2 10.0.0.2:80 8 1 240 6 1", "", 1),
            (
                "idle",
                "2 10.0.0.2:80 8 1 1 6 0",
                "set server b/2 state drain; set server b/2 state maint; del server b/2",
                0,
            ),
            (
                "in maintenance",
                "2 10.0.0.2:80 1 1 1 6 0",
                "set server b/2 state drain; set server b/2 state maint; del server b/2",
                0,
            ),
            (
                "late",
                "2 10.0.0.2:80 8 1 241 6 1",
                "shutdown sessions server b/2; set server b/2 state maint; del server b/2",
                0,
            ),
        ] {
            let (changes, left) = plan_tidying(&none, &running(&[server]), longest);
            let lines: Vec<_> = changes.iter().map(|change| change.line(&none.backends[0])).collect();
            assert_eq!((lines.join("\n").as_str(), left), (expected, busy), "{name}");
        }
    }

    #[test]
    fn complaints_are_told_from_answers_that_say_it_is_done() {
        for good in [
            "\n",
            "New server registered.\n\n\n\n",
            "Server deleted.\n",
            "IP changed from '127.0.0.1' to '::1', no need to change the port by 'stats socket command'\n\n",
        ] {
            assert_eq!(complaint(good), None, "{good}");
        }
        for bad in [
            "No such server.\n",
            "Invalid addr '999.1.1.1' by 'stats socket command'\n",
            "Server still has connections attached to it, cannot remove it.\n",
            "New server registered.\n\nNo such server.\n",
        ] {
            assert!(complaint(bad).is_some(), "{bad}");
        }
    }
}
