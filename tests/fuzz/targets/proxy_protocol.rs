//! The PROXY protocol: what fewer bytes settled, more bytes don't change.

#![no_main]

use convoy_hygiene::proxy_protocol::parse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let whole = parse(data);
    if let Ok(Some(header)) = whole {
        assert!(header.length <= data.len());
        assert_eq!(header.source.is_some(), header.destination.is_some());
        assert_eq!(parse(&data[..header.length]), whole);
    }
    let half = parse(&data[..data.len() / 2]);
    assert!(half == Ok(None) || half == whole);
});
