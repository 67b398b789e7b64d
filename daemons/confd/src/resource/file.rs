//! One file that a resource makes.

use std::fmt;

use convoy_go_template::{Functions, Limits, Map, Template, Value};

use super::mode::Mode;
use crate::fields::{Field, FieldError, Fields, Text};

/// Who owns a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// By number.
    Id(u32),
    /// By name.
    Name(String),
}

/// What a file has to be for those who read it, checked before it is staged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// XML.
    Xml,
}

/// From which template to which file.
#[derive(Debug, Clone)]
pub struct FileSpec {
    /// The template's path below the template folder.
    pub source: String,
    destination: Destination,
    /// Its mode; that of the file in place, else 0644, when none is set.
    pub mode: Option<Mode>,
    /// Its owner; whoever owns the file in place, else we, when none is set.
    pub owner: Option<Owner>,
    /// The same for its group.
    pub group: Option<Owner>,
    /// What its content has to be.
    pub format: Option<Format>,
}

#[derive(Debug, Clone)]
enum Destination {
    Fixed(String),
    PerKey(Template),
}

/// The key that a file is made for, where one file is made for each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Each {
    /// The whole path, as the template sees keys.
    pub key: String,
    /// Its last segment.
    pub name: String,
}

impl Each {
    /// What the templates of the file see as their dot.
    pub fn data(&self) -> Value {
        let fields = [("Key", &self.key), ("Name", &self.name)];
        let fields = fields.into_iter().map(|(name, text)| (name.into(), Value::from(text.as_str())));
        Value::Map(Map::new(fields.collect()))
    }
}

impl FileSpec {
    /// Reads the fields of one file. `per_key` when one is made for each key.
    pub(crate) fn read(fields: &Fields<'_>, per_key: bool) -> Result<Self, FieldError> {
        let source = required(fields, "src")?;
        let destination = required(fields, "dest")?;
        let mode = match fields.text("mode")? {
            Some(text) => Some(Mode::parse(&text.text).map_err(|what| text.wrong(format!("mode: {what}")))?),
            None => None,
        };
        let format = match fields.text("output_format")? {
            Some(text) => Some(Format::parse(&text)?),
            None => None,
        };
        Ok(Self {
            source: source.text.clone(),
            destination: Destination::read(&destination, per_key)?,
            mode,
            // As in the maintained fork, a number wins over a name.
            owner: owner(fields, "uid", "owner")?,
            group: owner(fields, "gid", "group")?,
            format,
        })
    }

    /// Where the file goes; `each` where one is made for each key.
    pub fn destination(&self, each: Option<&Each>) -> Result<String, String> {
        let path = match (&self.destination, each) {
            (Destination::Fixed(path), _) => path.clone(),
            (Destination::PerKey(template), Some(each)) => fill(template, each)?,
            (Destination::PerKey(_), None) => return Err("there is no key to name the file after".to_owned()),
        };
        if names_file(&path) { Ok(path) } else { Err(format!("{path:?} names no file")) }
    }
}

impl Destination {
    fn read(text: &Text, per_key: bool) -> Result<Self, FieldError> {
        let wrong = |what: String| text.wrong(format!("dest: {what}"));
        if !names_file(&text.text) {
            return Err(wrong(format!("{:?} names no file", text.text)));
        }
        if !per_key {
            return Ok(Self::Fixed(text.text.clone()));
        }
        let template = Template::parse("dest", text.text.as_bytes(), &Functions::new());
        let template = template.map_err(|error| wrong(error.to_string()))?;
        let example = |name: &str| Each { key: format!("/{name}"), name: name.to_owned() };
        let one = fill(&template, &example("one")).map_err(wrong)?;
        let other = fill(&template, &example("other")).map_err(wrong)?;
        if one == other || one.contains("<no value>") {
            return Err(wrong(format!(
                "{:?} has to name a different file for each key; use {{{{.Name}}}} in it",
                text.text
            )));
        }
        Ok(Self::PerKey(template))
    }
}

impl Format {
    fn parse(text: &Text) -> Result<Self, FieldError> {
        match text.text.to_ascii_lowercase().as_str() {
            "json" => Ok(Self::Json),
            "toml" => Ok(Self::Toml),
            "yaml" => Ok(Self::Yaml),
            "xml" => Ok(Self::Xml),
            other => {
                Err(text
                    .wrong(format!("output_format: {other:?} is not known; json, toml, yaml and xml are")))
            }
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Json => "JSON",
            Self::Toml => "TOML",
            Self::Yaml => "YAML",
            Self::Xml => "XML",
        })
    }
}

fn names_file(path: &str) -> bool {
    !path.is_empty() && !path.ends_with('/') && !path.contains('\0')
}

fn fill(template: &Template, each: &Each) -> Result<String, String> {
    let filled = template.render(&each.data(), &Functions::new(), Limits::default());
    String::from_utf8(filled.map_err(|error| error.to_string())?).map_err(|error| error.to_string())
}

fn required(fields: &Fields<'_>, name: &str) -> Result<Text, FieldError> {
    let found = fields.text(name)?.filter(|text| !text.text.is_empty());
    found.ok_or_else(|| FieldError { line: fields.line(), what: format!("{name} is missing") })
}

fn owner(fields: &Fields<'_>, number: &str, name: &str) -> Result<Option<Owner>, FieldError> {
    let by_name = fields.text(name)?.filter(|text| !text.text.is_empty());
    // confd takes -1 for "not set".
    let by_number = fields.get(number).filter(|field| !Field::is_minus_one(field));
    match by_number {
        Some(field) => Ok(Some(Owner::Id(field.number()?))),
        None => Ok(by_name.map(|text| Owner::Name(text.text))),
    }
}
