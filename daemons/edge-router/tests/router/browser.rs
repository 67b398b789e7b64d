//! A real browser: Chromium without a window, told what to do by its DevTools protocol.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::{Message, WebSocket};

use crate::support::{PATIENCE, eventually};

/// True where Chromium is installed. Where it isn't, a test says so and ends; on CI it fails.
pub(crate) fn is_there() -> bool {
    let is_there = Command::new("chromium").arg("--version").output().is_ok();
    assert!(is_there || std::env::var_os("CI").is_none_or(|ci| ci != "true"), "chromium is not installed");
    if !is_there {
        println!("skipped: chromium is not installed (packaging/setup-debian.sh test)");
    }
    is_there
}

/// One window with one page. Ends when it is dropped.
pub(crate) struct Browser {
    child: Child,
    _profile: TempDir,
    socket: WebSocket<TcpStream>,
    session: Option<String>,
    calls: u64,
    complaints: BTreeSet<String>,
}

impl Browser {
    /// Opens a page.
    pub(crate) fn open(url: &str) -> Self {
        let profile = tempfile::Builder::new().prefix("convoy-browser-").tempdir().unwrap();
        let child = Command::new("chromium")
            .args(["--headless=new", "--disable-gpu", "--no-first-run", "--no-proxy-server"])
            // Its sandbox needs a user of its own, and what it opens here is our own page.
            .args(["--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"])
            .args(["--remote-debugging-port=0", "about:blank"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let told = profile.path().join("DevToolsActivePort");
        let mut address = None;
        eventually("the browser listens", || {
            let text = fs::read_to_string(&told).unwrap_or_default();
            address = text.split_once('\n').map(|(port, path)| (port.to_owned(), path.to_owned()));
            address.as_ref().is_some_and(|(_, path)| !path.is_empty())
        });
        let (port, path) = address.unwrap();
        let stream = TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap()))).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let (socket, _) = tungstenite::client(format!("ws://127.0.0.1:{port}{path}"), stream).unwrap();
        let (session, complaints) = (None, BTreeSet::new());
        let mut browser = Self { child, _profile: profile, socket, session, calls: 0, complaints };
        let target = browser.call("Target.createTarget", &json!({"url": "about:blank"}));
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", &attach);
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            browser.call(domain, &json!({}));
        }
        let opened = browser.call("Page.navigate", &json!({ "url": url }));
        assert_eq!(opened["errorText"], Value::Null, "{url}");
        browser
    }

    /// The value of an expression.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let words = json!({"expression": expression, "returnByValue": true});
        let mut result = self.call("Runtime.evaluate", &words);
        assert_eq!(result["exceptionDetails"], Value::Null, "{expression}");
        result["result"]["value"].take()
    }

    /// The value of an expression that is a text.
    pub(crate) fn text(&mut self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_default().to_owned()
    }

    /// What it has said in its console since the start, warnings and errors.
    pub(crate) fn complaints(&mut self) -> &BTreeSet<String> {
        // What it had to say comes before the answer.
        self.value("1");
        &self.complaints
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.socket.send(Message::text(message.to_string())).unwrap();
        loop {
            let heard = self.socket.read().unwrap();
            if !heard.is_text() {
                continue;
            }
            let mut heard: Value = serde_json::from_str(heard.to_text().unwrap()).unwrap();
            if heard["id"] == json!(self.calls) {
                assert_eq!(heard["error"], Value::Null, "{method}");
                return heard["result"].take();
            }
            self.listen(&heard);
        }
    }

    fn listen(&mut self, event: &Value) {
        let about = &event["params"];
        let is_complaint = match event["method"].as_str().unwrap_or_default() {
            "Runtime.exceptionThrown" => true,
            "Runtime.consoleAPICalled" => {
                ["error", "warning", "assert"].iter().any(|kind| about["type"] == *kind)
            }
            "Log.entryAdded" => ["error", "warning"].iter().any(|level| about["entry"]["level"] == *level),
            _ => false,
        };
        if is_complaint {
            self.complaints.insert(about.to_string());
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Captured by the harness, and shown only with the failure.
            print!("the browser's complaints: {:#?}", self.complaints);
        }
        let close = json!({"id": 0, "method": "Browser.close"});
        // One that can't be talked to any more is killed.
        if self.socket.send(Message::text(close.to_string())).is_err() || std::io::stdout().flush().is_err() {
            let _ = self.child.kill();
        }
        while self.socket.read().is_ok() {}
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
