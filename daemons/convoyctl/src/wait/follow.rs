//! The picture, kept up to date.

use anyhow::Result;
use convoy_store::{Feed, FeedEvent, Store};

use crate::{
    console::Console,
    picture::{PREFIX, Picture},
};

/// Follows the store.
#[derive(Debug)]
pub struct Follow {
    feed: Feed,
    picture: Picture,
    stale: bool,
}

impl Follow {
    /// Reads the state as it is now and follows it from there.
    pub async fn start(store: &Store, console: &mut Console) -> Result<Self> {
        // An unreachable store is an error at once; one that goes away later is waited for.
        let snapshot = store.list(PREFIX).await?;
        let picture = Picture::of(snapshot.entries.values());
        let mut follow = Self { feed: store.follow(&[PREFIX]), picture, stale: false };
        follow.changed(console).await;
        Ok(follow)
    }

    /// The last known state.
    pub fn picture(&self) -> &Picture {
        &self.picture
    }

    /// Waits until something changed. Dropping the future loses nothing.
    pub async fn changed(&mut self, console: &mut Console) {
        loop {
            let event = self.feed.next().await;
            match &event {
                FeedEvent::Stale { error } => {
                    self.stale = true;
                    console.note(format_args!("The store is away, and is waited for: {error}"));
                }
                _ if self.stale => {
                    self.stale = false;
                    console.note("The store is back.");
                }
                _ => {}
            }
            if self.picture.apply(&event) {
                return;
            }
        }
    }
}
