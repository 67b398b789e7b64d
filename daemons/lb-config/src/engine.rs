//! Which program balances.

use std::fmt;

/// The program that a configuration is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Engine {
    /// nginx, which reads its configuration anew for every change.
    #[default]
    Nginx,
    /// HAProxy, whose servers come and go while it runs.
    Haproxy,
}

impl Engine {
    /// The template that is used when no other is chosen.
    pub fn shipped_template(self) -> &'static str {
        match self {
            Self::Nginx => include_str!("../../../packaging/usr/lib/convoy/templates/nginx.conf.j2"),
            Self::Haproxy => include_str!("../../../packaging/usr/lib/convoy/templates/haproxy.cfg.j2"),
        }
    }

    /// What its configuration file is called.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx.conf",
            Self::Haproxy => "haproxy.cfg",
        }
    }

    /// What its program and its directories are called.
    pub fn program(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
        })
    }
}
