//! Templates: minijinja, with unknown variables as errors.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};
use serde::Serialize;
use thiserror::Error;

use crate::configuration::{Configuration, DIGEST_PLACEHOLDER};
use crate::model::{LoadBalancer, nginx_time};
use crate::revision::revision_server;
use crate::upstreams::Upstream;

/// The template that is used when no other is chosen.
pub const SHIPPED_TEMPLATE: &str = include_str!("../../../packaging/usr/lib/convoy/templates/nginx.conf.j2");

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
}

/// A template that has been parsed.
#[derive(Debug)]
pub struct Template {
    name: String,
    environment: Environment<'static>,
}

#[derive(Serialize)]
struct UpstreamView<'a> {
    name: &'a str,
    address: String,
}

/// What a template sees.
#[derive(Serialize)]
struct View<'a> {
    app: &'a str,
    instance: &'a str,
    listen: Vec<String>,
    upstreams: Vec<UpstreamView<'a>>,
    zone_kib: usize,
    runtime_dir: &'a str,
    trusted_proxies: Vec<String>,
    access_log: String,
    connect_timeout: String,
    response_timeout: String,
    shutdown_timeout: String,
    retry_after: u64,
    revision_server: String,
}

impl Template {
    /// Parses a template; `name` is the file it came from, for error messages.
    pub fn parse(name: &str, text: &str) -> Result<Self, TemplateError> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        // As in Ansible: a line with nothing but a block tag leaves no line behind.
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true);
        environment.set_syntax(syntax.build().map_err(|error| broken(name, &error))?);
        environment
            .add_template_owned(name.to_owned(), text.to_owned())
            .map_err(|error| broken(name, &error))?;
        Ok(Self { name: name.to_owned(), environment })
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
            zone_kib: zone_kib(upstreams.len()),
            runtime_dir: load_balancer.runtime_dir.as_str(),
            trusted_proxies: options.trusted_proxies.iter().map(ToString::to_string).collect(),
            access_log: options.access_log.directive(),
            connect_timeout: nginx_time(options.connect_timeout),
            response_timeout: nginx_time(options.response_timeout),
            shutdown_timeout: nginx_time(options.shutdown_timeout),
            retry_after: options.retry_after.as_secs().max(1),
            revision_server: revision_server(&load_balancer.listen),
        };
        let text = self
            .environment
            .get_template(&self.name)
            .and_then(|template| template.render(Serde(&view)))
            .map_err(|error| broken(&self.name, &error))?;
        match text.matches(DIGEST_PLACEHOLDER).count() {
            1 => Ok(Configuration::seal(&text)),
            found => Err(TemplateError::RevisionServer { name: self.name.clone(), found }),
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
