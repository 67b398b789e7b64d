//! A container engine in memory behind a real Unix socket.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::task::{JoinHandle, JoinSet};

type Body = BoxBody<Bytes, Infallible>;

#[derive(Debug)]
struct World {
    containers: Mutex<BTreeMap<String, Value>>,
    events: broadcast::Sender<String>,
    /// What was told so far, with its seconds: engines repeat it from a time on.
    history: Mutex<Vec<(u64, String)>>,
}

/// The engine. Containers survive [`FakeEngine::stop`], as they do a restart of a real one.
#[derive(Debug)]
pub(crate) struct FakeEngine {
    socket: PathBuf,
    world: Arc<World>,
    server: Option<JoinHandle<()>>,
}

/// A container on the default bridge.
pub(crate) fn container(id: &str, ip: &str, labels: &Value) -> Value {
    json!({
        "Id": id,
        "Name": "/someapp-1",
        "State": { "Status": "running", "Running": true, "StartedAt": id },
        "HostConfig": { "NetworkMode": "default" },
        "Config": { "ExposedPorts": { "3000/tcp": {} }, "Labels": labels },
        "NetworkSettings": { "Ports": { "3000/tcp": null }, "Networks": { "bridge": { "IPAddress": ip } } },
    })
}

fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

impl FakeEngine {
    pub(crate) fn start(folder: &Path) -> Self {
        let world = World {
            containers: Mutex::default(),
            events: broadcast::channel(64).0,
            history: Mutex::default(),
        };
        let mut engine = Self { socket: folder.join("engine.sock"), world: Arc::new(world), server: None };
        engine.resume();
        engine
    }

    pub(crate) fn socket(&self) -> String {
        self.socket.display().to_string()
    }

    /// Listens again after [`FakeEngine::stop`].
    pub(crate) fn resume(&mut self) {
        let listener = UnixListener::bind(&self.socket).unwrap();
        self.server = Some(tokio::spawn(serve(Arc::clone(&self.world), listener)));
    }

    /// Cuts all connections and takes the socket away.
    pub(crate) fn stop(&mut self) {
        self.server.take().unwrap().abort();
        std::fs::remove_file(&self.socket).unwrap();
    }

    /// Puts a container there without a word.
    pub(crate) fn place(&self, name: &str, container: Value) {
        self.world.containers.lock().unwrap().insert(name.to_owned(), container);
    }

    /// Takes a container away without a word.
    pub(crate) fn take_away(&self, name: &str) {
        self.world.containers.lock().unwrap().remove(name);
    }

    /// Starts a container as an engine does.
    pub(crate) fn run(&self, name: &str, container: Value) {
        let id = container["Id"].as_str().unwrap().to_owned();
        self.place(name, container);
        self.tell("start", &id, name, now());
    }

    /// Its process ends.
    pub(crate) fn kill(&self, name: &str) {
        let id = {
            let mut containers = self.world.containers.lock().unwrap();
            let container = containers.get_mut(name).unwrap();
            container["State"] =
                json!({ "Status": "exited", "Running": false, "StartedAt": container["Id"] });
            container["Id"].as_str().unwrap().to_owned()
        };
        self.tell("die", &id, name, now());
    }

    /// What its own health check says.
    pub(crate) fn set_health(&self, name: &str, status: &str) {
        let id = {
            let mut containers = self.world.containers.lock().unwrap();
            let container = containers.get_mut(name).unwrap();
            container["State"]["Health"] = json!({ "Status": status });
            container["Id"].as_str().unwrap().to_owned()
        };
        self.tell(&format!("health_status: {status}"), &id, name, now());
    }

    /// Tells of a death at some time, whether it happened or not.
    pub(crate) fn tell_death(&self, id: &str, name: &str, at: u64) {
        self.tell("die", id, name, at);
    }

    fn tell(&self, action: &str, id: &str, name: &str, at: u64) {
        let event = json!({
            "Type": "container", "Action": action, "time": at / 1_000_000_000, "timeNano": at,
            "Actor": { "ID": id, "Attributes": { "name": name, "exitCode": "137" } },
        });
        let line = format!("{event}\n");
        let mut history = self.world.history.lock().unwrap();
        history.push((at / 1_000_000_000, line.clone()));
        // Nobody listening is what some tests are about.
        let _ = self.world.events.send(line);
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.abort();
        }
    }
}

async fn serve(world: Arc<World>, listener: UnixListener) {
    // Ends with this task: the connections of an engine that stops are cut.
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let world = Arc::clone(&world);
        connections.spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&world, &request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let served = hyper::server::conn::http1::Builder::new();
            // A client that goes away in the middle is no failure of the engine's.
            let _ = served.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn answer(world: &World, request: &Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    if path == "/events" {
        let query = request.uri().query().unwrap();
        let since = query.split('&').find_map(|pair| pair.strip_prefix("since=")).unwrap().parse().unwrap();
        let history = world.history.lock().unwrap();
        let past: Vec<_> =
            history.iter().filter(|(at, _)| *at >= since).map(|(_, line)| line.clone()).collect();
        let events = lines(past, world.events.subscribe());
        return Response::new(BodyExt::boxed(StreamBody::new(events)));
    }
    let containers = world.containers.lock().unwrap();
    let (status, answer) = if path == "/containers/json" {
        let query = request.uri().query().unwrap_or_default();
        let found: Vec<_> = containers
            .values()
            .filter(|container| {
                let labels = container["Config"]["Labels"].as_object().unwrap();
                labels.iter().any(|(name, value)| {
                    query.contains(name) && query.contains(&value.as_str().unwrap().replace('@', "%40"))
                })
            })
            .map(|container| json!({ "Id": container["Id"] }))
            .collect();
        (200, json!(found))
    } else {
        let name = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json")).unwrap();
        match containers.iter().find(|(known, container)| *known == name || container["Id"] == name) {
            Some((_, container)) => (200, container.clone()),
            None => (404, json!({ "message": format!("No such container: {name}") })),
        }
    };
    let body = Full::new(Bytes::from(answer.to_string())).boxed();
    Response::builder().status(status).header("Content-Type", "application/json").body(body).unwrap()
}

fn lines(
    past: Vec<String>,
    events: broadcast::Receiver<String>,
) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, Infallible>> + Send + Sync {
    let coming = futures_util::stream::unfold(events, |mut events| async move {
        let event = events.recv().await.ok()?;
        Some((event, events))
    });
    futures_util::stream::iter(past).chain(coming).map(|event| Ok(Frame::data(Bytes::from(event))))
}
