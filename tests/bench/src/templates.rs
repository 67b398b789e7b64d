//! Template resources: how fast keys become files and served configuration, what that costs, and what it disturbs. The peer
//! is confd itself, when `CONFD=/path/to/confd` names one; without it its columns stay empty.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use convoy_confd::resource::Resource;
use convoy_confd::{World, functions};
use convoy_go_template::{Limits, Template, Value};
use convoy_road::loopback::{Loopback, free_address};
use convoy_road::process::{Process, program, wait_until};
use convoy_road::traffic::{Client, Target, Traffic};
use convoy_store::{Store, StoreSettings};
use tokio::runtime::Runtime;

use crate::table::{Samples, Table, ratio};
use crate::world::Nowhere;

const SOON: Duration = Duration::from_secs(30);
/// Longer than any quiet time, so that each change is the first after calm.
const CALM: Duration = Duration::from_millis(300);
/// The usual nesting: an upstream block for each service, a server for each of its keys.
const NESTED: &str = "{{range $name := lsdir \"/services\"}}upstream {{$name}} {\n\
    {{range gets (printf \"/services/%s/upstream/*\" $name)}}  server {{.Value}};\n{{end}}}\n{{end}}";
/// Services of five upstreams each.
const SIZES: [usize; 4] = [2, 200, 1000, 2000];

/// `only` is `render`, `files`, `bursts`, `cost` or `served`; without it all is measured.
pub(crate) fn measure(only: Option<&str>) -> Result<()> {
    let wanted = |part: &str| only.is_none_or(|only| only == part);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    if wanted("render") {
        renderings()?;
    }
    let road = Loopback::new()?;
    let store = runtime.block_on(async {
        Store::new(StoreSettings { endpoints: road.etcd().endpoints(), ..StoreSettings::default() })
    })?;
    let confd = std::env::var_os("CONFD").map(PathBuf::from);
    let bench = Bench { runtime, store, road, confd };
    if wanted("files") {
        bench.files()?;
    }
    if wanted("bursts") {
        bench.bursts()?;
    }
    if wanted("cost") {
        bench.cost()?;
    }
    if wanted("served") {
        bench.served()?;
    }
    Ok(())
}

/// What one change costs in the process: all keys in memory become the file's bytes.
fn renderings() -> Result<()> {
    let table = Table::new(
        "Keys in memory become a file's text, in the process (best of 20; confd: 1.07 s at 1000 x 5)",
    );
    let document = "[template]\nsrc = \"a\"\ndest = \"/a\"\nkeys = [\"/services\"]\n";
    let (resource, _) = Resource::parse("a.toml", document, None)?;
    let world: std::sync::Arc<dyn World> = std::sync::Arc::new(Nowhere);
    for services in SIZES {
        let keys = keys(services);
        let mut samples = Samples::default();
        for _ in 0..20 {
            let begin = Instant::now();
            let pairs = keys.iter().map(|(key, value)| (key.as_str(), value.as_bytes()));
            let (snapshot, _) = resource.view(pairs);
            let functions = functions(&snapshot, &world);
            let template = Template::parse("a", NESTED.as_bytes(), &functions)?;
            let text = template.render(&Value::Nil, &functions, Limits::default())?;
            ensure!(text.len() > services * 100);
            samples.push(begin.elapsed());
        }
        let best = samples.fastest();
        table.row([&format!("{services} services x 5"), &milliseconds(best), "–", "–"]);
        ensure!(
            services != 1000 || best < Duration::from_millis(20),
            "{best:?} for 1000 x 5; the bar is 20 ms"
        );
    }
    Ok(())
}

fn keys(services: usize) -> Vec<(String, String)> {
    let each = (0..services).flat_map(|service| (0..5).map(move |instance| (service, instance)));
    each.map(|(service, instance)| {
        let address = format!("10.{}.{}.{instance}:80", service / 250, service % 250);
        (format!("/services/s{service}/upstream/{instance}"), address)
    })
    .collect()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

/// Who follows the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Convoy,
    ConfdWatch,
    /// As the guide has it: every ten seconds.
    ConfdInterval,
}

struct Bench {
    runtime: Runtime,
    store: Store,
    road: Loopback,
    confd: Option<PathBuf>,
}

/// A follower at work, with its folder.
struct Follower {
    process: Process,
    folder: PathBuf,
}

