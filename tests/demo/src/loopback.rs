//! The demo on loopback.

use anyhow::Result;

use crate::screen::Screen;

pub(crate) fn show(_screen: &mut Screen) -> Result<()> {
    anyhow::bail!("not written yet")
}
