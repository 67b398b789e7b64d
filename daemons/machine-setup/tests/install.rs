//! What `machine-setup` leaves on a machine, seen through a folder that stands for its root.
#![allow(clippy::unwrap_used, reason = "helpers of tests; clippy exempts the tests only")]

use std::fs;
use std::path::Path;

use convoy_config::SearchPath;
use convoy_machine_setup::{Role, Roots, SetupError, install};

const ID: &str = "0123456789abcdef0123456789abcdef";

fn machine(root: &Path, configuration: &str) -> Roots {
    for (path, text) in [
        ("etc/machine-id", format!("{ID}\n")),
        ("proc/sys/kernel/hostname", "core-1\n".into()),
        ("etc/convoy/config.d/50-cluster.toml", configuration.into()),
    ] {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    fs::create_dir_all(root.join("var/lib/etcd")).unwrap();
    Roots { root: root.to_owned(), configuration: SearchPath::new([root.join("etc/convoy/config.d")]) }
}

fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root.join("run/convoy")).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_machine_that_changes_its_role_has_the_files_of_the_new_one_only() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let with = |private: &str| {
        format!("[machine]\nprivate_ipv4 = \"{private}\"\n[cluster]\nseeds = [\"10.0.0.1\"]\ntoken = \"t\"\n")
    };
    let roots = machine(root, &with("10.0.0.1"));
    install(&roots, &roots.gather().unwrap()).unwrap();
    assert_eq!(names(root), ["etcd.env", "machine.env"]);
    assert!(root.join("var/lib/etcd/convoy").is_dir());
    let etcd = fs::read_to_string(root.join("run/convoy/etcd.env")).unwrap();
    assert!(etcd.contains("STATE=new\n") && etcd.contains("ETCD_DATA_DIR=/var/lib/etcd/convoy\n"), "{etcd}");

    let log = root.join("var/lib/etcd/convoy/member/wal");
    fs::create_dir_all(&log).unwrap();
    fs::write(log.join("0000000000000000-0000000000000000.wal"), "").unwrap();
    install(&roots, &roots.gather().unwrap()).unwrap();
    let etcd = fs::read_to_string(root.join("run/convoy/etcd.env")).unwrap();
    assert!(etcd.contains("STATE=existing\n"), "{etcd}");

    let roots = machine(root, &with("10.0.0.2"));
    install(&roots, &roots.gather().unwrap()).unwrap();
    assert_eq!(names(root), ["etcd-gateway.env", "machine.env"]);
    let machine = fs::read_to_string(root.join("run/convoy/machine.env")).unwrap();
    assert!(machine.contains("CONVOY_PRIVATE_IPV4=10.0.0.2\n"), "{machine}");
    assert!(machine.contains("CONVOY_ETCD_ENDPOINTS=http://10.0.0.1:2379\n"), "{machine}");
}

#[test]
fn the_old_environment_file_is_believed_before_the_interfaces() {
    let folder = tempfile::tempdir().unwrap();
    let roots = machine(folder.path(), "");
    fs::write(
        folder.path().join("etc/environment"),
        "PATH=/bin\nCOREOS_PRIVATE_IPV4=10.9.9.9\nCOREOS_PUBLIC_IPV4=\n",
    )
    .unwrap();
    let gathered = roots.gather().unwrap();
    assert_eq!(gathered.machine.addresses.private.to_string(), "10.9.9.9");
    assert_eq!(gathered.role, Role::None);
}

#[test]
fn endpoints_of_the_configuration_are_not_overridden() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[machine]\nprivate_ipv4 = '10.0.0.1'\n[etcd]\nendpoints = ['http://10.5.5.5:2379']\n";
    let roots = machine(folder.path(), text);
    install(&roots, &roots.gather().unwrap()).unwrap();
    let machine = fs::read_to_string(folder.path().join("run/convoy/machine.env")).unwrap();
    assert!(!machine.contains("CONVOY_ETCD_ENDPOINTS"), "{machine}");
}

#[test]
fn a_wrong_configuration_is_named_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (text, expected) in [
        ("[cluster]\nseed = []\n", "50-cluster.toml:2: unknown field `seed`"),
        ("[cluster]\nseeds = [\"core-1\"]\n", "[cluster] seeds: \"core-1\" is no IPv4 address"),
        ("[machine]\nprivate_ipv4 = \"localhost\"\n", "[machine] private_ipv4: \"localhost\""),
        ("[cluster]\nseeds = [\"10.0.0.1\"]\n[etcd]\nca = \"/ca.pem\"\n", "[etcd] ca: set without endpoints"),
    ] {
        let text = if text.contains("[machine]") {
            text.to_owned()
        } else {
            format!("{text}[machine]\nprivate_ipv4 = \"10.0.0.1\"\n")
        };
        let error = machine(folder.path(), &text).gather().unwrap_err();
        assert!(matches!(error, SetupError::Config(_)) && error.to_string().contains(expected), "{error}");
    }
    assert!(!folder.path().join("run/convoy").exists());
}
