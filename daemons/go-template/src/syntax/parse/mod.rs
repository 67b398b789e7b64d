//! From tokens to trees, with the rules and messages of Go's template parser.

mod expression;

use std::collections::BTreeMap;

use super::lex::Lexer;
use super::token::{Kind, Token};
use super::tree::{Branch, Invocation, Item};
use crate::error::{ParseError, Place, quoted};
use crate::quote::unquote;
use crate::text::Text;

/// How deep parentheses and blocks may be nested in each other. Go has no limit but its memory.
const MAX_DEPTH: usize = 150;

/// The templates of a text: itself, and what it defines.
pub(crate) type Trees = BTreeMap<String, Vec<Item>>;

/// Parses a whole text; `is_function` knows the names that may be called.
pub(crate) fn parse(
    name: &str,
    text: &[u8],
    is_function: &dyn Fn(&str) -> bool,
) -> Result<Trees, ParseError> {
    let mut parser = Parser {
        name,
        text,
        is_function,
        lexer: Lexer::new(text, !is_function("break"), !is_function("continue")),
        ahead: Vec::new(),
        latest: Token { kind: Kind::Eof, pos: 0, text: Vec::new(), line: 1 },
        scope: Scope::default(),
        action_line: None,
        depth: 0,
        trees: Trees::new(),
    };
    parser.file()?;
    Ok(parser.trees)
}

/// What is known inside one template: `define` and `block` begin anew.
#[derive(Debug)]
struct Scope {
    variables: Vec<String>,
    ranges: usize,
}

impl Default for Scope {
    fn default() -> Self {
        Self { variables: vec!["$".to_owned()], ranges: 0 }
    }
}

struct Parser<'a> {
    name: &'a str,
    text: &'a [u8],
    is_function: &'a dyn Fn(&str) -> bool,
    lexer: Lexer<'a>,
    /// Tokens that were read too far, the next one last.
    ahead: Vec<Token>,
    /// What was read last, for messages.
    latest: Token,
    scope: Scope,
    action_line: Option<usize>,
    depth: usize,
    trees: Trees,
}

/// How a list of items ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    End,
    Else,
}

impl std::fmt::Display for Ending {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        })
    }
}

enum Parsed {
    Item(Item),
    Ending(Ending),
}

type Result<T, E = ParseError> = std::result::Result<T, E>;

