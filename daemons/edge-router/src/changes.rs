//! Where changes of the routes come from: the store, or a file.

use std::path::Path;

use convoy_config::{ConfigError, SearchPath, etcd_inputs};
use convoy_keys::{instances_root, routes_prefix, services_prefix};
use convoy_routing::{Import, RoutesFile};
use convoy_store::{CautiousFeed, FeedEvent, OUTAGE_GRACE, Store, StoreSettings};

use crate::routes_file::{RoutesFileError, WatchedFile};

/// One of them.
#[derive(Debug)]
pub(crate) enum Changes {
    /// Keys.
    Store(CautiousFeed),
    /// A file.
    File(WatchedFile),
}

/// What changed.
#[derive(Debug)]
pub(crate) enum Change {
    /// In the store.
    Store(FeedEvent),
    /// All of the file, or why it is of no use.
    File(Result<RoutesFile, String>),
}

impl Changes {
    /// Follows the store that the configuration names.
    pub(crate) fn of_store(imports: &[Import]) -> anyhow::Result<(Self, Store)> {
        let store = Store::new(StoreSettings::try_from(etcd_inputs(&SearchPath::system())?)?)?;
        let mut prefixes = vec![services_prefix(), routes_prefix(), instances_root()];
        prefixes.extend(imports.iter().map(|import| import.prefix.as_str()));
        let feed = store.follow(&prefixes);
        Ok((Self::Store(feed.cautious(OUTAGE_GRACE)), store))
    }

    /// Follows a file. The first state of it has to be of use.
    pub(crate) fn of_file(path: &Path) -> anyhow::Result<(Self, RoutesFile)> {
        let (watched, file) = WatchedFile::open(path)
            .map_err(|error: RoutesFileError| ConfigError::value("--routes", error.to_string()))?;
        Ok((Self::File(watched), file))
    }

    /// The next change. Can be cancelled.
    pub(crate) async fn next(&mut self) -> Change {
        match self {
            Self::Store(feed) => Change::Store(feed.next().await),
            Self::File(file) => Change::File(file.next().await.map_err(|error| error.to_string())),
        }
    }
}
