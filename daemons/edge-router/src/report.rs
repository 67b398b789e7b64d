//! The line that `systemctl status` shows.

use std::fmt::Write;

use crate::follower::{Follower, Source};

/// «serving 3 services, 6 targets, revision 4711, 12 open connections»
pub(crate) fn status(follower: &Follower, connections: usize, now: u64) -> String {
    let mut text = format!(
        "serving {}, {}, revision {}, {}",
        count(follower.routes.service_count(), "service"),
        count(follower.routes.target_count(), "target"),
        follower.revision,
        count(connections, "open connection"),
    );
    // Writing into a string does not fail.
    let _ = match follower.source {
        Source::File(saved_at) => write!(text, "; table from disk, {} s old", now.saturating_sub(saved_at)),
        Source::Written if follower.refused > 0 => {
            write!(
                text,
                "; {} of the routes file skipped",
                count(follower.refused, "entry").replace("entrys", "entries")
            )
        }
        Source::Nothing | Source::Store | Source::Written => Ok(()),
    };
    if let Some((time, error)) = follower.away() {
        let _ = write!(text, "; store away for {} s: {error}", time.as_secs());
    }
    text
}

fn count(number: usize, what: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {what}{ending}")
}

#[cfg(test)]
mod tests {
    use convoy_store::FeedEvent;

    use super::*;
    use crate::imports::Imports;
    use crate::saved::Saved;

    #[test]
    fn the_status_tells_the_story() {
        let mut follower = Follower::new(Imports::default());
        follower.routes.put("/services/a/lb/1", b"10.0.0.1:80", 1, 0);
        follower.routes.put("/services/a/lb/2", b"10.0.0.2:80", 1, 0);
        follower.revision = 4711;
        assert_eq!(
            status(&follower, 12, 0),
            "serving 1 service, 2 targets, revision 4711, 12 open connections"
        );
        let saved = Saved::of(&follower.routes, &follower.imports, 4711, 100);
        follower.adopt(&saved);
        follower.take(&FeedEvent::Stale { error: "refused".to_owned() }, 0);
        assert_eq!(
            status(&follower, 1, 130),
            "serving 1 service, 2 targets, revision 4711, 1 open connection; table from disk, 30 s old; \
             store away for 0 s: refused"
        );
    }
}
