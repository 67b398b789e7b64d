//! TLS: names, versions, redirects, and certificates that are replaced.

use std::fs;
use std::path::Path;
use std::process::Command;

use rcgen::{CertificateParams, KeyPair};

use crate::support::{Door, free_port, target};

/// Writes a certificate for these names, and gives the path that a client trusts.
pub(crate) fn certificate(folder: &Path, file: &str, names: &[&str]) -> String {
    let key = KeyPair::generate().unwrap();
    let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
    let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
    let draft = folder.join(format!("{file}.new"));
    fs::write(&draft, certificate.pem() + &key.serialize_pem()).unwrap();
    fs::rename(&draft, folder.join(format!("{file}.pem"))).unwrap();
    let trusted = folder.join(format!("{file}.ca"));
    fs::write(&trusted, certificate.pem()).unwrap();
    trusted.to_str().unwrap().to_owned()
}

/// Status, version of HTTP and the rest of what curl tells.
fn curl(port: u16, trusted: &str, arguments: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "20", "--cacert", trusted])
        .args(["--resolve", &format!("*:{port}:127.0.0.1"), "--write-out", "\n%{http_code} %{http_version}"])
        .args(arguments)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let code = String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned();
    (code, text)
}

#[test]
fn a_door_with_tls_serves_names_by_their_certificates() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = folder.path().join("certificates");
    fs::create_dir(&certificates).unwrap();
    let trusted = certificate(&certificates, "a", &["a.example", "www.a.example"]);
    let other = certificate(&certificates, "b", &["b.example"]);
    let (one, two) = (target("one"), target("two"));
    let file = folder.path().join("routes.json");
    fs::write(
        &file,
        format!(
            r#"{{"routes":[{{"host":["a.example","www.a.example"],"https":true,"hsts":true,"targets":["{one}"]}},
                {{"host":"b.example","targets":["{two}"]}}]}}"#
        ),
    )
    .unwrap();
    let door = Door::new();
    let port = free_port();
    let router = door.open_with_tls(&file, port, &certificates);
    door.wait_for("READY=1");

    let url = |host: &str| format!("https://{host}:{port}/");
    let (code, text) = curl(port, &trusted, &[&url("a.example")]);
    assert_eq!(code, "200 2", "{text}");
    assert!(text.contains("strict-transport-security: max-age=63072000"), "{text}");
    for (arguments, expected) in [
        (vec!["--http1.1"], "200 1.1"),
        (vec!["--tlsv1.2", "--tls-max", "1.2"], "200 2"),
        // The same certificate is for both names, so one connection may carry both.
        (vec!["--header", "Host: www.a.example"], "200 2"),
        (vec!["--header", "Host: b.example"], "421 2"),
        (vec!["--header", "Host: b.example", "--http1.1"], "421 1.1"),
    ] {
        let all: Vec<_> = arguments.iter().copied().chain([url("a.example").leak() as &str]).collect();
        let (code, text) = curl(port, &trusted, &all);
        assert_eq!(code, expected, "{arguments:?}: {text}");
    }
    assert_eq!(curl(port, &other, &[&url("b.example")]).0, "200 2");
    assert!(curl(port, &other, &[&url("a.example")]).1.contains("certificate"), "each has its own");

    let plain = format!("http://a.example:{}/x?y", door.address.port());
    let resolve = format!("a.example:{}:127.0.0.1", door.address.port());
    let (code, text) = curl(port, &trusted, &["--resolve", &resolve, &plain]);
    assert_eq!(code, "308 1.1", "{text}");
    assert!(text.contains(&format!("location: https://a.example:{port}/x?y")), "{text}");

    let renewed = certificate(&certificates, "a", &["a.example", "www.a.example"]);
    crate::support::eventually("the new certificate is shown", || {
        curl(port, &renewed, &[&url("a.example")]).0 == "200 2"
    });
    fs::write(certificates.join("a.pem"), "half of it").unwrap();
    router.wait_for_log("a certificate is of no use: ");
    assert_eq!(curl(port, &renewed, &[&url("a.example")]).0, "200 2", "the one before is shown still");
    assert!(router.stop().0.success());
}
