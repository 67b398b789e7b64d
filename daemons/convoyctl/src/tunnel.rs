//! The store through another host: ssh forwards a port of this machine for each endpoint.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use tokio::{
    net::TcpStream,
    process::{Child, Command},
    time::{Instant, sleep},
};

/// How often it is tried whether ssh listens already.
const TRY_EVERY: Duration = Duration::from_millis(50);

/// A running ssh; its end is the tunnel's.
#[derive(Debug)]
pub(crate) struct Tunnel {
    _ssh: Child,
    /// The endpoints as they are seen from here.
    pub(crate) endpoints: Vec<String>,
    /// The first endpoint's host as it is called there: what certificates name.
    pub(crate) host: String,
}

/// An endpoint, taken apart: scheme, host, port.
fn parts(endpoint: &str) -> Option<(&str, &str, u16)> {
    let (scheme, rest) = endpoint.split_once("://")?;
    let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
    Some((scheme, host, port.parse().ok()?))
}

impl Tunnel {
    /// Starts ssh and waits until it listens.
    pub(crate) async fn open(
        through: &str,
        endpoints: &[String],
        options: &[String],
        timeout: Duration,
    ) -> Result<Self> {
        let mut command = Command::new("ssh");
        command.args(["-N", "-o", "ExitOnForwardFailure=yes", "-o"]);
        command.arg(format!("ConnectTimeout={}", timeout.as_secs().max(1))).args(options);
        let (mut local, mut ports, mut first) = (Vec::new(), Vec::new(), None);
        for endpoint in endpoints {
            let (scheme, host, port) = parts(endpoint).ok_or_else(|| {
                anyhow!("{endpoint}: --tunnel needs endpoints with a port, http://host:2379")
            })?;
            let here = free_port()?;
            command.arg("-L").arg(format!("127.0.0.1:{here}:{host}:{port}"));
            local.push(format!("{scheme}://127.0.0.1:{here}"));
            ports.push(here);
            first.get_or_insert_with(|| host.trim_matches(['[', ']']).to_owned());
        }
        command.args(["--", &format!("ssh://{through}")]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
        let mut ssh = command.spawn().context("ssh can't be run; install OpenSSH's client")?;
        let deadline = Instant::now() + timeout + Duration::from_secs(1);
        for port in ports {
            while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_err() {
                if let Some(status) = ssh.try_wait()? {
                    bail!("the tunnel through {through} ended ({status})");
                }
                if Instant::now() >= deadline {
                    bail!("the tunnel through {through} was not there within {timeout:?}");
                }
                sleep(TRY_EVERY).await;
            }
        }
        Ok(Self { _ssh: ssh, endpoints: local, host: first.unwrap_or_default() })
    }
}

/// A port that nobody listens on.
fn free_port() -> Result<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let listener = TcpListener::bind(address).context("no port is free for the tunnel")?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_taken_apart() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:2379", Some(("http", "127.0.0.1", 2379))),
            ("https://[::1]:2379/", Some(("https", "[::1]", 2379))),
            ("http://etcd", None),
            ("etcd:2379", None),
            ("http://etcd:x", None),
        ] {
            assert_eq!(parts(endpoint), expected, "{endpoint}");
        }
    }
}
