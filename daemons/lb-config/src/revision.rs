//! The part of the configuration that tells which configuration is running.

use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::configuration::DIGEST_PLACEHOLDER;

/// Host header of the question. `.invalid` is reserved (RFC 2606), so no request of the world comes here.
pub const REVISION_HOST: &str = "revision.convoy.invalid";
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
    let mut own: Vec<_> = listen.iter().map(SocketAddr::ip).filter(|ip| !ip.is_loopback()).collect();
    own.sort_unstable();
    own.dedup();
    // Writing to a String can't fail.
    for ip in own {
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
