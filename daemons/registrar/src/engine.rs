//! The container engine's client: Docker or Podman behind a Unix socket, by way of bollard.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::errors::Error as ClientError;
use bollard::models::EventMessage;
use bollard::query_parameters::{
    EventsOptionsBuilder, InspectContainerOptions, ListContainersOptionsBuilder,
};
use bollard::{API_DEFAULT_VERSION, Docker};
use futures_util::{Stream, StreamExt};
use thiserror::Error;

use crate::container::{Container, NetworkMode};
use crate::settings::EngineChoice;

/// An answer that takes longer is none.
const ANSWER_SECONDS: u64 = 10;
/// Podman of some versions holds the head of the event stream back until the first event (podman#23712), so
/// silence there means nothing.
const STREAM_SECONDS: u64 = u32::MAX as u64;
/// How far back a stream of events begins: covers what happened between a look and the opening of the stream.
const OVERLAP: Duration = Duration::from_secs(1);
/// Longest chain of containers in each other's network: more is a loop.
const CHAIN_MAX: usize = 4;
/// Labels that name a container's unit: Podman's own (podman-systemd.unit(5)) and ours.
const UNIT_LABELS: [&str; 2] = ["PODMAN_SYSTEMD_UNIT", "convoy.unit"];
/// Kinds of events that can change anything for us; `died` is what older Podman says for `die`. Probes of health
/// checks announce themselves as `exec` events, which stay out.
const EVENTS: [&str; 5] = ["start", "die", "died", "health_status", "rename"];

/// What went wrong with the engine.
#[derive(Debug, Error)]
pub enum EngineError {
    /// No socket where one is expected.
    #[error(
        "no container engine: {0} does not exist; start docker.socket or podman.socket, or set `engine` (REGISTRAR_ENGINE)"
    )]
    NoSocket(String),
    /// Not allowed to talk to it.
    #[error(
        "the container engine's socket {0} may not be opened: the unit needs the group that owns it (SupplementaryGroups=)"
    )]
    Forbidden(PathBuf),
    /// Its answer was an error, or none.
    #[error("the container engine did not {what}: {reason}")]
    Call {
        /// What it was asked to do.
        what: &'static str,
        /// Its words, or the client's.
        reason: String,
    },
    /// More than one container says that it belongs to the unit.
    #[error(
        "{count} containers carry the label {label}={unit}: remove the others, or set `container` (REGISTRAR_CONTAINER)"
    )]
    Many {
        /// How many.
        count: usize,
        /// The label.
        label: &'static str,
        /// Its value.
        unit: String,
    },
    /// Containers that live in each other's network.
    #[error("container {0} shares a network through more than {CHAIN_MAX} others; is it a loop?")]
    Chain(String),
}

/// How to recognise the container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// By its name or id.
    pub name: String,
    /// Else by the label that names this unit.
    pub unit: String,
}

/// A container, found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The container itself.
    pub app: Container,
    /// Whose network it uses: its own, or the one of the container at the end of the chain.
    pub owner: Container,
}

/// Something happened to a container. Only a hint: what counts is what a look at it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The container's id.
    pub id: String,
    /// Its name, where the engine tells it.
    pub name: Option<String>,
    /// The unit that its labels name.
    pub unit: Option<String>,
    /// Set if its process ended.
    pub death: Option<Death>,
    /// When it happened.
    pub at: SystemTime,
}

/// The end of a container's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// Its exit code, where the engine tells it.
    pub exit_code: Option<i64>,
}

impl fmt::Display for Death {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exit_code {
            Some(code) => write!(formatter, "exit code {code}"),
            None => formatter.write_str("exit code unknown"),
        }
    }
}

/// A container engine.
#[derive(Debug, Clone)]
pub struct Engine {
    socket: PathBuf,
    calls: Docker,
    stream: Docker,
}

