//! The sockets with what is spoken on them.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use convoy_acme::Certificates;
use convoy_certificates::server_config;
use convoy_config::ConfigError;
use convoy_proxy::{Listener, Proofs, Tls};

use crate::settings::Settings;
use crate::sockets::{Kind, Named};

/// Where certificates are, if anybody asks for them: without a door for TLS a folder may hold what it likes.
pub(crate) fn certificates_folder(settings: &Settings, sockets: &[Named]) -> Option<PathBuf> {
    let has_tls = sockets.iter().any(|socket| Kind::of(&socket.name) == Some(Kind::Https));
    settings.certificates.clone().filter(|_| has_tls)
}

/// The sockets with what is spoken on them.
pub(crate) fn listeners(
    settings: &mut Settings,
    sockets: Vec<Named>,
    certificates: &Certificates,
) -> anyhow::Result<Vec<Listener>> {
    let mut listeners = Vec::with_capacity(sockets.len());
    for Named { name, socket } in sockets {
        let proxy_protocol = settings.proxy_protocol.contains(&name);
        let (tls, proofs) = match Kind::of(&name) {
            Some(Kind::Https) => {
                settings.proxy.https_port = settings.proxy.https_port.or(socket.port());
                (Some(tls(settings, &name, certificates)?), None)
            }
            Some(Kind::Http) | None => {
                let http01 = certificates.http01();
                (None, Some(Proofs::new(move |host, token| http01.answer(host, token))))
            }
        };
        listeners.push(Listener { socket, tls, proxy_protocol, proofs });
    }
    Ok(listeners)
}

fn tls(settings: &Settings, socket: &str, certificates: &Certificates) -> anyhow::Result<Tls> {
    if settings.certificates.is_none() && settings.routes.is_some() {
        let problem = format!(
            "the socket {socket} is for TLS and there are no certificates; give --certificates FOLDER"
        );
        return Err(ConfigError::value("sockets", problem).into());
    }
    let resolver = certificates.resolver();
    if resolver.certificates().count() == 0 {
        tracing::warn!(SOCKET = socket, "there are no certificates yet, so nobody can connect with TLS");
    }
    let config = server_config(Arc::clone(&resolver)).context("TLS can't be set up")?;
    let covers = move |opened: &str, host: &str| resolver.certificates().covers(opened, host);
    Ok(Tls { config: Arc::new(config), covers: Arc::new(covers) })
}
