//! "Did you mean …?": the known word that a mistyped one most likely was meant to be. Pure.

/// Longer words are no misspelling of anything.
const LONGEST: usize = 64;

/// The candidate that a word most likely was meant to be.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() > LONGEST || word.is_empty() {
        return None;
    }
    let word = word.to_ascii_lowercase();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let lower = candidate.to_ascii_lowercase();
            let distance = if word.len() >= 4 && lower.contains(&word) { 1 } else { distance(&word, &lower) };
            (distance <= (candidate.len() / 3).max(1)).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that make one word of the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, character) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        let mut cell = row + 1;
        let mut before = None;
        for (column, other) in right.iter().copied().enumerate() {
            let at = |line: &[usize], column: usize| line.get(column).copied().unwrap_or(usize::MAX / 2);
            let replaced = at(&last, column) + usize::from(character != other);
            cell = replaced.min(cell + 1).min(at(&last, column + 1) + 1);
            if previous == Some(other) && before == Some(character) && column > 0 {
                cell = cell.min(at(&before_last, column - 1) + 1);
            }
            current.push(cell);
            before = Some(other);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(character);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("conflict", "conflicts", 1),
            ("machineof", "machienof", 1),
            ("kitten", "sitting", 3),
            ("global", "globla", 1),
            ("abc", "", 3),
        ] {
            assert_eq!(distance(left, right), expected, "{left} {right}");
        }
    }

    #[test]
    fn a_word_is_meant_to_be_the_nearest_one() {
        let options = ["MachineID", "MachineOf", "MachineMetadata", "Conflicts", "Global", "Replaces"];
        for (word, expected) in [
            ("Conflict", Some("Conflicts")),
            ("conflicts", Some("Conflicts")),
            ("machineof", Some("MachineOf")),
            ("MachinID", Some("MachineID")),
            ("Metadata", Some("MachineMetadata")),
            ("Gloabl", Some("Global")),
            ("Replace", Some("Replaces")),
            ("Description", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, options), expected, "{word}");
        }
    }
}
