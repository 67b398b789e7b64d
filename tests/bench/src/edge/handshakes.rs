//! What a new client costs: a full TLS handshake and one request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

use super::rivals::HOST;
use super::{Over, ROUND, Stage, for_processor_time, in_turns, report, started};
use crate::table::Table;

pub(super) fn measure(stage: &Stage<'_>) -> Result<()> {
    let table = Table::new(
        "The edge: thousand full TLS handshakes, each with a request, per second of processor time; above 1 is better here",
    );
    let config = client(stage)?;
    let mut rivals = started(&stage.setup(Over::Tls, false))?;
    in_turns(&mut rivals, |rival| {
        Ok(for_processor_time(rival, || new_clients(rival.address, &config))? / 1000.0)
    })?;
    report(&table, "handshakes", &rivals);
    Ok(())
}

/// Clients that nobody has seen before.
fn client(stage: &Stage<'_>) -> Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(stage.folder.join("certificates/all.pem"))?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// One after the other; how many there were.
fn new_clients(address: SocketAddr, config: &Arc<ClientConfig>) -> Result<u64> {
    let began = Instant::now();
    let mut count = 0;
    while began.elapsed() < ROUND {
        let mut connection = ClientConnection::new(Arc::clone(config), ServerName::try_from(HOST)?)?;
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        let mut stream = Stream::new(&mut connection, &mut socket);
        write!(stream, "GET /64 HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n")?;
        let (mut answer, mut space) = (Vec::new(), [0; 1024]);
        // Not until the end of the connection, which not everybody announces.
        while !answer.ends_with(b"xxxxxxxx") {
            let read = stream.read(&mut space)?;
            answer.extend_from_slice(space.get(..read).unwrap_or_default());
            ensure!(read > 0, "cut off: {}", String::from_utf8_lossy(&answer));
        }
        ensure!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
        count += 1;
    }
    Ok(count)
}
