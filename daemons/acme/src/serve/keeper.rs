//! Keeps what is served in step with files, keys and time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use convoy_certificates::{Certificate, Certificates as Table, Proof, Resolver, Validity};
use convoy_keys::{
    AcmeKey, CertificateName, ChallengeKind, ChallengeRecord, ChallengeToken, EdgeRecord, Record,
};
use convoy_service::message;
use convoy_store::{CautiousFeed, FeedEvent, OUTAGE_GRACE, Ownership, Store};
use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::cache;
use super::reader::Reader;
use super::{Answers, Files, World, follow_folder};
use crate::rules::Step;
use crate::status::{CertificateStatus, NameStatus, Problem, Source, Status};
use crate::{Settings, order};

/// The certificate for clients that ask for no name that is known, by the name of its file or key.
const DEFAULT: &str = "default";

/// What the keeper tells others, and hears from them.
#[derive(Debug)]
pub(crate) struct Channels {
    /// Names that have a route, once that is known.
    pub(crate) wanted: watch::Receiver<Option<Arc<BTreeSet<CertificateName>>>>,
    pub(crate) world: watch::Sender<Arc<World>>,
    pub(crate) status: watch::Sender<Arc<Status>>,
    /// What kept this edge from ordering when it was its turn last.
    pub(crate) trouble: watch::Receiver<Option<String>>,
    /// What the authority suggests.
    pub(crate) windows: watch::Receiver<order::Windows>,
}

/// Owns all that is served.
#[derive(Debug)]
pub(crate) struct Keeper {
    settings: Arc<Settings>,
    resolver: Arc<Resolver>,
    answers: Arc<Answers>,
    channels: Channels,
    files: Option<watch::Receiver<Arc<Files>>>,
    reader: Reader,
    feed: Option<CautiousFeed>,
    store: Option<Store>,
    /// Says what this edge answers, where anybody asks.
    presence: Option<Ownership>,
    challenges: BTreeMap<(CertificateName, ChallengeToken), ChallengeRecord>,
    proofs: HashMap<String, (ChallengeRecord, Proof)>,
    is_announced: bool,
    kept: Option<watch::Sender<Arc<Vec<u8>>>>,
    /// Those that were told.
    told: BTreeSet<Problem>,
}

