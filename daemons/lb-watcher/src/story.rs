//! The line that `systemctl status` shows.

use std::fmt::Write as _;
use std::net::SocketAddr;

use convoy_keys::AppName;
use convoy_lb_config::Engine;
use convoy_store::Revision;

/// What is served.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    /// First digits of the digest.
    pub(crate) digest: String,
    /// The store's revision.
    pub(crate) revision: Revision,
    /// How many instances.
    pub(crate) upstreams: usize,
}

/// How things stand.
#[derive(Debug, Clone)]
pub(crate) struct Story {
    /// What balances.
    pub(crate) engine: Engine,
    /// Whose load balancer.
    pub(crate) app: AppName,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Whether the store has ever answered.
    pub(crate) listed: bool,
    /// What was proved last.
    pub(crate) served: Option<Served>,
    /// Keys that are left out.
    pub(crate) skipped: usize,
    /// Upstreams that are served although they are gone.
    pub(crate) held: usize,
    /// Changes of servers, and reloads, of this watcher.
    pub(crate) changes: (usize, usize),
    /// Why it does not serve what it should.
    pub(crate) failure: Option<String>,
    /// Why the store can't be reached.
    pub(crate) store_error: Option<String>,
    /// What is wrong with the announcement.
    pub(crate) lease_error: Option<String>,
}

impl Story {
    /// Nothing has happened yet.
    pub(crate) fn begin(engine: Engine, app: AppName, address: SocketAddr) -> Self {
        Self {
            engine,
            app,
            address,
            listed: false,
            served: None,
            skipped: 0,
            held: 0,
            changes: (0, 0),
            failure: None,
            store_error: None,
            lease_error: None,
        }
    }

    /// The whole story in a line, trouble at its end.
    pub(crate) fn line(&self) -> String {
        let mut text = match &self.served {
            Some(served) => format!(
                "serving {} of {} at revision {}, config {}, port {}",
                count(served.upstreams, "upstream"),
                self.app,
                served.revision,
                served.digest,
                self.address.port()
            ),
            None if self.listed => "applying the first configuration".to_owned(),
            None => format!("waiting for the store; {} serves the last good configuration", self.engine),
        };
        // Writing to a String can't fail.
        if self.engine == Engine::Haproxy && self.served.is_some() {
            let (changes, reloads) = self.changes;
            let (changes, reloads) = (count(changes, "change"), count(reloads, "reload"));
            let _ = write!(text, "; {changes} without a reload, {reloads}");
        }
        if self.skipped > 0 {
            let _ = write!(text, "; {} left out", count(self.skipped, "unusable key"));
        }
        if self.held > 0 {
            let _ = write!(text, "; {} held that vanished without a word", count(self.held, "upstream"));
        }
        for (what, error) in [
            ("NOT UP TO DATE", &self.failure),
            ("store unreachable, the last known state is served", &self.store_error),
            ("announcement", &self.lease_error),
        ] {
            if let Some(error) = error {
                let _ = write!(text, "; {what}: {}", error.trim());
            }
        }
        text
    }
}

/// A number of things, in the singular where it is one.
pub(crate) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_what_is_served_and_then_what_is_wrong() {
        let mut story =
            Story::begin(Engine::Nginx, AppName::parse("someapp").unwrap(), "10.0.0.1:8080".parse().unwrap());
        assert_eq!(story.line(), "waiting for the store; nginx serves the last good configuration");
        story.listed = true;
        assert_eq!(story.line(), "applying the first configuration");
        story.served =
            Some(Served { digest: "3f2a1b0c".into(), revision: Revision::new(4711), upstreams: 4 });
        let good = "serving 4 upstreams of someapp at revision 4711, config 3f2a1b0c, port 8080";
        assert_eq!(story.line(), good);
        story.skipped = 1;
        story.failure = Some("nginx refused it\n".into());
        story.store_error = Some("no answer".into());
        assert_eq!(
            story.line(),
            format!(
                "{good}; 1 unusable key left out; NOT UP TO DATE: nginx refused it; \
                 store unreachable, the last known state is served: no answer"
            )
        );
    }

    #[test]
    fn haproxy_s_line_tells_how_its_changes_were_made() {
        let mut story = Story::begin(
            Engine::Haproxy,
            AppName::parse("someapp").unwrap(),
            "10.0.0.1:8080".parse().unwrap(),
        );
        assert_eq!(story.line(), "waiting for the store; HAProxy serves the last good configuration");
        story.served = Some(Served { digest: "3f2a1b0c".into(), revision: Revision::new(7), upstreams: 1 });
        story.changes = (14, 1);
        let good = "serving 1 upstream of someapp at revision 7, config 3f2a1b0c, port 8080";
        assert_eq!(story.line(), format!("{good}; 14 changes without a reload, 1 reload"));
    }
}
