//! What bites in templates that parse and render.

use std::fmt;

use convoy_go_template::{
    Argument, Budget, CallSite, Functions, Limits, Place, Template, Text, Type, Value, printf,
};

use crate::glob::Pattern;

/// Something to beware of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What happens, and what to write instead.
    pub what: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.place, self.what)
    }
}

/// Everything to beware of in a template, in the order of the text.
pub fn lint(template: &Template, functions: &Functions) -> Vec<Warning> {
    let found = template.inspect(functions);
    let mut warnings: Vec<Warning> = found
        .calls
        .iter()
        .flat_map(|call| problems(call).into_iter().map(|what| Warning { place: call.place.clone(), what }))
        .collect();
    warnings.extend(found.fields.into_iter().map(|field| Warning {
        what: if field.never {
            format!("{} is always <no value>: a template has no data of its own, use getv", field.expression)
        } else {
            format!(
                "{} prints <no value> when the JSON has no such field; test it with if or with before",
                field.expression
            )
        },
        place: field.place,
    }));
    warnings.extend(found.undefined.into_iter().map(|(place, name)| Warning {
        place,
        what: format!("template {name:?} is not defined: this fails as soon as it is reached"),
    }));
    warnings.sort_by_key(|warning| (warning.place.line, warning.place.column));
    warnings
}

fn problems(call: &CallSite) -> Vec<String> {
    let first = call.arguments.first();
    let constant = first.and_then(text);
    let mut problems = Vec::new();
    match call.function.as_str() {
        "printf" => problems.extend(format_problem(call)),
        "getvs" => {
            problems.push(
                "getvs sorts by value, as text: 10 comes before 9, and a list of upstreams changes its order when an address changes; use gets, which sorts by key".to_owned(),
            );
            problems.extend(constant.and_then(pattern_problem));
        }
        "gets" => problems.extend(constant.and_then(pattern_problem)),
        "get" | "getv" | "exists" => problems.extend(constant.and_then(key_problem)),
        "lsdir" if constant.is_some_and(|path| path.as_bytes() == b"/") => {
            problems.push("lsdir \"/\" is always empty; put the keys below a common folder".to_owned());
        }
        "ls" if constant.is_some_and(|path| path.as_bytes() == b"/") => problems.push(
            "ls \"/\" gives top-level keys only, never folders; put the keys below a common folder".to_owned(),
        ),
        "json" | "jsonArray" | "fromJson" => problems.push(
            "numbers in JSON print as 1e+06 from a million on; write them as strings, or print them with printf \"%.0f\"".to_owned(),
        ),
        "datetime" => problems.push(
            "datetime makes every rendering differ, so every look at the keys is a change with a reload".to_owned(),
        ),
        "lookupIP" | "lookupIPV4" | "lookupIPV6" | "lookupSRV" => problems.push(format!(
            "{} is an empty list when the look-up fails, and nothing says so; guard what would then be empty",
            call.function
        )),
        "reverse" if first.is_some_and(|list| list.kind.as_ref().is_some_and(is_named_pairs)) => problems.push(
            "reverse does nothing to the result of gets; write reverse (sortKVByLength (gets …))".to_owned(),
        ),
        "default" if call.arguments.get(1).and_then(|value| value.function.as_deref()) == Some("getv") => {
            problems.push(
                "default does not help with a missing key, getv has failed already; give getv the default".to_owned(),
            );
        }
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => problems.extend(comparison_problem(call)),
        _ => {}
    }
    problems
}

fn text(argument: &Argument) -> Option<&Text> {
    match &argument.constant {
        Some(Value::String(text)) => Some(text),
        _ => None,
    }
}

fn is_named_pairs(kind: &Type) -> bool {
    matches!(kind, Type::List { name: Some(_), .. })
}

/// What Go would print for values of these types, found by printing some.
fn format_problem(call: &CallSite) -> Option<String> {
    let (format, operands) = call.arguments.split_first()?;
    let format = text(format)?;
    // What nobody knows is no reason for a warning: a string for %s, a number for %d.
    let unknown = operands.iter().any(|operand| example(operand).is_none());
    let values: Vec<Value> =
        operands.iter().map(|operand| example(operand).unwrap_or_else(|| Value::from(""))).collect();
    let budget = Budget::new(Limits::default());
    let printed = printf(format, &values, &budget).ok()?;
    let printed = String::from_utf8_lossy(&printed);
    let at = printed.find("%!")?;
    let mistake = printed.get(at..)?;
    let about_count =
        ["(MISSING)", "(EXTRA ", "(NOVERB)", "(BADINDEX)"].iter().any(|word| mistake.contains(word));
    if unknown && !about_count {
        return None;
    }
    let shown: String = mistake.chars().take(40).collect();
    Some(format!("this printf writes {shown} into the file; give each verb an operand of its type"))
}

fn example(argument: &Argument) -> Option<Value> {
    argument.constant.clone().or_else(|| match argument.kind.as_ref()? {
        Type::Bool => Some(Value::Bool(true)),
        Type::Int => Some(Value::Int(1)),
        Type::Float => Some(Value::Float(1.5)),
        Type::String => Some(Value::from("text")),
        _ => None,
    })
}

fn pattern_problem(pattern: &Text) -> Option<String> {
    let shown = pattern.to_str();
    if Pattern::parse(pattern).is_err() {
        return Some(format!("{shown:?} is no pattern: this fails as soon as there is a key"));
    }
    if shown.contains("**") {
        return Some(format!("{shown:?}: ** matches no more than *, which stops at a slash"));
    }
    if shown.contains("[!") {
        return Some(format!("{shown:?}: a class is negated with ^, ! stands for itself"));
    }
    (!shown.starts_with(['/', '*', '?', '[']))
        .then(|| format!("{shown:?} matches nothing: every key begins with a slash"))
}

fn key_problem(key: &Text) -> Option<String> {
    let shown = key.to_str();
    if !shown.starts_with('/') {
        return Some(format!("{shown:?} is never there: every key begins with a slash"));
    }
    let clean = crate::path::clean(key);
    (clean != key.as_bytes()).then(|| {
        format!(
            "{shown:?} is never there: keys have no slash at the end, no two in a row, no dots between them"
        )
    })
}

/// Values of different types are never compared: the template fails there.
fn comparison_problem(call: &CallSite) -> Option<String> {
    let kinds: Vec<&Type> = call.arguments.iter().filter_map(|argument| argument.kind.as_ref()).collect();
    let (left, rest) = kinds.split_first()?;
    let basic = |kind: &Type| matches!(kind, Type::Bool | Type::Int | Type::Float | Type::String);
    let other = rest.iter().find(|kind| *kind != left && basic(kind) && basic(left))?;
    Some(format!(
        "{} never compares {left} with {other}: this fails as soon as it is reached; convert one, as with atoi",
        call.function
    ))
}
