//! Names of apps and instances, and the unit and container names derived from them.

use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Longest app name: it becomes a DNS label (RFC 1035, section 2.3.4).
const APP_MAX: usize = 63;
/// Longest instance name: one path segment of a key, generous for names that old sidekicks wrote.
const INSTANCE_MAX: usize = 128;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing there.
    #[error("{what} is empty")]
    Empty {
        /// Which name.
        what: &'static str,
    },
    /// Longer than its place allows.
    #[error("{what} has {length} bytes, {max} are allowed")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// Bytes found.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A character that could change the meaning of a file name, host name, header or configuration.
    #[error("{what} {name:?} has the character {character:?}, which is not allowed")]
    Character {
        /// Which name.
        what: &'static str,
        /// The text as it was given.
        name: String,
        /// The first character refused.
        character: char,
    },
    /// No dash or at sign that separates app and instance.
    #[error("{name:?} has no instance: write it as app-instance (someapp-1) or app@instance (someapp@1)")]
    NoInstance {
        /// The text as it was given.
        name: String,
    },
}

fn check(
    what: &'static str,
    text: &str,
    max: usize,
    allowed: fn(usize, char) -> bool,
) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if text.len() > max {
        return Err(NameError::TooLong { what, length: text.len(), max });
    }
    match text.chars().enumerate().find(|&(at, c)| !allowed(at, c)) {
        Some((_, character)) => Err(NameError::Character { what, name: text.to_owned(), character }),
        None => Ok(()),
    }
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// Parses the text, refusing everything that could act as more than a name.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                check($what, text, $max, $allowed)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.into()
            }
        }
    };
}

name_type!(
    /// The name of an app: 1 to 63 of `a-z A-Z 0-9 _ . -`, beginning with a letter or digit.
    ///
    /// It is the prefix of a unit name, a directory in etcd and a label of a host name.
    AppName,
    "app name",
    APP_MAX,
    |at, c| c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '_' | '.' | '-'))
);

name_type!(
    /// The name of one instance of an app, or of one of its load balancers: a single segment of a key.
    ///
    /// Wider than [`AppName`], because sidekicks of 2014 wrote names such as `someapp-1` or `10.0.0.1:8080`;
    /// whatever could end a word in a configuration file or a command line is refused.
    InstanceName,
    "instance name",
    INSTANCE_MAX,
    |_, c| c.is_ascii_graphic()
        && !matches!(c, '/' | '"' | '\'' | '`' | '\\' | ';' | '{' | '}' | '$' | '#' | '%' | '<' | '>' | '&' | '|')
);

/// One instance of an app, as named in units: `someapp@1.service`, `registrar@someapp-1.service`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitInstance {
    /// `someapp`
    pub app: AppName,
    /// `1`: like an app name, since it stands in unit and container names.
    pub instance: InstanceName,
}

impl UnitInstance {
    /// Parses `someapp@1`, or `someapp-1`, which splits at the last dash (`my-app-12` is `12` of `my-app`).
    ///
    /// An at sign wins over dashes: `my-app@blue-2` is `blue-2` of `my-app`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (app, instance) = text
            .split_once('@')
            .or_else(|| text.rsplit_once('-'))
            .ok_or_else(|| NameError::NoInstance { name: text.to_owned() })?;
        if instance.is_empty() {
            return Err(NameError::NoInstance { name: text.to_owned() });
        }
        // The instance stands in unit and container names, so the stricter alphabet holds.
        check("instance name", instance, APP_MAX, |at, c| {
            c.is_ascii_alphanumeric() || (at > 0 && matches!(c, '_' | '.' | '-'))
        })?;
        Ok(Self { app: AppName::parse(app)?, instance: InstanceName::parse(instance)? })
    }

    /// The unit that runs the app: `someapp@1.service`.
    pub fn app_unit(&self) -> String {
        format!("{}@{}.service", self.app, self.instance)
    }

    /// The container's name, which is what `%p-%i` gives in the app's unit: `someapp-1`.
    pub fn container_name(&self) -> String {
        self.dashed()
    }

    /// The instance string of the sidekick's unit: `someapp-1`.
    pub fn dashed(&self) -> String {
        format!("{}-{}", self.app, self.instance)
    }
}

impl fmt::Display for UnitInstance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}", self.app, self.instance)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_instance_is_split_at_the_last_dash_or_the_first_at_sign() {
        for (text, app, instance) in [
            ("someapp-1", "someapp", "1"),
            ("my-app-12", "my-app", "12"),
            ("someapp@1", "someapp", "1"),
            ("my-app@blue-2", "my-app", "blue-2"),
            ("a.b_c-x", "a.b_c", "x"),
        ] {
            let parsed = UnitInstance::parse(text).unwrap();
            assert_eq!((parsed.app.as_str(), parsed.instance.as_str()), (app, instance), "{text}");
        }
    }

    #[test]
    fn what_is_no_instance_is_refused() {
        for text in
            ["", "someapp", "-1", "@1", "someapp-", "someapp@", "some app-1", "../x-1", "a-1;rm", "a@1@2"]
        {
            assert!(UnitInstance::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn units_and_containers_get_their_names_from_the_instance() {
        let instance = UnitInstance::parse("my-app-12").unwrap();
        assert_eq!(instance.app_unit(), "my-app@12.service");
        assert_eq!(instance.container_name(), "my-app-12");
        assert_eq!(instance.to_string(), "my-app@12");
    }

    #[test]
    fn instance_names_of_old_sidekicks_are_taken() {
        for text in ["1", "someapp-1", "10.0.0.1:8080", "host.example:apache:80"] {
            assert!(InstanceName::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", "a/b", "a b", "a;", "a\n", "{a}", "$a", "\u{e4}", "a%20", "a\"", &"x".repeat(129)] {
            assert!(InstanceName::parse(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_prints_back_and_parses_again(text in "\\PC{0,70}") {
            if let Ok(name) = AppName::parse(&text) {
                prop_assert_eq!(name.as_str(), &text);
                prop_assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)));
            }
        }

        #[test]
        fn dashed_and_direct_form_agree(app in "[a-z][a-z0-9-]{0,10}[a-z0-9]", instance in "[0-9]{1,4}") {
            let dashed = UnitInstance::parse(&format!("{app}-{instance}")).unwrap();
            let direct = UnitInstance::parse(&format!("{app}@{instance}")).unwrap();
            prop_assert_eq!(dashed, direct);
        }
    }
}
