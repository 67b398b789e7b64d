//! What is written about a request when it is over, kept in one piece.

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    RequestId,
    Method,
    Host,
    Path,
    Trace,
    Referer,
    Agent,
}

const COUNT: usize = 7;

/// The texts, one behind the other.
#[derive(Debug, Default)]
pub(crate) struct Words {
    text: String,
    places: [(u32, u32); COUNT],
}

impl Words {
    /// In the memory of those of an earlier request.
    pub(crate) fn within(mut text: String) -> Self {
        text.clear();
        Self { text, places: [(0, 0); COUNT] }
    }

    /// The memory, for those of a later request.
    pub(crate) fn into_memory(self) -> String {
        self.text
    }

    /// Keeps a text, made of these parts. What is no text is not kept.
    pub(crate) fn keep(&mut self, word: Word, parts: &[&[u8]]) {
        let start = self.text.len();
        for part in parts {
            let Ok(part) = str::from_utf8(part) else {
                self.text.truncate(start);
                break;
            };
            self.text.push_str(part);
        }
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        if let Some(found) = self.places.get_mut(word as usize) {
            *found = (place(start), place(self.text.len()));
        }
    }

    /// The text; empty when none was kept.
    pub(crate) fn get(&self, word: Word) -> &str {
        let (start, end) = self.places.get(word as usize).copied().unwrap_or_default();
        self.text.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The text, or a dash.
    pub(crate) fn or_dash(&self, word: Word) -> &str {
        match self.get(word) {
            "" => "-",
            text => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_kept_side_by_side() {
        let mut words = Words::default();
        words.keep(Word::Path, &[b"/a", b"?", b"b"]);
        words.keep(Word::Host, &[b"\xff"]);
        words.keep(Word::Method, &[b"GET"]);
        assert_eq!((words.get(Word::Path), words.get(Word::Method)), ("/a?b", "GET"));
        assert_eq!((words.get(Word::Host), words.or_dash(Word::Host)), ("", "-"));
        let words = Words::within(words.into_memory());
        assert_eq!(words.get(Word::Path), "");
    }
}
