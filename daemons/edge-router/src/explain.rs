//! `edge-router explain URL`

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use convoy_config::ConfigError;
use convoy_routing::{Routes, Table};

use crate::address::Target;
use crate::routes_file;
use crate::run::unix_time;
use crate::settings::Settings;

/// Where the router's unit has its sockets.
const RUNTIME_DIR: &str = "/run/edge-router";
const PATIENCE: Duration = Duration::from_secs(5);

/// Says what becomes of a request, and why: by the routes file that is named, or by what the running router knows.
pub fn explain(settings: &Settings, url: &str) -> anyhow::Result<()> {
    let target = Target::parse(url).map_err(|error| ConfigError::value("explain", error.to_string()))?;
    let text = match &settings.routes {
        Some(path) => by_file(path, &target)?,
        None => by_router(settings.runtime_dir.as_deref().unwrap_or(Path::new(RUNTIME_DIR)), &target)?,
    };
    write!(std::io::stdout().lock(), "{text}").context("standard output is closed")
}

fn by_file(path: &Path, target: &Target) -> anyhow::Result<String> {
    let file = routes_file::read(path).map_err(|error| ConfigError::value("--routes", error.to_string()))?;
    let mut routes = Routes::new();
    routes.replace_documents(file.documents, unix_time());
    let mut text =
        Table::empty(Arc::default()).next(&routes, 1).explain(&target.host, &target.path, unix_time());
    for entry in file.refused {
        // Writing into a string does not fail.
        let _ = writeln!(text, "  unusable: entry {} ({}): {}", entry.number, entry.host, entry.error);
    }
    Ok(text)
}

fn by_router(folder: &Path, target: &Target) -> anyhow::Result<String> {
    let path = folder.join("status.sock");
    let mut stream = UnixStream::connect(&path).with_context(|| {
        format!(
            "no router answers at {}; is edge-router.service running, and may you open that?",
            path.display()
        )
    })?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /explain?url=http://{}{} HTTP/1.1\r\n\r\n", target.host, target.path)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the router broke off")?;
    match answer.split_once("\r\n\r\n") {
        Some((head, text)) if head.starts_with("HTTP/1.1 200 ") => Ok(text.to_owned()),
        Some((_, text)) => bail!("the router says: {text}"),
        None => bail!("the router said nothing"),
    }
}
