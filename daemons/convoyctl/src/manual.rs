//! The manual pages: convoyctl(1), and one for each command.

use std::io::Write as _;

use anyhow::Result;
use clap::CommandFactory;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{cli::Cli, exit};

const ENVIRONMENT: [(&str, &str); 4] = [
    (
        "CONVOYCTL_ENDPOINT, CONVOYCTL_TUNNEL, …",
        "Every option of all commands has a variable: CONVOYCTL_ and the option in capitals, with underscores.",
    ),
    ("CONVOY_ETCD_ENDPOINTS", "etcd's URLs, for all of Convoy; --endpoint wins."),
    ("CONVOY_CONFIG_PATH", "Directories of configuration files, in place of the ordinary ones."),
    ("CONVOY_LOG", "With --debug: levels of the log, such as info,convoy_store=debug."),
];

const FILES: [(&str, &str); 3] = [
    (
        "/usr/lib/convoy/config.d, /run/convoy/config.d, /etc/convoy/config.d",
        "Configuration; the table [etcd] says where the store is. Without it, http://127.0.0.1:2379.",
    ),
    (
        "/run/convoy/machine.env, /etc/machine-id",
        "Which machine this is: what runs here is asked without SSH.",
    ),
    ("./UNIT", "Unit files are taken from the directory that an argument names."),
];

const EXAMPLES: [(&str, &str); 9] = [
    ("convoyctl submit someapp@.service", "Stores a template."),
    ("convoyctl start someapp@{1..4}", "Starts four instances of it, and waits until they run."),
    ("convoyctl list-units", "What runs where."),
    ("convoyctl explain someapp@5", "Why an instance waits, machine by machine, and what would help."),
    ("convoyctl plan --drain 148a18ff", "What would move if that machine were drained."),
    (
        "convoyctl drain 148a18ff && convoyctl announce-reboot 148a18ff",
        "Empties a machine, and keeps its pinned units waiting for it.",
    ),
    (
        "convoyctl update someapp@.service --max-unavailable 1",
        "New text for all instances, one after another; stops at the first that isn't well.",
    ),
    ("convoyctl restart 'someapp@*'", "Restarts all instances at once."),
    (
        "convoyctl plan --cluster cluster.json --output json",
        "Placement of a cluster that is only described; see the README for the file.",
    ),
];

/// The pages: file name and text.
pub fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let command = Cli::command().disable_help_subcommand(true);
    let mut pages = vec![("convoyctl.1".to_owned(), main_page(&command)?)];
    for child in command.get_subcommands().filter(|child| !child.is_hide_set()) {
        let name = format!("convoyctl-{}", child.get_name());
        let mut page = Vec::new();
        let title: &'static str = Box::leak(name.clone().into_boxed_str());
        Man::new(child.clone().name(title).bin_name(format!("convoyctl {}", child.get_name())))
            .render(&mut page)?;
        pages.push((format!("{name}.1"), page));
    }
    Ok(pages)
}

fn main_page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone().after_help(""));
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    section(&mut page, "EXIT STATUS", &exit::TABLE)?;
    section(&mut page, "ENVIRONMENT", &ENVIRONMENT)?;
    section(&mut page, "FILES", &FILES)?;
    section(&mut page, "EXAMPLES", &EXAMPLES)?;
    page.flush()?;
    Ok(page)
}

fn section(page: &mut Vec<u8>, title: &str, entries: &[(&str, &str)]) -> Result<()> {
    let mut roff = Roff::default();
    roff.control("SH", [title]);
    for (term, text) in entries {
        roff.control("TP", []);
        roff.text([bold(*term)]);
        roff.text([roman(*text)]);
    }
    roff.to_writer(page)?;
    Ok(())
}
