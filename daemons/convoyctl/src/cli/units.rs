//! Arguments of the commands that change units.

use std::{num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Args;

/// How long one attempt lasts, as in fleet.
const ATTEMPT: Duration = Duration::from_secs(2);

/// How long a command waits for what it asked for.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Waiting {
    /// Don't wait
    #[arg(long, conflicts_with = "block_attempts")]
    pub no_block: bool,
    /// Wait this many times 2 s at most, and end with 3 if it isn't there by then; 0 is for ever
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    pub block_attempts: u32,
}

impl Waiting {
    /// The longest wait; none is for ever.
    pub fn limit(self) -> Option<Duration> {
        (self.block_attempts > 0).then(|| ATTEMPT * self.block_attempts)
    }
}

/// How many at a time.
#[derive(Debug, Clone, Copy, Args)]
pub struct Rolling {
    /// How many units may be away at a time; the next one waits until the last one is healthy [default: 1 for a
    /// template, else all]
    #[arg(long, value_name = "COUNT")]
    pub max_unavailable: Option<NonZeroU32>,
}

/// `submit`.
#[derive(Debug, Args)]
pub struct SubmitArguments {
    /// Files, or instances of templates
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
    /// Store the local file even if the store has another text
    #[arg(long)]
    pub replace: bool,
    /// Turn into warnings what fleet let through
    #[arg(long)]
    pub compat: bool,
}

/// `load`, `start`.
#[derive(Debug, Args)]
pub struct LaunchArguments {
    /// Files, names, patterns
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
    /// Store the local file even if the store has another text
    #[arg(long)]
    pub replace: bool,
    /// Turn into warnings what fleet let through
    #[arg(long)]
    pub compat: bool,
    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `stop`, `unload`, `destroy`.
#[derive(Debug, Args)]
pub struct StopArguments {
    /// Names, patterns
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `restart`.
#[derive(Debug, Args)]
pub struct RestartArguments {
    /// Names, patterns; a template stands for its instances
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
    /// How many at a time.
    #[command(flatten)]
    pub rolling: Rolling,
    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `update`.
#[derive(Debug, Args)]
pub struct UpdateArguments {
    /// Files: of a template for all its instances, or of a unit; the name of a stored template takes its text
    #[arg(value_name = "FILE", required = true)]
    pub units: Vec<String>,
    /// Turn into warnings what fleet let through
    #[arg(long)]
    pub compat: bool,
    /// How many at a time.
    #[command(flatten)]
    pub rolling: Rolling,
    /// How long to wait.
    #[command(flatten)]
    pub waiting: Waiting,
}

/// `cat`.
#[derive(Debug, Args)]
pub struct CatArguments {
    /// Names, patterns
    #[arg(value_name = "UNIT", required = true)]
    pub units: Vec<String>,
}

/// `verify`.
#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// Unit files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Turn into warnings what fleet let through
    #[arg(long)]
    pub compat: bool,
}

/// `import`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "they are four independent options")]
pub struct ImportArguments {
    /// The directory
    pub directory: PathBuf,
    /// Store units even if the store has another text
    #[arg(long)]
    pub replace: bool,
    /// Turn into warnings what fleet let through
    #[arg(long)]
    pub compat: bool,
    /// Say what would be stored, and store nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Store what can be stored even if other units are rejected
    #[arg(long)]
    pub partial: bool,
}
