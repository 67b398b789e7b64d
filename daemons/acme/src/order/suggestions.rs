//! When the authority would like a certificate to be renewed (RFC 9773).

use std::collections::BTreeMap;
use std::time::Duration;

use convoy_keys::CertificateName;
use instant_acme::{Account, CertificateIdentifier, Error};
use tokio::time::Instant;

use super::Windows;
use crate::rules::Window;
use crate::serve::{Issued, World};

/// Bounds of the pause that the authority asks for between two questions.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(24 * 3600));
/// The pause after a question that was not answered.
const FAILED_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// What is known of a certificate.
#[derive(Debug)]
struct Known {
    /// Tells this certificate from the one before.
    seed: u64,
    window: Option<Window>,
    ask_at: Instant,
}

/// What the authority suggests, asked for from time to time.
#[derive(Debug, Default)]
pub(super) struct Suggestions {
    known: BTreeMap<CertificateName, Known>,
    is_unsupported: bool,
}

/// An answer.
pub(super) struct Suggestion {
    pub(super) name: CertificateName,
    seed: u64,
    answer: Result<(Window, Duration), Error>,
}

impl Suggestions {
    /// Forgets what is about certificates that are no more.
    pub(super) fn retain(&mut self, world: &World) {
        self.known
            .retain(|name, known| world.issued.get(name).is_some_and(|issued| issued.seed() == known.seed));
    }

    /// A certificate that is to be asked about, of those of this authority.
    pub(super) fn due<'w>(
        &self,
        world: &'w World,
        authority: &str,
    ) -> Option<(&'w CertificateName, &'w Issued)> {
        let now = Instant::now();
        let is_due = |name| self.known.get(name).is_none_or(|known| known.ask_at <= now);
        let mut issued = world.issued.iter().filter(|(_, issued)| issued.authority == authority);
        issued.find(|(name, _)| !self.is_unsupported && is_due(*name))
    }

    /// When the next question is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.known.values().map(|known| known.ask_at).filter(|_| !self.is_unsupported).min()
    }

    /// Takes an answer in.
    pub(super) fn take(&mut self, suggestion: Suggestion) {
        let Suggestion { name, seed, answer } = suggestion;
        let before = self.known.get(&name).filter(|known| known.seed == seed).and_then(|known| known.window);
        let (window, pause) = match answer {
            Ok((window, pause)) => (Some(window), pause.clamp(PAUSE.0, PAUSE.1)),
            Err(Error::Unsupported(_)) => {
                self.is_unsupported = true;
                return;
            }
            Err(error) => {
                tracing::debug!(%error, NAME = %name, "the authority does not say when it would like to renew");
                (before, FAILED_PAUSE)
            }
        };
        self.known.insert(name, Known { seed, window, ask_at: Instant::now() + pause });
    }

    /// What was suggested.
    pub(super) fn windows(&self) -> Windows {
        self.known.iter().filter_map(|(name, known)| Some((name.clone(), known.window?))).collect()
    }

    /// The certificate that an order replaces, for an authority that gives suggestions: it counts such orders less.
    pub(super) fn replaced(
        &self,
        world: &World,
        name: &CertificateName,
    ) -> Option<CertificateIdentifier<'static>> {
        self.known.get(name)?.window?;
        identifier(world.issued.get(name)?)
    }
}

fn identifier(issued: &Issued) -> Option<CertificateIdentifier<'static>> {
    let identifier = CertificateIdentifier::try_from(issued.certificate.leaf()?).ok()?;
    Some(identifier.into_owned())
}

/// Asks.
pub(super) async fn ask(account: Account, name: CertificateName, issued: Issued) -> Suggestion {
    let answer = match identifier(&issued) {
        Some(identifier) => account.renewal_info(&identifier).await.map(|(info, pause)| {
            let window = info.suggested_window;
            (Window { start: window.start.unix_timestamp(), end: window.end.unix_timestamp() }, pause)
        }),
        None => Err(Error::Str("the certificate does not say who signed it")),
    };
    Suggestion { name, seed: issued.seed(), answer }
}
