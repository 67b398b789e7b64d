//! Bringing a cluster up, step by step.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::addressing::{container_subnet, machine_address, seed_count};
use crate::cache::{self, hex};
use crate::cleanup;
use crate::cloud_config::{Values, fill_in};
use crate::cluster::Cluster;
use crate::error::ClusterError;
use crate::images::{self, Images};
use crate::layout::{ClusterDir, MachineDir};
use crate::network;
use crate::nspawn::{self, IMAGES, SHARE};
use crate::options::UpOptions;
use crate::possible;
use crate::progress::step;
use crate::prune::keep_and_prune;
use crate::record::{MachineRecord, Record};

const RELEASE: &str = "convoy.tar.gz";
const READY_DEADLINE: Duration = Duration::from_secs(180);

pub(crate) fn up(options: &UpOptions) -> Result<Cluster, ClusterError> {
    options.check()?;
    possible::check(&options.state)?;
    let reporter = &*options.reporter;
    let _cluster_lock = cache::lock(&options.state, &options.name)?;
    let (base, images) = {
        let _cache_lock = cache::lock(&options.state, "cache")?;
        let base = cache::base_tree(&options.state, reporter)?;
        let images = images::images(&options.state, &base, reporter)?;
        keep_and_prune(&options.state, &[&base, images.folder()]);
        (base, images)
    };
    let dir = options.state.cluster(&options.name);
    if dir.path().exists() {
        step(reporter, "remove what is left of the cluster before", || {
            cleanup::remove(&options.state, &options.name)
        })?;
    }
    let record = Record {
        name: options.name.clone(),
        base: base.to_string_lossy().into_owned(),
        images: images.archive().to_string_lossy().into_owned(),
        convoy: options.release.is_some(),
        machines: (1..=options.machines)
            .map(|index| machine_record(options, index))
            .collect::<Result<_, _>>()?,
    };
    let cluster = Cluster::new(options.state.clone(), record);
    let title = format!("prepare {} machines", options.machines);
    step(reporter, &title, || prepare(options, &cluster, &dir, &base, &images))?;
    step(reporter, "boot them", || cluster.machines().try_for_each(|machine| machine.boot()))?;
    for machine in cluster.machines() {
        let title = format!("{} is ready at {}", machine.name(), machine.address());
        step(reporter, &title, || machine.wait_ready(READY_DEADLINE))?;
    }
    Ok(cluster)
}

/// The folders that all machines see, read-only.
pub(crate) fn read_only_folders(dir: &ClusterDir, record: &Record) -> Vec<(PathBuf, &'static str)> {
    vec![(dir.share(), SHARE), (PathBuf::from(&record.images), IMAGES)]
}

/// The last lines of a file, for messages.
pub(crate) fn tail(path: &Path) -> String {
    let text = fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

fn machine_record(options: &UpOptions, index: u8) -> Result<MachineRecord, ClusterError> {
    let mut id = [0u8; 16];
    let path = Path::new("/dev/urandom");
    let read = fs::File::open(path).and_then(|mut source| std::io::Read::read_exact(&mut source, &mut id));
    read.map_err(ClusterError::file("read", path))?;
    Ok(MachineRecord { index, machine_id: hex(&id), nginx: !options.without_nginx.contains(&index) })
}

fn prepare(
    options: &UpOptions,
    cluster: &Cluster,
    dir: &ClusterDir,
    base: &Path,
    images: &Images,
) -> Result<(), ClusterError> {
    let share = dir.share();
    fs::create_dir_all(&share).map_err(ClusterError::file("create", &share))?;
    cluster.record().save(dir)?;
    network::create_bridge(&dir.network())?;
    let user_data = user_data(options, &share)?;
    for machine in cluster.machines() {
        let folder = machine.dir();
        nspawn::mount_tree(&folder, base)?;
        cleanup::copy_storage(&images.docker(), &folder.docker())?;
        give_identity(&folder, &machine)?;
        if let Some(user_data) = &user_data {
            seed_cloud_init(&folder, &machine, user_data)?;
        }
        for (name, text) in &options.fragments {
            write(&folder.tree().join("etc/convoy/config.d").join(name), text)?;
        }
    }
    Ok(())
}

fn give_identity(folder: &MachineDir, machine: &crate::Machine) -> Result<(), ClusterError> {
    let tree = folder.tree();
    write(&tree.join("etc/machine-id"), &format!("{}\n", machine.machine_id()))?;
    write(&tree.join("etc/hostname"), &format!("{}\n", machine.name()))?;
    write(
        &tree.join("etc/hosts"),
        &format!("127.0.0.1 localhost\n{} {}\n", machine.address(), machine.name()),
    )?;
    let (address, prefix) = container_subnet(machine.index());
    write(&tree.join("etc/docker/daemon.json"), &format!("{{\"bip\": \"{address}/{prefix}\"}}\n"))?;
    if !machine.has_nginx() {
        let nginx = tree.join("usr/sbin/nginx");
        fs::remove_file(&nginx).map_err(ClusterError::file("remove", &nginx))?;
    }
    Ok(())
}

fn seed_cloud_init(
    folder: &MachineDir,
    machine: &crate::Machine,
    user_data: &str,
) -> Result<(), ClusterError> {
    let seed = folder.tree().join("var/lib/cloud/seed/nocloud");
    let meta_data = format!("instance-id: {}\nlocal-hostname: {}\n", machine.machine_id(), machine.name());
    write(&seed.join("meta-data"), &meta_data)?;
    write(&seed.join("user-data"), user_data)
}

/// cloud-config.yaml with this cluster's values, or none without a release.
fn user_data(options: &UpOptions, share: &Path) -> Result<Option<String>, ClusterError> {
    let Some(release) = &options.release else { return Ok(None) };
    let bytes = fs::read(release).map_err(ClusterError::file("read", release))?;
    let target = share.join(RELEASE);
    fs::write(&target, &bytes).map_err(ClusterError::file("write", &target))?;
    let path = &options.cloud_config;
    let document = fs::read_to_string(path).map_err(ClusterError::file("read", path))?;
    let seeds: Vec<Ipv4Addr> = (1..=seed_count(options.machines)).map(machine_address).collect();
    let values = Values {
        seeds,
        token: options.name.clone(),
        domain: options.domain.clone(),
        release_url: format!("file://{SHARE}/{RELEASE}"),
        release_sha256: hex(&Sha256::digest(&bytes)),
    };
    fill_in(&document, &values).map(Some)
}

fn write(path: &Path, text: &str) -> Result<(), ClusterError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(ClusterError::file("create", parent))?;
    }
    fs::write(path, text).map_err(ClusterError::file("write", path))
}
