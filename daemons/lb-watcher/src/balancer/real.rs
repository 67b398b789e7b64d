//! The program of this load balancer, whichever it is.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use convoy_lb_config::{Configuration, Digest, Engine};

use super::{Balancer, CheckError, Checker, ReloadError, Reloader};
use crate::files::StateDir;
use crate::haproxy::{RealHaproxy, RuntimeError};
use crate::nginx::RealNginx;

/// A real nginx or a real HAProxy.
#[derive(Debug)]
pub enum RealBalancer {
    /// nginx.
    Nginx(RealNginx),
    /// HAProxy.
    Haproxy(RealHaproxy),
}

impl RealBalancer {
    /// The program that runs with these files. `announce` is where it is asked what it serves.
    ///
    /// `drain` is how long a server that was taken out may finish what it has.
    pub fn new(
        checker: Checker,
        reloader: Reloader,
        announce: SocketAddr,
        files: &StateDir,
        drain: Duration,
    ) -> Self {
        match files.engine() {
            Engine::Nginx => Self::Nginx(RealNginx::new(checker, reloader, announce, files.pid_file())),
            Engine::Haproxy => Self::Haproxy(RealHaproxy::new(checker, reloader, announce, files, drain)),
        }
    }
}

impl Balancer for RealBalancer {
    fn engine(&self) -> Engine {
        match self {
            Self::Nginx(nginx) => nginx.engine(),
            Self::Haproxy(haproxy) => haproxy.engine(),
        }
    }

    async fn check(&mut self, staged: &Path) -> Result<(), CheckError> {
        match self {
            Self::Nginx(nginx) => nginx.check(staged).await,
            Self::Haproxy(haproxy) => haproxy.check(staged).await,
        }
    }

    async fn reload(&mut self, expected: &Configuration) -> Result<(), ReloadError> {
        match self {
            Self::Nginx(nginx) => nginx.reload(expected).await,
            Self::Haproxy(haproxy) => haproxy.reload(expected).await,
        }
    }

    async fn loaded(&mut self) -> Option<Digest> {
        match self {
            Self::Nginx(nginx) => nginx.loaded().await,
            Self::Haproxy(haproxy) => haproxy.loaded().await,
        }
    }

    async fn follows(&mut self, wanted: &Configuration) -> Result<bool, RuntimeError> {
        match self {
            Self::Nginx(nginx) => nginx.follows(wanted).await,
            Self::Haproxy(haproxy) => haproxy.follows(wanted).await,
        }
    }

    async fn adjust(&mut self, wanted: &Configuration) -> Result<usize, RuntimeError> {
        match self {
            Self::Nginx(nginx) => nginx.adjust(wanted).await,
            Self::Haproxy(haproxy) => haproxy.adjust(wanted).await,
        }
    }

    async fn tidy(&mut self, wanted: &Configuration) -> usize {
        match self {
            Self::Nginx(nginx) => nginx.tidy(wanted).await,
            Self::Haproxy(haproxy) => haproxy.tidy(wanted).await,
        }
    }
}
