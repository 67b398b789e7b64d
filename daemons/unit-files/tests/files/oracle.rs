//! Path.Match's rules written down as they are said: slow, and plain to see.

/// Whether the name matches; None if the pattern is broken.
pub(crate) fn matches(pattern: &[char], name: &[char]) -> Option<bool> {
    let Some((first, rest)) = pattern.split_first() else { return Some(name.is_empty()) };
    match first {
        '*' => {
            // All ways to go on; the first run of letters after the star has to be found as far left as can be.
            for taken in 0..=name.len() {
                if name[..taken].contains(&'/') {
                    break;
                }
                if matches(rest, &name[taken..])? {
                    return Some(true);
                }
            }
            matches(rest, &[]).map(|_| false)
        }
        '[' => {
            let (accepts, rest) = class(rest)?;
            match name.split_first() {
                Some((letter, left)) => Some(matches(rest, left)? && accepts(*letter)),
                None => matches(rest, &[]).map(|_| false),
            }
        }
        '\\' => {
            let (literal, rest) = rest.split_first()?;
            one(|letter| letter == *literal, rest, name)
        }
        '?' => one(|letter| letter != '/', rest, name),
        literal => one(|letter| letter == *literal, rest, name),
    }
}

fn one(accepts: impl Fn(char) -> bool, rest: &[char], name: &[char]) -> Option<bool> {
    match name.split_first() {
        Some((letter, left)) => Some(matches(rest, left)? && accepts(*letter)),
        None => matches(rest, &[]).map(|_| false),
    }
}

type Class<'a> = (Box<dyn Fn(char) -> bool>, &'a [char]);

fn class(mut rest: &[char]) -> Option<Class<'_>> {
    let negated = rest.first() == Some(&'^');
    if negated {
        rest = &rest[1..];
    }
    let mut ranges = Vec::new();
    while ranges.is_empty() || rest.first() != Some(&']') {
        let low = class_letter(&mut rest)?;
        let high = if rest.first() == Some(&'-') {
            rest = &rest[1..];
            class_letter(&mut rest)?
        } else {
            low
        };
        ranges.push((low, high));
    }
    let accepts = move |letter| ranges.iter().any(|(low, high)| *low <= letter && letter <= *high) != negated;
    Some((Box::new(accepts), &rest[1..]))
}

fn class_letter(rest: &mut &[char]) -> Option<char> {
    let (first, left) = rest.split_first()?;
    *rest = left;
    match first {
        '-' | ']' => None,
        '\\' => {
            let (escaped, left) = rest.split_first()?;
            *rest = left;
            Some(*escaped)
        }
        letter => Some(*letter),
    }
}
