//! One load balancer: etcd, nginx or HAProxy, and lb-watcher, and what a test does with them.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use convoy_lb_config::Engine;
use convoy_road::loopback::free_address;
use convoy_road::process::{Process, wait_until};
use convoy_store::{Compare, Store, StoreSettings, Transaction};
use convoy_test_etcd::Etcd;
use rustix::process::Signal;

/// Longest wait for anything that should take a moment.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// An answer of nginx or HAProxy.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    /// The instance that answered.
    pub(crate) fn instance(&self) -> &str {
        self.body.lines().next().unwrap_or_default()
    }
}

pub(crate) struct Balancer {
    pub(crate) etcd: Etcd,
    pub(crate) store: Store,
    pub(crate) address: SocketAddr,
    pub(crate) directory: tempfile::TempDir,
    engine: Engine,
    options: Vec<String>,
    program: Option<Process>,
    watcher: Option<Process>,
}

impl Balancer {
    /// Everything, with these options for the watcher beside the necessary ones.
    pub(crate) async fn start(options: &[&str]) -> Self {
        Self::of(Engine::Nginx, options).await
    }

    /// The same with this program.
    pub(crate) async fn of(engine: Engine, options: &[&str]) -> Self {
        let mut balancer = Self::of_without_watcher(engine, options).await;
        balancer.start_watcher();
        balancer.wait_log("the load balancer is announced", 1);
        balancer
    }

    /// etcd and nginx with the configuration of bootstrap.
    pub(crate) async fn without_watcher(options: &[&str]) -> Self {
        Self::of_without_watcher(Engine::Nginx, options).await
    }

