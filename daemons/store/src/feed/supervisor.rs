//! The work behind a feed: connect, list, watch; on any trouble start over, from where it stopped if that place is
//! still in the store's history.

use std::{convert::Infallible, time::Duration};

use convoy_retry::Backoff;
use etcd_client::{WatchOptions, WatchRequestSender, WatchResponse, WatchResponseStream};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{
    FeedEvent,
    message::{self, Ending, Message},
    position::{Fingerprint, Position, Witness},
    silence::{Due, Silence},
};
use crate::{ErrorKind, KeyRange, Revision, Store, StoreError, failure::Failure};

/// The longest wait between two tries, and how long a stream has to live before its end counts as a first failure.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Why a round came to its end.
enum Trouble {
    /// The reader is gone.
    Unread,
    /// The connection is lost.
    Lost(String),
    /// The connection is good, but something may have been missed: list again.
    Doubt(String),
}

pub(super) struct Supervisor {
    store: Store,
    ranges: Vec<KeyRange>,
    events: mpsc::Sender<FeedEvent>,
    position: Option<Position>,
    stale: bool,
    in_step_since: Option<Instant>,
}

/// An open watch stream over all ranges.
struct Watch {
    turn: usize,
    requests: WatchRequestSender,
    answers: WatchResponseStream,
}

impl Supervisor {
    pub(super) fn new(store: Store, ranges: Vec<KeyRange>, events: mpsc::Sender<FeedEvent>) -> Self {
        Self { store, ranges, events, position: None, stale: false, in_step_since: None }
    }

