//! Documents, routes files, hosts, paths and rules of other proxies: no text is more than refused, and what is taken is
//! taken again.

#![no_main]

use std::collections::BTreeMap;

use convoy_routing::{Document, Host, Import, Routes, RoutesFile, Table, normalise};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut routes = Routes::new();
    if let Ok(file) = RoutesFile::parse(data) {
        routes.replace_documents(file.documents, 0);
    }
    if Document::parse(data).is_ok() {
        routes.put("/convoy/routes/a", data, 1, 0);
        assert_eq!(routes.unusable().count(), 0);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let rules = BTreeMap::from([
        ("vulcand/frontends/f/frontend", text),
        ("vulcand/backends/b/servers/s", r#"{"URL":"http://10.0.0.1:1"}"#),
        ("traefik/http/routers/r/rule", text),
        ("traefik/http/routers/r/service", "s"),
        ("traefik/http/services/s/loadbalancer/servers/0/url", text),
    ]);
    for import in ["vulcand:vulcand", "traefik"] {
        let import: Import = import.parse().expect("a layout");
        let imported = import.read(rules.iter().map(|(key, value)| (*key, *value)));
        routes.replace_documents(imported.documents, 0);
    }
    let table = Table::empty([].into()).next(&routes, 1);
    let (host, path) = text.split_once('/').map_or((text, "/"), |(host, _)| (host, &text[host.len()..]));
    if let Ok(normal) = normalise(path) {
        assert_eq!(normalise(&normal).as_deref(), Ok(&*normal));
        assert!(!normal.split('/').any(|segment| matches!(segment, "." | "..")));
    }
    if let Ok(parsed) = Host::parse(host) {
        assert_eq!(Host::parse(parsed.as_str()).as_ref(), Ok(&parsed));
        if let Ok(Some(found)) = table.find(parsed.as_str(), path) {
            let path = found.path.as_deref().unwrap_or(path);
            if let Some(rewritten) = found.rule.rewritten(path) {
                assert!(rewritten.starts_with('/'));
            }
        }
    }
    let _ = table.explain(host, path, 0);
});
