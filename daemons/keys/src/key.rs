//! The layout of the keys.

use thiserror::Error;

use crate::name::{AppName, InstanceName, NameError};

/// Why a key under `/services/` is not ours to read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not of the form `/services/<app>/upstream/<instance>` or `/services/<app>/lb/<instance>`.
    #[error("{0:?} is neither /services/<app>/upstream/<instance> nor /services/<app>/lb/<instance>")]
    Layout(String),
    /// The right form with an unusable name in it.
    #[error("key {key:?}: {source}")]
    Name {
        /// The whole key.
        key: String,
        /// What is wrong with the name.
        source: NameError,
    },
}

/// A key under `/services/`, taken apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServiceKey {
    /// `/services/<app>/upstream/<instance>`: where an instance of the app answers.
    Upstream {
        /// The app.
        app: AppName,
        /// Its instance.
        instance: InstanceName,
    },
    /// `/services/<app>/lb/<instance>`: where one of the app's load balancers answers.
    LoadBalancer {
        /// The app.
        app: AppName,
        /// The load balancer's instance.
        instance: InstanceName,
    },
}

impl ServiceKey {
    /// Takes a key apart; both names are parsed.
    pub fn parse(key: &str) -> Result<Self, KeyError> {
        let layout = || KeyError::Layout(key.to_owned());
        let mut parts = key.strip_prefix(services_prefix()).ok_or_else(layout)?.splitn(3, '/');
        let (Some(app), Some(kind), Some(instance)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(layout());
        };
        let name = |source| KeyError::Name { key: key.to_owned(), source };
        match kind {
            "upstream" => Ok(Self::Upstream {
                app: AppName::parse(app).map_err(name)?,
                instance: InstanceName::parse(instance).map_err(name)?,
            }),
            "lb" => Ok(Self::LoadBalancer {
                app: AppName::parse(app).map_err(name)?,
                instance: InstanceName::parse(instance).map_err(name)?,
            }),
            _ => Err(layout()),
        }
    }

    /// The app that the key belongs to.
    pub fn app(&self) -> &AppName {
        match self {
            Self::Upstream { app, .. } | Self::LoadBalancer { app, .. } => app,
        }
    }
}

/// `/services/`: every service.
pub fn services_prefix() -> &'static str {
    "/services/"
}

/// `/services/<app>/upstream/`
pub fn upstream_prefix(app: &AppName) -> String {
    format!("/services/{app}/upstream/")
}

/// `/services/<app>/upstream/<instance>`, value `ip:port`.
pub fn upstream_key(app: &AppName, instance: &InstanceName) -> String {
    format!("/services/{app}/upstream/{instance}")
}

/// `/services/<app>/lb/`
pub fn lb_prefix(app: &AppName) -> String {
    format!("/services/{app}/lb/")
}

/// `/services/<app>/lb/<instance>`, value `ip:port`.
pub fn lb_key(app: &AppName, instance: &InstanceName) -> String {
    format!("/services/{app}/lb/{instance}")
}

/// `/convoy/routes/`: what apps want of the edge beside the ordinary.
pub fn routes_prefix() -> &'static str {
    "/convoy/routes/"
}

/// `/convoy/routes/<app>`, a document in JSON.
pub fn routes_key(app: &AppName) -> String {
    format!("/convoy/routes/{app}")
}

/// `/convoy/instances/`: the records of all instances.
pub fn instances_root() -> &'static str {
    "/convoy/instances/"
}

/// `/convoy/instances/<app>/`
pub fn instances_prefix(app: &AppName) -> String {
    format!("/convoy/instances/{app}/")
}

/// `/convoy/instances/<app>/<instance>`, value [`crate::InstanceRecord`].
pub fn instance_key(app: &AppName, instance: &InstanceName) -> String {
    format!("/convoy/instances/{app}/{instance}")
}

/// `/convoy/applied/<app>/<consumer>`: the store revision that a load balancer or edge router serves.
pub fn applied_key(app: &AppName, consumer: &InstanceName) -> String {
    format!("/convoy/applied/{app}/{consumer}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_are_built_and_taken_apart_alike() {
        let app = AppName::parse("someapp").unwrap();
        let instance = InstanceName::parse("1").unwrap();
        assert_eq!(upstream_key(&app, &instance), "/services/someapp/upstream/1");
        assert_eq!(lb_key(&app, &instance), "/services/someapp/lb/1");
        assert_eq!(instance_key(&app, &instance), "/convoy/instances/someapp/1");
        assert_eq!(
            ServiceKey::parse("/services/someapp/upstream/1"),
            Ok(ServiceKey::Upstream { app: app.clone(), instance: instance.clone() })
        );
        assert_eq!(
            ServiceKey::parse("/services/someapp/lb/1"),
            Ok(ServiceKey::LoadBalancer { app, instance })
        );
    }

    #[test]
    fn keys_of_another_form_are_refused() {
        for key in [
            "",
            "/services/",
            "/services/someapp",
            "/services/someapp/upstream",
            "/services/someapp/upstream/",
            "/services/someapp/upstream/a/b",
            "/services/someapp/other/1",
            "/services//upstream/1",
            "/service/someapp/upstream/1",
            "/services/some app/upstream/1",
        ] {
            assert!(ServiceKey::parse(key).is_err(), "{key:?}");
        }
    }

    proptest! {
        #[test]
        fn no_key_panics(key in "(/services/)?\\PC{0,60}") {
            let _ = ServiceKey::parse(&key);
        }
    }
}