    /// Runs until the feed is dropped.
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(50), LONGEST_WAIT);
        loop {
            self.in_step_since = None;
            let trouble = match self.round().await {
                Ok(never) => match never {},
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Unread => return,
                Trouble::Lost(error) => {
                    tracing::debug!(error, "Lost a feed from etcd.");
                    if !self.stale {
                        self.stale = true;
                        if self.events.send(FeedEvent::Stale { error }).await.is_err() {
                            return;
                        }
                    }
                }
                Trouble::Doubt(reason) => {
                    tracing::info!(reason, "Listing again from etcd.");
                    self.position = None;
                }
            }
            // The first try after a good time comes at once: there may be other endpoints.
            let good = self.in_step_since.is_some_and(|since| since.elapsed() > LONGEST_WAIT);
            if good {
                backoff.reset();
            } else {
                sleep(backoff.next()).await;
            }
        }
    }

    /// One connection's life.
    async fn round(&mut self) -> Result<Infallible, Trouble> {
        if self.position.is_some() {
            self.verify().await?;
        } else {
            self.list().await?;
        }
        let mut watch = self.open().await?;
        let outcome = self.read(&mut watch).await;
        if let Err(Trouble::Lost(_)) = &outcome {
            self.store.endpoints().leave(watch.turn, ErrorKind::Unreachable);
        }
        outcome
    }

    async fn list(&mut self) -> Result<(), Trouble> {
        let (header, snapshot) = self.store.list_all(&self.ranges).await.map_err(unanswered)?;
        self.position = Some(Position::listed(header, self.ranges.len(), &snapshot));
        self.stale = false;
        self.tell(FeedEvent::Listed(snapshot)).await
    }

    /// Makes sure that the cluster is still the one we know, not behind us, and that its history is ours.
    async fn verify(&mut self) -> Result<(), Trouble> {
        let key = self.ranges.first().map_or("/", KeyRange::as_str);
        let header = self.store.header(key).await.map_err(unanswered)?;
        let Some(position) = &self.position else { return Ok(()) };
        position.check(header).map_err(Trouble::Doubt)?;
        let Some(witness) = position.witness() else {
            return Err(Trouble::Doubt(
                "nothing was there by which the store could be recognised".to_owned(),
            ));
        };
        match self.has_seen(witness).await {
            Ok(true) => Ok(()),
            Ok(false) => {
                let Witness { key, revision, .. } = witness;
                Err(Trouble::Doubt(format!("{key} was not the same at revision {revision}: another history")))
            }
            Err(error) if matches!(error.kind(), ErrorKind::Compacted | ErrorKind::Rejected) => {
                Err(Trouble::Doubt(error.to_string()))
            }
            Err(error) => Err(unanswered(error)),
        }
    }

    /// Whether the store's history has the last change that we know of.
    async fn has_seen(&self, witness: &Witness) -> Result<bool, StoreError> {
        let Witness { key, revision, state } = witness;
        let then = self.store.get_at(key, *revision).await?;
        if state.is_some() {
            return Ok(then.as_ref().map(Fingerprint::from) == *state);
        }
        // Deleted then, so it was there until then.
        let before = Revision::new(revision.get() - 1);
        Ok(then.is_none() && self.store.get_at(key, before).await?.is_some())
    }

    /// Opens a stream with a watch for each range.
    async fn open(&self) -> Result<Watch, Trouble> {
        let endpoints = self.store.endpoints();
        let turn = endpoints.turn();
        let opened = timeout(endpoints.settings().call_deadline, self.request()).await;
        let failure = match opened {
            Ok(Ok(watch)) => return Ok(watch),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::new(ErrorKind::Deadline, "no answer in time"),
        };
        if failure.leave {
            endpoints.leave(turn, failure.kind);
        }
        Err(self.lost_to(turn, &failure))
    }

    async fn request(&self) -> Result<Watch, Failure> {
        let mut session = self.store.endpoints().session().await?;
        let turn = session.turn;
        let mut ranges = self.ranges.iter().enumerate();
        let Some((number, range)) = ranges.next() else {
            return Err(Failure::new(ErrorKind::Settings, "there is nothing to follow"));
        };
        let (mut requests, answers) =
            session.watch.watch(range.as_str(), Some(self.options(number, range))).await?.split();
        for (number, range) in ranges {
            requests.watch(range.as_str(), Some(self.options(number, range))).await?;
        }
        Ok(Watch { turn, requests, answers })
    }

    fn options(&self, number: usize, range: &KeyRange) -> WatchOptions {
        let from = self.position.as_ref().map_or(0, |position| position.watch_from(number));
        let options = WatchOptions::new().with_start_revision(from).with_watch_id(message::watch_id(number));
        if range.is_prefix() { options.with_prefix() } else { options }
    }

    /// Reads a stream until it ends.
    async fn read(&mut self, watch: &mut Watch) -> Result<Infallible, Trouble> {
        let (limit, patience, deadline) = {
            let settings = self.store.endpoints().settings();
            (settings.silence, settings.silence_answer, settings.call_deadline)
        };
        let mut turns = self.store.endpoints().turns();
        let mut silence = Silence::new(limit, patience, Instant::now());
        let made_by = Instant::now() + deadline;
        let mut missing = self.ranges.len();
        loop {
            let (at, due) = if missing == 0 { silence.due() } else { (made_by, Due::Dead) };
            tokio::select! {
                answer = watch.answers.message() => {
                    let made = self.take(watch.turn, answer).await?;
                    silence.heard(Instant::now());
                    if made {
                        missing = missing.saturating_sub(1);
                        if missing == 0 {
                            self.in_step().await?;
                        }
                    }
                }
                () = sleep_until(at) => match due {
                    Due::Ask => {
                        // A queue that stays full means that nothing leaves this machine.
                        match timeout(patience, watch.requests.request_progress()).await {
                            Ok(Ok(())) => silence.asked(),
                            _ => return Err(self.lost(watch.turn, ErrorKind::Unreachable, "no request goes out")),
                        }
                    }
                    Due::Dead => return Err(self.lost(watch.turn, ErrorKind::Deadline, "the watch fell silent")),
                },
                Ok(()) = turns.changed() => silence.suspect(Instant::now()),
                () = self.events.closed() => return Err(Trouble::Unread),
            }
        }
    }

    /// Takes in one answer. True if it says that a watch was made.
    async fn take(
        &mut self,
        turn: usize,
        answer: Result<Option<WatchResponse>, etcd_client::Error>,
    ) -> Result<bool, Trouble> {
        let answer = match answer {
            Ok(Some(answer)) => answer,
            Ok(None) => return Err(self.lost(turn, ErrorKind::Unreachable, "the server ended the watch")),
            Err(error) => return Err(self.lost_to(turn, &error.into())),
        };
        let (header, message) = message::read(&answer).map_err(|failure| self.lost_to(turn, &failure))?;
        let Some(position) = &mut self.position else {
            return Err(Trouble::Doubt("changes came before a listing".to_owned()));
        };
        position.check_cluster(header).map_err(Trouble::Doubt)?;
        match message {
            Message::Created => Ok(true),
            Message::Ended(Ending::Compacted(revision)) => {
                Err(Trouble::Doubt(format!("changes before revision {revision} were compacted")))
            }
            Message::Ended(Ending::Cancelled(reason)) => Err(self.lost(
                turn,
                ErrorKind::Rejected,
                &format!("the server cancelled the watch: {reason}"),
            )),
            Message::Progress => {
                // Debian's etcd 3.4 may answer ahead of changes that are still under way, so its revision is not ours.
                let revision = position.revision();
                self.tell(FeedEvent::Current { revision }).await.map(|()| false)
            }
            Message::Changes { range, changes } => {
                if changes.is_empty() {
                    return Ok(false);
                }
                let last = position.advance(range, &changes).map_err(Trouble::Doubt)?;
                self.tell(FeedEvent::Changed { revision: last, changes }).await.map(|()| false)
            }
        }
    }

    /// All watches were made: whatever was missed meanwhile follows on the stream.
    async fn in_step(&mut self) -> Result<(), Trouble> {
        self.in_step_since = Some(Instant::now());
        match &self.position {
            Some(position) if self.stale => {
                let revision = position.revision();
                self.stale = false;
                self.tell(FeedEvent::Current { revision }).await
            }
            _ => Ok(()),
        }
    }

    async fn tell(&self, event: FeedEvent) -> Result<(), Trouble> {
        self.events.send(event).await.map_err(|_| Trouble::Unread)
    }

    fn lost(&self, turn: usize, kind: ErrorKind, detail: &str) -> Trouble {
        self.lost_to(turn, &Failure::new(kind, detail))
    }

    fn lost_to(&self, turn: usize, failure: &Failure) -> Trouble {
        let subject = self.ranges.iter().map(KeyRange::as_str).collect::<Vec<_>>().join(" ");
        let error = StoreError::new(failure.kind, "watch", subject, failure.detail.clone());
        Trouble::Lost(error.at(self.store.endpoints().url(turn)).to_string())
    }
}

#[allow(clippy::needless_pass_by_value)] // the shape `map_err` takes
fn unanswered(error: StoreError) -> Trouble {
    Trouble::Lost(error.to_string())
}
