//! What HAProxy answers on its runtime socket, as types.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use convoy_lb_config::ServerName;

/// Administrative states in which a server gets no new request: in maintenance or draining, for whatever reason
/// (`SRV_ADMF_*` in HAProxy's `server-t.h`; 4 only says that the configuration did it).
const OUT: u32 = 1 | 2 | 8 | 16 | 32 | 64;
/// In maintenance.
const MAINTENANCE: u32 = 1 | 2 | 32 | 64;
/// A check was asked for (`CHK_ST_*` in `check-t.h`).
const CHECK_CONFIGURED: u32 = 2;
/// And is made.
const CHECK_ENABLED: u32 = 4;

/// One server of a running backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its name.
    pub name: ServerName,
    /// Where requests go; none when that is no address.
    pub address: Option<SocketAddr>,
    /// What it was told, as HAProxy's bits.
    admin: u32,
    /// Whether its checks find it well.
    pub is_up: bool,
    /// Its weight is the one that it began with.
    pub has_own_weight: bool,
    /// Since when it is as it is.
    pub since: Duration,
    check: u32,
    /// Connections that requests are using now.
    pub used: u32,
}

impl ServerState {
    /// Whether it gets new requests, as long as its checks find it well.
    pub fn is_in(&self) -> bool {
        self.admin & OUT == 0 && self.has_own_weight
    }

    /// Whether it was told to get none.
    pub fn is_out(&self) -> bool {
        self.admin & OUT != 0
    }

    /// Whether it is in maintenance.
    pub fn is_in_maintenance(&self) -> bool {
        self.admin & MAINTENANCE != 0
    }

    /// Whether the check that was asked for is not made.
    pub fn lacks_check(&self) -> bool {
        self.check & (CHECK_CONFIGURED | CHECK_ENABLED) == CHECK_CONFIGURED
    }
}

/// Reads the answers to `show servers state` and `show servers conn` of one backend; the error is the line that can't be
/// read. Columns are found by their names, since later versions add some.
pub(super) fn read_servers(states: &str, connections: &str) -> Result<Vec<ServerState>, String> {
    let mut servers = Vec::new();
    for row in Table::new(states, "# be_id")?.rows() {
        servers.push(read_server(&row).ok_or(row.line)?);
    }
    for row in Table::new(connections, "# bkname/svname")?.rows() {
        let name =
            row.text("bkname/svname").and_then(|text| Some(text.split_once('/')?.1)).ok_or(row.line)?;
        let used = row.number("used_cur").ok_or(row.line)?;
        if let Some(server) = servers.iter_mut().find(|server| server.name.as_str() == name) {
            server.used = used;
        }
    }
    Ok(servers)
}

fn read_server(row: &Row<'_>) -> Option<ServerState> {
    let port: u16 = row.text("srv_port")?.parse().ok()?;
    Some(ServerState {
        name: ServerName::verbatim(row.text("srv_name")?),
        address: row.text("srv_addr")?.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, port)),
        admin: row.number("srv_admin_state")?,
        is_up: row.number("srv_op_state")? != 0,
        has_own_weight: row.number("srv_uweight")? == row.number("srv_iweight")?,
        since: row.age("srv_time_since_last_change")?,
        check: row.number("srv_check_state")?,
        used: 0,
    })
}

/// The number of the process that answers, from `show info`.
pub(super) fn read_pid(info: &str) -> Result<i32, String> {
    let value = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    value.and_then(|text| text.trim().parse().ok()).ok_or_else(|| first_line(info))
}

/// What matters in an answer that is no table.
pub(super) fn first_line(answer: &str) -> String {
    answer.trim().lines().next().unwrap_or("no answer").chars().take(300).collect()
}

/// Lines of words under a line of column names.
struct Table<'a> {
    columns: Vec<&'a str>,
    lines: std::str::Lines<'a>,
}

struct Row<'a> {
    columns: &'a [&'a str],
    words: Vec<&'a str>,
    line: &'a str,
}

