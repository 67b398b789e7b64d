//! What a key is about.

use convoy_keys::{
    AppName, InstanceName, KeyError, NameError, ServiceKey, instance_key, instances_root, lb_key, routes_key,
    routes_prefix, upstream_key,
};

use crate::Tier;

/// A key that has to do with routing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// `/services/<app>/lb/<instance>` or `/services/<app>/upstream/<instance>`
    Target { app: AppName, tier: Tier, instance: InstanceName },
    /// `/convoy/instances/<app>/<instance>`
    Instance { app: AppName, instance: InstanceName },
    /// `/convoy/routes/<app>`
    Document { app: AppName },
}

/// Why a key is none of those.
#[derive(Debug)]
pub(super) enum PlaceError {
    /// It belongs to something else.
    Other,
    /// It would be, but for a name in it.
    Name(String),
}

impl Place {
    pub(super) fn parse(key: &str) -> Result<Self, PlaceError> {
        let name = |error: NameError| PlaceError::Name(format!("key {key:?}: {error}"));
        if let Some(app) = key.strip_prefix(routes_prefix()) {
            return Ok(Self::Document { app: AppName::parse(app).map_err(name)? });
        }
        if let Some(rest) = key.strip_prefix(instances_root()) {
            let (app, instance) = rest.split_once('/').ok_or(PlaceError::Other)?;
            return Ok(Self::Instance {
                app: AppName::parse(app).map_err(name)?,
                instance: InstanceName::parse(instance).map_err(name)?,
            });
        }
        match ServiceKey::parse(key) {
            Ok(ServiceKey::Upstream { app, instance }) => {
                Ok(Self::Target { app, tier: Tier::Instance, instance })
            }
            Ok(ServiceKey::LoadBalancer { app, instance }) => {
                Ok(Self::Target { app, tier: Tier::LoadBalancer, instance })
            }
            Err(KeyError::Layout(_)) => Err(PlaceError::Other),
            Err(error @ KeyError::Name { .. }) => Err(PlaceError::Name(error.to_string())),
        }
    }

    pub(super) fn key(&self) -> String {
        match self {
            Self::Target { app, tier: Tier::LoadBalancer, instance } => lb_key(app, instance),
            Self::Target { app, instance, .. } => upstream_key(app, instance),
            Self::Instance { app, instance } => instance_key(app, instance),
            Self::Document { app } => routes_key(app),
        }
    }
}
