//! The generator: systemd.generator(7).

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use convoy_unit_generator::generate::generate;
use convoy_unit_generator::unit_path::UnitPath;

/// Where distributions put nginx.
const NGINX: &str = "/usr/sbin/nginx";

fn main() -> ExitCode {
    let mut folders = std::env::args_os().skip(1).map(PathBuf::from);
    // Called with three folders; the first is for units that vendor and admin may override both.
    let Some(output) = folders.next() else {
        say("usage: convoy-generator NORMAL-DIR [EARLY-DIR LATE-DIR], as systemd calls it");
        return ExitCode::FAILURE;
    };
    let path = UnitPath::system(std::env::var_os("SYSTEMD_UNIT_PATH").as_deref());
    let failed = generate(&path, NGINX.as_ref(), &output);
    for error in &failed {
        say(&format!("can't be written: {error}"));
    }
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// There is no journal yet when generators run at boot; the kernel's log takes their words. Outside of a boot it is
/// standard error that somebody reads.
fn say(text: &str) {
    let line = format!("convoy-generator: {text}\n");
    let kernel = std::fs::OpenOptions::new().write(true).open("/dev/kmsg");
    // Nobody is left to be told where both fail.
    let _ = match kernel {
        Ok(mut kernel) => kernel.write_all(format!("<3>{line}").as_bytes()),
        Err(_) => std::io::stderr().lock().write_all(line.as_bytes()),
    };
}
