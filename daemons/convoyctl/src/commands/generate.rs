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
    console.write(&String::from_utf8(script).context("a completion script is text")?);
    console.write(names(shell));
    Ok(Outcome::Done)
}

/// Names of units in the store, for the commands that take them.
fn names(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => {
            r#"
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
"#
        }
        Shell::Zsh => "",
        Shell::Fish => {
            r"
# Names of units in the store, besides files and options.
complete -c convoyctl -n '__fish_seen_subcommand_from start load stop unload destroy restart update cat status journal ssh explain move' -a '(convoyctl complete-names --request-timeout 1 2>/dev/null)'
"
        }
    }
}

pub(super) fn man(directory: &Path) -> Result<Outcome> {
    let shown = directory.display();
    fs::create_dir_all(directory).with_context(|| format!("{shown}: can't be made"))?;
    for (name, page) in manual::pages()? {
        let path = directory.join(name);
        fs::write(&path, page).with_context(|| format!("{}: can't be written", path.display()))?;
    }
    Ok(Outcome::Done)
}
