//! All that an edge needs.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use convoy_certificates::Resolver;
use convoy_keys::{Authority, CertificateName};
use convoy_store::Store;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::order::{self, Context, Desk};
use crate::serve::{Answers, Channels, Keeper, World};
use crate::{Metrics, Settings, SettingsError, Status};

/// Answers to an authority that fetches the proof of a name (RFC 8555, section 8.3), for those who serve requests.
#[derive(Debug, Clone)]
pub struct Http01 {
    answers: Arc<Answers>,
    metrics: Arc<Metrics>,
}

impl Http01 {
    /// The body for a request for `/.well-known/acme-challenge/<token>` of that host, to be sent as text/plain; none for what
    /// nobody waits for. The host may have a port. Takes no lock, and has to be asked before anything redirects to HTTPS.
    pub fn answer(&self, host: &str, token: &str) -> Option<Arc<str>> {
        let answer = self.answers.find(host, token);
        let counter =
            if answer.is_some() { &self.metrics.http01_answered } else { &self.metrics.http01_unknown };
        counter.increment();
        answer
    }
}

/// Certificates that are served, kept in step and ordered. Its work goes on in tasks of its own, and ends when it is
/// dropped; [`Certificates::stop`] lets another edge go on at once.
#[derive(Debug)]
pub struct Certificates {
    resolver: Arc<Resolver>,
    answers: Arc<Answers>,
    metrics: Arc<Metrics>,
    wanted: watch::Sender<Option<Arc<BTreeSet<CertificateName>>>>,
    status: watch::Receiver<Arc<Status>>,
    keeper: JoinHandle<()>,
    orders: Option<(oneshot::Sender<Duration>, JoinHandle<()>)>,
}

impl Certificates {
    /// Checks the settings, reads files, and begins. What is in files, and what an earlier run kept, is served on return.
    /// Needs a tokio runtime.
    pub fn start(settings: Settings, store: Option<Store>) -> Result<Self, SettingsError> {
        settings.validate(store.is_some())?;
        let settings = Arc::new(settings);
        let (resolver, answers, metrics) = (Arc::default(), Arc::default(), Arc::<Metrics>::default());
        let (wanted, wishes) = watch::channel(None);
        let (tell_world, world) = watch::channel(Arc::<World>::default());
        let (tell_status, status) = watch::channel(Arc::default());
        let (tell_trouble, trouble) = watch::channel(None);
        let (tell_windows, windows) = watch::channel(order::Windows::new());
        let channels =
            Channels { wanted: wishes.clone(), world: tell_world, status: tell_status, trouble, windows };
        let keeper = Keeper::start(
            Arc::clone(&settings),
            store.as_ref(),
            Arc::clone(&resolver),
            Arc::clone(&answers),
            channels,
        );
        let orders = match (settings.orders.clone(), settings.sealing.clone(), store) {
            (Some(orders), Some(sealing), Some(store)) => {
                let context = Arc::new(Context {
                    edge: settings.edge.clone(),
                    authority: Authority::of(&orders.directory)?,
                    orders,
                    sealing,
                    clock: settings.clock.clone(),
                    metrics: Arc::clone(&metrics),
                });
                let desk = Desk {
                    context,
                    store,
                    world,
                    wanted: wishes,
                    trouble: tell_trouble,
                    windows: tell_windows,
                };
                let (stop, stopped) = oneshot::channel();
                Some((stop, tokio::spawn(order::run(desk, settings.lease.clone(), stopped))))
            }
            _ => None,
        };
        Ok(Self { resolver, answers, metrics, wanted, status, keeper: tokio::spawn(keeper.run()), orders })
    }

    /// What rustls asks for each connection: `convoy_certificates::server_config` makes a configuration of it. Takes no lock.
    pub fn resolver(&self) -> Arc<Resolver> {
        Arc::clone(&self.resolver)
    }

    /// What requests of an authority are answered with.
    pub fn http01(&self) -> Http01 {
        Http01 { answers: Arc::clone(&self.answers), metrics: Arc::clone(&self.metrics) }
    }

    /// Whether this edge orders certificates, and has to be told for which names.
    pub fn has_orders(&self) -> bool {
        self.orders.is_some()
    }

    /// The names that have a route: for these, and no others, certificates are ordered. Before the first call nothing is.
    pub fn want(&self, names: BTreeSet<CertificateName>) {
        self.wanted.send_if_modified(|known| {
            let differs = known.as_deref() != Some(&names);
            if differs {
                *known = Some(Arc::new(names));
            }
            differs
        });
    }

    /// How things stand, now and from now on.
    pub fn status(&self) -> watch::Receiver<Arc<Status>> {
        self.status.clone()
    }

    /// What is counted. How often a name was proved by TLS is counted by [`Resolver::proved`].
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Ends all work. If this edge orders, another one takes over at once and goes on with what is under way; without an
    /// answer of the store within `deadline` it does so when the lease has run out.
    pub async fn stop(mut self, deadline: Duration) {
        if let Some((stop, mut task)) = self.orders.take() {
            // One that ended by itself has nothing to hand over.
            let _ = stop.send(deadline);
            if timeout(deadline, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for Certificates {
    fn drop(&mut self) {
        self.keeper.abort();
        if let Some((_, task)) = &self.orders {
            task.abort();
        }
    }
}
