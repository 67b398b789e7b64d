//! Data of all kinds, as Go's package documentation and reflection treat it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a helper that fails is a test that fails

use std::collections::BTreeMap;
use std::sync::Arc;

use convoy_go_template::{
    CallError, Function, Functions, Limits, List, Map, MissingKey, Record, Template, Text, Type, Value, Width,
};

/// A struct with fields and methods.
#[derive(Debug)]
struct Person {
    name: &'static str,
}

impl Record for Person {
    fn type_name(&self) -> &'static str {
        "main.Person"
    }

    fn fields(&self) -> Vec<(&'static str, Value)> {
        vec![("Name", Value::from(self.name)), ("Age", Value::Int(7))]
    }

    fn method(&self, name: &str) -> Option<Function> {
        let person = self.name;
        match name {
            "Greet" => Some(Function::new([Type::String], Type::String, move |call| {
                Ok(Value::from(format!("{} {person}", call.text(0)?)))
            })),
            "Fail" => Some(Function::new([], Type::String, |_| Err(CallError::failed("no luck")))),
            _ => None,
        }
    }
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> BTreeMap<Text, Value> {
    entries.into_iter().map(|(key, value)| (Text::from(key), value)).collect()
}

fn data() -> Value {
    let double = Function::new([Type::Int], Type::Int, |call| Ok(Value::Int(call.int(0)? * 2)));
    let sum = Function::variadic([Type::Int], Type::Int, Type::Int, |call| {
        (0..call.len()).map(|index| call.int(index)).sum::<Result<i64, _>>().map(Value::Int)
    });
    Value::Map(Map::new(map([
        ("person", Value::Record(Arc::new(Person { name: "Ada" }))),
        ("counts", Value::Map(Map::of(Type::Int, map([("a", Value::Int(1))])))),
        ("bytes", Value::List(List::new(Type::Uint(Width::W16), vec![Value::Uint(65_535, Width::W16)]))),
        ("double", Value::Function(double)),
        ("sum", Value::Function(sum)),
        ("nothing", Value::Nil),
        ("list", Value::List(List::strings(["x", "y"]))),
        ("none", Value::List(List::nil(Type::list(Type::String)))),
    ])))
}

