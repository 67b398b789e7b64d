//! Names of units: safe as one segment of a path or key, and their parts make the whole.

#![no_main]

use convoy_unit_files::UnitName;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(name) = UnitName::complete(text) {
        check(&name);
    }
    match UnitName::parse(text) {
        Ok(name) => {
            assert_eq!(name.as_str(), text);
            assert_eq!(UnitName::complete(text).as_ref(), Ok(&name));
            check(&name);
        }
        Err(error) => assert!(error.to_string().len() < 4000),
    }
});

fn check(name: &UnitName) {
    let text = name.as_str();
    assert!(!text.is_empty() && text.len() <= 255 && text != "." && text != "..");
    assert!(!text.contains(['/', '\0', '\n', ' ', '%', '*']));
    assert_eq!(UnitName::parse(text).as_ref(), Ok(name));
    assert_eq!(format!("{}.{}", name.without_type(), name.unit_type().suffix()), text);
    assert!(text.starts_with(name.prefix()) && !name.prefix().is_empty());
    match (name.template(), name.instance()) {
        (Some(template), Some(instance)) => {
            assert!(template.is_template() && !name.is_template());
            assert_eq!(template.instantiate(instance).as_ref(), Ok(name));
        }
        (None, None) => assert_eq!(name.is_template(), text.contains('@')),
        parts => panic!("{text}: {parts:?}"),
    }
}
