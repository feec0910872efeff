//! `completions`: scripts that let a shell complete the command line.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Arguments;
use crate::console::Console;

pub(crate) fn run(shell: Shell, console: Console) -> anyhow::Result<()> {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    console.result(String::from_utf8(script)?.trim_end())
}
