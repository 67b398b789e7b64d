//! The keys under which an instance is announced, as templates.

use std::str::FromStr;

use thiserror::Error;

/// Most keys of one instance.
const KEYS_MAX: usize = 8;
/// Longest key.
const LENGTH_MAX: usize = 512;
/// What the templates know.
const PLACEHOLDERS: [&str; 6] = ["app", "instance", "container", "private_ipv4", "public_ipv4", "machine_id"];

/// Why a text is no template of a key.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// None at all, or too many.
    #[error("write one key, or up to {KEYS_MAX} separated by commas")]
    Count,
    /// Not the form of a key.
    #[error(
        "{0:?} is no key: it has to begin with a slash, must not be below /convoy/, must have no empty part, and only visible ASCII characters"
    )]
    Form(String),
    /// A placeholder that nobody knows.
    #[error("{key:?} has the unknown placeholder {{{placeholder}}}; known are {}", PLACEHOLDERS.map(|name| format!("{{{name}}}")).join(", "))]
    Placeholder {
        /// The template.
        key: String,
        /// What stood between the braces.
        placeholder: String,
    },
    /// A placeholder without a value on this machine.
    #[error("{key:?} needs {{{placeholder}}}, which is not known here; {hint}")]
    Missing {
        /// The template.
        key: String,
        /// The placeholder.
        placeholder: &'static str,
        /// What to set.
        hint: &'static str,
    },
    /// A value that would change the key's form.
    #[error("{key:?} becomes {rendered:?}, which is no key")]
    Rendered {
        /// The template.
        key: String,
        /// What came out.
        rendered: String,
    },
}

/// Keys with placeholders: `/services/{app}/upstream/{instance}`; several are separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplates(Vec<String>);

/// The values of the placeholders.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Values {
    /// `someapp`
    pub app: String,
    /// `1`
    pub instance: String,
    /// Name of the container.
    pub container: String,
    /// The machine's private address.
    pub private_ipv4: Option<String>,
    /// The machine's public address.
    pub public_ipv4: Option<String>,
    /// `/etc/machine-id`
    pub machine_id: Option<String>,
}

impl Default for KeyTemplates {
    fn default() -> Self {
        Self(vec!["/services/{app}/upstream/{instance}".to_owned()])
    }
}

impl FromStr for KeyTemplates {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let keys: Vec<_> = text.split(',').map(|key| key.trim().to_owned()).collect();
        if keys.len() > KEYS_MAX || text.trim().is_empty() {
            return Err(TemplateError::Count);
        }
        for key in &keys {
            let fixed = render(key, |_| Ok("x"))?;
            if !is_key(&fixed) {
                return Err(TemplateError::Form(key.clone()));
            }
        }
        Ok(Self(keys))
    }
}

impl KeyTemplates {
    /// The keys of one instance.
    pub fn render(&self, values: &Values) -> Result<Vec<String>, TemplateError> {
        let mut rendered: Vec<String> =
            self.0.iter().map(|key| render_key(key, values)).collect::<Result<_, _>>()?;
        rendered.sort();
        rendered.dedup();
        Ok(rendered)
    }
}

fn render_key(key: &str, values: &Values) -> Result<String, TemplateError> {
    let rendered = render(key, |placeholder| {
        let (name, value, hint) = match placeholder {
            "app" => return Ok(values.app.as_str()),
            "instance" => return Ok(values.instance.as_str()),
            "container" => return Ok(values.container.as_str()),
            "private_ipv4" => ("private_ipv4", &values.private_ipv4, "set CONVOY_PRIVATE_IPV4"),
            "public_ipv4" => ("public_ipv4", &values.public_ipv4, "set CONVOY_PUBLIC_IPV4"),
            _ => ("machine_id", &values.machine_id, "give the machine an /etc/machine-id"),
        };
        value.as_deref().ok_or(TemplateError::Missing { key: key.to_owned(), placeholder: name, hint })
    })?;
    // A value with a slash would be another key altogether.
    let depth = |text: &str| text.matches('/').count();
    if is_key(&rendered) && depth(&rendered) == depth(key) {
        Ok(rendered)
    } else {
        Err(TemplateError::Rendered { key: key.to_owned(), rendered })
    }
}

