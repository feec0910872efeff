//! `backends`: what is compiled in, what works here, and how to get the others.

use crate::backend::Backend;
use crate::console::Console;

pub(crate) fn run(console: Console) -> anyhow::Result<()> {
    for backend in Backend::ALL {
        let state = match (backend.is_compiled(), backend == Backend::preferred()) {
            (false, _) => format!("not compiled in; get it with `{}`", backend.cargo_options()),
            (true, is_preferred) => match (backend.device(), is_preferred) {
                (Ok(_), true) => "compiled in, and used where none is named".to_owned(),
                (Ok(_), false) => "compiled in".to_owned(),
                (Err(fault), _) => format!("compiled in, but {fault}"),
            },
        };
        console.result(&format!("{:8} {}: {state}", backend.name(), backend.description()))?;
    }
    Ok(())
}
