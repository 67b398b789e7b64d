//! What the edge says when it starts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use convoy_keys::{Authority, AuthorityError, ChallengeKind, InstanceName};
use convoy_store::LeaseSettings;
use thiserror::Error;

use crate::{Clock, DnsHook, ExternalAccount, Limits, Sealing};

/// Settings that contradict one another or lack something.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SettingsError {
    /// No authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The terms are the operator's to agree to.
    #[error("the authority's terms have to be agreed to; read them and set agree_to_terms")]
    Terms,
    /// Not a contact.
    #[error("{0:?} is no contact; it looks like mailto:you@a.example")]
    Contact(String),
    /// Nothing that could prove a name.
    #[error("there is no way to prove a name; allow http-01 or tls-alpn-01, or set a hook for dns-01")]
    NoChallenge,
    /// The proof by DNS without the means for it.
    #[error("dns-01 needs a hook: a command that sets TXT records")]
    NoHook,
    /// No secret.
    #[error(
        "keys of certificates are kept sealed in the store; give a credential with a secret to seal them with"
    )]
    NoSecret,
    /// Nothing to share orders with.
    #[error(
        "certificates are ordered together with all other edges, and there is no store to share orders in"
    )]
    NoStore,
}

/// Everything that is fixed for a run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// This edge: a name that no other has.
    pub edge: InstanceName,
    /// A folder with certificates.
    pub folder: Option<PathBuf>,
    /// The file in which certificates of the store are kept for a start without it; its folder has to be there.
    pub cache: Option<PathBuf>,
    /// What opens sealed keys.
    pub sealing: Option<Arc<Sealing>>,
    /// How certificates are ordered, if they are.
    pub orders: Option<OrderSettings>,
    /// How this edge's keys in the store are held. When the edge that orders dies, another one goes on after this time.
    pub lease: LeaseSettings,
    /// The time of day.
    pub clock: Clock,
}

impl Settings {
    /// An edge that orders nothing, and has no files.
    pub fn new(edge: InstanceName) -> Self {
        Self {
            edge,
            folder: None,
            cache: None,
            sealing: None,
            orders: None,
            lease: LeaseSettings::new(Duration::from_secs(15)),
            clock: Clock::system(),
        }
    }

    /// Looks for what contradicts or lacks something, which [`crate::Certificates::start`] would refuse.
    pub fn validate(&self, has_store: bool) -> Result<(), SettingsError> {
        let Some(orders) = &self.orders else { return Ok(()) };
        orders.validate()?;
        if self.sealing.is_none() {
            return Err(SettingsError::NoSecret);
        }
        if !has_store {
            return Err(SettingsError::NoStore);
        }
        Ok(())
    }
}

/// How certificates are ordered.
#[derive(Debug, Clone)]
pub struct OrderSettings {
    /// URL of the authority's directory.
    pub directory: String,
    /// The operator has read the authority's terms and agrees.
    pub agree_to_terms: bool,
    /// Whom the authority tells of trouble: `mailto:you@a.example`.
    pub contacts: Vec<String>,
    /// The account beforehand, with an authority that wants one.
    pub external_account: Option<ExternalAccount>,
    /// Certificates in PEM that the authority's own is checked with, where it is none of those the system trusts.
    pub trust: Option<PathBuf>,
    /// How names are proved, the first one first; after a failure the next one is tried. Wildcards are proved by DNS.
    pub challenges: Vec<ChallengeKind>,
    /// Sets TXT records.
    pub dns_hook: Option<DnsHook>,
    /// How much may be tried.
    pub limits: Limits,
    /// How long an order may take; it is gone on with later.
    pub order_deadline: Duration,
    /// How long the other edges may take to answer a challenge. One that takes longer is not waited for.
    pub edges_deadline: Duration,
}

