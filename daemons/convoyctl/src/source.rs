//! Where the text of a unit comes from: the store, a local file, a template in the store, a template beside the path.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, anyhow};
use convoy_unit_files::UnitName;

use crate::{picture::Picture, refusal::Refusal};

/// A unit file is text that a person wrote; the store takes no larger one.
const LONGEST: u64 = 400 * 1024;

/// Text on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalText {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub text: String,
}

/// What was found for an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The unit.
    pub name: UnitName,
    /// What the store has for it.
    pub stored: Option<String>,
    /// What this machine has for it: its own file, or its template's.
    pub local: Option<LocalText>,
    /// What the store has for its template.
    pub template: Option<String>,
}

impl Source {
    /// Looks an argument up everywhere.
    pub fn find(picture: &Picture, argument: &str) -> Result<Self> {
        let name = UnitName::complete(argument).map_err(|error| Refusal::Usage(error.to_string()))?;
        let directory = Path::new(argument).parent().unwrap_or(Path::new(""));
        let template = name.template();
        let mut local = read(&directory.join(name.as_str()))?;
        if let (None, Some(template)) = (&local, &template) {
            local = read(&directory.join(template.as_str()))?;
        }
        let text = |name: &UnitName| picture.units.get(name).map(|unit| unit.record.text.clone());
        let source = Self { stored: text(&name), local, template: template.as_ref().and_then(text), name };
        if source.stored.is_none() && source.local.is_none() && source.template.is_none() {
            let template =
                template.map_or_else(String::new, |template| format!(", nor its template {template}"));
            return Err(Refusal::NotFound(format!(
                "{argument}: {} is neither in the store nor a file in {}{template}",
                source.name,
                if directory.as_os_str().is_empty() { Path::new(".") } else { directory }.display(),
            ))
            .into());
        }
        Ok(source)
    }

    /// The text by which the unit is stored for the first time, and what problems in it name.
    pub fn first_text(&self) -> (String, String) {
        let own = |local: &&LocalText| local.path.file_name().is_some_and(|name| name == self.name.as_str());
        if let Some(local) = self.local.as_ref().filter(own) {
            return (local.text.clone(), local.path.display().to_string());
        }
        match (&self.template, &self.local) {
            (Some(text), _) => (text.clone(), self.name.to_string()),
            (None, Some(local)) => (local.text.clone(), local.path.display().to_string()),
            (None, None) => (self.stored.clone().unwrap_or_default(), self.name.to_string()),
        }
    }
}

/// Reads a unit file. None if there is no such file.
pub fn read(path: &Path) -> Result<Option<LocalText>> {
    let shown = path.display();
    let found = match fs::metadata(path) {
        Ok(found) if found.is_file() => found,
        Ok(_) => return Ok(None),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("{shown}: can't be read")),
    };
    if found.len() > LONGEST {
        return Err(anyhow!(
            "{shown}: {} bytes are too many for a unit file, {LONGEST} are allowed",
            found.len()
        ));
    }
    let bytes = fs::read(path).with_context(|| format!("{shown}: can't be read"))?;
    let text = String::from_utf8(bytes)
        .map_err(|error| anyhow!("{shown}: byte {} is no UTF-8", error.utf8_error().valid_up_to()))?;
    Ok(Some(LocalText { path: path.to_owned(), text }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::picture;

    #[test]
    fn a_unit_is_looked_up_in_the_store_then_here_then_as_a_template() {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in
            [("a@.service", "local template"), ("a@1.service", "local"), ("b.service", "local b")]
        {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let stored = |name: &str, text: &str| {
            (format!("/convoy/units/{name}"), format!(r#"{{"text":"{text}","desired":"launched"}}"#))
        };
        let entries = [stored("a@2.service", "stored"), stored("c@.service", "stored template")];
        let entries: Vec<_> = entries.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let picture = picture(&entries);
        let find =
            |argument: &str| Source::find(&picture, &folder.path().join(argument).display().to_string());
        for (argument, text, stored) in [
            ("a@1", "local", None),
            ("a@2.service", "local template", Some("stored")),
            ("a@3", "local template", None),
            ("b", "local b", None),
            ("c@1", "stored template", None),
        ] {
            let source = find(argument).unwrap();
            assert_eq!(
                (source.first_text().0.as_str(), source.stored.as_deref()),
                (text, stored),
                "{argument}"
            );
        }
        let refused = find("d@1").unwrap_err();
        assert!(matches!(refused.downcast_ref(), Some(Refusal::NotFound(_))), "{refused}");
        assert!(refused.to_string().contains("d@.service"), "{refused}");
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.service");
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("a.service: byte 0 is no UTF-8"));
        fs::write(&path, vec![b' '; 500 * 1024]).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("too many"));
        assert_eq!(read(&folder.path().join("none")).unwrap(), None);
        assert_eq!(read(folder.path()).unwrap(), None);
    }
}
