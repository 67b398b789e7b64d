//! What a store needs to know to reach etcd.

use std::{fmt, path::PathBuf, time::Duration};

use convoy_config::EtcdInputs;

use crate::{ErrorKind, StoreError};

/// How to reach etcd.
#[derive(Clone)]
pub struct StoreSettings {
    /// Base addresses, `http://host:port` or `https://host:port`. The first is asked first; one that fails is left
    /// for the next.
    pub endpoints: Vec<String>,
    /// Certificates; needed for `https` endpoints.
    pub tls: Option<TlsSettings>,
    /// User and password, where etcd's authentication is on.
    pub user: Option<(String, String)>,
    /// How long a call may take altogether, retries on other endpoints included.
    pub call_deadline: Duration,
    /// How long the making of a connection may take.
    pub connect_timeout: Duration,
    /// How often a connection with an open stream is pinged. etcd cuts off clients that ping more often than
    /// every 5 s.
    pub ping_interval: Duration,
    /// How long the answer to a ping may take.
    pub ping_timeout: Duration,
    /// How long a feed may be silent before etcd is asked whether it is still there.
    pub silence: Duration,
    /// How long the answer to that may take before the feed is taken for dead.
    pub silence_answer: Duration,
}

/// Certificates for `https` endpoints, as PEM files. They are read again for each new connection, so that renewed
/// ones are taken up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsSettings {
    /// The authority that signed the servers' certificates.
    pub ca: PathBuf,
    /// Our own certificate, where the servers ask for one.
    pub cert: Option<PathBuf>,
    /// The key of our own certificate.
    pub key: Option<PathBuf>,
    /// The name to expect in the servers' certificates, where it is not the endpoint's host.
    pub server_name: Option<String>,
}

impl Default for StoreSettings {
    fn default() -> Self {
        Self {
            endpoints: vec!["http://127.0.0.1:2379".to_owned()],
            tls: None,
            user: None,
            call_deadline: Duration::from_secs(3),
            connect_timeout: Duration::from_secs(1),
            ping_interval: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(3),
            silence: Duration::from_secs(10),
            silence_answer: Duration::from_secs(3),
        }
    }
}

impl fmt::Debug for StoreSettings {
    /// Leaves the password out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSettings")
            .field("endpoints", &self.endpoints)
            .field("tls", &self.tls)
            .field("user", &self.user.as_ref().map(|(name, _)| name))
            .field("call_deadline", &self.call_deadline)
            .finish_non_exhaustive()
    }
}

impl TryFrom<EtcdInputs> for StoreSettings {
    type Error = StoreError;

    /// Settings from the table `[etcd]`. Reads the password.
    fn try_from(inputs: EtcdInputs) -> Result<Self, StoreError> {
        let user = match (inputs.user, inputs.password_file) {
            (Some(name), Some(path)) => {
                let text = std::fs::read_to_string(&path).map_err(|error| {
                    settings_error(format!("password_file {}", path.display()), error.to_string())
                })?;
                Some((name, text.lines().next().unwrap_or_default().to_owned()))
            }
            _ => None,
        };
        let tls = inputs.ca.map(|ca| TlsSettings {
            ca,
            cert: inputs.cert,
            key: inputs.key,
            server_name: inputs.server_name,
        });
        Ok(Self { endpoints: inputs.endpoints, tls, user, ..Self::default() })
    }
}

impl StoreSettings {
    /// Checks what can be checked without a connection.
    pub(crate) fn validate(&self) -> Result<(), StoreError> {
        let wrong = |subject: &str, detail: &str| Err(settings_error(subject, detail));
        if self.endpoints.is_empty() {
            return wrong("endpoints", "there is none");
        }
        for endpoint in &self.endpoints {
            let secure = match endpoint.split_once("://") {
                Some(("http", rest)) if !rest.is_empty() => false,
                Some(("https", rest)) if !rest.is_empty() => true,
                _ => return wrong(endpoint, "an endpoint is http://host:port or https://host:port"),
            };
            if let Err(error) = tonic::transport::Endpoint::from_shared(endpoint.clone()) {
                return wrong(endpoint, &error.to_string());
            }
            match (secure, &self.tls) {
                (true, None) => return wrong(endpoint, "an https endpoint needs `ca`"),
                (false, Some(_)) => return wrong(endpoint, "with `ca` set, every endpoint has to be https"),
                _ => {}
            }
        }
        for (name, duration) in [
            ("call_deadline", self.call_deadline),
            ("connect_timeout", self.connect_timeout),
            ("ping_timeout", self.ping_timeout),
            ("silence", self.silence),
            ("silence_answer", self.silence_answer),
        ] {
            if duration.is_zero() {
                return wrong(name, "a time of zero leaves no time for an answer");
            }
        }
        if self.ping_interval < Duration::from_secs(5) {
            return wrong("ping_interval", "etcd cuts off clients that ping more often than every 5 s");
        }
        Ok(())
    }
}

pub(crate) fn settings_error(subject: impl Into<String>, detail: impl Into<String>) -> StoreError {
    StoreError::new(ErrorKind::Settings, "etcd settings:", subject, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(endpoints: &[&str], tls: bool) -> StoreSettings {
        StoreSettings {
            endpoints: endpoints.iter().map(ToString::to_string).collect(),
            tls: tls.then(TlsSettings::default),
            ..StoreSettings::default()
        }
    }

    #[test]
    fn the_default_is_the_member_on_this_machine() {
        assert!(StoreSettings::default().validate().is_ok());
    }

    #[test]
    fn what_can_not_work_is_refused_before_any_connection() {
        for (endpoints, tls, expected) in [
            (vec![], false, "there is none"),
            (vec!["127.0.0.1:2379"], false, "127.0.0.1:2379: an endpoint is http://host:port"),
            (vec!["http://"], false, "an endpoint is http://host:port"),
            (vec!["http://a b:1"], false, "http://a b:1: "),
            (vec!["https://etcd:2379"], false, "needs `ca`"),
            (vec!["https://etcd:2379", "http://etcd:2379"], true, "every endpoint has to be https"),
        ] {
            let error = with(&endpoints, tls).validate().expect_err(expected);
            assert_eq!(error.kind(), ErrorKind::Settings);
            assert!(error.to_string().contains(expected), "{error} does not contain {expected:?}");
        }
    }

    #[test]
    fn pings_that_etcd_would_punish_are_refused() {
        let settings = StoreSettings { ping_interval: Duration::from_secs(2), ..StoreSettings::default() };
        assert!(settings.validate().is_err());
    }

    #[test]
    fn a_password_is_never_printed() {
        let settings =
            StoreSettings { user: Some(("root".into(), "s3cret".into())), ..StoreSettings::default() };
        let text = format!("{settings:?}");
        assert!(text.contains("root") && !text.contains("s3cret"), "{text}");
    }
}
