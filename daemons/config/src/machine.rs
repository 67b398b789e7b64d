//! Who this machine is.

use std::path::Path;

use convoy_keys::MachineId;

use crate::ConfigError;

/// The machine's id: `CONVOY_MACHINE_ID`, which `convoy-setup.service` puts into the environment, else the content of
/// `file`, which is `/etc/machine-id`. `variable` reads the environment.
pub fn machine_id(variable: impl Fn(&str) -> Option<String>, file: &Path) -> Result<MachineId, ConfigError> {
    const NAME: &str = "CONVOY_MACHINE_ID";
    let (origin, text) = match variable(NAME).filter(|text| !text.trim().is_empty()) {
        Some(text) => (NAME.to_owned(), text),
        None => match std::fs::read_to_string(file) {
            Ok(text) => (file.display().to_string(), text),
            Err(source) => return Err(ConfigError::Read { path: file.to_owned(), source }),
        },
    };
    MachineId::parse(text.trim()).map_err(|error| ConfigError::value(origin, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_before_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("machine-id");
        assert!(machine_id(|_| None, &file).unwrap_err().to_string().contains("machine-id"));
        std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").unwrap();
        for (given, expected) in [
            (None, "0123456789abcdef0123456789abcdef"),
            (Some(" "), "0123456789abcdef0123456789abcdef"),
            (Some("m1\n"), "m1"),
        ] {
            let id = machine_id(|_| given.map(str::to_owned), &file).unwrap();
            assert_eq!(id.as_str(), expected, "{given:?}");
        }
        let wrong = machine_id(|_| Some("a/b".into()), &file).unwrap_err().to_string();
        assert!(wrong.contains("CONVOY_MACHINE_ID: \"a/b\" is not a machine id"), "{wrong}");
    }
}
