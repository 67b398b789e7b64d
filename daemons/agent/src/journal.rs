//! What the journal is told.

use convoy_service::message;

use crate::metrics::Metrics;
use crate::roster::{News, Skipped};

pub(crate) fn tell(news: &News, metrics: &Metrics) {
    match news {
        News::Started(unit) => tracing::info!(
            MESSAGE_ID = message::UNIT_STARTED,
            placed_unit = unit.as_str(),
            "{unit} was started, as scheduled"
        ),
        News::Stopped(unit) => tracing::info!(
            MESSAGE_ID = message::UNIT_STOPPED,
            placed_unit = unit.as_str(),
            "{unit} was stopped, as scheduled"
        ),
        News::Failed(unit, failures, why) => {
            metrics.failures.inc();
            tracing::warn!(
                MESSAGE_ID = message::UNIT_FAILED,
                placed_unit = unit.as_str(),
                failures,
                error = why,
                "{unit} failed"
            );
        }
        News::Fenced(unit) => tracing::warn!(
            MESSAGE_ID = message::FENCED,
            placed_unit = unit.as_str(),
            "{unit} is stopped by systemd, since this machine is cut off and it has to be"
        ),
        News::Unclaimed(unit) => tracing::warn!(
            MESSAGE_ID = message::UNCLAIMED,
            placed_unit = unit.as_str(),
            "{unit} runs on though the store knows nothing of it"
        ),
        News::Adopted(unit) => tracing::info!(
            MESSAGE_ID = message::ADOPTED,
            placed_unit = unit.as_str(),
            "{unit} runs already and was left as it is"
        ),
        News::Refused(unit, why) => {
            tracing::warn!(placed_unit = unit.as_str(), error = why, "{unit} can't be had on this machine");
        }
    }
}

pub(crate) fn skipped(skipped: &[Skipped]) {
    for Skipped { key, error } in skipped {
        tracing::warn!(
            MESSAGE_ID = message::VALUE_SKIPPED,
            key,
            error,
            "an entry of the schedule is skipped"
        );
    }
}