impl Engine {
    /// Opens the engine's socket. `variable` reads the environment, which knows where a user's own engine is.
    pub fn open(
        choice: &EngineChoice,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, EngineError> {
        let socket = match choice {
            EngineChoice::Socket(path) => path.clone(),
            EngineChoice::Auto => {
                let candidates = candidates(variable);
                let existing = candidates.iter().find(|path| path.exists());
                existing.cloned().ok_or_else(|| EngineError::NoSocket(list(&candidates)))?
            }
        };
        let open = |seconds| {
            Docker::connect_with_unix(&socket.to_string_lossy(), seconds, API_DEFAULT_VERSION)
                .map_err(|error| from_client("open its socket", &socket, error))
        };
        Ok(Self { calls: open(ANSWER_SECONDS)?, stream: open(STREAM_SECONDS)?, socket })
    }

    /// The socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// Looks for the container: by name, else by the label that names the unit.
    pub async fn find(&self, lookup: &Lookup) -> Result<Option<Found>, EngineError> {
        let app = match self.inspect(&lookup.name).await? {
            Some(app) => app,
            None => match self.find_by_label(&lookup.unit).await? {
                Some(app) => app,
                None => return Ok(None),
            },
        };
        let mut owner = app.clone();
        let mut links = 0;
        while let NetworkMode::Shared(other) = owner.network_mode.clone() {
            links += 1;
            if links > CHAIN_MAX {
                return Err(EngineError::Chain(app.name));
            }
            match self.inspect(&other).await? {
                Some(found) => owner = found,
                None => break,
            }
        }
        Ok(Some(Found { app, owner }))
    }

    async fn find_by_label(&self, unit: &str) -> Result<Option<Container>, EngineError> {
        for label in UNIT_LABELS {
            let filters = HashMap::from([("label", vec![format!("{label}={unit}")])]);
            let options = ListContainersOptionsBuilder::default().filters(&filters).build();
            let listed = self.calls.list_containers(Some(options)).await;
            let listed = listed.map_err(|error| from_client("list containers", &self.socket, error))?;
            match listed.as_slice() {
                [] => {}
                [one] => return self.inspect(one.id.as_deref().unwrap_or_default()).await,
                many => {
                    return Err(EngineError::Many { count: many.len(), label, unit: unit.to_owned() });
                }
            }
        }
        Ok(None)
    }

    async fn inspect(&self, name: &str) -> Result<Option<Container>, EngineError> {
        match self.calls.inspect_container(name, None::<InspectContainerOptions>).await {
            Ok(answer) => Ok(Some(answer.into())),
            Err(ClientError::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(from_client("describe the container", &self.socket, error)),
        }
    }

    /// What happens to containers, from a moment before now. Ends with an error, or without one when the engine
    /// closes the stream.
    pub fn hints(&self, now: SystemTime) -> impl Stream<Item = Result<Hint, EngineError>> + Unpin + use<> {
        let filters = HashMap::from([("type", vec!["container"]), ("event", EVENTS.to_vec())]);
        let since = (now - OVERLAP).duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let options = EventsOptionsBuilder::default().since(&since.to_string()).filters(&filters).build();
        let socket = self.socket.clone();
        Box::pin(self.stream.events(Some(options)).map(move |event| {
            event.map(Hint::from).map_err(|error| from_client("tell its events", &socket, error))
        }))
    }
}

impl Hint {
    /// Whether it is about the container that is looked for, or about one of those that were found.
    pub fn concerns(&self, lookup: &Lookup, found: Option<&Found>) -> bool {
        self.name.as_deref() == Some(&lookup.name)
            || self.unit.as_deref() == Some(&lookup.unit)
            || self.id == lookup.name
            || found.is_some_and(|found| self.id == found.app.id || self.id == found.owner.id)
    }
}

impl From<EventMessage> for Hint {
    fn from(event: EventMessage) -> Self {
        let actor = event.actor.unwrap_or_default();
        let mut attributes = actor.attributes.unwrap_or_default();
        let dead = matches!(event.action.as_deref(), Some("die" | "died"));
        let at = event.time_nano.and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos);
        let seconds = event.time.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        Self {
            id: actor.id.unwrap_or_default(),
            death: dead.then(|| Death {
                exit_code: ["exitCode", "containerExitCode"]
                    .iter()
                    .find_map(|&name| attributes.get(name))
                    .and_then(|code| code.parse().ok()),
            }),
            unit: UNIT_LABELS.iter().find_map(|&label| attributes.remove(label)),
            name: attributes.remove("name"),
            at: UNIX_EPOCH + at.or(seconds).unwrap_or_default(),
        }
    }
}

fn candidates(variable: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let named = variable("DOCKER_HOST").and_then(|host| host.strip_prefix("unix://").map(PathBuf::from));
    let own = variable("XDG_RUNTIME_DIR").map(|folder| PathBuf::from(folder).join("podman/podman.sock"));
    let system = ["/run/docker.sock", "/var/run/docker.sock", "/run/podman/podman.sock"].map(PathBuf::from);
    named.into_iter().chain(system).chain(own).collect()
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

fn from_client(what: &'static str, socket: &Path, error: ClientError) -> EngineError {
    if let ClientError::SocketNotFoundError(path) = error {
        // A folder that may not be entered looks the same to the client.
        let found = std::fs::symlink_metadata(&path);
        let denied = found.is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        return if denied { EngineError::Forbidden(path.into()) } else { EngineError::NoSocket(path) };
    }
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let denied = cause
            .downcast_ref::<std::io::Error>()
            .is_some_and(|cause| cause.kind() == std::io::ErrorKind::PermissionDenied);
        if denied {
            return EngineError::Forbidden(socket.to_owned());
        }
        let text = cause.to_string();
        if !reason.contains(&text) {
            reason = format!("{reason}: {text}");
        }
        source = cause.source();
    }
    EngineError::Call { what, reason }
}
