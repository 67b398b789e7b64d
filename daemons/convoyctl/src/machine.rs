//! Which machine a word stands for.

use convoy_keys::MachineId;

use crate::{picture::Picture, refusal::Refusal};

/// Finds a machine by its id, the beginning of its id, its host name or an address of it. A machine that is away is
/// found by its id.
pub fn find(picture: &Picture, word: &str) -> Result<MachineId, Refusal> {
    // What fleet's tables print is taken too: 148a18ff.../10.0.1.1
    let id = word.split('/').next().unwrap_or(word).trim_end_matches("...");
    let known = picture.known_machines();
    if let Some(exact) = known.iter().find(|machine| machine.as_str() == id) {
        return Ok((*exact).clone());
    }
    let found: Vec<&MachineId> = known
        .into_iter()
        .filter(|machine| {
            let begins = !id.is_empty() && machine.as_str().starts_with(id);
            begins
                || picture.machines.get(machine).is_some_and(|record| {
                    let addresses = [record.address, record.public_address];
                    record.name == word
                        || addresses.iter().flatten().any(|address| address.to_string() == word)
                })
        })
        .collect();
    match found.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Refusal::NotFound(format!("{word}: there is no such machine; list-machines shows them"))),
        several => {
            let labels: Vec<_> = several.iter().map(|machine| picture.label(machine, true)).collect();
            Err(Refusal::Usage(format!("{word} can be several machines: {}", labels.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture::tests::picture;

    #[test]
    fn a_machine_has_many_names() {
        let picture = picture(&[
            (
                "/convoy/machines/148a18ff6e95",
                r#"{"name":"one","address":"10.0.0.1","public_address":"1.2.3.4"}"#,
            ),
            ("/convoy/machines/148b00000000", r#"{"name":"two","address":"10.0.0.2"}"#),
            ("/convoy/schedule/away/a.service", r#"{"hash":"x","desired":"launched"}"#),
        ]);
        for (word, id) in [
            ("148a18ff6e95", "148a18ff6e95"),
            ("148a", "148a18ff6e95"),
            ("148a18ff.../10.0.0.1", "148a18ff6e95"),
            ("one", "148a18ff6e95"),
            ("1.2.3.4", "148a18ff6e95"),
            ("10.0.0.2", "148b00000000"),
            ("away", "away"),
        ] {
            assert_eq!(find(&picture, word).unwrap().as_str(), id, "{word}");
        }
        assert!(matches!(find(&picture, "148"), Err(Refusal::Usage(_))));
        for word in ["", "three", "10.0.0.3", "48a"] {
            assert!(matches!(find(&picture, word), Err(Refusal::NotFound(_))), "{word}");
        }
    }
}