impl Keeper {
    /// Reads files and what an earlier run kept, and serves it. Needs a tokio runtime.
    pub(crate) fn start(
        settings: Arc<Settings>,
        store: Option<&Store>,
        resolver: Arc<Resolver>,
        answers: Arc<Answers>,
        channels: Channels,
    ) -> Self {
        let mut reader = Reader::new(settings.sealing.clone());
        if let Some(path) = settings.cache.as_deref().filter(|_| store.is_some()) {
            match cache::read(path) {
                Ok(texts) => reader.adopt(texts),
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(%error, %path, "the certificates that an earlier run kept are of no use");
                }
            }
        }
        let kept = settings.cache.clone().filter(|_| store.is_some()).map(|path| {
            let (keep, mut wish) = watch::channel(Arc::new(Vec::new()));
            tokio::spawn(async move {
                while wish.changed().await.is_ok() {
                    let (text, to) = (Arc::clone(&wish.borrow_and_update()), path.clone());
                    if let Ok(Err(error)) = spawn_blocking(move || cache::write(&to, &text)).await {
                        let path = path.display();
                        tracing::warn!(%error, %path, "certificates can't be kept for a start without the store");
                    }
                }
            });
            keep
        });
        let feed = store.map(|store| store.follow(&Reader::prefixes()).cautious(OUTAGE_GRACE));
        let mut keeper = Self {
            files: settings.folder.clone().map(follow_folder),
            settings,
            resolver,
            answers,
            channels,
            reader,
            feed,
            store: store.cloned(),
            presence: None,
            challenges: BTreeMap::new(),
            proofs: HashMap::new(),
            is_announced: false,
            kept,
            told: BTreeSet::new(),
        };
        keeper.publish();
        keeper
    }

    /// Runs for ever.
    pub(crate) async fn run(mut self) {
        loop {
            let wake = sleep(self.settings.clock.until(self.next_moment()));
            let news = tokio::select! {
                event = next_event(&mut self.feed) => self.take(&event),
                () = changed(self.files.as_mut()) => true,
                () = changed(Some(&mut self.channels.wanted)) => true,
                () = changed(Some(&mut self.channels.trouble)) => true,
                () = changed(Some(&mut self.channels.windows)) => true,
                () = wake => true,
            };
            if news {
                self.publish();
            }
        }
    }

    fn take(&mut self, event: &FeedEvent) -> bool {
        let news = self.reader.take(event);
        if news && let Some(keep) = &self.kept {
            match cache::text(&self.reader.texts()) {
                Ok(text) => {
                    keep.send_if_modified(|kept| {
                        let differs = **kept != text;
                        if differs {
                            *kept = Arc::new(text);
                        }
                        differs
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "certificates can't be kept for a start without the store");
                }
            }
        }
        news
    }

    /// Everything that could be served, with its source; the one for strangers first.
    fn certificates(&mut self) -> Vec<(Source, Arc<Certificate>)> {
        let files = self.files.as_mut().map(|files| Arc::clone(&files.borrow_and_update()));
        let mut all = Vec::new();
        for (name, file) in files.iter().flat_map(|files| &files.certificates) {
            all.push((name == DEFAULT, Source::File(file.chain.clone()), Arc::clone(&file.certificate)));
        }
        for (key, certificate) in self.reader.certificates() {
            let is_default = key.strip_prefix(convoy_keys::CERTIFICATES) == Some(DEFAULT);
            all.push((is_default, Source::Key(key.to_owned()), Arc::clone(certificate)));
        }
        all.sort_by_key(|(is_default, ..)| !is_default);
        all.into_iter().map(|(_, source, certificate)| (source, certificate)).collect()
    }

    fn publish(&mut self) {
        let now = self.settings.clock.now();
        let all = self.certificates();
        self.resolver.publish(Table::at(now, all.iter().map(|(_, certificate)| Arc::clone(certificate))));
        let mut world = self.reader.world();
        let files = self.files.as_ref().map(|files| Arc::clone(&files.borrow()));
        let in_files = files.iter().flat_map(|files| files.certificates.values());
        world.given.extend(in_files.map(|file| Arc::clone(&file.certificate)));
        self.answer(&world);

        let invalid = all.iter().filter_map(|(source, certificate)| match certificate.validity(now) {
            Validity::Valid => None,
            other => Some(Problem { source: source.clone(), error: other.to_string() }),
        });
        let in_files = files.iter().flat_map(|files| files.problems.clone());
        let problems: BTreeSet<_> = in_files.chain(self.reader.problems()).chain(invalid).collect();
        self.tell(&problems);
        let status = Status {
            certificates: all
                .into_iter()
                .map(|(source, certificate)| CertificateStatus::of(source, &certificate))
                .collect(),
            problems: problems.into_iter().collect(),
            names: self.names(&world, now),
            leader: world.leader.clone(),
            is_listed: world.has_listed,
            store_error: world.stale.clone(),
            order_error: self.channels.trouble.borrow_and_update().clone(),
        };
        self.channels.world.send_replace(Arc::new(world));
        self.channels.status.send_if_modified(|known| {
            let differs = **known != status;
            if differs {
                *known = Arc::new(status);
            }
            differs
        });
    }

    fn names(&mut self, world: &World, now: i64) -> Vec<NameStatus> {
        let wanted = self.channels.wanted.borrow_and_update().clone();
        let (Some(orders), Some(wanted)) = (&self.settings.orders, wanted) else { return Vec::new() };
        let steps = order::steps(world, &wanted, orders, &self.channels.windows.borrow_and_update(), now);
        let ledger = order::ledger(world, orders);
        let status = |(name, step): (CertificateName, Step)| {
            let last_error = ledger.get(&name).and_then(|record| record.error.clone());
            NameStatus { name, step, last_error }
        };
        steps.into_iter().map(status).collect()
    }

    /// Answers the challenges that there are from now on, and then says so.
    fn answer(&mut self, world: &World) {
        let differs = world.challenges != self.challenges;
        if differs {
            let answers = world.challenges.iter().filter(|(_, record)| record.kind == ChallengeKind::Http01);
            let answer = |((host, token), record): (&(CertificateName, ChallengeToken), &ChallengeRecord)| {
                (token.as_str().to_owned(), (host.as_str().to_owned(), Arc::from(record.answer.as_str())))
            };
            self.answers.publish(answers.map(answer).collect());
            self.prove(world);
            self.challenges.clone_from(&world.challenges);
        }
        // An edge that does not order answers for those that do.
        if self.presence.is_none() && (self.settings.orders.is_some() || world.leader.is_some()) {
            self.presence = self.store.as_ref().map(|store| store.own(self.settings.lease.clone()));
        }
        if let Some(presence) = &self.presence
            && world.has_listed
            && (differs || !self.is_announced)
        {
            let record = EdgeRecord { revision: world.revision };
            if let Ok(json) = record.to_json() {
                let key = AcmeKey::Edge(self.settings.edge.clone()).to_string();
                presence.declare([(key, json)].into());
                self.is_announced = true;
            }
        }
    }

    fn prove(&mut self, world: &World) {
        let mut proofs = HashMap::new();
        for ((host, _), record) in &world.challenges {
            if record.kind != ChallengeKind::TlsAlpn01 {
                continue;
            }
            let known = self.proofs.remove(host.as_str()).filter(|(known, _)| known == record);
            let digest = Sha256::digest(record.answer.as_str().as_bytes()).into();
            match known.map_or_else(|| Proof::new(host.as_str(), &digest), |(_, proof)| Ok(proof)) {
                Ok(proof) => {
                    proofs.insert(host.as_str().to_owned(), (record.clone(), proof));
                }
                Err(error) => tracing::warn!(%error, "a name can't be proved"),
            }
        }
        let served = proofs.iter().map(|(host, (_, proof))| (host.clone(), proof.clone()));
        self.resolver.publish_proofs(served.collect());
        self.proofs = proofs;
    }

    /// Says what is wrong, each thing once.
    fn tell(&mut self, problems: &BTreeSet<Problem>) {
        for problem in problems.difference(&self.told) {
            tracing::warn!(
                MESSAGE_ID = message::VALUE_SKIPPED,
                SOURCE = %problem.source,
                error = problem.error,
                "a certificate is of no use: {problem}"
            );
        }
        self.told.clone_from(problems);
    }

    /// When something changes by itself.
    fn next_moment(&self) -> i64 {
        let now = self.settings.clock.now();
        let status = self.channels.status.borrow();
        let certificates = status.certificates.iter().flat_map(|one| [one.not_before, one.not_after]);
        let names = status.names.iter().filter_map(|name| match name.step {
            Step::Fresh { renew_at: moment } | Step::Wait { until: moment, .. } => Some(moment),
            Step::Covered | Step::Order | Step::NeedsDns => None,
        });
        certificates.chain(names).filter(|moment| *moment >= now).min().unwrap_or(i64::MAX)
    }
}

async fn next_event(feed: &mut Option<CautiousFeed>) -> FeedEvent {
    match feed {
        Some(feed) => feed.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for the next value; for ever when there will be none.
async fn changed<T>(receiver: Option<&mut watch::Receiver<T>>) {
    let ended = match receiver {
        Some(receiver) => receiver.changed().await.is_err(),
        None => true,
    };
    if ended {
        std::future::pending::<()>().await;
    }
}