    /// The same with this program.
    pub(crate) async fn of_without_watcher(engine: Engine, options: &[&str]) -> Self {
        let etcd = Etcd::start(1).await.unwrap();
        let settings = StoreSettings { endpoints: etcd.endpoints(), ..StoreSettings::default() };
        let store = Store::new(settings).unwrap();
        let directory = tempfile::Builder::new().prefix("convoy-lb-").tempdir().unwrap();
        let mut balancer = Self {
            etcd,
            store,
            address: free_address().unwrap(),
            directory,
            engine,
            options: options.iter().map(ToString::to_string).collect(),
            program: None,
            watcher: None,
        };
        balancer.start_program();
        balancer
    }

    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lb-watcher"));
        command.arg(verb).args(["--app", "someapp", "--instance", "1"]);
        command.args(["--announce", &self.address.to_string()]).arg("--state-dir").arg(self.state());
        command.arg(if self.engine == Engine::Nginx { "--kind=host" } else { "--kind=haproxy" });
        command.args(&self.options);
        command.env("CONVOY_ETCD_ENDPOINTS", self.etcd.endpoints().join(","));
        command
            .env("CONVOY_CONFIG_PATH", self.path("config.d"))
            .env("RUNTIME_DIRECTORY", self.directory.path());
        command
    }

    /// Runs a command of lb-watcher to its end: whether it succeeded, and its output.
    pub(crate) fn call(&self, verb: &str) -> (bool, String) {
        let output = self.command(verb).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn start_program(&mut self) {
        let (good, text) = self.call("bootstrap");
        assert!(good, "{text}");
        let name = self.engine.program();
        let mut command = Command::new(format!("/usr/sbin/{name}"));
        match self.engine {
            Engine::Nginx => command.args(["-e", "stderr", "-c"]),
            Engine::Haproxy => command.args(["-W", "-f"]),
        };
        command.arg(self.live());
        let program = Process::start(name, self.directory.path(), command).unwrap();
        std::fs::write(self.pid_file(), program.id().to_string()).unwrap();
        self.program = Some(program);
        let (up, text) = self.call("wait");
        assert!(up, "{text}");
    }

    pub(crate) fn stop_program(&mut self) {
        // TERM reaches the workers; a killed master would leave them behind.
        if let Some(program) = self.program.take() {
            program.stop(SOON).unwrap();
        }
    }

    /// What it reads when it starts.
    pub(crate) fn live(&self) -> PathBuf {
        self.state().join(self.engine.file_name())
    }

    /// Where the number of the master stands.
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.path(&format!("{}.pid", self.engine.program()))
    }

    /// Has another program take over, at its next start.
    pub(crate) fn become_engine(&mut self, engine: Engine) {
        assert!(self.program.is_none() && self.watcher.is_none());
        self.engine = engine;
    }

    pub(crate) fn start_watcher(&mut self) {
        let mut command = self.command("run");
        let signal = if self.engine == Engine::Nginx { "HUP" } else { "USR2" };
        let reload = format!("kill -{signal} $(cat {})", self.pid_file().display());
        if !self.options.iter().any(|option| option == "--reload-command") {
            command.args(["--reload-command", &reload]);
        }
        self.watcher = Some(Process::start("watcher", self.directory.path(), command).unwrap());
    }

    pub(crate) fn signal_watcher(&self, signal: Signal) {
        self.watcher.as_ref().unwrap().signal(signal).unwrap();
    }

    /// KILL, and wait until it is gone.
    pub(crate) fn kill_watcher(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            watcher.signal(Signal::KILL).unwrap();
            watcher.wait(SOON).unwrap();
        }
    }

    /// TERM, as systemd does.
    pub(crate) fn stop_watcher(&mut self) {
        let status = self.watcher.take().unwrap().stop(SOON).unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// What the watchers wrote so far.
    pub(crate) fn log(&self) -> String {
        read(&self.path("watcher.log"))
    }

    /// Waits until the log has this so many times.
    pub(crate) fn wait_log(&self, words: &str, times: usize) {
        wait_until(&format!("{words:?} in the log"), SOON, || Ok(self.log().matches(words).count() >= times))
            .unwrap_or_else(|error| {
                panic!("{error}\n{}\n{}: {}", self.log(), self.engine, self.program_log())
            });
    }

    /// What nginx or HAProxy wrote so far.
    pub(crate) fn program_log(&self) -> String {
        read(&self.path(&format!("{}.log", self.engine.program())))
    }

    pub(crate) async fn put(&self, instance: &str, address: &str) -> i64 {
        let key = format!("/services/someapp/upstream/{instance}");
        self.store.put(&key, address.as_bytes()).await.unwrap().get()
    }

    pub(crate) async fn delete(&self, instance: &str) -> i64 {
        let key = format!("/services/someapp/upstream/{instance}");
        self.store.delete(&key).await.unwrap().get()
    }

    /// The owner of an instance says that it goes, as a registrar does.
    pub(crate) async fn withdraw(&self, instance: &str) -> i64 {
        let record = r#"{"state":"draining","machine_id":"m","unit":"someapp@1.service","since":1}"#;
        let key = format!("/services/someapp/upstream/{instance}");
        let is_there = Transaction::new().when(Compare::Present { key: key.clone() });
        let says = is_there.put(format!("/convoy/instances/someapp/{instance}"), record);
        let transaction = says.delete(key);
        self.store.commit(transaction).await.unwrap().revision.get()
    }

    pub(crate) async fn value(&self, key: &str) -> Option<String> {
        let entry = self.store.get(key).await.unwrap()?;
        Some(String::from_utf8(entry.value).unwrap())
    }

    /// Waits until the watcher has announced that this revision is applied.
    pub(crate) async fn wait_applied(&self, revision: i64) {
        let limit = tokio::time::Instant::now() + SOON;
        loop {
            let value = self.value("/convoy/applied/someapp/lb-1").await;
            if value.as_ref().and_then(|text| text.parse::<i64>().ok()).is_some_and(|found| found >= revision)
            {
                return;
            }
            assert!(tokio::time::Instant::now() < limit, "{value:?} instead of {revision}: {}", self.log());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    pub(crate) fn get(&self) -> Answer {
        request(self.address, "GET", "").unwrap()
    }

    /// Waits until a request is answered by this instance.
    pub(crate) fn wait_instance(&self, name: &str) -> Duration {
        wait_until(&format!("an answer of {name}"), SOON, || Ok(self.get().instance() == name))
            .unwrap_or_else(|error| panic!("{error}: {:?}\n{}", self.get(), self.log()))
    }

    /// A metric of the running watcher.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let mut stream = UnixStream::connect(self.path("metrics.sock")).unwrap();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let line = text.lines().find(|line| line.split([' ', '{']).next() == Some(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok())
            .unwrap_or_else(|| panic!("{name}: {text}"))
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.kill_watcher();
        self.stop_program();
    }
}

/// One request over a connection of its own.
pub(crate) fn request(address: SocketAddr, method: &str, headers: &str) -> std::io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SOON))?;
    let text = format!(
        "{method} /path?x=1 HTTP/1.1\r\nHost: some.app:81\r\nConnection: close\r\n{headers}Content-Length: 0\r\n\r\n"
    );
    stream.write_all(text.as_bytes())?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let parts = text.split_once("\r\n\r\n");
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
    match (parts, status) {
        (Some((head, body)), Some(status)) => {
            Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
        }
        _ => Err(std::io::Error::other(format!("no answer: {text:?}"))),
    }
}

/// A file's text; empty when it isn't there.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}