impl Parser<'_> {
    fn next(&mut self) -> Token {
        let token = match self.ahead.pop() {
            Some(token) => token,
            None => self.lexer.next_token(),
        };
        self.latest = token.clone();
        token
    }

    fn push_back(&mut self, token: Token) {
        self.ahead.push(token);
    }

    fn peek(&mut self) -> Kind {
        let token = self.next();
        let kind = token.kind;
        self.push_back(token);
        kind
    }

    fn next_non_space(&mut self) -> Token {
        loop {
            let token = self.next();
            if token.kind != Kind::Space {
                return token;
            }
        }
    }

    /// Skips spaces and gives the kind and place of what follows.
    fn peek_non_space(&mut self) -> (Kind, usize) {
        let token = self.next_non_space();
        let seen = (token.kind, token.pos);
        self.push_back(token);
        seen
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T> {
        Err(ParseError { place: Place::of(self.name, self.text, self.latest.pos), what: what.into() })
    }

    fn unexpected<T>(&self, token: &Token, context: &str) -> Result<T> {
        let shown = token.describe();
        let what = match (token.kind, self.action_line) {
            (Kind::Error, Some(line)) if line != token.line => {
                let action = if shown.ends_with(" action") { "" } else { " in action" };
                format!("{shown}{action} started at {}:{line}", self.name)
            }
            (Kind::Error, _) => shown,
            _ => format!("unexpected {shown} in {context}"),
        };
        Err(ParseError { place: Place::of(self.name, self.text, token.pos), what })
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Result<Token> {
        let token = self.next_non_space();
        if token.kind == kind { Ok(token) } else { self.unexpected(&token, context) }
    }

    /// One level deeper, for as long as `inner` runs.
    fn nested<T>(&mut self, inner: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return self.error(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn file(&mut self) -> Result<()> {
        let mut root = Vec::new();
        while self.peek() != Kind::Eof {
            if self.peek() == Kind::LeftDelim {
                let delimiter = self.next();
                let word = self.next_non_space();
                if word.kind == Kind::Define {
                    self.definition()?;
                    continue;
                }
                self.push_back(word);
                self.push_back(delimiter);
            }
            match self.text_or_action()? {
                Parsed::Item(item) => root.push(item),
                Parsed::Ending(ending) => return self.error(format!("unexpected {ending}")),
            }
        }
        self.add(self.name.to_owned(), root)
    }

    /// The first definition with content counts; a second one is an error.
    fn add(&mut self, name: String, items: Vec<Item>) -> Result<()> {
        match self.trees.get(&name) {
            Some(known) if !is_empty(known) => {
                if !is_empty(&items) {
                    return self
                        .error(format!("template: multiple definition of template {}", quoted(&name)));
                }
            }
            _ => {
                self.trees.insert(name, items);
            }
        }
        Ok(())
    }

    fn definition(&mut self) -> Result<()> {
        const CONTEXT: &str = "define clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        self.separate(name, CONTEXT)
    }

    /// The body of a `define` or `block`, up to its end.
    fn separate(&mut self, name: String, context: &str) -> Result<()> {
        let outer = std::mem::take(&mut self.scope);
        let action_line = self.action_line.take();
        let (items, ending) = self.nested(Self::items)?;
        if ending != Ending::End {
            return self.error(format!("unexpected {ending} in {context}"));
        }
        self.scope = outer;
        self.action_line = action_line;
        self.add(name, items)
    }

    fn items(&mut self) -> Result<(Vec<Item>, Ending)> {
        let mut items = Vec::new();
        while self.peek_non_space().0 != Kind::Eof {
            match self.text_or_action()? {
                Parsed::Item(item) => items.push(item),
                Parsed::Ending(ending) => return Ok((items, ending)),
            }
        }
        self.error("unexpected EOF")
    }

    fn text_or_action(&mut self) -> Result<Parsed> {
        let token = self.next_non_space();
        match token.kind {
            Kind::Text => Ok(Parsed::Item(Item::Text(Text::from(token.text)))),
            Kind::LeftDelim => {
                self.action_line = Some(token.line);
                let parsed = self.action()?;
                self.action_line = None;
                Ok(parsed)
            }
            _ => self.unexpected(&token, "input"),
        }
    }

    fn action(&mut self) -> Result<Parsed> {
        let token = self.next_non_space();
        let item = match token.kind {
            Kind::Block => self.block()?,
            Kind::Break => self.leave_range("{{break}}", Item::Break)?,
            Kind::Continue => self.leave_range("{{continue}}", Item::Continue)?,
            Kind::Else => return self.else_().map(Parsed::Ending),
            Kind::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Parsed::Ending(Ending::End));
            }
            Kind::If => Item::If(self.branch("if")?),
            Kind::Range => Item::Range(self.branch("range")?),
            Kind::With => Item::With(self.branch("with")?),
            Kind::Template => self.invocation()?,
            _ => {
                let pos = token.pos;
                self.push_back(token);
                Item::Action { pos, pipe: self.pipeline("command", Kind::RightDelim)? }
            }
        };
        Ok(Parsed::Item(item))
    }

    fn leave_range(&mut self, context: &str, item: Item) -> Result<Item> {
        let token = self.next_non_space();
        if token.kind != Kind::RightDelim {
            return self.unexpected(&token, context);
        }
        if self.scope.ranges == 0 {
            return self.error(format!("{context} outside {{{{range}}}}"));
        }
        Ok(item)
    }

    /// `else if` and `else with` leave their second word for the branch that they continue.
    fn else_(&mut self) -> Result<Ending> {
        if !matches!(self.peek_non_space().0, Kind::If | Kind::With) {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Ending::Else)
    }

    fn branch(&mut self, context: &str) -> Result<Branch> {
        self.nested(|parser| {
            let variables = parser.scope.variables.len();
            let branch = parser.branch_here(context);
            parser.scope.variables.truncate(variables);
            branch
        })
    }

    fn branch_here(&mut self, context: &str) -> Result<Branch> {
        let pipe = self.pipeline(context, Kind::RightDelim)?;
        let in_range = usize::from(context == "range");
        self.scope.ranges += in_range;
        let (body, ending) = self.items()?;
        self.scope.ranges -= in_range;
        if ending == Ending::End {
            return Ok(Branch { pipe, body, otherwise: None });
        }
        let next = self.peek();
        let otherwise = if (context == "if" && next == Kind::If) || (context == "with" && next == Kind::With)
        {
            self.next();
            let branch = self.branch(context)?;
            vec![if context == "if" { Item::If(branch) } else { Item::With(branch) }]
        } else {
            let (items, ending) = self.items()?;
            if ending != Ending::End {
                return self.error(format!("expected end; found {ending}"));
            }
            items
        };
        Ok(Branch { pipe, body, otherwise: Some(otherwise) })
    }

    fn block(&mut self) -> Result<Item> {
        const CONTEXT: &str = "block clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        self.separate(name.clone(), CONTEXT)?;
        Ok(Item::Template(Invocation { pos: token.pos, name, pipe: Some(pipe) }))
    }

    fn invocation(&mut self) -> Result<Item> {
        const CONTEXT: &str = "template clause";
        let token = self.next_non_space();
        let name = self.template_name(&token, CONTEXT)?;
        let after = self.next_non_space();
        let pipe = if after.kind == Kind::RightDelim {
            None
        } else {
            self.push_back(after);
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Item::Template(Invocation { pos: token.pos, name, pipe }))
    }

    fn template_name(&mut self, token: &Token, context: &str) -> Result<String> {
        if !matches!(token.kind, Kind::String | Kind::RawString) {
            return self.unexpected(token, context);
        }
        match unquote(&token.text) {
            Some(name) => Ok(String::from_utf8_lossy(&name).into_owned()),
            None => self.error("invalid syntax"),
        }
    }
}

/// Nothing but white space: such a definition may be replaced.
fn is_empty(items: &[Item]) -> bool {
    items.iter().all(|item| matches!(item, Item::Text(text) if text.trim_ascii().is_empty()))
}
