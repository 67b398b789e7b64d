//! A cluster on loopback.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use etcd_client::{Certificate, Client, ConnectOptions, Identity, Permission, TlsOptions};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{Certificates, Member, member};

/// How long an election may take.
const ELECTION: Duration = Duration::from_secs(30);

/// What kind of cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How many members: one or three, usually.
    pub members: usize,
    /// Serve `https` only, and only to clients with a certificate.
    pub tls: bool,
    /// How long followers wait for a sign of their leader before they elect another.
    pub election_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { members: 1, tls: false, election_timeout: Duration::from_secs(1) }
    }
}

/// A running cluster. Dropping it kills all members and removes their data.
#[derive(Debug)]
pub struct Etcd {
    // Before the directory: they are dropped in this order.
    members: Vec<Member>,
    options: Options,
    directory: TempDir,
}

impl Etcd {
    /// Starts that many members and waits for their leader.
    pub async fn start(members: usize) -> Result<Self> {
        Self::start_with(Options { members, ..Options::default() }).await
    }

    /// Starts a cluster and waits for its leader.
    pub async fn start_with(options: Options) -> Result<Self> {
        ensure!(options.members > 0, "a cluster has at least one member");
        let directory =
            tempfile::Builder::new().prefix("convoy-etcd-").tempdir().context("a place for data")?;
        let address = free_address(options.members)?;
        let certificates = options.tls.then(|| Certificates::make(directory.path(), address)).transpose()?;
        let mut members: Vec<_> = (0..options.members)
            .map(|number| Member {
                name: format!("etcd{number}"),
                client: SocketAddr::new(address, port(number)),
                peer: SocketAddr::new(address, port(number) + 1),
                directory: directory.path().to_owned(),
                certificates: certificates.clone(),
                arguments: Vec::new(),
                process: std::sync::Mutex::default(),
            })
            .collect();
        set_arguments(&mut members, &options, "one");
        let etcd = Self { members, options, directory };
        etcd.spawn().await?;
        Ok(etcd)
    }

    /// The URLs of all members.
    pub fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(Member::endpoint).collect()
    }

    /// The files a client of a cluster with TLS needs.
    pub fn certificates(&self) -> Option<&Certificates> {
        self.members.first().and_then(|member| member.certificates.as_ref())
    }

    /// A member, counted from 0.
    ///
    /// # Panics
    /// If there is no such member.
    #[allow(clippy::indexing_slicing)] // a test that asks for a member it did not start is wrong
    pub fn member(&self, number: usize) -> &Member {
        &self.members[number]
    }

    /// All members.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The directory that holds data, logs and certificates.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    /// The number of the leader, once there is one that a member knows of and that answers itself.
    pub async fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + ELECTION;
        while Instant::now() < deadline {
            for (number, member) in self.members.iter().enumerate() {
                if let Ok(status) = member.status().await {
                    let own = status.header().map_or(0, etcd_client::ResponseHeader::member_id);
                    if status.leader() == own && own != 0 {
                        return Ok(number);
                    }
                }
            }
            sleep(Duration::from_millis(20)).await;
        }
        bail!("no leader was elected within {ELECTION:?}")
    }

    /// Removes the history before a revision.
    pub async fn compact(&self, revision: i64) -> Result<()> {
        self.client().await?.compact(revision, None).await.context("compacting")?;
        Ok(())
    }

    /// Ends a lease from outside, with all its keys.
    pub async fn revoke(&self, lease: i64) -> Result<()> {
        self.client().await?.lease_client().revoke(lease).await.context("revoking")?;
        Ok(())
    }

    /// Turns authentication on, with the user `root` (password `root`) and one more who may read and write all keys
    /// that begin with `prefix`.
    pub async fn enable_auth(&self, user: &str, password: &str, prefix: &str) -> Result<()> {
        let mut auth = self.client().await?.auth_client();
        auth.user_add("root", "root", None).await?;
        auth.role_add("root").await?;
        auth.user_grant_role("root", "root").await?;
        auth.user_add(user, password, None).await?;
        auth.role_add(user).await?;
        auth.role_grant_permission(user, Permission::read_write(prefix).with_prefix()).await?;
        auth.user_grant_role(user, user).await?;
        auth.auth_enable().await.context("turning authentication on")?;
        Ok(())
    }

    /// Kills all members, throws their data away and starts them anew on the same ports. With `token` changed, the
    /// new cluster has another identity.
    pub async fn wipe(&mut self, token: &str) -> Result<()> {
        for member in &self.members {
            member.kill()?;
            member.remove_data()?;
        }
        set_arguments(&mut self.members, &self.options, token);
        self.spawn().await
    }

    /// Kills all members, exchanges their data for what the last exchange left aside (nothing, the first time), and
    /// starts them again: the same cluster by its name, with another history.
    pub async fn exchange(&self) -> Result<()> {
        for member in &self.members {
            member.kill()?;
            member.exchange_data()?;
        }
        self.spawn().await
    }

    async fn spawn(&self) -> Result<()> {
        for member in &self.members {
            member.spawn("new")?;
        }
        for member in &self.members {
            member.answers().await?;
        }
        self.leader().await?;
        Ok(())
    }

    async fn client(&self) -> Result<Client> {
        let leader = self.leader().await?;
        self.member(leader).connect().await
    }
}

