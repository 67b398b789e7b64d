//! Options as they are given: by name, as text, each remembering where it comes from.
//!
//! Layers from strong to weak: command line, environment, labels of the container, configuration files. The
//! strongest that names an option wins; texts become types in [`crate::settings`], so that an error can name the
//! option by the name under which it was given.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use convoy_config::ConfigError;

/// Where an option comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `--port`
    CommandLine,
    /// `REGISTRAR_PORT`
    Environment,
    /// Label `convoy.port` of the container.
    Label,
    /// `port` in `[registrar]` of a configuration file.
    File,
}

/// An option of the registrar, with the places where it can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// As on the command line, without dashes.
    pub text: &'static str,
    /// Whether a label of the container can set it: only what describes the instance, never what the registrar
    /// itself needs before it has seen a container.
    pub label: bool,
}

macro_rules! names {
    ($($constant:ident = $text:literal, $label:literal;)+) => {
        $(#[doc = concat!("Option `", $text, "`.")]
        pub const $constant: Name = Name { text: $text, label: $label };)+
        /// All options.
        pub const NAMES: &[Name] = &[$($constant),+];
    };
}

names! {
    ADDRESS = "address", false;
    ADVERTISE = "advertise", false;
    CHECK = "check", true;
    CHECK_HOST = "check-host", true;
    CHECK_STATUS = "check-status", true;
    CONTAINER = "container", false;
    DRAIN = "drain", false;
    ENGINE = "engine", false;
    FALL = "fall", true;
    FAMILY = "family", true;
    GRACE = "grace", true;
    INTERVAL = "interval", true;
    KEY = "key", true;
    MODE = "mode", true;
    NETWORK = "network", true;
    PORT = "port", true;
    READY = "ready", false;
    RISE = "rise", true;
    TIMEOUT = "timeout", true;
    TTL = "ttl", false;
    WEIGHT = "weight", true;
}

/// Options from one source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    source: Source,
    values: BTreeMap<&'static str, String>,
}

impl Layer {
    /// A layer out of names and texts; what is no option is left out.
    pub fn new<'a>(source: Source, values: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let known = |name: &str| NAMES.iter().find(|known| known.text == name).map(|known| known.text);
        Self {
            source,
            values: values.into_iter().filter_map(|(name, value)| Some((known(name)?, value))).collect(),
        }
    }

    /// The layer of the environment: `REGISTRAR_CHECK_HOST` is `check-host`. An empty variable is as good as none,
    /// since a unit file can't unset one.
    pub fn environment(variable: impl Fn(&str) -> Option<String>) -> Self {
        let values = NAMES.iter().filter_map(|name| {
            let value = variable(&variable_name(name.text))?;
            (!value.trim().is_empty()).then_some((name.text, value))
        });
        Self { source: Source::Environment, values: values.collect() }
    }

    /// The layer of a container's labels (without their prefix). A label that is no option, or one that labels
    /// may not set, is an error: a slip of the pen should not silently do nothing.
    pub fn labels(labels: &BTreeMap<String, String>) -> Result<Self, ConfigError> {
        let mut values = BTreeMap::new();
        for (name, value) in labels {
            // Ours as well, but it names the unit for the lookup and sets nothing.
            if name == "unit" {
                continue;
            }
            let known = NAMES.iter().find(|known| known.text == name && known.label).ok_or_else(|| {
                let all: Vec<_> = NAMES.iter().filter(|name| name.label).map(|name| name.text).collect();
                ConfigError::value(
                    format!("label convoy.{name}"),
                    format!("no option that a label can set; these can be set: {}", all.join(", ")),
                )
            })?;
            values.insert(known.text, value.clone());
        }
        Ok(Self { source: Source::Label, values })
    }
}

fn variable_name(option: &str) -> String {
    format!("REGISTRAR_{}", option.to_ascii_uppercase().replace('-', "_"))
}

/// Layers, the strongest first.
#[derive(Debug, Clone, Default)]
pub struct Options(Vec<Layer>);

