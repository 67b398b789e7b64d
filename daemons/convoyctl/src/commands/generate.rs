//! `completions` and `man`: made from the command line's own definition.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::{generate, shells};

use crate::{
    cli::{Cli, Shell},
    console::Console,
    exit::Outcome,
    manual,
};

pub(super) fn completions(shell: Shell, console: &mut Console) -> Result<Outcome> {
    let mut command = Cli::command();
    let mut script = Vec::new();
    match shell {
        Shell::Bash => generate(shells::Bash, &mut command, "convoyctl", &mut script),
        Shell::Zsh => generate(shells::Zsh, &mut command, "convoyctl", &mut script),
        Shell::Fish => generate(shells::Fish, &mut command, "convoyctl", &mut script),
    }
    let script = String::from_utf8(script).context("a completion script is text")?;
    console.write(&with_names(shell, &script));
    Ok(Outcome::Done)
}

/// Adds the names of units in the store, for the arguments that are units.
fn with_names(shell: Shell, script: &str) -> String {
    match shell {
        Shell::Bash => format!("{script}{BASH_NAMES}"),
        Shell::Fish => format!("{script}{FISH_NAMES}"),
        Shell::Zsh => {
            let lines = script.lines().map(|line| {
                let is_unit = ["'*::units -- ", "':unit -- "].iter().any(|start| line.starts_with(start));
                if is_unit { line.replace(":_default'", ":_convoyctl_units'") } else { line.to_owned() }
            });
            let mut lines: Vec<String> = lines.collect();
            lines.insert(1.min(lines.len()), ZSH_NAMES.to_owned());
            lines.join("\n") + "\n"
        }
    }
}

const BASH_NAMES: &str = r#"
# Names of units in the store, besides files and options.
_convoyctl_units() {
    _convoyctl "$@"
    local word=${COMP_WORDS[COMP_CWORD]}
    case ${COMP_WORDS[1]} in
        start|load|stop|unload|destroy|restart|update|cat|status|journal|ssh|explain|move)
            if [[ $COMP_CWORD -gt 1 && $word != -* ]]; then
                COMPREPLY+=( $(compgen -W "$(convoyctl complete-names --request-timeout 1 2>/dev/null)" -- "$word") )
            fi ;;
    esac
}
complete -F _convoyctl_units -o bashdefault -o default convoyctl
"#;

const ZSH_NAMES: &str = r#"
# Names of units in the store, and files.
_convoyctl_units() {
    local -a names
    names=(${(f)"$(convoyctl complete-names --request-timeout 1 2>/dev/null)"})
    compadd -a names
    _files
}"#;

const FISH_NAMES: &str = r"
# Names of units in the store, besides files and options.
complete -c convoyctl -n '__fish_seen_subcommand_from start load stop unload destroy restart update cat status journal ssh explain move' -a '(convoyctl complete-names --request-timeout 1 2>/dev/null)'
";

pub(super) fn man(directory: &Path) -> Result<Outcome> {
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("{shown}: can't be made"))?;
    for (name, page) in manual::pages()? {
        let path = directory.join(name);
        fs::write(&path, page).with_context(|| format!("{}: can't be written", path.display()))?;
    }
    Ok(Outcome::Done)
}