fn render<'v>(
    key: &str,
    mut value: impl FnMut(&str) -> Result<&'v str, TemplateError>,
) -> Result<String, TemplateError> {
    let mut rendered = String::with_capacity(key.len());
    let mut rest = key;
    while let Some((before, after)) = rest.split_once('{') {
        rendered.push_str(before);
        let unknown = |placeholder: &str| TemplateError::Placeholder {
            key: key.to_owned(),
            placeholder: placeholder.chars().take(40).collect(),
        };
        let (placeholder, after) = after.split_once('}').ok_or_else(|| unknown(after))?;
        if !PLACEHOLDERS.contains(&placeholder) {
            return Err(unknown(placeholder));
        }
        rendered.push_str(value(placeholder)?);
        rest = after;
    }
    rendered.push_str(rest);
    Ok(rendered)
}

/// `/convoy/` holds records with types of their own, which an `ip:port` would break.
fn is_key(key: &str) -> bool {
    key.len() <= LENGTH_MAX
        && key.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'{' | b'}'))
        && !key.starts_with("/convoy/")
        && key.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !part.is_empty()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values() -> Values {
        Values {
            app: "apache".into(),
            instance: "8080".into(),
            container: "apache-8080".into(),
            private_ipv4: Some("10.0.0.7".into()),
            ..Values::default()
        }
    }

    #[test]
    fn placeholders_are_filled_in() {
        for (template, keys) in [
            ("/services/{app}/upstream/{instance}", &["/services/apache/upstream/8080"][..]),
            ("/services/{app}/{private_ipv4}", &["/services/apache/10.0.0.7"]),
            ("/services/{app}/upstream/{container}", &["/services/apache/upstream/apache-8080"]),
            ("/old/{app}-{instance}, /b,/b", &["/b", "/old/apache-8080"]),
        ] {
            assert_eq!(template.parse::<KeyTemplates>().unwrap().render(&values()).unwrap(), keys);
        }
        assert_eq!(
            KeyTemplates::default().render(&values()).unwrap(),
            ["/services/apache/upstream/8080"],
            "the default is the layout that every reader knows"
        );
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for template in [
            "",
            " ",
            "services/{app}",
            "/services/{ap}",
            "/services/{app",
            "/services/app}",
            "/services//x",
            "/services/",
            "/services/a b",
            "/convoy/instances/x/1",
            "/a,,/b",
            "/1,/2,/3,/4,/5,/6,/7,/8,/9",
            &format!("/{}", "x".repeat(600)),
        ] {
            assert!(template.parse::<KeyTemplates>().is_err(), "{template:?}");
        }
    }

    #[test]
    fn a_value_can_not_make_another_key() {
        let template: KeyTemplates = "/services/{app}/{public_ipv4}".parse().unwrap();
        let error = template.render(&values()).unwrap_err().to_string();
        assert!(error.contains("set CONVOY_PUBLIC_IPV4"), "{error}");
        for public_ipv4 in ["1.2.3.4/../x", "", "a b", "{app}"] {
            let hostile = Values { public_ipv4: Some(public_ipv4.into()), ..values() };
            assert!(template.render(&hostile).is_err(), "{public_ipv4:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_renders_is_a_key(template in "/[a-z{}/,]{0,30}", value in "\\PC{0,10}") {
            if let Ok(parsed) = template.parse::<KeyTemplates>() {
                let values = Values { app: value, ..Values::default() };
                for key in parsed.render(&values).unwrap_or_default() {
                    prop_assert!(is_key(&key), "{key:?}");
                }
            }
        }
    }
}
