//! What an edge serves: files, keys, and answers to challenges.

mod answers;
mod cache;
mod folder;
mod follow;
mod keeper;
mod reader;
mod watch;
mod world;

pub(crate) use answers::Answers;
pub(crate) use follow::{Files, follow_folder};
pub(crate) use keeper::{Channels, Keeper};
pub(crate) use world::{Issued, World};
