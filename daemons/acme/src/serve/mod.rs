//! What an edge serves: files, keys, and answers to challenges.

mod answers;
mod cache;
mod folder;
mod follow;
mod keeper;
mod reader;
mod world;

use std::path::Path;

use convoy_certificates::Validity;

use crate::status::{CertificateStatus, Problem, Source};
pub(crate) use answers::Answers;
pub(crate) use follow::{Files, follow_folder};
pub(crate) use keeper::{Channels, Keeper};
pub(crate) use world::{Issued, World};

/// Looks at a folder once, for a check of the configuration: the certificates in it, and what is wrong with it at a moment
/// in Unix time. Reads files, so it blocks.
pub fn look(folder: &Path, now: i64) -> (Vec<CertificateStatus>, Vec<Problem>) {
    let mut read = folder::Folder::new(folder.to_owned());
    read.refresh();
    let mut problems = read.problems().to_vec();
    let mut certificates = Vec::new();
    for file in read.files().values() {
        let source = Source::File(file.chain.clone());
        match file.certificate.validity(now) {
            Validity::Valid => {}
            other => problems.push(Problem { source: source.clone(), error: other.to_string() }),
        }
        certificates.push(CertificateStatus::of(source, &file.certificate));
    }
    (certificates, problems)
}
