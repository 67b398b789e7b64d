//! Which sidekicks the unit files and their links name.

use std::collections::{BTreeMap, BTreeSet};

use crate::binding::{Binding, SERVICE, SIDEKICK_PREFIX};
use crate::specifier::UnitName;
use crate::unit_path::{UnitPath, entries};

/// Settings that can pull a sidekick in.
const PULLING: [&str; 4] = ["Wants", "Requires", "Upholds", "BindsTo"];

/// All sidekicks that can be known without asking the manager.
///
/// Instances are known from links in `*.wants`, `*.requires` and `*.upholds` folders, and from files of their own
/// (as an agent writes them). Such an instance is a sidekick itself, or an app whose text names one. Names that are
/// none are left out: the sidekick says so itself when it is started.
pub fn bindings(path: &UnitPath) -> BTreeSet<Binding> {
    let units = instances(path);
    let named = units.iter().flat_map(|unit| {
        let Some(name) = UnitName::parse(unit) else { return Vec::new() };
        let words = sidekick_words(&path.text(&[unit, &name.template()]));
        words.iter().filter_map(|word| name.expand(word)).collect()
    });
    named.chain(units.iter().cloned()).filter_map(|unit| Binding::of_unit(&unit)?.ok()).collect()
}

/// Every instance of every template that is linked or has a file.
fn instances(path: &UnitPath) -> BTreeSet<String> {
    let is_instance = |name: &String| UnitName::parse(name).is_some_and(|name| !name.instance.is_empty());
    let linked = path.entries().into_iter().flat_map(|(name, path)| {
        let folder = [".wants", ".requires", ".upholds"].iter().any(|suffix| name.ends_with(suffix));
        let inside = if folder { entries(&path) } else { Vec::new() };
        inside.into_iter().map(|(name, _)| name).chain([name]).collect::<Vec<_>>()
    });
    linked.filter(is_instance).collect()
}

/// All app units, templates and instances with files of their own, with the sidekicks that their texts name,
/// specifiers and all.
pub fn apps(path: &UnitPath) -> BTreeMap<String, BTreeSet<String>> {
    let files = path.entries().into_iter().map(|(name, _)| name);
    let templates = files.filter(|name| UnitName::parse(name).is_some_and(|name| name.suffix == "service"));
    let named = templates.map(|unit| {
        let words = sidekick_words(&path.text(&[&unit]));
        (unit, words.into_iter().collect::<BTreeSet<_>>())
    });
    named.filter(|(_, words)| !words.is_empty()).collect()
}

/// The sidekicks that a unit's text pulls in, as written.
fn sidekick_words(text: &str) -> Vec<String> {
    text.replace("\\\n", " ")
        .lines()
        .filter_map(|line| line.trim().split_once('='))
        .filter(|(setting, _)| PULLING.contains(&setting.trim()))
        .flat_map(|(_, value)| value.split_ascii_whitespace())
        .filter(|word| word.starts_with(SIDEKICK_PREFIX) && word.ends_with(SERVICE))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::*;

    fn write(folder: &Path, file: &str, text: &str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(folder: &Path, file: &str, target: &str) {
        let path = folder.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    }

    fn found(folders: &[&Path]) -> Vec<String> {
        let path = UnitPath::new(folders.iter().map(|folder| folder.to_path_buf()));
        bindings(&path)
            .iter()
            .map(|binding| format!("{} > {}", binding.sidekick(), binding.app_unit()))
            .collect()
    }

    #[test]
    fn instances_are_known_from_links_and_files() {
        let (etc, vendor) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (etc, vendor) = (etc.path(), vendor.path());
        write(vendor, "someapp@.service", "[Unit]\nWants=other.service registrar@%p-%i.service\n");
        write(
            vendor,
            "quiet@.service",
            "[Unit]\n# Wants=registrar@%p-%i.service\nDescription=registrar@x-1\n",
        );
        write(vendor, "dropped@.service", "[Unit]\n");
        write(etc, "dropped@.service.d/10-sidekick.conf", "[Unit]\nUpholds = \\\n  registrar@%N.service\n");
        link(etc, "multi-user.target.wants/someapp@1.service", "/usr/lib/systemd/system/someapp@.service");
        link(etc, "convoy.target.requires/my-app@2.service", "/usr/lib/systemd/system/my-app@.service");
        link(etc, "a.target.upholds/dropped@7.service", "/usr/lib/systemd/system/dropped@.service");
        link(etc, "multi-user.target.wants/quiet@1.service", "/x");
        link(etc, "multi-user.target.wants/registrar@direct@3.service", "/x");
        // As an agent writes it: a file for the instance itself.
        write(etc, "web-front@9.service", "[Unit]\nWants=registrar@%p-%i.service\n");
        assert_eq!(
            found(&[etc, vendor]),
            [
                "registrar@direct@3.service > direct@3.service",
                "registrar@dropped@7.service > dropped@7.service",
                "registrar@someapp-1.service > someapp@1.service",
                "registrar@web-front-9.service > web-front@9.service",
            ]
        );
    }

    #[test]
    fn app_units_are_known_by_the_sidekicks_that_they_name() {
        let etc = tempfile::tempdir().unwrap();
        write(etc.path(), "someapp@.service", "[Unit]\nWants=registrar@%p-%i.service other.service\n");
        write(etc.path(), "web@9.service", "[Unit]\nRequires=registrar@%N.service\n");
        write(etc.path(), "plain@.service", "[Unit]\nAfter=registrar@%p-%i.service\n");
        write(etc.path(), "registrar@.service", "[Unit]\nRequires=registrar-bind@%i.service\n");
        write(etc.path(), "whole.service", "[Unit]\nWants=registrar@whole-1.service\n");
        let apps = apps(&UnitPath::new([etc.path().to_owned()]));
        let apps: Vec<_> = apps.iter().map(|(unit, words)| format!("{unit} {words:?}")).collect();
        assert_eq!(
            apps,
            [r#"someapp@.service {"registrar@%p-%i.service"}"#, r#"web@9.service {"registrar@%N.service"}"#]
        );
    }

    #[test]
    fn the_admins_file_hides_the_vendors() {
        let (etc, vendor) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(vendor.path(), "someapp@.service", "[Unit]\nWants=registrar@%p-%i.service\n");
        write(etc.path(), "someapp@.service", "[Unit]\n");
        link(etc.path(), "multi-user.target.wants/someapp@1.service", "/x");
        assert_eq!(found(&[etc.path(), vendor.path()]), Vec::<String>::new());
    }

    #[test]
    fn names_that_are_none_and_folders_that_are_missing_are_passed_over() {
        let etc = tempfile::tempdir().unwrap();
        link(etc.path(), "multi-user.target.wants/registrar@noinstance.service", "/x");
        link(etc.path(), "multi-user.target.wants/registrar@a-1;x.service", "/x");
        assert_eq!(found(&[etc.path(), Path::new("/nonexistent/units")]), Vec::<String>::new());
    }
}
