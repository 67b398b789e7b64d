//! Brace expansion, for shells that have none and for arguments in quotes: `someapp@{1..4}`, `{a,b}.service`.

/// No argument stands for more units than this.
const MOST: usize = 10_000;

/// Expands an argument as bash does: lists, ranges of numbers (with leading zeros and a step) and of letters, nested.
/// Braces that make neither stay as they are. An error is an argument that stands for too many words.
pub fn expand(text: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    expand_into(text, &mut words)
        .map_err(|TooMany| format!("{text}: stands for more than {MOST} units; name fewer"))?;
    Ok(words)
}

struct TooMany;

fn expand_into(text: &str, words: &mut Vec<String>) -> Result<(), TooMany> {
    let Some((before, alternatives, after)) = first_group(text) else {
        words.push(text.to_owned());
        return if words.len() > MOST { Err(TooMany) } else { Ok(()) };
    };
    let mut tails = Vec::new();
    expand_into(after, &mut tails)?;
    for alternative in alternatives? {
        let mut middles = Vec::new();
        expand_into(&alternative, &mut middles)?;
        for middle in middles {
            for tail in &tails {
                words.push(format!("{before}{middle}{tail}"));
                if words.len() > MOST {
                    return Err(TooMany);
                }
            }
        }
    }
    Ok(())
}

type Group<'a> = (&'a str, Result<Vec<String>, TooMany>, &'a str);

/// The first pair of braces that means something: what stands before it, what it stands for, what stands after it.
fn first_group(text: &str) -> Option<Group<'_>> {
    for (open, _) in text.match_indices('{') {
        let Some((inside, after)) = text.get(open + 1..).and_then(close) else { continue };
        let parts = split(inside);
        let alternatives = if parts.len() > 1 {
            Some(Ok(parts.iter().map(ToString::to_string).collect()))
        } else {
            range(inside)
        };
        if let Some(alternatives) = alternatives {
            return Some((text.get(..open).unwrap_or_default(), alternatives, after));
        }
    }
    None
}

/// What stands up to the brace that closes, and what follows it.
fn close(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some((text.get(..at)?, text.get(at + 1..)?)),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Splits at the commas outside inner braces.
fn split(text: &str) -> Vec<&str> {
    let (mut depth, mut from, mut parts) = (0_usize, 0, Vec::new());
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(text.get(from..at).unwrap_or_default());
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(text.get(from..).unwrap_or_default());
    parts
}

/// `1..4`, `01..10`, `1..9..2`, `a..e`.
fn range(text: &str) -> Option<Result<Vec<String>, TooMany>> {
    let mut parts = text.split("..");
    let (first, last, step) = (parts.next()?, parts.next()?, parts.next());
    if parts.next().is_some() {
        return None;
    }
    let step = step.map_or(Some(1), |step| step.parse::<i64>().ok())?.unsigned_abs().max(1);
    if let (Some(first), Some(last)) = (letter(first), letter(last)) {
        let steps = walk(i64::from(first), i64::from(last), step)?;
        return Some(steps.map(|numbers| {
            numbers
                .into_iter()
                .filter_map(|number| u8::try_from(number).ok())
                .map(|byte| char::from(byte).to_string())
                .collect()
        }));
    }
    let (from, to) = (first.parse::<i64>().ok()?, last.parse::<i64>().ok()?);
    let padded =
        |text: &str| text.trim_start_matches('-').len() > 1 && text.trim_start_matches('-').starts_with('0');
    let width = if padded(first) || padded(last) { first.len().max(last.len()) } else { 0 };
    Some(
        walk(from, to, step)?
            .map(|numbers| numbers.into_iter().map(|number| format!("{number:0width$}")).collect()),
    )
}

fn letter(text: &str) -> Option<u8> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_alphabetic() => Some(*byte),
        _ => None,
    }
}

fn walk(from: i64, to: i64, step: u64) -> Option<Result<Vec<i64>, TooMany>> {
    let count = from.abs_diff(to) / step;
    if count >= MOST as u64 {
        return Some(Err(TooMany));
    }
    let step = i64::try_from(step).ok()?;
    let signed = if from <= to { step } else { -step };
    let count = i64::try_from(count).ok()?;
    Some(Ok((0..=count).filter_map(|index| from.checked_add(signed.checked_mul(index)?)).collect()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn braces_are_expanded_as_bash_does() {
        for (text, words) in [
            ("someapp@1", &["someapp@1"][..]),
            ("someapp@{1..4}", &["someapp@1", "someapp@2", "someapp@3", "someapp@4"]),
            ("someapp@{1,3}.service", &["someapp@1.service", "someapp@3.service"]),
            ("{a,b}@{1..2}", &["a@1", "a@2", "b@1", "b@2"]),
            ("a@{3..1}", &["a@3", "a@2", "a@1"]),
            ("a@{08..10}", &["a@08", "a@09", "a@10"]),
            ("a@{1..9..4}", &["a@1", "a@5", "a@9"]),
            ("a@{a..c}", &["a@a", "a@b", "a@c"]),
            ("a@{1,{5..6}}", &["a@1", "a@5", "a@6"]),
            ("a{,b}", &["a", "ab"]),
            ("a@{1}", &["a@{1}"]),
            ("a@{}", &["a@{}"]),
            ("a@{1..x}", &["a@{1..x}"]),
            ("a@{1", &["a@{1"]),
            ("{{1..2}", &["{1", "{2"]),
            ("a@}1{", &["a@}1{"]),
            ("", &[""]),
        ] {
            assert_eq!(expand(text).unwrap(), words, "{text}");
        }
    }

    #[test]
    fn no_argument_stands_for_more_than_a_cluster_has() {
        assert_eq!(expand("a@{1..10000}").unwrap().len(), 10_000);
        for text in ["a@{1..10001}", "a@{1..200}{1..200}", "a@{-9223372036854775808..9223372036854775807}"] {
            assert!(expand(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_argument_panics(text in "[a{},.0-9-]{0,30}") {
            let _ = expand(&text);
        }

        #[test]
        fn text_without_braces_stays(text in "[^{}]{0,30}") {
            prop_assert_eq!(expand(&text).unwrap(), vec![text]);
        }
    }
}
