//! Units that come in two variants, one for nginx on the host and one for nginx in a container.

use std::path::PathBuf;

use crate::unit_path::UnitPath;

/// The units that have variants: `nginx-lb@.service` is `nginx-lb-host@.service` or `nginx-lb-container@.service`.
const UNITS: [&str; 2] = ["nginx-lb", "nginx-lb-check"];

/// A unit and the file that it is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variant {
    /// `nginx-lb@.service`
    pub unit: String,
    /// The file of the variant.
    pub source: PathBuf,
}

/// Chooses for each unit with variants. A unit that has a file of its own was decided by somebody else already;
/// one whose variant is not installed is left alone.
pub fn choose(path: &UnitPath, nginx_on_host: bool) -> Vec<Variant> {
    let kind = if nginx_on_host { "host" } else { "container" };
    UNITS
        .iter()
        .filter_map(|name| {
            let unit = format!("{name}@.service");
            if path.file(&unit).is_some() {
                return None;
            }
            Some(Variant { source: path.file(&format!("{name}-{kind}@.service"))?, unit })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nginx_runs_where_it_is_and_an_admins_unit_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = UnitPath::new([folder.path().to_owned()]);
        let chosen = |nginx| -> Vec<String> {
            let file = |variant: &Variant| variant.source.file_name().unwrap().to_string_lossy().into_owned();
            choose(&path, nginx)
                .iter()
                .map(|variant| format!("{} < {}", variant.unit, file(variant)))
                .collect()
        };
        assert_eq!(chosen(true), Vec::<String>::new());
        for file in ["nginx-lb-host@.service", "nginx-lb-container@.service"] {
            fs::write(folder.path().join(file), "").unwrap();
        }
        assert_eq!(chosen(true), ["nginx-lb@.service < nginx-lb-host@.service"]);
        assert_eq!(chosen(false), ["nginx-lb@.service < nginx-lb-container@.service"]);
        fs::write(folder.path().join("nginx-lb@.service"), "").unwrap();
        assert_eq!(chosen(true), Vec::<String>::new());
    }
}
