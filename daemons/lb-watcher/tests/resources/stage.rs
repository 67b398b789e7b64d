//! A folder of resources, etcd, and lb-watcher as confd's users start it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use convoy_road::process::{Process, wait_until};
use convoy_store::{Store, StoreSettings};
use convoy_test_etcd::Etcd;
use rustix::process::Signal;

/// Longest wait for anything that should take a moment.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// The template of most tests: a line per upstream.
pub(crate) const LINES: &str = "{{range gets \"/app/*\"}}{{.Value}}\n{{end}}";

pub(crate) struct Stage {
    pub(crate) etcd: Etcd,
    pub(crate) folder: tempfile::TempDir,
    endpoints: Vec<String>,
    watcher: Option<Process>,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let etcd = Etcd::start(1).await.unwrap();
        let folder = tempfile::Builder::new().prefix("convoy-resources-").tempdir().unwrap();
        for name in ["confd/conf.d", "confd/templates", "out", "etc"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        let endpoints = etcd.endpoints();
        let stage = Self { etcd, folder, endpoints, watcher: None };
        stage.write("confd/templates/lines.tmpl", LINES);
        stage
    }

    /// The way to etcd leads elsewhere, as through a proxy.
    pub(crate) fn by_way_of(&mut self, endpoint: String) {
        self.endpoints = vec![endpoint];
    }

    pub(crate) fn store(&self) -> Store {
        let settings = StoreSettings { endpoints: self.etcd.endpoints(), ..StoreSettings::default() };
        Store::new(settings).unwrap()
    }

    pub(crate) async fn put(&self, key: &str, value: &str) -> i64 {
        self.store().put(key, value.as_bytes()).await.unwrap().get()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// Writes a resource. `{dir}` stands for the stage's folder; without a word about it the template is a line per key
    /// below `/app`.
    pub(crate) fn resource(&self, name: &str, fields: &str) {
        let mut text = String::from("[template]\n");
        let fields = fields.replace("{dir}", self.folder.path().to_str().unwrap());
        let sets = |name: &str| fields.lines().any(|line| line.starts_with(&format!("{name} =")));
        if !sets("src") {
            text.push_str("src = \"lines.tmpl\"\n");
        }
        if !sets("dest") {
            let stem = name.trim_end_matches(".toml");
            let _ = writeln!(text, "dest = \"{}\"", self.path(&format!("out/{stem}")).display());
        }
        if !sets("keys") {
            text.push_str("keys = [\"/app\"]\n");
        }
        text.push_str(&fields);
        self.write(&format!("confd/conf.d/{name}"), &text);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lb-watcher"));
        command.args(arguments);
        command
            .env("CONVOY_ETCD_ENDPOINTS", self.endpoints.join(","))
            .env("CONVOY_CONFIG_PATH", self.path("etc"))
            .env("STATE_DIRECTORY", self.path("state"))
            .env("RUNTIME_DIRECTORY", self.folder.path())
            .current_dir(self.folder.path());
        command
    }

    /// Runs to the end, with the folder of this stage.
    pub(crate) fn call(&self, arguments: &[&str]) -> Output {
        let confdir = self.path("confd");
        let split = usize::from(!arguments.first().is_some_and(|first| first.starts_with('-')));
        let (verb, rest) = arguments.split_at(split.min(arguments.len()));
        let mut command = self.command(verb);
        command.arg("--confdir").arg(confdir).args(rest);
        command.output().unwrap()
    }

    /// Runs to the end: whether it succeeded, and all that it said.
    pub(crate) fn told(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.call(arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }

    pub(crate) fn start(&mut self) {
        self.start_with(&[]);
    }

    pub(crate) fn start_with(&mut self, arguments: &[&str]) {
        let confdir = self.path("confd");
        let mut command = self.command(&["-watch", "-confdir", confdir.to_str().unwrap()]);
        command.args(arguments);
        self.watcher = Some(Process::start("watcher", self.folder.path(), command).unwrap());
    }

    /// KILL, and wait until it is gone.
    pub(crate) fn kill(&mut self) {
        if let Some(mut watcher) = self.watcher.take() {
            watcher.signal(Signal::KILL).unwrap();
            watcher.wait(SOON).unwrap();
        }
    }

    /// TERM, as systemd does.
    pub(crate) fn stop(&mut self) {
        let status = self.watcher.take().unwrap().stop(SOON).unwrap();
        assert!(status.success(), "{status}: {}", self.log());
    }

    pub(crate) fn pid(&self) -> u32 {
        self.watcher.as_ref().unwrap().id()
    }

    /// What the watchers wrote so far.
    pub(crate) fn log(&self) -> String {
        self.read("watcher.log")
    }

    /// A file's text; empty when it isn't there.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    pub(crate) fn lines(&self, name: &str) -> usize {
        self.read(name).lines().count()
    }

    pub(crate) fn wait(&self, what: &str, reached: impl Fn() -> bool) -> Duration {
        let begin = Instant::now();
        wait_until(what, SOON, || Ok(reached())).unwrap_or_else(|error| panic!("{error}\n{}", self.log()));
        begin.elapsed()
    }

    /// Waits until a file has this text.
    pub(crate) fn wait_text(&self, name: &str, text: &str) -> Duration {
        self.wait(&format!("{text:?} in {name}"), || self.read(name) == text)
    }

    /// Waits until the log has this so many times.
    pub(crate) fn wait_log(&self, words: &str, times: usize) -> Duration {
        self.wait(&format!("{words:?} in the log, {times} times"), || {
            self.log().matches(words).count() >= times
        })
    }

    /// Nothing of this folder's files is left half done.
    pub(crate) fn assert_no_candidates(&self) {
        let all = walk(self.folder.path());
        let left: Vec<_> =
            all.iter().filter(|path| path.to_str().unwrap().contains(".convoy-staged")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.kill();
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(walk(&entry.path()));
        } else {
            found.push(entry.path());
        }
    }
    found
}
