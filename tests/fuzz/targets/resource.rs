//! Template resources: any text is a resource or an error with a line, and no value slips through the type it has to be.

#![no_main]

use convoy_confd::resource::{Resource, ValueType};
use libfuzzer_sys::fuzz_target;

const HOSTILE: [&[u8]; 6] =
    [b"10.0.0.1:80", b"10.0.0.1:80; } evil {", b"a\nb", b"{}", b"\xff\xfe", b"  10.0.0.2:81 \n"];

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let lines = text.lines().count().max(1);
    match Resource::parse("fuzz.toml", text, None) {
        Err(error) => assert!((1..=lines + 1).contains(&error.error.line), "{error}"),
        Ok((resource, warnings)) => {
            assert!(warnings.iter().all(|warning| (1..=lines + 1).contains(&warning.line)));
            let names = ["/", "/a", "/a/b", "/services/x/upstream/1", "/a/..", "/a/ b"];
            let keys: Vec<(&str, &[u8])> =
                names.iter().flat_map(|name| HOSTILE.map(|value| (*name, value))).collect();
            let (snapshot, left_out) = resource.view(keys.iter().copied());
            assert!(snapshot.len() + left_out.len() <= keys.len());
            if resource.values.iter().any(|rule| rule.kind() == ValueType::Address)
                && resource.values.len() == 1
                && resource.values.iter().all(|rule| rule.is_for(b"/a"))
                && let Some(value) = snapshot.get(b"/a")
            {
                assert!(!value.as_bytes().contains(&b';'), "{value:?}");
            }
            let (instances, _) = resource.instances(&snapshot);
            for file in &resource.files {
                for each in &instances {
                    if let Ok(path) = file.destination(each.as_ref()) {
                        assert!(!path.is_empty() && !path.ends_with('/') && !path.contains('\0'), "{path:?}");
                    }
                }
            }
        }
    }
});
