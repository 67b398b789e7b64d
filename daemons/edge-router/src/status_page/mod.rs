//! What the router knows, for people: a page on a local socket, as text and in a browser.

mod snapshot;

use std::fmt::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use convoy_acme::Status;
use convoy_proxy::{Metrics, TableReader};
use convoy_service::pages::{self, Asked, Page};
use tokio::sync::watch;

use self::snapshot::{Snapshot, notes};
use crate::address::Target;
use crate::run::unix_time;

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the router's own loop knows; renewed when it changes.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// The line that systemd shows.
    pub(crate) status: String,
    /// Keys and entries that can't be used, and why.
    pub(crate) unusable: Vec<(String, String)>,
}

/// What a page is made from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) facts: Arc<Mutex<Facts>>,
    pub(crate) table: TableReader,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) certificates: watch::Receiver<Arc<Status>>,
}

/// Makes the page readable at `status.sock` in the runtime directory.
pub(crate) fn serve(folder: &Path, sources: Sources) {
    let path = folder.join("status.sock");
    match pages::bind(&path) {
        Ok(listener) => {
            tokio::spawn(pages::serve(listener, move |asked| page(&sources, asked)));
        }
        Err(error) => tracing::warn!(%error, path = %path.display(), "the status can't be read from outside"),
    }
}

fn page(sources: &Sources, asked: Asked<'_>) -> Page {
    let of = |kind, text: &str| Page { kind, ..Page::text(text.to_owned()) };
    match asked.target.split_once('?') {
        None if asked.target == "/" && asked.wants_html => of("text/html; charset=utf-8", HTML),
        None if asked.target == "/" => Page::text(overview(sources)),
        None if asked.target == "/status.css" => of("text/css; charset=utf-8", STYLE),
        None if asked.target == "/status.js" => of("text/javascript; charset=utf-8", SCRIPT),
        None if asked.target == "/status.json" => match serde_json::to_string(&Snapshot::of(sources)) {
            Ok(text) => of("application/json", &text),
            Err(error) => Page {
                status: "500 Internal Server Error",
                ..Page::text(format!("the status can't be told: {error}\n"))
            },
        },
        Some(("/explain", query)) => match query.strip_prefix("url=").map(Target::parse) {
            Some(Ok(target)) => {
                let table = sources.table.load();
                let mut text = table.explain(&target.host, &target.path, unix_time());
                for (key, reason) in &sources.facts.lock().unwrap_or_else(PoisonError::into_inner).unusable {
                    let _ = writeln!(text, "  unusable: {key}: {reason}");
                }
                Page::text(text)
            }
            _ => Page::unknown("write /explain?url=http://someapp.mywebsite.com/\n"),
        },
        _ => Page::unknown("there is /, /status.json and /explain?url=http://someapp.mywebsite.com/\n"),
    }
}

fn overview(sources: &Sources) -> String {
    let table = sources.table.load();
    let totals = sources.metrics.route_totals();
    let mut text = format!("{}\n", sources.facts.lock().unwrap_or_else(PoisonError::into_inner).status);
    // Writing into a string does not fail.
    let _ =
        writeln!(text, "\n{:<32} {:>8} {:>12} {:>8} {:>8}", "app", "targets", "requests", "5xx", "retries");
    for service in table.services() {
        let numbers = totals.get(service.app()).cloned().unwrap_or_default();
        let requests: u64 = numbers.classes.iter().sum();
        let failed = numbers.classes.last().copied().unwrap_or_default();
        let _ = writeln!(
            text,
            "{:<32} {:>8} {requests:>12} {failed:>8} {:>8}",
            service.app().as_str(),
            service.slots().len(),
            numbers.retries
        );
    }
    for certificate in &sources.certificates.borrow().certificates {
        let days =
            certificate.not_after.saturating_sub(i64::try_from(unix_time()).unwrap_or(i64::MAX)) / 86_400;
        let (names, source) = (certificate.names.join(" "), &certificate.source);
        let _ = writeln!(text, "\ncertificate: {names}, {days} days left, from {source}");
    }
    for note in notes(sources) {
        let _ = writeln!(text, "\n{note}");
    }
    text
}
