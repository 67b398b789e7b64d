//! The part of the configuration that tells which configuration is running.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use crate::configuration::{DIGEST_PLACEHOLDER, TEXT_DIGEST, TEXT_PLACEHOLDER};

/// Host header of the question. `.invalid` is reserved (RFC 2606), so no request of the world comes here.
pub const REVISION_HOST: &str = "revision.convoy.invalid";
/// The header of the answer that tells which text was read; the digest in its body leaves HAProxy's servers out.
pub const REVISION_HEADER: &str = TEXT_DIGEST;
/// Path of the question.
pub const REVISION_PATH: &str = "/revision";

/// Two directives for `http { }`: a virtual server on the public addresses that answers the digest to this machine only.
///
/// On the same addresses, so that the answer also proves that they are served. `return` runs before nginx's
/// access phase, which is why `allow` and `deny` would not protect it and a `geo` does.
pub(crate) fn revision_server(listen: &[SocketAddr]) -> String {
    let mut text = String::from(
        "    # Answers which configuration this nginx runs, to this machine only.\n\
         \x20   geo $convoy_own_machine {\n\
         \x20       default 0;\n\
         \x20       127.0.0.0/8 1;\n\
         \x20       ::1 1;\n",
    );
    // Writing to a String can't fail.
    for ip in own_addresses(listen) {
        let _ = writeln!(text, "        {ip} 1;");
    }
    text.push_str("    }\n    server {\n");
    for address in listen {
        let _ = writeln!(text, "        listen {address};");
    }
    let _ = write!(
        text,
        "        server_name {REVISION_HOST};\n\
         \x20       access_log off;\n\
         \x20       keepalive_timeout 0;\n\
         \x20       default_type text/plain;\n\
         \x20       if ($convoy_own_machine = 0) {{\n\
         \x20           return 404;\n\
         \x20       }}\n\
         \x20       location = {REVISION_PATH} {{\n\
         \x20           return 200 \"{DIGEST_PLACEHOLDER}\";\n\
         \x20       }}\n\
         \x20       location / {{\n\
         \x20           return 404;\n\
         \x20       }}\n\
         \x20   }}"
    );
    text
}

/// Rules for HAProxy's frontend, which has to listen on the public addresses: they answer the digest to this machine only.
pub(crate) fn revision_rules(listen: &[SocketAddr]) -> String {
    let mut text = format!(
        "    # Answers which configuration this HAProxy runs, to this machine only.\n\
         \x20   acl convoy_question req.hdr(host),field(1,:) -i {REVISION_HOST}\n\
         \x20   acl convoy_own_machine src 127.0.0.0/8 ::1\n"
    );
    // Writing to a String can't fail.
    for ip in own_addresses(listen) {
        let _ = writeln!(text, "    acl convoy_own_machine src {ip}");
    }
    let _ = write!(
        text,
        "    http-request set-log-level silent if convoy_question\n\
         \x20   http-request return status 200 content-type text/plain \
         hdr {REVISION_HEADER} {TEXT_PLACEHOLDER} string \"{DIGEST_PLACEHOLDER}\" \
         if convoy_question convoy_own_machine {{ path {REVISION_PATH} }}\n\
         \x20   http-request return status 404 if convoy_question"
    );
    text
}

/// The addresses, apart from loopback, by which this machine may ask.
fn own_addresses(listen: &[SocketAddr]) -> Vec<IpAddr> {
    let mut own: Vec<_> = listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_loopback()).collect();
    own.sort_unstable();
    own.dedup();
    own
}
