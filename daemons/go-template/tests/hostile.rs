//! Whatever text comes in: an answer within bounds, no panic, no stack that overflows.

use convoy_go_template::{Function, Functions, Limits, List, Template, Type, Value};
use proptest::prelude::*;

/// Functions that build values inside values, and long lists.
fn functions() -> Functions {
    let mut functions = Functions::new();
    functions.insert(
        "list",
        Function::variadic([], Type::Any, Type::list(Type::Any), |call| {
            Ok(Value::List(List::new(Type::Any, call.arguments().to_vec())))
        }),
    );
    functions
}

const SMALL: Limits = Limits { steps: 20_000, output: 1 << 16, memory: 1 << 20, depth: 300 };

fn render(text: &[u8], limits: Limits) -> Result<Vec<u8>, String> {
    let functions = functions();
    let template = Template::parse("t", text, &functions).map_err(|error| error.to_string())?;
    template.render(&Value::Nil, &functions, limits).map_err(|error| error.to_string())
}

#[test]
fn nesting_has_an_end() {
    let parentheses = |depth: usize| format!("{{{{{}1{}}}}}", "(".repeat(depth), ")".repeat(depth));
    let ifs = |depth: usize| "{{if 1}}".repeat(depth) + "x" + &"{{end}}".repeat(depth);
    let else_ifs = |depth: usize| format!("{{{{if 0}}}}{}{{{{end}}}}", "{{else if 0}}".repeat(depth));
    for depth in [100_usize, 140] {
        assert_eq!(render(parentheses(depth).as_bytes(), Limits::default()), Ok(b"1".to_vec()));
        assert_eq!(render(ifs(depth).as_bytes(), Limits::default()), Ok(b"x".to_vec()));
        assert_eq!(render(else_ifs(depth).as_bytes(), Limits::default()), Ok(Vec::new()));
    }
    for text in [parentheses(100_000), ifs(100_000), else_ifs(100_000), "{{block `a` 1}}".repeat(100_000)] {
        let error = render(text.as_bytes(), Limits::default()).unwrap_err();
        assert!(error.contains("nested deeper than 150 levels"), "{error}");
    }
}

#[test]
fn recursion_has_an_end_and_fits_the_stack() {
    let deep = format!(
        "{{{{define `T`}}}}{}{{{{template `T` (({}.{}))}}}}{}{{{{end}}}}{{{{template `T` 1}}}}",
        "{{if 1}}{{range 1}}{{with 1}}".repeat(20),
        "(".repeat(50),
        ")".repeat(50),
        "{{end}}{{end}}{{end}}".repeat(20),
    );
    for text in ["{{define `T`}}{{template `T`}}{{end}}{{template `T`}}", deep.as_str()] {
        let error = render(text.as_bytes(), Limits::default()).unwrap_err();
        assert!(error.contains("nested deeper than 300 levels"), "{error}");
    }
}

#[test]
fn work_has_an_end() {
    let cases = [
        ("{{range 9000000000000000000}}{{end}}", "more than 20000 steps"),
        ("{{range 99999}}{{range 99999}}{{end}}{{end}}", "more than 20000 steps"),
        ("{{range 99999999}}0123456789012345{{end}}", "bytes of output"),
        (
            "{{$x := `0123456789`}}{{range 99}}{{$x = printf `%s%s` $x $x}}{{end}}",
            "a function would make more than",
        ),
        ("{{$x := list 1}}{{range 99}}{{$x = list $x $x}}{{end}}{{$x}}", "more than 65536 bytes of output"),
        ("{{$x := list 1}}{{range 200}}{{$x = list $x}}{{end}}", "values nested deeper than 100 levels"),
        ("{{printf `%10000d%10000d` 1 2 | len}}", "20000"),
        ("{{printf `%1000000d` 1 | len}}", "a function would make more than"),
        ("{{range 9999}}{{$x := printf `%60000d` 1}}{{end}}", "a function would make more than"),
    ];
    for (text, expected) in cases {
        let found = match render(text.as_bytes(), SMALL) {
            Ok(output) => String::from_utf8(output).unwrap(),
            Err(error) => error,
        };
        assert!(found.contains(expected), "{text}: {found}");
    }
}

