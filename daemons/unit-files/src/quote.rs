//! Values as they are shown in messages.

/// Longest piece of a foreign text that a message repeats, in characters.
const LONGEST: usize = 120;

/// The text, cut if it is so long that a message would drown in it.
pub(crate) fn shown(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}
