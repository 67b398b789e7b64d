//! The journal, or standard error where there is none.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::Level;
use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::Layer;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

/// Levels from `CONVOY_LOG`, for example `debug` or `info,convoy_store=debug`.
const LEVELS: &str = "CONVOY_LOG";

/// Starts logging for the whole process; later calls change nothing.
///
/// When standard error is the journal, entries go there natively, with their fields (`journalctl -o verbose`) and
/// without a second copy as text. Otherwise they go to standard error, without a time stamp when that is no
/// terminal, since whoever collects it adds one.
pub fn init(identifier: &str) {
    init_at(identifier, None);
}

/// The same with levels from elsewhere, where `CONVOY_LOG` isn't set.
pub fn init_at(identifier: &str, levels: Option<&str>) {
    let levels = std::env::var(LEVELS).ok().or_else(|| levels.map(str::to_owned));
    let parsed = levels.as_deref().map(str::parse::<Targets>);
    // Libraries print whole protocol exchanges at debug; they stay out unless named.
    let ordinary = || {
        Targets::new()
            .with_default(Level::INFO)
            .with_target("bollard", Level::WARN)
            .with_target("zbus", Level::WARN)
            // It warns of frames that a peer may send as often as it likes, and has nothing graver to say.
            .with_target("h2", Level::ERROR)
            .with_target("hyper", Level::WARN)
            .with_target("tonic", Level::WARN)
    };
    let (filter, refused) = match parsed {
        Some(Ok(targets)) => (targets, None),
        Some(Err(error)) => (ordinary(), Some(error)),
        None => (ordinary(), None),
    };
    let installed = match journal_layer(identifier) {
        Some(journal) => Registry::default().with(journal.with_filter(filter)).try_init(),
        None => Registry::default().with(plain_layer().with_filter(filter)).try_init(),
    };
    if installed.is_ok()
        && let Some(error) = refused
    {
        tracing::warn!(%error, "{LEVELS} is no list of levels, such as info,convoy_store=debug; it is ignored");
    }
}

fn journal_layer(identifier: &str) -> Option<tracing_journald::Layer> {
    if !stderr_is_journal() {
        return None;
    }
    let layer = tracing_journald::layer().ok()?;
    // Without a prefix, so that MESSAGE_ID and our own fields keep their names; info as info, not as notice.
    Some(layer.with_field_prefix(None).with_syslog_identifier(identifier.to_owned()).with_priority_mappings(
        PriorityMappings {
            error: Priority::Error,
            warn: Priority::Warning,
            info: Priority::Informational,
            debug: Priority::Debug,
            trace: Priority::Debug,
        },
    ))
}

fn plain_layer<S>() -> impl Layer<S>
where
    S: tracing::Subscriber + for<'span> tracing_subscriber::registry::LookupSpan<'span>,
{
    // MESSAGE_ID is for the journal's catalog, not for eyes.
    let fields = debug_fn(|writer, field, value| match field.name() {
        "MESSAGE_ID" => Ok(()),
        "message" => write!(writer, "{value:?} "),
        name => write!(writer, "{name}={value:?} "),
    })
    .delimited("");
    tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .without_time()
        .fmt_fields(fields)
}

/// Whether standard error is the journal's stream: `JOURNAL_STREAM` in systemd.exec(5) names its device and inode.
fn stderr_is_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else { return false };
    let Ok(descriptor) = std::io::stderr().as_fd().try_clone_to_owned() else { return false };
    let Ok(metadata) = File::from(descriptor).metadata() else { return false };
    stream == format!("{}:{}", metadata.dev(), metadata.ino())
}