fn set_arguments(members: &mut [Member], options: &Options, token: &str) {
    let scheme = if options.tls { "https" } else { "http" };
    let cluster: Vec<_> =
        members.iter().map(|member| format!("{}=http://{}", member.name, member.peer)).collect();
    let cluster = cluster.join(",");
    for member in members {
        let (client, peer) = (format!("{scheme}://{}", member.client), format!("http://{}", member.peer));
        let data = member::data(&member.directory, &member.name).display().to_string();
        let election = options.election_timeout.as_millis();
        let mut arguments: Vec<String> = [
            ("name", member.name.clone()),
            ("data-dir", data),
            ("listen-client-urls", client.clone()),
            ("advertise-client-urls", client),
            ("listen-peer-urls", peer.clone()),
            ("initial-advertise-peer-urls", peer),
            ("initial-cluster", cluster.clone()),
            ("initial-cluster-token", token.to_owned()),
            ("election-timeout", election.to_string()),
            ("heartbeat-interval", (election / 10).max(1).to_string()),
            ("logger", "zap".to_owned()),
        ]
        .into_iter()
        .map(|(name, value)| format!("--{name}={value}"))
        .collect();
        // A killed process loses nothing by it, only a machine does; and tests on slow disks are spared elections.
        arguments.push("--unsafe-no-fsync".to_owned());
        if let Some(files) = &member.certificates {
            arguments.push(format!("--cert-file={}", files.server_cert.display()));
            arguments.push(format!("--key-file={}", files.server_key.display()));
            arguments.push(format!("--trusted-ca-file={}", files.ca.display()));
            arguments.push("--client-cert-auth".to_owned());
        }
        member.arguments = arguments;
    }
}

/// The port for clients; the next is for the other members.
fn port(member: usize) -> u16 {
    2379 + 10 * u16::try_from(member).unwrap_or_default()
}

/// All of 127/8 is loopback: an address nobody else uses makes fixed ports free.
fn free_address(members: usize) -> Result<IpAddr> {
    for _ in 0..100 {
        let address = Ipv4Addr::new(127, fastrand::u8(1..), fastrand::u8(..), fastrand::u8(1..255)).into();
        let is_free = (0..members)
            .flat_map(|number| [port(number), port(number) + 1])
            .all(|port| TcpListener::bind((address, port)).is_ok());
        if is_free {
            return Ok(address);
        }
    }
    bail!("no free loopback address in a hundred tries; is the interface `lo` up?")
}

pub(crate) async fn connect(endpoints: &[String], certificates: Option<&Certificates>) -> Result<Client> {
    let second = Duration::from_secs(1);
    let mut options = ConnectOptions::new().with_timeout(2 * second).with_connect_timeout(second);
    if let Some(files) = certificates {
        let identity =
            Identity::from_pem(std::fs::read(&files.client_cert)?, std::fs::read(&files.client_key)?);
        let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(std::fs::read(&files.ca)?));
        options = options.with_tls(tls.identity(identity));
    }
    Ok(Client::connect(endpoints, Some(options)).await?)
}
