//! Writing the environment files.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, chown};
use std::path::{Path, PathBuf};

use crate::error::SetupError;
use crate::gather::{Gathered, Roots};
use crate::render::{etcd_environment, gateway_environment, machine_environment};
use crate::role::Role;

/// Where units read them.
const RUNTIME: &str = "run/convoy";
/// Beside, not in, the folder that a distribution's etcd uses on its own.
const ETCD_DATA: &str = "var/lib/etcd/convoy";

/// Writes all files of this machine's role, each at once or not at all, and removes those of another role.
pub fn install(roots: &Roots, gathered: &Gathered) -> Result<(), SetupError> {
    let runtime = roots.path(RUNTIME);
    fs::create_dir_all(&runtime).map_err(fail("create", &runtime))?;
    let Gathered { machine, role, endpoints } = gathered;
    let data = roots.path(ETCD_DATA);
    let has_data = has_log(&data.join("member/wal"));
    if matches!(role, Role::Member { .. }) {
        create_data_folder(&data)?;
    }
    // Inside the machine the root is /, whatever it is seen from here.
    let seen = Path::new("/").join(ETCD_DATA);
    let files = [
        ("etcd.env", etcd_environment(machine.addresses.private, role, &seen, has_data)),
        ("etcd-gateway.env", gateway_environment(role)),
        // Last: who waits for this one finds the others.
        ("machine.env", Some(machine_environment(machine, endpoints.as_deref()))),
    ];
    for (name, text) in files {
        let path = runtime.join(name);
        match text {
            Some(text) => write(&path, &text)?,
            None => remove(&path)?,
        }
    }
    Ok(())
}

/// Whether there is a write-ahead log; etcd calls itself a member that was here before by the same look.
fn has_log(folder: &Path) -> bool {
    let is_log =
        |entry: fs::DirEntry| Path::new(&entry.file_name()).extension().is_some_and(|name| name == "wal");
    fs::read_dir(folder).is_ok_and(|entries| entries.flatten().any(is_log))
}

/// etcd makes its folder itself, but where it runs in a container the folder has to be there, with etcd's owner:
/// the owner of the folder around it.
fn create_data_folder(data: &Path) -> Result<(), SetupError> {
    let Some(parent) = data.parent() else { return Ok(()) };
    let Ok(around) = fs::metadata(parent) else { return Ok(()) };
    match fs::DirBuilder::new().mode(0o700).create(data) {
        Ok(()) => chown(data, Some(around.uid()), Some(around.gid())).map_err(fail("give away", data)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(fail("create", data)(error)),
    }
}

fn write(path: &Path, text: &str) -> Result<(), SetupError> {
    let draft = draft(path);
    let written = File::create(&draft).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(fail("write", &draft))?;
    fs::rename(&draft, path).map_err(fail("replace", path))
}

fn remove(path: &Path) -> Result<(), SetupError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(fail("remove", path)(error)),
        _ => Ok(()),
    }
}

fn draft(path: &Path) -> PathBuf {
    path.with_extension("env.new")
}

fn fail(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SetupError {
    let path = path.to_owned();
    move |source| SetupError::File { doing, path, source }
}