#[test]
fn limits_name_the_place() {
    let error = render(b"a\n {{range 5}}b{{end}}", Limits { output: 3, ..SMALL }).unwrap_err();
    assert_eq!(error, "template: t:2:9: executing \"t\" at <5>: more than 3 bytes of output");
}

/// Pieces that templates are made of, so that more than the lexer is reached.
fn piece() -> impl Strategy<Value = String> {
    let words = prop::sample::select(vec![
        "{{",
        "}}",
        "{{- ",
        " -}}",
        "if ",
        "else ",
        "else if ",
        "range ",
        "with ",
        "end",
        "define `T`",
        "block `T` ",
        "template `T` ",
        "break",
        "continue",
        "nil",
        "true",
        ".",
        ".x",
        "$",
        "$x",
        "$x := ",
        "$x = ",
        "$i, $e := ",
        "(",
        ")",
        "|",
        ",",
        " ",
        "\n",
        "\"a\"",
        "`b`",
        "'c'",
        "'",
        "\"",
        "1",
        "-1",
        "1.5",
        "1e999",
        "0x",
        "1i",
        "_",
        "printf ",
        "\"%d %s\"",
        "\"%[2]*.[1]*f\"",
        "\"%-+# 010.5q\"",
        "print ",
        "len ",
        "index ",
        "slice ",
        "eq ",
        "lt ",
        "and ",
        "or ",
        "not ",
        "call ",
        "html ",
        "js ",
        "urlquery ",
        "list ",
        "/*",
        "*/",
        "{{end}}",
        "{{if 1}}",
        "{{range 3}}",
        "{{else}}",
        "☃",
        "\u{0}",
        "text",
    ]);
    words.prop_map(str::to_owned)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_get_an_answer(text in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = render(&text, SMALL);
    }

    #[test]
    fn any_pieces_get_an_answer(pieces in prop::collection::vec(piece(), 0..40)) {
        let _ = render(pieces.concat().as_bytes(), SMALL);
    }

    #[test]
    fn any_action_gets_an_answer(pieces in prop::collection::vec(piece(), 0..12)) {
        let text = format!("{{{{{}}}}}{{{{end}}}}", pieces.concat());
        let _ = render(text.as_bytes(), SMALL);
    }

    #[test]
    fn any_format_gets_an_answer(format in "[%a-zA-Z0-9 +#.*\\[\\]☃-]{0,20}", int: i64, float: f64, text in ".{0,8}") {
        let mut functions = functions();
        functions.insert("int", Function::new([], Type::Int, move |_| Ok(Value::Int(int))));
        functions.insert("float", Function::new([], Type::Float, move |_| Ok(Value::Float(float))));
        functions.insert("text", Function::new([], Type::String, move |_| Ok(Value::from(text.as_str()))));
        let template = format!("{{{{printf `{format}` int float text nil (list int text)}}}}");
        let template = Template::parse("t", template.as_bytes(), &functions).unwrap();
        let _ = template.render(&Value::Nil, &functions, SMALL);
    }

    /// Text without actions comes out as it went in.
    #[test]
    fn text_stays_as_it_is(text in prop::collection::vec(any::<u8>(), 0..100)) {
        prop_assume!(!text.windows(2).any(|pair| pair == b"{{"));
        prop_assert_eq!(render(&text, SMALL), Ok(text));
    }

    /// What %q writes, the lexer reads.
    #[test]
    fn a_quoted_string_is_read_again(text in ".{0,30}") {
        let mut template = b"{{".to_vec();
        template.extend(convoy_go_template::quote(text.as_bytes()));
        template.extend(b"}}");
        prop_assert_eq!(render(&template, SMALL), Ok(text.into_bytes()));
    }
}
