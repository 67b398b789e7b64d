//! The table `[registrar]` of the configuration files.

use std::collections::BTreeMap;

use convoy_config::{ConfigError, Merge, SearchPath, load};
use serde::Deserialize;

use crate::options::{Layer, NAMES, Name, Source};

/// The options set in files, as texts. Names are written with underscores, as in all our files.
#[derive(Debug, Default, Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
struct Fragment(BTreeMap<Key, Text>);

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Key(Name);

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let known = NAMES.iter().find(|name| name.text.replace('-', "_") == text);
        known.map(|name| Self(*name)).ok_or_else(|| {
            let all: Vec<_> = NAMES.iter().map(|name| name.text.replace('-', "_")).collect();
            format!("unknown option {text:?}; known are {}", all.join(", "))
        })
    }
}

/// `port = 80` and `port = "80"` mean the same.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a text or a whole number")]
enum Text {
    Text(String),
    Number(u32),
}

impl Merge for Fragment {
    fn merge(&mut self, later: Self) {
        self.0.extend(later.0);
    }
}

/// Reads the layer of the files.
pub fn load_files(path: &SearchPath) -> Result<Layer, ConfigError> {
    let Fragment(values) = load("registrar", path)?;
    let texts = values.into_iter().map(|(Key(name), value)| {
        let text = match value {
            Text::Text(text) => text,
            Text::Number(number) => number.to_string(),
        };
        (name.text, text)
    });
    Ok(Layer::new(Source::File, texts))
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoy_config::Span;

    use crate::options::{CHECK_HOST, Options, RISE, TTL};

    fn read(files: &[(&str, &str)]) -> Result<Options, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        Ok(Options::new([load_files(&SearchPath::new([folder.path().to_owned()]))?]))
    }

    #[test]
    fn later_files_win_option_by_option() {
        let options = read(&[
            ("10-a.toml", "[registrar]\nttl = '20s'\nrise = 4\ncheck_host = 'a.example'\n"),
            ("20-b.toml", "[registrar]\nrise = '5'\n"),
        ])
        .unwrap();
        assert_eq!(options.get::<Span>(TTL).unwrap().unwrap().0.as_secs(), 20);
        assert_eq!(options.get::<u32>(RISE).unwrap(), Some(5));
        assert_eq!(options.get::<String>(CHECK_HOST).unwrap().as_deref(), Some("a.example"));
    }

    #[test]
    fn a_slip_of_the_pen_is_an_error_with_its_line() {
        for (text, said) in [
            ("[registrar]\nttl = 20\nprot = 80\n", "a.toml:3: unknown option \"prot\""),
            ("[registrar]\nrise = [1]\n", "a.toml:2: "),
        ] {
            let error = read(&[("a.toml", text)]).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
