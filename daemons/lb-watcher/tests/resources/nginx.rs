//! Files of a real nginx: fragments, a reload that lies, an nginx that is gone.

use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use convoy_road::loopback::free_address;
use convoy_road::process::Process;

use crate::stage::{SOON, Stage};

/// nginx with a main file that includes the fragments in `out/`.
struct Nginx {
    process: Option<Process>,
    address: SocketAddr,
}

impl Nginx {
    fn prepare(stage: &Stage) -> Self {
        let address = free_address().unwrap();
        let dir = stage.folder.path().display();
        stage.write(
            "main.conf",
            &format!(
                "daemon off;\npid {dir}/nginx.pid;\nerror_log stderr;\nworker_processes 2;\n\
                 events {{}}\nhttp {{\n  access_log off;\n  client_body_temp_path {dir}/b;\n  proxy_temp_path {dir}/p;\n\
                 \x20 fastcgi_temp_path {dir}/f;\n  uwsgi_temp_path {dir}/u;\n  scgi_temp_path {dir}/s;\n\
                 \x20 include {dir}/out/*.conf;\n}}\n"
            ),
        );
        Self { process: None, address }
    }

    fn start(&mut self, stage: &Stage) {
        let mut command = Command::new("/usr/sbin/nginx");
        command.args(["-e", "stderr", "-c"]).arg(stage.path("main.conf"));
        self.process = Some(Process::start("nginx", stage.folder.path(), command).unwrap());
        stage.wait("nginx to run", || {
            stage.path("nginx.pid").exists() || !stage.path("out/site.conf").exists()
        });
    }

    fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop(SOON).unwrap();
        }
    }

    fn get(&self) -> Option<String> {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(self.address).ok()?;
        stream.set_read_timeout(Some(SOON)).ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
        let mut text = String::new();
        stream.read_to_string(&mut text).ok()?;
        Some(text.split_once("\r\n\r\n")?.1.to_owned())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A fragment whose body and further directives come from keys.
fn fragment(stage: &Stage, nginx: &Nginx) {
    stage.write(
        "confd/templates/site.tmpl",
        &format!(
            "server {{\n  listen {};\n{{{{if exists \"/app/extra\"}}}}  {{{{getv \"/app/extra\"}}}}\n{{{{end}}}}  return 200 \"{{{{getv \"/app/body\"}}}}\";\n}}\n",
            nginx.address
        ),
    );
    stage.resource(
        "site.toml",
        "src = \"site.tmpl\"\ndest = \"{dir}/out/site.conf\"\n\
         check_cmd = \"/usr/sbin/nginx -t -e stderr -c {dir}/main.conf\"\n\
         reload_cmd = \"/usr/sbin/nginx -s reload -e stderr -c {dir}/main.conf\"\n",
    );
}

async fn serving(stage: &mut Stage) -> Nginx {
    let mut nginx = Nginx::prepare(stage);
    stage.put("/app/body", "one").await;
    fragment(stage, &nginx);
    nginx.start(stage);
    stage.start();
    stage.wait("nginx to serve the first", || nginx.get().as_deref() == Some("one"));
    stage.wait_log("1 file is loaded, which its reader proved", 1);
    nginx
}

#[tokio::test]
async fn b16_a_fragment_is_checked_as_part_of_the_whole_and_a_bad_one_is_never_in_place() {
    let mut stage = Stage::new().await;
    let nginx = serving(&mut stage).await;
    // What the check says nobody else sees.
    stage.resource(
        "site.toml",
        "src = \"site.tmpl\"\ndest = \"{dir}/out/site.conf\"\n\
         check_cmd = \"cp {dir}/out/site.conf {dir}/seen-by-check; /usr/sbin/nginx -t -e stderr -c {dir}/main.conf; s=$?; \
         touch {dir}/checking; while test -e {dir}/checking; do sleep 0.01; done; exit $s\"\n\
         reload_cmd = \"/usr/sbin/nginx -s reload -e stderr -c {dir}/main.conf\"\n",
    );
    stage.put("/app/extra", "no_such_directive on;").await;
    stage.wait("the check", || stage.path("checking").exists());
    assert!(stage.read("seen-by-check").contains("no_such_directive"));
    assert!(!stage.read("out/site.conf").contains("no_such_directive"));
    std::fs::remove_file(stage.path("checking")).unwrap();
    stage.wait_log("unknown directive \\\"no_such_directive\\\"", 1);
    assert_eq!(nginx.get().as_deref(), Some("one"));
    stage.kill();
}

#[tokio::test]
async fn b17_a_reload_that_says_well_and_changes_nothing_is_noticed_taken_back_and_tried_again() {
    let mut stage = Stage::new().await;
    let nginx = serving(&mut stage).await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    stage.put("/app/extra", &format!("listen {port};")).await;
    stage.wait_log("the new files are not served: nginx has started no new workers", 1);
    stage.wait("the good file", || !stage.read("out/site.conf").contains(&port.to_string()));
    assert_eq!(nginx.get().as_deref(), Some("one"));
    stage.wait("the alarm of lb-watcher status", || {
        let (good, text) = stage.told(&["status"]);
        !good && text.contains("no new workers")
    });
    drop(taken);
    stage.wait("both ports to be served", || std::net::TcpStream::connect(port).is_ok());
    stage.wait_log("1 file is loaded, which its reader proved", 2);
    stage.wait("the end of the alarm", || stage.told(&["status"]).0);
}

#[tokio::test]
async fn b18_loaded_means_that_nobody_answers_with_the_old_one_any_more() {
    let mut stage = Stage::new().await;
    let nginx = serving(&mut stage).await;
    for number in 0..8 {
        let before = stage.log().matches("which its reader proved").count();
        stage.put("/app/body", &format!("body {number}")).await;
        stage.wait_log("which its reader proved", before + 1);
        for _ in 0..50 {
            assert_eq!(nginx.get(), Some(format!("body {number}")));
        }
    }
}

#[tokio::test]
async fn an_nginx_that_is_gone_gets_the_files_for_its_start() {
    let mut stage = Stage::new().await;
    let mut nginx = serving(&mut stage).await;
    nginx.stop();
    stage.put("/app/body", "two").await;
    stage.wait("the new file", || stage.read("out/site.conf").contains("two"));
    stage.wait_log("their reader does not run and reads them when it starts", 1);
    nginx.start(&stage);
    stage.wait("nginx to serve the second", || nginx.get().as_deref() == Some("two"));
    stage.put("/app/body", "three").await;
    stage.wait("nginx to serve the third", || nginx.get().as_deref() == Some("three"));
}
