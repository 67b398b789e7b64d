//! Writing what the generator decided.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::binding::{Binding, app_path, app_text};
use crate::scan::{apps, bindings};
use crate::unit_path::UnitPath;
use crate::variant::{Variant, choose};

/// What could not be written.
#[derive(Debug, Error)]
#[error("{path}: {source}", path = path.display())]
pub struct WriteError {
    path: PathBuf,
    source: io::Error,
}

/// Writes everything below `output`, the generator's own folder of units. Goes on after a failure: one unit less is
/// no reason to leave the others out.
pub fn generate(path: &UnitPath, nginx: &Path, output: &Path) -> Vec<WriteError> {
    let bound = bindings(path).into_iter().map(|binding| write_binding(&binding, output));
    let waiting = apps(path).into_iter().map(|(unit, sidekicks)| {
        write(&output.join(app_path(&unit)), &app_text(sidekicks.iter().map(String::as_str)))
    });
    let variants =
        choose(path, is_executable(nginx)).into_iter().map(|variant| write_variant(&variant, output));
    bound.chain(waiting).chain(variants).filter_map(Result::err).collect()
}

/// Writes the drop-in of a binding below a folder of units, whole or not at all.
pub fn write_binding(binding: &Binding, folder: &Path) -> Result<(), WriteError> {
    write(&folder.join(binding.path()), &binding.text())
}

/// The variant is copied, not linked: a link to another unit would be an alias, and the unit would answer to the
/// variant's name in `systemctl status` and `journalctl -u`.
fn write_variant(variant: &Variant, folder: &Path) -> Result<(), WriteError> {
    let text = fs::read_to_string(&variant.source)
        .map_err(|source| WriteError { path: variant.source.clone(), source })?;
    let text = format!("# Written by Convoy from {}.\n{text}", variant.source.display());
    write(&folder.join(&variant.unit), &text)
}

fn write(path: &Path, text: &str) -> Result<(), WriteError> {
    let fail = |source| WriteError { path: path.to_owned(), source };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(fail)?;
    }
    // Not ending in .conf or .service: no reader takes it for one before it is whole.
    let draft = path.with_extension("draft");
    fs::write(&draft, text).map_err(fail)?;
    fs::set_permissions(&draft, fs::Permissions::from_mode(0o644)).map_err(fail)?;
    fs::rename(&draft, path).map_err(fail)
}

fn is_executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_the_generator_writes_and_nothing_else() {
        let units = tempfile::tempdir().unwrap();
        let output = tempfile::tempdir().unwrap();
        let wants = units.path().join("multi-user.target.wants");
        fs::create_dir(&wants).unwrap();
        symlink("/x", wants.join("someapp@1.service")).unwrap();
        fs::write(units.path().join("someapp@.service"), "[Unit]\nWants=registrar@%p-%i.service\n").unwrap();
        fs::write(units.path().join("nginx-lb-container@.service"), "[Service]\n").unwrap();

        let path = UnitPath::new([units.path().to_owned()]);
        let failed = generate(&path, Path::new("/nonexistent/nginx"), output.path());
        assert!(failed.is_empty(), "{failed:?}");
        let mut written: Vec<_> =
            fs::read_dir(output.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        written.sort();
        assert_eq!(written, ["nginx-lb@.service", "registrar@someapp-1.service.d", "someapp@.service.d"]);
        let bound =
            fs::read_to_string(output.path().join("registrar@someapp-1.service.d/50-bind.conf")).unwrap();
        assert!(bound.contains("BindsTo=someapp@1.service\nAfter=someapp@1.service\n"), "{bound}");
        let variant = fs::read_to_string(output.path().join("nginx-lb@.service")).unwrap();
        assert!(
            variant.starts_with("# Written by Convoy from ") && variant.ends_with("\n[Service]\n"),
            "{variant}"
        );
    }

    #[test]
    fn a_folder_that_can_not_be_written_is_an_error_with_its_name() {
        let output = tempfile::tempdir().unwrap();
        let file = output.path().join("file");
        fs::write(&file, "").unwrap();
        let binding = Binding::of_instance("someapp-1").unwrap();
        let error = write_binding(&binding, &file).unwrap_err().to_string();
        assert!(error.contains("file/registrar@someapp-1.service.d/50-bind.conf"), "{error}");
    }
}
