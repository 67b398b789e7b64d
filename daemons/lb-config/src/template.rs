//! Templates: minijinja, with unknown variables as errors.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use thiserror::Error;

use crate::configuration::{Configuration, DIGEST_PLACEHOLDER};
use crate::engine::Engine;
use crate::membership::{Server, placeholder};
use crate::model::{AccessLogError, LoadBalancer, written_time};
use crate::revision::{revision_rules, revision_server};
use crate::upstreams::Upstream;

/// What is wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// It does not parse, or uses something that isn't there.
    #[error(
        "{name}, line {line}: {what}; correct the template, see the variables at the top of the shipped one"
    )]
    Broken {
        /// The template's file.
        name: String,
        /// Where in it; 0 when the engine can't tell.
        line: usize,
        /// In the engine's words.
        what: String,
    },
    /// The digest does not stand in the configuration exactly once.
    #[error(
        "{name}: the configuration has {found} revision servers instead of one; write {{{{ revision_server }}}} once, inside http {{ }}"
    )]
    RevisionServer {
        /// The template's file.
        name: String,
        /// How many were found.
        found: usize,
    },
    /// The same for HAProxy.
    #[error(
        "{name}: the configuration answers its revision {found} times instead of once; write {{{{ revision_rules }}}} once, in the frontend"
    )]
    RevisionRules {
        /// The template's file.
        name: String,
        /// How many were found.
        found: usize,
    },
    /// The servers stand where they can't.
    #[error("{name}: {what}; write {{{{ servers(\"options\") }}}} on a line of its own, once in a backend")]
    Servers {
        /// The template's file.
        name: String,
        /// What is wrong.
        what: String,
    },
    /// The configuration can't have what was asked for.
    #[error(transparent)]
    AccessLog(#[from] AccessLogError),
}

/// A template that has been parsed.
#[derive(Debug)]
pub struct Template {
    engine: Engine,
    name: String,
    environment: Environment<'static>,
}

#[derive(Serialize)]
struct UpstreamView<'a> {
    name: &'a str,
    address: String,
}

/// What every template sees.
#[derive(Serialize)]
struct View<'a> {
    app: &'a str,
    instance: &'a str,
    listen: Vec<String>,
    upstreams: Vec<UpstreamView<'a>>,
    runtime_dir: &'a str,
    trusted_proxies: Vec<String>,
    connect_timeout: String,
    response_timeout: String,
    shutdown_timeout: String,
    retry_after: u64,
    #[serde(flatten)]
    own: OwnView,
}

/// What only the templates of one program see.
#[derive(Serialize)]
#[serde(untagged)]
enum OwnView {
    Nginx { zone_kib: usize, access_log: String, revision_server: String },
    Haproxy { log: Option<&'static str>, revision_rules: String },
}

impl OwnView {
    fn new(engine: Engine, load_balancer: &LoadBalancer, upstreams: usize) -> Result<Self, TemplateError> {
        let access_log = &load_balancer.options.access_log;
        Ok(match engine {
            Engine::Nginx => Self::Nginx {
                zone_kib: zone_kib(upstreams),
                access_log: access_log.nginx_directive(),
                revision_server: revision_server(&load_balancer.listen),
            },
            Engine::Haproxy => Self::Haproxy {
                log: access_log.haproxy_directive()?,
                revision_rules: revision_rules(&load_balancer.listen),
            },
        })
    }
}

impl Template {
    /// Parses a template for this program; `name` is the file it came from, for error messages.
    pub fn parse(engine: Engine, name: &str, text: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // As in Ansible: a line with nothing but a block tag leaves no line behind.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        environment.set_syntax(syntax.build().map_err(|error| broken(name, &error))?);
        if engine == Engine::Haproxy {
            environment.add_function("servers", |options: Option<String>| {
                placeholder(options.as_deref().unwrap_or_default())
                    .map_err(|what| minijinja::Error::new(ErrorKind::InvalidOperation, what))
            });
        }
        environment
            .add_template_owned(name.to_owned(), text.to_owned())
            .map_err(|error| broken(name, &error))?;
        Ok(Self { engine, name: name.to_owned(), environment })
    }

    /// The template's file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Renders the configuration for these upstreams. The same input gives the same text, byte for byte.
    pub fn render(
        &self,
        load_balancer: &LoadBalancer,
        upstreams: &[Upstream],
    ) -> Result<Configuration, TemplateError> {
        let options = &load_balancer.options;
        let view = View {
            app: load_balancer.app.as_str(),
            instance: load_balancer.instance.as_str(),
            listen: load_balancer.listen.iter().map(ToString::to_string).collect(),
            upstreams: upstreams
                .iter()
                .map(|upstream| UpstreamView {
                    name: upstream.name.as_str(),
                    address: upstream.address.to_string(),
                })
                .collect(),
            runtime_dir: load_balancer.runtime_dir.as_str(),
            trusted_proxies: options.trusted_proxies.iter().map(ToString::to_string).collect(),
            connect_timeout: written_time(options.connect_timeout),
            response_timeout: written_time(options.response_timeout),
            shutdown_timeout: written_time(options.shutdown_timeout),
            retry_after: options.retry_after.as_secs().max(1),
            own: OwnView::new(self.engine, load_balancer, upstreams.len())?,
        };
        let shape = self
            .environment
            .get_template(&self.name)
            .and_then(|template| template.render(Serde(&view)))
            .map_err(|error| broken(&self.name, &error))?;
        match (shape.matches(DIGEST_PLACEHOLDER).count(), self.engine) {
            (1, _) => {
                let servers = upstreams.iter().map(Server::from).collect();
                Configuration::seal(&shape, servers)
                    .map_err(|what| TemplateError::Servers { name: self.name.clone(), what })
            }
            (found, Engine::Nginx) => Err(TemplateError::RevisionServer { name: self.name.clone(), found }),
            (found, Engine::Haproxy) => Err(TemplateError::RevisionRules { name: self.name.clone(), found }),
        }
    }
}

/// Shared memory for the state of the upstreams. nginx 1.22 takes 8 pages for itself and about one KiB per
/// server; twice that is safe on every page size of 4 KiB.
fn zone_kib(upstreams: usize) -> usize {
    64 + upstreams.saturating_mul(2)
}

fn broken(name: &str, error: &minijinja::Error) -> TemplateError {
    let what = match (error.detail(), error.kind()) {
        (Some(detail), ErrorKind::SyntaxError) => detail.to_owned(),
        (Some(detail), kind) => format!("{kind}: {detail}"),
        (None, kind) => kind.to_string(),
    };
    TemplateError::Broken {
        name: error.name().unwrap_or(name).to_owned(),
        line: error.line().unwrap_or(0),
        what,
    }
}
