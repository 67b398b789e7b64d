//! One member: a process that can be killed, frozen and started again.

use std::{
    fs::File,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use etcd_client::{Client, StatusResponse};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::{Certificates, cluster::connect};

/// How long a member may take until it answers.
const START: Duration = Duration::from_secs(30);

/// A member of a cluster.
#[derive(Debug)]
pub struct Member {
    pub(crate) name: String,
    pub(crate) client: SocketAddr,
    pub(crate) peer: SocketAddr,
    pub(crate) directory: PathBuf,
    pub(crate) certificates: Option<Certificates>,
    pub(crate) arguments: Vec<String>,
    pub(crate) process: Mutex<Option<Child>>,
}

impl Member {
    /// The URL at which clients reach it.
    pub fn endpoint(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.client)
    }

    /// The address at which clients reach it.
    pub fn address(&self) -> SocketAddr {
        self.client
    }

    /// Kills the process, as a crash would. Its data stay.
    pub fn kill(&self) -> Result<()> {
        let Some(mut process) = self.lock()?.take() else { return Ok(()) };
        process.kill().with_context(|| format!("killing {}", self.name))?;
        process.wait().with_context(|| format!("waiting for the end of {}", self.name))?;
        Ok(())
    }

    /// Stops the process where it stands: its connections stay open and silent.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen process go on.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Starts the process again, killing it first if it runs, and waits until it answers.
    pub async fn restart(&self) -> Result<()> {
        self.kill()?;
        self.spawn("existing")?;
        self.answers().await?;
        Ok(())
    }

    pub(crate) fn spawn(&self, state: &str) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log()).context("opening etcd's log")?;
        let process = Command::new("etcd")
            .args(&self.arguments)
            .args(["--initial-cluster-state", state])
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("etcd can't be started; install it with `make setup` (Debian: etcd-server)")?;
        *self.lock()? = Some(process);
        Ok(())
    }

    /// Waits until the member answers for itself, with or without a quorum.
    pub(crate) async fn answers(&self) -> Result<StatusResponse> {
        let deadline = Instant::now() + START;
        loop {
            let error = match self.status().await {
                Ok(status) => return Ok(status),
                Err(error) => error,
            };
            let ended = match self.lock()?.as_mut() {
                Some(process) => process.try_wait()?,
                None => bail!("{} was killed", self.name),
            };
            if ended.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                let tail: Vec<_> = log.lines().rev().take(15).collect();
                let tail = tail.into_iter().rev().collect::<Vec<_>>().join("\n");
                return Err(error.context(format!("{} does not answer; its last words:\n{tail}", self.name)));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) async fn status(&self) -> Result<StatusResponse> {
        Ok(self.connect().await?.status().await?)
    }

    pub(crate) async fn connect(&self) -> Result<Client> {
        connect(&[self.endpoint()], self.certificates.as_ref()).await
    }

    pub(crate) fn exchange_data(&self) -> Result<()> {
        let (data, aside, between) =
            (self.data(), self.data().with_extension("aside"), self.data().with_extension("between"));
        for (from, to) in [(&data, &between), (&aside, &data), (&between, &aside)] {
            match std::fs::rename(from, to) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn remove_data(&self) -> Result<()> {
        match std::fs::remove_dir_all(self.data()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        data(&self.directory, &self.name)
    }

    fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let process = self.lock()?;
        let process = process.as_ref().with_context(|| format!("{} does not run", self.name))?;
        let pid =
            i32::try_from(process.id()).ok().and_then(Pid::from_raw).context("a process without a number")?;
        kill_process(pid, signal).with_context(|| format!("signalling {}", self.name))
    }

    fn lock(&self) -> Result<std::sync::MutexGuard<'_, Option<Child>>> {
        self.process.lock().map_err(|_| anyhow!("a test panicked while it handled {}", self.name))
    }
}

pub(crate) fn data(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

impl Drop for Member {
    fn drop(&mut self) {
        // Nothing is left to tell a failure to; the directory goes next.
        let _ = self.kill();
    }
}