impl Follower {
    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    fn lines(&self, name: &str) -> usize {
        self.read(name).lines().count()
    }

    /// Resident memory in KiB (proc_pid_status(5)).
    fn memory(&self) -> Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.context("no VmRSS")?.parse().context("VmRSS is no number")
    }

    /// CPU time of the process and of commands that have ended, in hundredths of a second (proc_pid_stat(5)).
    fn cpu(&self) -> Result<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id()))?;
        let fields = stat.rsplit_once(')').context("no stat")?.1;
        let times = fields.split_whitespace().skip(11).take(4);
        times.map(|time| time.parse::<u64>().context("a time is no number")).sum()
    }
}

impl Bench {
    /// Who can be measured here.
    fn all(&self) -> Vec<Who> {
        let peers = if self.confd.is_some() { vec![Who::ConfdWatch, Who::ConfdInterval] } else { Vec::new() };
        [Who::Convoy].into_iter().chain(peers).collect()
    }

    fn put(&self, key: &str, value: &str) -> Result<()> {
        Ok(self.runtime.block_on(self.store.put(key, value.as_bytes())).map(drop)?)
    }

    fn start(&self, who: Who, name: &str, template: &str, resource: &str) -> Result<Follower> {
        let folder = self.road.folder().join(format!("{name}-{who:?}"));
        let _ = std::fs::remove_dir_all(&folder);
        for part in ["confd/conf.d", "confd/templates", "out"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        std::fs::write(folder.join("confd/templates/a.tmpl"), template)?;
        let resource = resource.replace("{dir}", &folder.display().to_string());
        std::fs::write(
            folder.join("confd/conf.d/a.toml"),
            format!("[template]\nsrc = \"a.tmpl\"\n{resource}"),
        )?;
        let node = self.road.endpoints().replace("http://", "");
        let confdir = folder.join("confd");
        let mut command = match (who, &self.confd) {
            (Who::Convoy, _) | (_, None) => Command::new(program("lb-watcher")?),
            (_, Some(confd)) => Command::new(confd),
        };
        command.arg("-confdir").arg(&confdir).args(["-node", &node, "-log-level", "error"]);
        match who {
            Who::Convoy => command.arg("-watch").env("STATE_DIRECTORY", folder.join("state")),
            Who::ConfdWatch => command.args(["-backend", "etcdv3", "-watch"]),
            Who::ConfdInterval => command.args(["-backend", "etcdv3", "-interval", "10"]),
        };
        // There before anybody checks it.
        main_configuration(&folder)?;
        let process = Process::start(&format!("{name}-{who:?}"), self.road.folder(), &command)?;
        Ok(Follower { process, folder })
    }

    /// From a put to the file that has it.
    fn files(&self) -> Result<()> {
        let table = Table::new(
            "A key is put; time until the file has it (median and 99th percentile; check: true {{.src}}, reload: true)",
        );
        for services in SIZES {
            self.fill(services)?;
            let mut results = Vec::new();
            for who in self.all() {
                let resource = "dest = \"{dir}/out/a\"\nkeys = [\"/services\"]\ncheck_cmd = \"true {{.src}}\"\nreload_cmd = \"true\"\n";
                let follower = self.start(who, "files", NESTED, resource)?;
                wait_until("the first file", SOON, || Ok(!follower.read("out/a").is_empty()))?;
                let rounds = if who == Who::ConfdInterval { 3 } else { 60 };
                let mut samples = Samples::default();
                for round in 0..rounds {
                    std::thread::park_timeout(CALM);
                    let address = format!("10.255.{}.{}:80", round / 250, round % 250);
                    let begin = Instant::now();
                    self.put("/services/s0/upstream/0", &address)?;
                    wait_until("the change", SOON, || Ok(follower.read("out/a").contains(&address)))?;
                    samples.push(begin.elapsed());
                }
                results.push(samples);
            }
            compare(
                &table,
                &format!("{services} services x 5, confd -watch"),
                results.first(),
                results.get(1),
            );
            if results.len() > 2 {
                compare(
                    &table,
                    &format!("{services} services x 5, confd -interval 10"),
                    results.first(),
                    results.get(2),
                );
            }
        }
        Ok(())
    }

    fn fill(&self, services: usize) -> Result<()> {
        self.road.etcdctl(&["del", "--prefix", "/services/"])?;
        for chunk in keys(services).chunks(100) {
            let transaction =
                chunk.iter().fold(convoy_store::Transaction::new(), |transaction, (key, value)| {
                    transaction.put(key, value.as_str())
                });
            self.runtime.block_on(self.store.commit(transaction))?;
        }
        Ok(())
    }

    /// 200 puts in half a second.
    fn bursts(&self) -> Result<()> {
        let table = Table::new("200 puts in half a second: reloads until the last value is loaded");
        let mut results = Vec::new();
        for who in self.all().into_iter().filter(|who| *who != Who::ConfdInterval) {
            self.put("/burst/x", "begin")?;
            let resource = "dest = \"{dir}/out/a\"\nkeys = [\"/burst\"]\nreload_cmd = \"cp {dir}/out/a {dir}/loaded; echo r >> {dir}/reloads\"\n";
            let follower = self.start(who, "bursts", "{{getv \"/burst/x\"}}", resource)?;
            wait_until("the first reload", SOON, || Ok(follower.lines("reloads") == 1))?;
            std::thread::park_timeout(CALM);
            let begin = Instant::now();
            for number in 0..200u32 {
                let due = begin + Duration::from_micros(2500) * number;
                std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
                self.put("/burst/x", &number.to_string())?;
            }
            wait_until("the last value", SOON, || Ok(follower.read("loaded") == "199"))?;
            results.push(follower.lines("reloads") - 1);
        }
        let shown = |index: usize| results.get(index).map_or("–".to_owned(), ToString::to_string);
        table.row(["reloads (confd -watch)", &shown(0), &shown(1), "–"]);
        Ok(())
    }

    /// Memory and CPU, at rest and with a thousand changes per second.
    fn cost(&self) -> Result<()> {
        let table = Table::new("What a follower of 1000 services x 5 needs (CPU in percent of one core)");
        self.fill(1000)?;
        let mut memory = Vec::new();
        let mut rest = Vec::new();
        let mut busy = Vec::new();
        for who in self.all().into_iter().filter(|who| *who != Who::ConfdInterval) {
            let resource = "dest = \"{dir}/out/a\"\nkeys = [\"/services\"]\nreload_cmd = \"true\"\n";
            let follower = self.start(who, "cost", NESTED, resource)?;
            wait_until("the first file", SOON, || Ok(!follower.read("out/a").is_empty()))?;
            std::thread::park_timeout(Duration::from_secs(2));
            rest.push(share(&follower, Duration::from_secs(20), || Ok(()))?);
            let mut number = 0u32;
            busy.push(share(&follower, Duration::from_secs(10), || {
                let transaction = (0..10).fold(convoy_store::Transaction::new(), |transaction, instance| {
                    number += 1;
                    let (service, instance) = (number % 1000, instance % 5);
                    transaction.put(
                        format!("/services/s{service}/upstream/{instance}"),
                        format!("10.9.{}.{}:80", number / 250 % 250, number % 250),
                    )
                });
                Ok(self.runtime.block_on(self.store.commit(transaction)).map(drop)?)
            })?);
            memory.push(follower.memory()?);
        }
        let row = |what: &str, values: &[f64], unit: &str| {
            let shown = |index: usize| {
                values.get(index).map_or("–".to_owned(), |value| format!("{value:.2}{unit}"))
            };
            let compared = match values {
                [ours, peer, ..] => ratio(*ours, *peer),
                _ => "–".to_owned(),
            };
            table.row([what, &shown(0), &shown(1), &compared]);
        };
        row("CPU at rest (confd -watch)", &rest, " %");
        row("CPU with 1000 changes per second", &busy, " %");
        #[allow(clippy::cast_precision_loss)] // some thousand
        let memory: Vec<f64> = memory.into_iter().map(|kib| kib as f64 / 1024.0).collect();
        row("resident memory afterwards", &memory, " MiB");
        Ok(())
    }

    /// From a put to the answer of nginx that has it, and what 200 changes under load disturb.
    fn served(&self) -> Result<()> {
        let table =
            Table::new("A key is put; time until nginx serves it (check by nginx -t, nginx -s reload)");
        let mut results = Vec::new();
        let mut failed = Vec::new();
        for who in self.all().into_iter().filter(|who| *who != Who::ConfdInterval) {
            let address = free_address()?;
            self.put("/site/body", "begin")?;
            let template = format!(
                "server {{\n  listen {address};\n  return 200 \"{{{{getv \"/site/body\"}}}} \";\n}}\n"
            );
            let resource = "dest = \"{dir}/out/site.conf\"\nkeys = [\"/site\"]\n\
                check_cmd = \"/usr/sbin/nginx -t -q -e stderr -c {dir}/main.conf\"\n\
                reload_cmd = \"/usr/sbin/nginx -s reload -e stderr -c {dir}/main.conf\"\n";
            let follower = self.start(who, "served", &template, resource)?;
            wait_until("the site", SOON, || Ok(!follower.read("out/site.conf").is_empty()))?;
            let nginx = nginx(&follower.folder, self.road.folder())?;
            let target = Target { address, host: "site".to_owned(), path: "/".to_owned() };
            wait_until("nginx", SOON, || Ok(body(&target).is_some()))?;
            let mut samples = Samples::default();
            for round in 0..20 {
                std::thread::park_timeout(Duration::from_millis(500));
                let words = format!("body-{round}");
                let begin = Instant::now();
                self.put("/site/body", &words)?;
                wait_until("the new body", SOON, || {
                    Ok(body(&target).is_some_and(|body| body.starts_with(&words)))
                })?;
                samples.push(begin.elapsed());
            }
            let traffic = Traffic::start(&target, 8, Duration::ZERO, Duration::from_secs(120));
            for round in 0..200u32 {
                self.put("/site/body", &format!("load-{round}"))?;
                std::thread::park_timeout(Duration::from_millis(20));
            }
            wait_until("the last body", SOON, || {
                Ok(body(&target).is_some_and(|body| body.starts_with("load-199")))
            })?;
            let report = traffic.stop();
            failed.push(format!("{} of {}, {} sent again", report.failed, report.requests, report.resent));
            results.push(samples);
            drop(nginx);
        }
        compare(&table, "put to served (confd -watch)", results.first(), results.get(1));
        let shown = |index: usize| failed.get(index).cloned().unwrap_or_else(|| "–".to_owned());
        table.row(["requests that failed during 200 changes", &shown(0), &shown(1), "–"]);
        Ok(())
    }
}

fn compare(table: &Table, what: &str, ours: Option<&Samples>, peer: Option<&Samples>) {
    let shown = |samples: Option<&Samples>| {
        samples.map_or("–".to_owned(), |samples| {
            format!("{} p99 {}", milliseconds(samples.median()), milliseconds(samples.percentile(99)))
        })
    };
    let compared = match (ours, peer) {
        (Some(ours), Some(peer)) => ratio(ours.median().as_secs_f64(), peer.median().as_secs_f64()),
        _ => "–".to_owned(),
    };
    table.row([what, &shown(ours), &shown(peer), &compared]);
}

/// CPU in percent of one core while `each` is done a hundred times a second.
fn share(follower: &Follower, time: Duration, mut each: impl FnMut() -> Result<()>) -> Result<f64> {
    let (before, begin) = (follower.cpu()?, Instant::now());
    let mut due = begin;
    while begin.elapsed() < time {
        each()?;
        due += Duration::from_millis(10);
        std::thread::park_timeout(due.saturating_duration_since(Instant::now()));
    }
    let used = follower.cpu()?.saturating_sub(before);
    #[allow(clippy::cast_precision_loss)] // hundredths of some seconds
    Ok(used as f64 / begin.elapsed().as_secs_f64())
}

/// A main file of nginx that includes what is in `out/`.
fn main_configuration(folder: &Path) -> Result<()> {
    let dir = folder.display();
    let mut main = format!(
        "daemon off;\npid {dir}/nginx.pid;\nerror_log stderr;\nworker_processes 2;\nevents {{}}\nhttp {{\n  access_log off;\n"
    );
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        // Writing to a String can't fail.
        let _ = writeln!(main, "  {kind}_temp_path {dir}/{kind};");
    }
    let _ = writeln!(main, "  include {dir}/out/*.conf;\n}}");
    Ok(std::fs::write(folder.join("main.conf"), main)?)
}

fn nginx(folder: &Path, log: &Path) -> Result<Process> {
    let mut command = Command::new("/usr/sbin/nginx");
    command.args(["-e", "stderr", "-c"]).arg(folder.join("main.conf"));
    Process::start("nginx", log, &command)
}

fn body(target: &Target) -> Option<String> {
    Client::default().get(target).ok().filter(|answer| answer.status == 200).map(|answer| answer.body)
}