fn render(text: &str, missing_key: MissingKey) -> String {
    let functions = Functions::new();
    let template = match Template::parse("t", text.as_bytes(), &functions) {
        Ok(template) => template.with_missing_key(missing_key),
        Err(error) => return error.to_string(),
    };
    match template.render(&data(), &functions, Limits::default()) {
        Ok(output) => String::from_utf8(output).unwrap(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn fields_methods_and_functions() {
    let cases = [
        ("{{.person.Name}} {{.person.Age}}", "Ada 7"),
        ("{{.person.Greet `Hello`}} {{`Hi` | .person.Greet}}", "Hello Ada Hi Ada"),
        ("{{with .person}}{{.Greet `x`}}{{$.person.Name}}{{end}}", "x AdaAda"),
        (
            "{{.person}} {{printf `%+v` .person}} {{printf `%#v` .person}}",
            "{Ada 7} {Name:Ada Age:7} main.Person{Name:\"Ada\", Age:7}",
        ),
        ("{{call .double 4}} {{call .sum 1 2 3}} {{3 | call .double}}", "8 6 6"),
        ("{{printf `%T %T %T` .person .counts .bytes}}", "main.Person map[string]int []uint16"),
        ("{{range $k, $v := .counts}}{{$k}}{{$v}}{{end}}{{index .counts `zz`}}{{.counts.a}}", "a101"),
        (
            "{{index .bytes 0}} {{lt 1 (index .bytes 0)}} {{range index .bytes 0}}{{.}}{{break}}{{end}}",
            "65535 true 0",
        ),
        (
            "{{.none}} {{len .none}} {{eq .none nil}} {{printf `%#v` .none}} {{range .none}}x{{else}}-{{end}}",
            "[] 0 true []string(nil) -",
        ),
        (
            "{{.nothing}} {{print .nothing}} {{.missing}} {{print .missing}}",
            "<no value> <nil> <no value> <nil>",
        ),
    ];
    for (template, expected) in cases {
        assert_eq!(render(template, MissingKey::Default), expected, "{template}");
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    let at = |column: usize, context: &str, what: &str| {
        format!("template: t:1:{column}: executing \"t\" at <{context}>: {what}")
    };
    let cases = [
        ("{{.person.Nope}}", at(9, ".person.Nope", "can't evaluate field Nope in type interface {}")),
        ("{{.person.Greet}}", at(9, ".person.Greet", "wrong number of args for Greet: want 1 got 0")),
        ("{{.person.Greet 1}}", at(16, "1", "expected string; found 1")),
        ("{{.person.Name 1}}", at(9, ".person.Name", "Name has arguments but cannot be invoked as function")),
        ("{{.person.Fail}}", at(9, ".person.Fail", "error calling Fail: no luck")),
        ("{{.list 1}}", at(2, ".list", "list is not a method but has arguments")),
        ("{{.nothing.x}}", at(10, ".nothing.x", "nil pointer evaluating interface {}.x")),
        ("{{len .nothing}}", at(2, "len .nothing", "error calling len: len of nil pointer")),
        ("{{.double}}", at(2, "{{.double}}", "can't print {{.double}} of type func(int) int")),
        (
            "{{call .double}}",
            at(2, "call .double", "error calling call: wrong number of args for .double: got 0 want 1"),
        ),
        (
            "{{call .sum}}",
            at(2, "call .sum", "error calling call: wrong number of args for .sum: got 0 want at least 1"),
        ),
        (
            "{{call .double `x`}}",
            at(2, "call .double `x`", "error calling call: arg 0: value has type string; should be int"),
        ),
        (
            "{{call .double nil}}",
            at(2, "call .double nil", "error calling call: arg 0: value is nil; should be of type int"),
        ),
        ("{{call .list}}", at(2, "call .list", "error calling call: non-function .list of type []string")),
        ("{{call .missing}}", at(2, "call .missing", "error calling call: call of nil")),
        ("{{range .person}}{{end}}", at(8, ".person", "range can't iterate over {Ada 7}")),
    ];
    for (template, expected) in cases {
        let found = render(template, MissingKey::Default);
        assert_eq!(found, expected, "{template}");
    }
}

#[test]
fn the_option_missingkey() {
    let cases = [
        (MissingKey::Default, "{{.missing}}", "<no value>"),
        (MissingKey::Zero, "{{.missing}} {{.counts.zz}}", "<no value> 0"),
        (MissingKey::Error, "{{.counts.a}}", "1"),
        (
            MissingKey::Error,
            "{{.counts.zz}}",
            "template: t:1:9: executing \"t\" at <.counts.zz>: map has no entry for key \"zz\"",
        ),
        (
            MissingKey::Error,
            "{{define `T`}}{{.x}}{{end}}{{template `T`}}",
            "template: t:1:16: executing \"T\" at <.x>: nil data; no entry for key \"x\"",
        ),
    ];
    for (option, template, expected) in cases {
        assert_eq!(render(template, option), expected, "{option:?} {template}");
    }
}

#[test]
fn functions_may_have_the_names_of_keywords_and_of_gos_own() {
    let mut functions = Functions::new();
    functions.insert("break", Function::new([], Type::String, |_| Ok(Value::from("own break"))));
    functions.insert("len", Function::new([Type::String], Type::String, |_| Ok(Value::from("own len"))));
    let template = Template::parse("t", b"{{break}} {{len `x`}}", &functions).unwrap();
    let output = template.render(&Value::Nil, &functions, Limits::default()).unwrap();
    assert_eq!(output, b"own break own len");
}

#[test]
fn bytes_that_are_no_utf8_pass() {
    let template = b"\xff{{\"a\\xfe\"}}{{printf \"%q %x\" \"\\xfe\" \"\\xfe\"}}";
    let functions = Functions::new();
    let template = Template::parse("t", template, &functions).unwrap();
    let output = template.render(&Value::Nil, &functions, Limits::default()).unwrap();
    assert_eq!(output, b"\xffa\xfe\"\\xfe\" fe");
}
