//! Runes as Go reads them: bytes that are no UTF-8 count as U+FFFD, one byte wide.

use unicode_general_category::{GeneralCategory as Category, get_general_category};

/// The first rune and how many bytes it takes; U+FFFD of width 1 for a byte that is no UTF-8.
pub(crate) fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let window = bytes.get(..4).unwrap_or(bytes);
    let valid = match std::str::from_utf8(window) {
        Ok(text) => text,
        Err(error) => {
            window.get(..error.valid_up_to()).and_then(|good| std::str::from_utf8(good).ok()).unwrap_or("")
        }
    };
    Some(valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |rune| (rune, rune.len_utf8())))
}

/// All runes with their offsets and widths.
pub(crate) fn runes(bytes: &[u8]) -> impl Iterator<Item = (usize, char, usize)> + '_ {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (rune, width) = decode(bytes.get(at..)?)?;
        let here = at;
        at += width;
        Some((here, rune, width))
    })
}

/// How many runes there are.
pub(crate) fn count(bytes: &[u8]) -> usize {
    runes(bytes).count()
}

/// A letter, as Go's `unicode.IsLetter`.
pub(crate) fn is_letter(rune: char) -> bool {
    rune.is_ascii_alphabetic()
        || (!rune.is_ascii()
            && matches!(
                get_general_category(rune),
                Category::UppercaseLetter
                    | Category::LowercaseLetter
                    | Category::TitlecaseLetter
                    | Category::ModifierLetter
                    | Category::OtherLetter
            ))
}

/// What may stand in a name: letters, decimal digits and the underscore.
pub(crate) fn is_alphanumeric(rune: char) -> bool {
    rune == '_'
        || rune.is_ascii_digit()
        || is_letter(rune)
        || (!rune.is_ascii() && get_general_category(rune) == Category::DecimalNumber)
}

/// Printed as it is, as Go's `unicode.IsPrint`: letters, marks, numbers, punctuation, symbols and the ASCII space.
pub(crate) fn is_print(rune: char) -> bool {
    if rune.is_ascii() {
        return (' '..='~').contains(&rune);
    }
    !matches!(
        get_general_category(rune),
        Category::Control
            | Category::Format
            | Category::Surrogate
            | Category::PrivateUse
            | Category::Unassigned
            | Category::SpaceSeparator
            | Category::LineSeparator
            | Category::ParagraphSeparator
    )
}
