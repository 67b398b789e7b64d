//! The unit that comes in two variants, one for nginx on the host and one for nginx in a container.

use std::path::PathBuf;

use crate::unit_path::UnitPath;

/// `nginx-lb@.service` is `nginx-lb-host@.service` or `nginx-lb-container@.service`.
const NAME: &str = "nginx-lb";

/// A unit and the file that it is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// `nginx-lb@.service`
    pub unit: String,
    /// The file of the variant.
    pub source: PathBuf,
}

/// Chooses the variant. Where the unit has a file of its own, somebody has decided already; where the variant is not
/// installed, there is nothing to choose.
pub fn choose(path: &UnitPath, nginx_on_host: bool) -> Option<Variant> {
    let unit = format!("{NAME}@.service");
    if path.file(&unit).is_some() {
        return None;
    }
    let kind = if nginx_on_host { "host" } else { "container" };
    Some(Variant { source: path.file(&format!("{NAME}-{kind}@.service"))?, unit })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nginx_runs_where_it_is_and_an_admins_unit_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = UnitPath::new([folder.path().to_owned()]);
        let chosen = |nginx| {
            let variant = choose(&path, nginx)?;
            Some(format!("{} < {}", variant.unit, variant.source.file_name()?.to_string_lossy()))
        };
        assert_eq!(chosen(true), None);
        for file in ["nginx-lb-host@.service", "nginx-lb-container@.service"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        assert_eq!(chosen(true).as_deref(), Some("nginx-lb@.service < nginx-lb-host@.service"));
        assert_eq!(chosen(false).as_deref(), Some("nginx-lb@.service < nginx-lb-container@.service"));
        fs::write(folder.path().join("nginx-lb@.service"), "").unwrap();
        assert_eq!(chosen(true), None);
    }
}
