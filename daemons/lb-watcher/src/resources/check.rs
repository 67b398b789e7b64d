//! `lb-watcher check` and `lint` over a folder of resources: nothing is asked of etcd, nothing is changed.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
use convoy_confd::resource::{Resource, ResourceWarning};
use convoy_confd::{Snapshot, World, functions, lint};

use super::directory::{Directory, template_folder};
use super::options::Configuration;
use super::render::parse;
use crate::machine::Machine;
use crate::output::print;

/// Says of each resource whether it can be used, and what to beware of. An error when one can't.
pub fn check(configuration: &Configuration) -> anyhow::Result<()> {
    let settings = &configuration.settings;
    let directory = Directory::read(&settings.confdir, settings.prefix.as_deref())?;
    let mut text = String::new();
    let mut bad = 0;
    for warning in &settings.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    for (name, why) in &directory.broken {
        bad += 1;
        let _ = writeln!(text, "{name}: BROKEN: {why}");
    }
    for (resource, _) in &directory.resources {
        match templates(resource, &settings.confdir) {
            Ok(warnings) => {
                let sources: Vec<&str> = resource.files.iter().map(|file| file.source.as_str()).collect();
                let _ = writeln!(text, "{}: good, with {}", resource.name, sources.join(", "));
                for warning in warnings {
                    let _ = writeln!(text, "  warning: {warning}");
                }
            }
            Err(why) => {
                bad += 1;
                let _ = writeln!(text, "{}: BROKEN: {why}", resource.name);
            }
        }
        for warning in directory.warnings.iter().filter(|warning| warning.name == resource.name) {
            let _ = writeln!(text, "  warning: {warning}");
        }
    }
    if directory.resources.is_empty() && directory.broken.is_empty() {
        let _ = writeln!(text, "there are no resources in {}", settings.confdir.join("conf.d").display());
    }
    print(text.as_bytes())?;
    if bad > 0 {
        let all = directory.resources.len() + directory.broken.len();
        bail!("{bad} of {all} resources can't be used");
    }
    Ok(())
}

/// What to beware of in one resource's file; an error when it can't be used.
pub fn lint_resource(path: &Path) -> anyhow::Result<Vec<ResourceWarning>> {
    let text = crate::render::read(path)?;
    let text = String::from_utf8(text)?;
    let (_, warnings) = Resource::parse(&path.display().to_string(), &text, None)?;
    Ok(warnings)
}

fn templates(resource: &Resource, confdir: &Path) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    for file in &resource.files {
        let source = template_folder(confdir).join(file.source.trim_start_matches('/'));
        let text = std::fs::read(&source).map_err(|error| {
            format!("{}: the template can't be read ({error}); correct src", source.display())
        })?;
        let template = parse(&source, &text).map_err(|error| error.to_string())?;
        let world: Arc<dyn World> = Arc::new(Machine::new(&source));
        let functions = functions(&Snapshot::default(), &world);
        warnings.extend(lint(&template, &functions).iter().map(ToString::to_string));
    }
    Ok(warnings)
}
