//! Words in the ways that programs write them.

use convoy_go_template::Functions;

use super::map_text;

pub(super) fn add(functions: &mut Functions) {
    map_text(functions, "snakecase", |text| joined(text, "_"));
    map_text(functions, "kebabcase", |text| joined(text, "-"));
    map_text(functions, "camelcase", camel);
}

/// The words of a name: `HTTPServer_name` has three.
fn words(text: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(text);
    let runes: Vec<char> = text.chars().collect();
    let mut words = Vec::new();
    let mut word = String::new();
    let mut before: Option<char> = None;
    for (index, rune) in runes.iter().enumerate() {
        if matches!(rune, '_' | '-' | ' ') {
            if !word.is_empty() {
                words.push(std::mem::take(&mut word));
            }
        } else {
            let next_is_lower = runes.get(index + 1).is_some_and(|next| next.is_lowercase());
            let after_upper = before.is_some_and(char::is_uppercase);
            if rune.is_uppercase() && !word.is_empty() && (next_is_lower || !after_upper) {
                words.push(std::mem::take(&mut word));
            }
            word.push(*rune);
        }
        before = Some(*rune);
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

fn joined(text: &[u8], separator: &str) -> Vec<u8> {
    let words: Vec<String> = words(text).iter().map(|word| word.to_lowercase()).collect();
    words.join(separator).into_bytes()
}

fn camel(text: &[u8]) -> Vec<u8> {
    let mut out = String::new();
    for (index, word) in words(text).iter().enumerate() {
        let lower = word.to_lowercase();
        let mut rest = lower.chars();
        match rest.next() {
            Some(first) if index > 0 => {
                out.extend(first.to_uppercase());
                out.push_str(rest.as_str());
            }
            _ => out.push_str(&lower),
        }
    }
    out.into_bytes()
}