impl Options {
    /// Layers from strong to weak.
    pub fn new(layers: impl IntoIterator<Item = Layer>) -> Self {
        Self(layers.into_iter().collect())
    }

    /// The same with the container's labels put in their place: under the environment, over the files.
    #[must_use]
    pub fn with_labels(&self, labels: Layer) -> Self {
        let mut layers = self.0.clone();
        let place = layers.iter().position(|layer| layer.source == Source::File).unwrap_or(layers.len());
        layers.insert(place, labels);
        Self(layers)
    }

    /// The strongest value of an option, as its type.
    pub fn get<T: FromStr>(&self, name: Name) -> Result<Option<T>, ConfigError>
    where
        T::Err: fmt::Display,
    {
        let Some((source, text)) = self.text(name) else { return Ok(None) };
        let parsed = text.trim().parse();
        parsed.map(Some).map_err(|error: T::Err| ConfigError::value(origin(source, name), error.to_string()))
    }

    /// An error about an option, with the name under which it was given.
    pub fn refuse(&self, name: Name, message: impl Into<String>) -> ConfigError {
        let source = self.text(name).map_or(Source::CommandLine, |(source, _)| source);
        ConfigError::value(origin(source, name), message)
    }

    fn text(&self, name: Name) -> Option<(Source, &str)> {
        self.0.iter().find_map(|layer| Some((layer.source, layer.values.get(name.text)?.as_str())))
    }
}

fn origin(source: Source, name: Name) -> String {
    match source {
        Source::CommandLine => format!("--{}", name.text),
        Source::Environment => variable_name(name.text),
        Source::Label => format!("label convoy.{}", name.text),
        Source::File => format!("[registrar] {}", name.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(source: Source, values: &[(&'static str, &str)]) -> Layer {
        Layer::new(source, values.iter().map(|&(name, value)| (name, value.to_owned())))
    }

    #[test]
    fn command_line_beats_environment_beats_labels_beats_files() {
        let file = layer(Source::File, &[("port", "4"), ("rise", "4"), ("fall", "4"), ("weight", "4")]);
        let variables = |name: &str| match name {
            "REGISTRAR_PORT" | "REGISTRAR_RISE" => Some("2".to_owned()),
            // As good as unset.
            "REGISTRAR_FALL" => Some(" ".to_owned()),
            _ => None,
        };
        let labels: BTreeMap<String, String> = [("port", "3"), ("rise", "3"), ("fall", "3"), ("unit", "x")]
            .map(|(n, v)| (n.into(), v.into()))
            .into();
        let options =
            Options::new([layer(Source::CommandLine, &[("port", "1")]), Layer::environment(variables), file])
                .with_labels(Layer::labels(&labels).unwrap());
        for (name, value) in [(PORT, 1), (RISE, 2), (FALL, 3), (WEIGHT, 4)] {
            assert_eq!(options.get::<u16>(name).unwrap(), Some(value), "{}", name.text);
        }
        assert_eq!(options.get::<u16>(TTL).unwrap(), None);
    }

    #[test]
    fn an_error_names_the_option_as_it_was_given() {
        for (source, said) in [
            (Source::CommandLine, "--check-host: invalid digit"),
            (Source::Environment, "REGISTRAR_CHECK_HOST: invalid digit"),
            (Source::Label, "label convoy.check-host: invalid digit"),
            (Source::File, "[registrar] check-host: invalid digit"),
        ] {
            let options = Options::new([layer(source, &[("check-host", "x")])]);
            let error = options.get::<u16>(CHECK_HOST).unwrap_err().to_string();
            assert!(error.starts_with(said), "{error}");
        }
    }

    #[test]
    fn a_label_can_not_set_what_belongs_to_the_operator() {
        for name in ["ttl", "engine", "advertise", "prot"] {
            let labels = [(name.to_owned(), "x".to_owned())].into();
            let error = Layer::labels(&labels).unwrap_err().to_string();
            assert!(error.starts_with(&format!("label convoy.{name}: ")), "{error}");
        }
    }
}
