//! The sample container images, made on a machine of the cluster's own kind out of Debian packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cache::{BUILD, build, listed, make, recipe_hash, script};
use crate::cleanup;
use crate::command::{self, SHORT};
use crate::error::ClusterError;
use crate::layout::{MachineDir, StateDir};
use crate::network;
use crate::nspawn::{self, Boot};
use crate::progress::{Reporter, step};
use crate::wait::wait_until;

/// The name of the one-machine cluster that builds the images.
const BUILDER: &str = "image-builder";

const PACKAGES: &str = include_str!("../../images/packages.txt");
const RECIPE: &str = include_str!("../../images/build.sh");
/// The build contexts: path, text.
const CONTEXT: [(&str, &str); 8] = [
    ("someapp/Dockerfile", include_str!("../../images/someapp/Dockerfile")),
    ("someapp/server.js", include_str!("../../images/someapp/server.js")),
    ("apache/Dockerfile", include_str!("../../images/apache/Dockerfile")),
    ("apache/container.conf", include_str!("../../images/apache/container.conf")),
    ("apache/index.html", include_str!("../../images/apache/index.html")),
    ("nginx/Dockerfile", include_str!("../../images/nginx/Dockerfile")),
    ("nginx/nginx.conf", include_str!("../../images/nginx/nginx.conf")),
    ("build.sh", RECIPE),
];

/// The made images: `archive/images.tar` for `docker load` and `podman load`, `docker` as Docker's storage has them.
#[derive(Debug, Clone)]
pub(crate) struct Images {
    folder: PathBuf,
}

impl Images {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.folder.join("archive")
    }

    pub(crate) fn docker(&self) -> PathBuf {
        self.folder.join("docker")
    }
}

/// The images; built when their recipe changed.
pub(crate) fn images(state: &StateDir, base: &Path, reporter: &dyn Reporter) -> Result<Images, ClusterError> {
    let recipe: Vec<&str> = std::iter::once(BUILD).chain(listed(PACKAGES)).collect();
    let layer = state.cache().join(format!("layer-{}.tar", recipe_hash(&recipe)));
    let context = CONTEXT.iter().flat_map(|(path, text)| [*path, *text]);
    let whole: Vec<&str> = recipe.into_iter().chain(context).collect();
    let folder = state.cache().join(format!("images-{}", recipe_hash(&whole)));
    if folder.is_dir() {
        return Ok(Images { folder });
    }
    if !layer.is_file() {
        build_layer(&layer, reporter)?;
    }
    step(reporter, "build the sample images (once)", || {
        make(&folder, |partial| {
            let built = build_on_a_machine(state, base, &layer, &Images { folder: partial.to_owned() });
            cleanup::remove(state, BUILDER)?;
            built
        })
    })?;
    Ok(Images { folder })
}

fn build_layer(layer: &Path, reporter: &dyn Reporter) -> Result<(), ClusterError> {
    let title = "build the layer of the sample images (once)";
    step(reporter, title, || {
        make(layer, |partial| {
            // mmdebstrap goes by the extension.
            let archive = partial.with_extension("draft.tar");
            let mut command = script(BUILD);
            command.arg("essential").arg(&archive).args(listed(PACKAGES));
            build(title, command, reporter)?;
            fs::rename(&archive, partial).map_err(ClusterError::file("rename", &archive))
        })
    })
}

fn build_on_a_machine(
    state: &StateDir,
    base: &Path,
    layer: &Path,
    images: &Images,
) -> Result<(), ClusterError> {
    cleanup::remove(state, BUILDER)?;
    let dir = state.cluster(BUILDER);
    let machine = dir.machine("m1");
    fs::create_dir_all(dir.share()).map_err(ClusterError::file("create", &dir.share()))?;
    nspawn::mount_tree(&machine, base)?;
    write_context(&machine, layer)?;
    network::create_bridge(&dir.network())?;
    network::plug_in(&dir.network(), &machine.network(), 1)?;
    let cgroup = nspawn::cgroup(BUILDER, "m1")?;
    nspawn::boot(&Boot {
        dir: &machine,
        name: "m1",
        cluster_network: &dir.network(),
        cgroup: &cgroup,
        read_only: &[],
    })?;
    let in_machine = |what: &str, arguments: &[&str], within: Duration| {
        let program = arguments.first().copied().unwrap_or("true");
        let Some(first) = nspawn::first_process(&machine) else {
            return Err(ClusterError::Unknown("the machine that builds the images has gone down".into()));
        };
        let mut command = nspawn::inside(first, program);
        command.args(arguments.iter().skip(1));
        command::run(what, command, None, within)?.ok(what)
    };
    wait_until("Docker on the machine that builds the images", SHORT, || {
        in_machine("docker info", &["docker", "info"], SHORT).map_err(|error| error.to_string())
    })?;
    let build = ["sh", "/var/tmp/context/build.sh", "/var/tmp/context", "/var/tmp/images.tar"];
    in_machine("build the images", &build, Duration::from_secs(10 * 60))?;
    // A clean stop, so that Docker's databases are complete.
    in_machine("stop Docker", &["systemctl", "stop", "docker.service", "docker.socket"], SHORT)?;
    nspawn::kill(&cgroup)?;
    keep(&machine, images)
}

fn write_context(machine: &MachineDir, layer: &Path) -> Result<(), ClusterError> {
    let context = machine.tree().join("var/tmp/context");
    for (path, text) in CONTEXT {
        let path = context.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(ClusterError::file("create", parent))?;
        }
        fs::write(&path, text).map_err(ClusterError::file("write", &path))?;
    }
    let target = context.join("layer.tar");
    fs::copy(layer, &target).map(drop).map_err(ClusterError::file("write", &target))
}

/// Moves the results out of the machine; what belongs to this one engine and not to the images stays behind.
fn keep(machine: &MachineDir, images: &Images) -> Result<(), ClusterError> {
    let what = "keep the images";
    let mut command = Command::new("sh");
    command.args(["-euc", "mkdir -p \"$3\"; mv \"$1\" \"$3/images.tar\"; mv \"$2\" \"$4\"; cd \"$4\"; rm -rf network engine-id containers tmp runtimes swarm", "sh"]);
    command.arg(machine.tree().join("var/tmp/images.tar")).arg(machine.docker());
    command.args([images.archive(), images.docker()]);
    command::run(what, command, None, SHORT)?.ok(what).map(drop)
}
