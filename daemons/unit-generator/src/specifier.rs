//! The specifiers of systemd.unit(5) that can stand in the name of a sidekick.

/// A unit's name, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitName<'a> {
    /// `someapp` of `someapp@1.service`.
    pub prefix: &'a str,
    /// `1`; empty for a template.
    pub instance: &'a str,
    /// `service`
    pub suffix: &'a str,
}

impl<'a> UnitName<'a> {
    /// Takes a template's or an instance's name apart; none for other units.
    pub fn parse(name: &'a str) -> Option<Self> {
        let (stem, suffix) = name.rsplit_once('.')?;
        let (prefix, instance) = stem.split_once('@')?;
        (!prefix.is_empty()).then_some(Self { prefix, instance, suffix })
    }

    /// `someapp@.service`
    pub fn template(&self) -> String {
        format!("{}@.{}", self.prefix, self.suffix)
    }

    /// Expands the specifiers in a word of this unit's file. None if it has one that is not about the unit's name,
    /// which only the manager can expand.
    pub fn expand(&self, word: &str) -> Option<String> {
        let mut expanded = String::new();
        let mut characters = word.chars();
        while let Some(character) = characters.next() {
            if character != '%' {
                expanded.push(character);
                continue;
            }
            match characters.next()? {
                '%' => expanded.push('%'),
                'p' | 'P' => expanded.push_str(self.prefix),
                'i' | 'I' => expanded.push_str(self.instance),
                'j' | 'J' => expanded.push_str(self.prefix.rsplit('-').next()?),
                'N' => expanded.extend([self.prefix, "@", self.instance]),
                'n' => expanded.extend([self.prefix, "@", self.instance, ".", self.suffix]),
                _ => return None,
            }
        }
        Some(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn specifiers_of_the_name_are_expanded() {
        let name = UnitName::parse("my-app@1.service").unwrap();
        assert_eq!(name, UnitName { prefix: "my-app", instance: "1", suffix: "service" });
        assert_eq!(name.template(), "my-app@.service");
        for (word, expanded) in [
            ("registrar@%p-%i.service", Some("registrar@my-app-1.service")),
            ("registrar@%N.service", Some("registrar@my-app@1.service")),
            ("registrar@%j-%i.service", Some("registrar@app-1.service")),
            ("registrar@fixed-1.service", Some("registrar@fixed-1.service")),
            ("100%%", Some("100%")),
            ("registrar@%H.service", None),
            ("registrar@%", None),
        ] {
            assert_eq!(name.expand(word).as_deref(), expanded, "{word}");
        }
    }

    #[test]
    fn plain_units_have_no_such_name() {
        for name in ["someapp.service", "@1.service", "someapp@1", ""] {
            assert_eq!(UnitName::parse(name), None, "{name:?}");
        }
    }
}