impl OrderSettings {
    /// Settings for an authority, with challenges that need nothing but an edge.
    pub fn new(directory: impl Into<String>) -> Self {
        Self {
            directory: directory.into(),
            agree_to_terms: false,
            contacts: Vec::new(),
            external_account: None,
            trust: None,
            challenges: vec![ChallengeKind::Http01, ChallengeKind::TlsAlpn01],
            dns_hook: None,
            limits: Limits::default(),
            order_deadline: Duration::from_secs(300),
            edges_deadline: Duration::from_secs(5),
        }
    }

    fn validate(&self) -> Result<(), SettingsError> {
        Authority::of(&self.directory)?;
        if !self.agree_to_terms {
            return Err(SettingsError::Terms);
        }
        let is_contact = |contact: &&String| !contact.contains(':') || contact.contains(char::is_whitespace);
        if let Some(contact) = self.contacts.iter().find(is_contact) {
            return Err(SettingsError::Contact(contact.clone()));
        }
        if self.challenges.is_empty() && self.dns_hook.is_none() {
            return Err(SettingsError::NoChallenge);
        }
        if self.challenges.contains(&ChallengeKind::Dns01) && self.dns_hook.is_none() {
            return Err(SettingsError::NoHook);
        }
        Ok(())
    }

    /// How a name is proved after that many failures.
    pub(crate) fn challenge(&self, is_wildcard: bool, failures: u32) -> ChallengeKind {
        let turn = usize::try_from(failures).unwrap_or(0).checked_rem(self.challenges.len());
        let chosen = turn.and_then(|turn| self.challenges.get(turn)).copied();
        chosen.filter(|_| !is_wildcard).unwrap_or(ChallengeKind::Dns01)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::tests::sealing;

    fn orders() -> OrderSettings {
        OrderSettings {
            agree_to_terms: true,
            contacts: vec!["mailto:you@a.example".into()],
            ..OrderSettings::new("https://ca.example/dir")
        }
    }

    #[test]
    fn what_can_not_work_is_refused_with_what_to_do() {
        let edge = InstanceName::parse("edge-1").unwrap();
        let hook = DnsHook::new("/bin/true".into(), Vec::new());
        for (orders, expected) in [
            (orders(), None),
            (
                OrderSettings { directory: "http://ca.example/".into(), ..orders() },
                Some("looks like https://"),
            ),
            (OrderSettings { agree_to_terms: false, ..orders() }, Some("set agree_to_terms")),
            (OrderSettings { contacts: vec!["you@a.example".into()], ..orders() }, Some("mailto:")),
            (OrderSettings { challenges: vec![], ..orders() }, Some("no way to prove")),
            (OrderSettings { challenges: vec![ChallengeKind::Dns01], ..orders() }, Some("needs a hook")),
            (OrderSettings { challenges: vec![], dns_hook: Some(hook), ..orders() }, None),
        ] {
            let sealing = Some(Arc::new(sealing(&[1])));
            let settings = Settings { orders: Some(orders), sealing, ..Settings::new(edge.clone()) };
            let error = settings.validate(true).err().map(|error| error.to_string());
            assert_eq!(error.is_some(), expected.is_some(), "{error:?}");
            assert!(error.is_none_or(|error| error.contains(expected.unwrap())));
        }
        let settings = Settings { orders: Some(orders()), ..Settings::new(edge) };
        assert_eq!(settings.validate(true), Err(SettingsError::NoSecret));
        let settings = Settings { sealing: Some(Arc::new(sealing(&[1]))), ..settings };
        assert_eq!(settings.validate(false), Err(SettingsError::NoStore));
    }

    #[test]
    fn after_a_failure_the_next_challenge_is_tried_and_wildcards_are_proved_by_dns() {
        let orders = orders();
        let tried = [0, 1, 2].map(|failures| orders.challenge(false, failures));
        assert_eq!(tried, [ChallengeKind::Http01, ChallengeKind::TlsAlpn01, ChallengeKind::Http01]);
        assert_eq!(orders.challenge(true, 1), ChallengeKind::Dns01);
        let none = OrderSettings { challenges: vec![], ..orders };
        assert_eq!(none.challenge(false, 3), ChallengeKind::Dns01);
    }
}
