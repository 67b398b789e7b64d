//! nginx: every change is a reload, and its digest speaks for all of its text.

mod workers;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use convoy_lb_config::{Configuration, Digest, Engine};

use crate::balancer::{
    ANSWER_DEADLINE, Balancer, CheckError, Checker, Command, FOLLOW_DEADLINE, Master, RELOAD_DEADLINE,
    ReloadError, Reloader, Systemd, ask,
};
pub(crate) use workers::follow;

/// The nginx of this load balancer.
#[derive(Debug)]
pub struct RealNginx {
    checker: Checker,
    reloader: Reloader,
    announce: SocketAddr,
    pid_file: PathBuf,
    systemd: Systemd,
}

impl RealNginx {
    /// `announce` is where it is asked what it serves, `pid_file` tells its master when no unit does.
    pub fn new(checker: Checker, reloader: Reloader, announce: SocketAddr, pid_file: PathBuf) -> Self {
        Self { checker, reloader, announce, pid_file, systemd: Systemd::default() }
    }

    /// By a command, which says nothing about nginx; the rest is done here as `lb-watcher reload` does it for a unit.
    async fn reload_by_command(&self, line: &str, expected: &Digest) -> Result<(), String> {
        let master = Master::from_file(Engine::Nginx, &self.pid_file);
        let former = master.map(Master::workers).unwrap_or_default();
        let finished = Command::shell(line).run(RELOAD_DEADLINE).await?;
        if !finished.success {
            return Err(format!("{line:?} failed: {finished}"));
        }
        let Some(master) = master else { return Ok(()) };
        follow(master, &former, expected, self.announce, FOLLOW_DEADLINE).await
    }
}

impl Balancer for RealNginx {
    fn engine(&self) -> Engine {
        Engine::Nginx
    }

    async fn check(&mut self, staged: &Path) -> Result<(), CheckError> {
        self.checker.check(Engine::Nginx, staged, &mut self.systemd).await
    }

    async fn reload(&mut self, expected: &Configuration) -> Result<(), ReloadError> {
        let reloaded = match &self.reloader {
            Reloader::Unit(unit) => self.systemd.must_reload(unit, RELOAD_DEADLINE).await,
            Reloader::Command(line) => self.reload_by_command(line, expected.digest()).await,
        };
        reloaded.map_err(|reason| ReloadError { engine: Engine::Nginx, reason })
    }

    async fn loaded(&mut self) -> Option<Digest> {
        ask(self.announce, ANSWER_DEADLINE).await.ok()
    }
}