impl<'a> Table<'a> {
    /// The head begins with these characters.
    fn new(answer: &'a str, head: &str) -> Result<Self, String> {
        let mut lines = answer.lines();
        let found = lines.find(|line| line.starts_with(head)).ok_or_else(|| first_line(answer))?;
        Ok(Self { columns: found.trim_start_matches('#').split_ascii_whitespace().collect(), lines })
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let lines = self.lines.clone().filter(|line| !line.trim().is_empty());
        lines.map(|line| Row { columns: &self.columns, words: line.split_ascii_whitespace().collect(), line })
    }
}

impl<'a> Row<'a> {
    fn text(&self, column: &str) -> Option<&'a str> {
        let place = self.columns.iter().position(|name| *name == column)?;
        self.words.get(place).copied()
    }

    fn number(&self, column: &str) -> Option<u32> {
        self.text(column)?.parse().ok()
    }

    /// Seconds. HAProxy's threads do not agree on the time, and what has just changed may be -1 seconds old.
    fn age(&self, column: &str) -> Option<Duration> {
        let seconds: i64 = self.text(column)?.parse().ok()?;
        Some(Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As HAProxy 2.6.12 answers.
    const STATES: &str = "1\n\
        # be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight srv_iweight srv_time_since_last_change srv_check_status srv_check_result srv_check_health srv_check_state srv_agent_state bk_f_forced_id srv_f_forced_id srv_fqdn srv_port srvrecord srv_use_ssl srv_check_port srv_check_addr srv_agent_addr srv_agent_port\n\
        3 instances 1 1 127.0.0.1 2 0 1 1 7 6 3 2 6 0 0 0 - 19001 - 0 0 - - 0\n\
        3 instances 2 a:2Cb fd00::2 0 8 0 1 0 8 2 0 2 0 0 0 - 80 - 0 0 - - 0\n\
        3 instances 3 3 127.0.0.1 0 1 1 1 -1 1 0 0 14 0 0 0 - 19003 - 0 0 - - 0\n\n";
    const CONNECTIONS: &str = "# bkname/svname bkid/svid addr port - purge_delay used_cur used_max need_est unsafe_nb safe_nb idle_lim idle_cur idle_per_thr[2]\n\
        instances/1 3/1 127.0.0.1 19001 - 5000 4 1 1 0 0 -1 0 0 0\n\
        instances/a:2Cb 3/2 fd00::2 80 - 5000 0 1 1 0 0 -1 0 0 0\n\
        instances/3 3/3 127.0.0.1 19003 - 0 0 1 1 0 0 0 0\n\n";

    #[test]
    fn servers_are_read_with_what_they_were_told_and_what_they_do() {
        let servers = read_servers(STATES, CONNECTIONS).unwrap();
        let told: Vec<_> = servers
            .iter()
            .map(|s| (s.name.as_str(), s.is_in(), s.is_out(), s.is_in_maintenance(), s.lacks_check(), s.used))
            .collect();
        assert_eq!(
            told,
            [
                ("1", true, false, false, false, 4),
                ("a:2Cb", false, true, false, true, 0),
                ("3", false, true, true, false, 0)
            ]
        );
        assert_eq!(servers[0].address, Some("127.0.0.1:19001".parse().unwrap()));
        assert_eq!(servers[1].address, Some("[fd00::2]:80".parse().unwrap()));
        assert_eq!((servers[0].is_up, servers[0].since), (true, Duration::from_secs(7)));
        assert_eq!(servers[2].since, Duration::ZERO, "it changed in the next second");
    }

    #[test]
    fn an_answer_that_is_no_table_is_told_in_haproxy_s_words() {
        assert_eq!(read_servers("Can't find backend.\n", CONNECTIONS).unwrap_err(), "Can't find backend.");
        assert_eq!(read_servers("", "").unwrap_err(), "no answer");
        let damaged = STATES.replace("127.0.0.1 2 0 1 1 7", "127.0.0.1 2 none");
        assert!(read_servers(&damaged, CONNECTIONS).unwrap_err().contains("none"));
    }

    #[test]
    fn the_process_is_read_from_its_information() {
        assert_eq!(read_pid("Name: HAProxy\nPid: 4082\nUptime: 0d\n"), Ok(4082));
        assert_eq!(read_pid("Unknown command\n"), Err("Unknown command".to_owned()));
    }
}
