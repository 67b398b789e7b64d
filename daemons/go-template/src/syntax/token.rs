//! What the lexer gives to the parser.

use crate::quote::{Escape, quote};
use crate::runes::runes;

/// The kinds of token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Error,
    Bool,
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Block,
    Break,
    Continue,
    Dot,
    Define,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Kind {
    /// The keyword that a word is.
    pub(crate) fn keyword(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"block" => Self::Block,
            b"break" => Self::Break,
            b"continue" => Self::Continue,
            b"define" => Self::Define,
            b"else" => Self::Else,
            b"end" => Self::End,
            b"if" => Self::If,
            b"nil" => Self::Nil,
            b"range" => Self::Range,
            b"template" => Self::Template,
            b"with" => Self::With,
            _ => return None,
        })
    }

    fn is_keyword(self) -> bool {
        matches!(
            self,
            Self::Block
                | Self::Break
                | Self::Continue
                | Self::Dot
                | Self::Define
                | Self::Else
                | Self::End
                | Self::If
                | Self::Nil
                | Self::Range
                | Self::Template
                | Self::With
        )
    }
}

/// A piece of the template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Offset of its first byte.
    pub(crate) pos: usize,
    /// Its bytes; of an error the message.
    pub(crate) text: Vec<u8>,
    /// The line it starts in.
    pub(crate) line: usize,
}

impl Token {
    /// The token as messages name it.
    pub(crate) fn describe(&self) -> String {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        match self.kind {
            Kind::Eof => "EOF".to_owned(),
            Kind::Error => lossy(&self.text),
            kind if kind.is_keyword() => format!("<{}>", lossy(&self.text)),
            _ if self.text.len() > 10 => {
                let end = runes(&self.text).nth(10).map_or(self.text.len(), |(at, _, _)| at);
                let start = self.text.get(..end).unwrap_or(&self.text);
                format!("{}...", lossy(&quote(start, Escape::Unprintable)))
            }
            _ => lossy(&quote(&self.text, Escape::Unprintable)),
        }
    }
}
