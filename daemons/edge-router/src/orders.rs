//! `[edge-router.acme]`: how certificates are ordered.

use std::path::{Path, PathBuf};

use convoy_acme::{DnsHook, ExternalAccount, OrderSettings, SettingsError};
use convoy_config::{ConfigError, Span, merge_options};
use convoy_keys::{Authority, AuthorityError, ChallengeKind};
use serde::Deserialize;

/// The authority, unless another one is named.
const DIRECTORY: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// The credential with the key of an account that the authority gave out beforehand.
const ACCOUNT_KEY: &str = "acme-account-key";

/// The table as written. That there is one means: order certificates.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fragment {
    directory: Option<Directory>,
    agree_to_terms: Option<bool>,
    contacts: Option<Vec<Contact>>,
    challenges: Option<Vec<ChallengeKind>>,
    dns_hook: Option<Vec<String>>,
    dns_hook_timeout: Option<Span>,
    external_account: Option<String>,
    trust: Option<PathBuf>,
}

merge_options!(Fragment {
    directory,
    agree_to_terms,
    contacts,
    challenges,
    dns_hook,
    dns_hook_timeout,
    external_account,
    trust,
});

/// URL of a directory, checked where it is read so that a mistake has a line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Directory(String);

impl TryFrom<String> for Directory {
    type Error = AuthorityError;

    fn try_from(url: String) -> Result<Self, AuthorityError> {
        Authority::of(&url).map(|_| Self(url))
    }
}

/// `mailto:you@a.example`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Contact(String);

impl TryFrom<String> for Contact {
    type Error = SettingsError;

    fn try_from(text: String) -> Result<Self, SettingsError> {
        if text.contains(':') && !text.contains(char::is_whitespace) {
            Ok(Self(text))
        } else {
            Err(SettingsError::Contact(text))
        }
    }
}

impl Fragment {
    /// How certificates are ordered; none when nobody wants any. `credentials` is where the unit's are.
    pub(crate) fn resolve(self, credentials: Option<&Path>) -> Result<Option<OrderSettings>, ConfigError> {
        if self == Self::default() {
            return Ok(None);
        }
        let mut orders = OrderSettings::new(self.directory.map_or_else(|| DIRECTORY.into(), |url| url.0));
        orders.agree_to_terms = self.agree_to_terms.unwrap_or(false);
        orders.contacts = self.contacts.into_iter().flatten().map(|contact| contact.0).collect();
        orders.trust = self.trust;
        if let Some(challenges) = self.challenges {
            orders.challenges = challenges;
        }
        if let Some(words) = self.dns_hook {
            orders.dns_hook = Some(dns_hook(words, self.dns_hook_timeout)?);
        }
        if let Some(id) = self.external_account {
            let credentials = credentials.unwrap_or(Path::new("/run/credentials/edge-router.service"));
            let account = ExternalAccount::read(id, &credentials.join(ACCOUNT_KEY))
                .map_err(|error| mistake("external_account", error.to_string()))?;
            orders.external_account = Some(account);
        }
        Ok(Some(orders))
    }
}

fn dns_hook(words: Vec<String>, deadline: Option<Span>) -> Result<DnsHook, ConfigError> {
    let mut words = words.into_iter();
    match words.next().map(PathBuf::from) {
        Some(command) if command.is_absolute() => {
            let hook = DnsHook::new(command, words.collect());
            Ok(DnsHook { deadline: deadline.map_or(hook.deadline, |span| span.0), ..hook })
        }
        _ => Err(mistake("dns_hook", "write the program with its whole path: [\"/usr/local/bin/dns-hook\"]")),
    }
}

fn mistake(key: &str, message: impl Into<String>) -> ConfigError {
    ConfigError::value(format!("[edge-router.acme] {key}"), message)
}

/// The same error with the key that it is about.
pub(crate) fn with_key(error: &SettingsError) -> ConfigError {
    let key = match error {
        SettingsError::Authority(_) => "directory",
        SettingsError::Terms => "agree_to_terms",
        SettingsError::Contact(_) => "contacts",
        SettingsError::NoChallenge => "challenges",
        SettingsError::NoHook => "dns_hook",
        SettingsError::NoSecret => {
            let message = "there is no secret to seal private keys with; make one for all edges (openssl rand -base64 32) and \
                put it into /etc/convoy/acme-secret of each";
            return ConfigError::value("[edge-router.acme]", message);
        }
        SettingsError::NoStore => {
            return ConfigError::value("[edge-router.acme]", error.to_string());
        }
    };
    mistake(key, error.to_string())
}
