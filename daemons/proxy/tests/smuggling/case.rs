//! Cases as they are written.

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestCases {
    pub(crate) case: Vec<RequestCase>,
}

/// Bytes of a client.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RequestCase {
    pub(crate) name: String,
    /// With escapes: `\r`, `\n`, `\t`, `\\`, `\xHH`, and `{100*x}` for a hundred of them.
    pub(crate) send: String,
    /// `pass`, `closed` (without an answer), `waits` (for more), or the status.
    pub(crate) ours: String,
    /// What the target sees, where it sees something: method, target and body.
    #[serde(default)]
    pub(crate) sees: Vec<String>,
    /// Why another proxy passes something else.
    #[serde(default)]
    pub(crate) differs: Option<String>,
    /// Why it is right to pass what both others refuse.
    #[serde(default)]
    pub(crate) alone: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerCases {
    pub(crate) case: Vec<AnswerCase>,
}

/// Bytes of a target.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnswerCase {
    pub(crate) name: String,
    #[serde(default = "get")]
    pub(crate) method: String,
    /// Further fields of the request, escaped.
    #[serde(default)]
    pub(crate) fields: String,
    pub(crate) send: String,
    /// The target keeps its connection open after that.
    #[serde(default)]
    pub(crate) keeps: bool,
    /// The status that the client gets, or `cut` when the answer breaks off.
    pub(crate) ours: String,
    /// The body that the client gets.
    #[serde(default)]
    pub(crate) body: Option<String>,
    /// Fields that the client must not get.
    #[serde(default)]
    pub(crate) without: Vec<String>,
    /// Why another proxy gives the client something else.
    #[serde(default)]
    pub(crate) differs: Option<String>,
    /// Why it is right to pass what both others refuse.
    #[serde(default)]
    pub(crate) alone: Option<String>,
}

fn get() -> String {
    "GET".to_owned()
}

/// Takes the escapes off.
pub(crate) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        match character {
            '\\' => {
                let kind = rest.chars().next().expect("something after a backslash");
                rest = &rest[1..];
                match kind {
                    'r' => bytes.push(b'\r'),
                    'n' => bytes.push(b'\n'),
                    't' => bytes.push(b'\t'),
                    '\\' => bytes.push(b'\\'),
                    'x' => {
                        bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                        rest = &rest[2..];
                    }
                    other => panic!("unknown escape {other} in {text:?}"),
                }
            }
            '{' => {
                let (inner, after) = rest.split_once('}').expect("a closing brace");
                let (count, what) = inner.split_once('*').expect("a count");
                bytes.extend(what.repeat(count.parse().unwrap()).into_bytes());
                rest = after;
            }
            '\n' => {}
            other => bytes.extend(other.to_string().into_bytes()),
        }
    }
    bytes
}

#[test]
fn escapes_are_taken_off() {
    assert_eq!(unescape(r"a\r\n\x00\\{3*xy}"), b"a\r\n\0\\xyxyxy");
}
