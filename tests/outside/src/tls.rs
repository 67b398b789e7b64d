//! What the router offers to clients with TLS: sslscan.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use quick_xml::Reader;
use quick_xml::events::Event;

use crate::stage::{HOST, Stage};

/// All that may be offered: forward secret, authenticated, and nothing that was ever broken. The certificate is of the
/// kind that is signed with ECDSA.
const CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
];
const GROUPS: [&str; 3] = ["secp256r1 (NIST P-256)", "secp384r1 (NIST P-384)", "x25519"];

/// An element of the report: its name and its attributes.
type Element = (String, BTreeMap<String, String>);

pub(crate) fn scan(stage: &Stage) -> Result<String> {
    let output = Command::new("sslscan")
        .args(["--no-colour", "--xml=-", &format!("--sni-name={HOST}"), &stage.secure.to_string()])
        .output()
        .context("sslscan can't be started (packaging/setup-debian.sh outside)")?;
    let report = elements(&String::from_utf8(output.stdout)?)?;
    let all = |name: &'static str, key: &'static str| -> BTreeSet<&str> {
        let found = report.iter().filter(move |(element, _)| element == name);
        found.filter_map(|(_, attributes)| attributes.get(key).map(String::as_str)).collect()
    };
    let enabled = report.iter().filter(|(name, attributes)| {
        name == "protocol" && attributes.get("enabled").is_some_and(|enabled| enabled == "1")
    });
    let versions: BTreeSet<_> = enabled
        .map(|(_, attributes)| ["type", "version"].map(|key| attributes.get(key).map_or("", String::as_str)))
        .collect();
    ensure!(versions == BTreeSet::from([["tls", "1.2"], ["tls", "1.3"]]), "versions: {versions:?}");
    ensure!(all("protocol", "version").len() >= 5, "older versions were not tried: {report:?}");
    let ciphers = all("cipher", "cipher");
    ensure!(ciphers == CIPHERS.into(), "ciphers: {ciphers:?}");
    let groups = all("group", "name");
    ensure!(groups == GROUPS.into(), "groups: {groups:?}");
    ensure!(all("heartbleed", "vulnerable") == BTreeSet::from(["0"]), "heartbleed: {report:?}");
    ensure!(all("renegotiation", "supported") == BTreeSet::from(["0"]), "renegotiation: {report:?}");
    Ok(format!(
        "TLS 1.2 and 1.3 alone, {} ciphers and {} groups, all with forward secrecy; no renegotiation",
        ciphers.len(),
        groups.len()
    ))
}

fn elements(xml: &str) -> Result<Vec<Element>> {
    let mut reader = Reader::from_str(xml);
    let mut found = Vec::new();
    loop {
        match reader.read_event().context("sslscan's report is no XML")? {
            Event::Eof => return Ok(found),
            Event::Start(element) | Event::Empty(element) => {
                let name = String::from_utf8_lossy(element.name().as_ref()).into_owned();
                let mut attributes = BTreeMap::new();
                for attribute in element.attributes() {
                    let attribute = attribute?;
                    let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
                    attributes.insert(key, attribute.unescape_value()?.into_owned());
                }
                found.push((name, attributes));
            }
            _ => {}
        }
    }
}
