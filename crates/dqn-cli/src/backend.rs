//! What computes. This is the only place that names the backends of burn.

use std::panic;

use burn::tensor::{Device, Tensor};

use crate::failure::{BadRequest, panic_message};

#[cfg(not(any(feature = "flex", feature = "ndarray", feature = "wgpu", feature = "cuda")))]
compile_error!("dqn-cli needs a backend: compile it with --features flex, ndarray, wgpu or cuda");

/// Chooses among the compiled backends instead of naming one.
const AUTO: &str = "auto";

/// A backend of burn, compiled in or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Flex,
    Ndarray,
    Wgpu,
    Cuda,
}

impl Backend {
    /// All backends, in the order in which `auto` prefers them.
    pub(crate) const ALL: [Backend; 4] = [Backend::Flex, Backend::Ndarray, Backend::Wgpu, Backend::Cuda];

    /// The name on the command line, which is also that of the cargo feature.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Backend::Flex => "flex",
            Backend::Ndarray => "ndarray",
            Backend::Wgpu => "wgpu",
            Backend::Cuda => "cuda",
        }
    }

    /// What it computes on.
    pub(crate) fn description(self) -> &'static str {
        match self {
            Backend::Flex => "the processor; the fastest there",
            Backend::Ndarray => "the processor",
            Backend::Wgpu => "graphics cards, through Vulkan, Metal or DirectX 12",
            Backend::Cuda => "NVIDIA cards",
        }
    }

    pub(crate) fn is_compiled(self) -> bool {
        match self {
            Backend::Flex => cfg!(feature = "flex"),
            Backend::Ndarray => cfg!(feature = "ndarray"),
            Backend::Wgpu => cfg!(feature = "wgpu"),
            Backend::Cuda => cfg!(feature = "cuda"),
        }
    }

    /// The cargo options that compile it, and it alone.
    pub(crate) fn cargo_options(self) -> String {
        format!("cargo build --release -p dqn-cli --no-default-features --features {}", self.name())
    }

    /// The backend called `name`, or the preferred one where it is `auto` or nothing.
    pub(crate) fn choose(name: Option<&str>) -> Result<Self, BadRequest> {
        let Some(name) = name.filter(|&name| name != AUTO) else { return Ok(Self::preferred()) };
        let Some(backend) = Self::ALL.into_iter().find(|backend| backend.name() == name) else {
            let known = Self::ALL.map(Self::name).join(", ");
            return Err(BadRequest(format!(
                "there is no backend {name:?}; there are {known} and {AUTO}, and compiled in: {}",
                compiled()
            )));
        };
        if !backend.is_compiled() {
            return Err(BadRequest(format!(
                "the backend {name} is not compiled into this program, which has: {}; compile it with `{}`",
                compiled(),
                backend.cargo_options()
            )));
        }
        Ok(backend)
    }

    /// The first compiled backend.
    pub(crate) fn preferred() -> Self {
        Self::ALL.into_iter().find(|backend| backend.is_compiled()).expect("without a backend this does not compile")
    }

    /// How many of `n_runs` runs it makes at a time where nobody says: one a core, and one alone on a graphics card, whose
    /// memory they would share.
    pub(crate) fn parallel_runs(self, n_runs: usize) -> usize {
        match self {
            Backend::Flex | Backend::Ndarray => {
                std::thread::available_parallelism().map_or(1, usize::from).min(n_runs).max(1)
            }
            Backend::Wgpu | Backend::Cuda => 1,
        }
    }

    /// Its device, proven to compute.
    pub(crate) fn device(self) -> Result<Device, BadRequest> {
        let fault = |message: String| {
            BadRequest(format!(
                "the backend {} finds nothing to compute on: {message}; compiled in: {}",
                self.name(),
                compiled()
            ))
        };
        let device = match self {
            #[cfg(feature = "flex")]
            Backend::Flex => Device::flex(),
            #[cfg(feature = "ndarray")]
            #[expect(deprecated, reason = "burn-ndarray is one of the backends this program promises")]
            Backend::Ndarray => Device::ndarray(),
            #[cfg(feature = "wgpu")]
            Backend::Wgpu => quietly(|| Device::wgpu_options().init())
                .and_then(|device| device.map_err(|error| error.to_string()))
                .map_err(fault)?,
            #[cfg(feature = "cuda")]
            Backend::Cuda => Device::cuda(0),
            #[cfg(not(all(feature = "flex", feature = "ndarray", feature = "wgpu", feature = "cuda")))]
            _ => unreachable!("only compiled backends are chosen"),
        };
        let sum = quietly(|| Tensor::<1>::ones([3], &device).sum().into_scalar::<f32>()).map_err(fault)?;
        // A failure on the thread of a device shows only in what it computes.
        if sum == 3.0 { Ok(device) } else { Err(fault(format!("1 + 1 + 1 is {sum}"))) }
    }
}

/// The names of the compiled backends.
fn compiled() -> String {
    let compiled: Vec<&str> =
        Backend::ALL.into_iter().filter(|backend| backend.is_compiled()).map(Backend::name).collect();
    compiled.join(", ")
}

/// The answer of `ask`, or the message of its panic: burn panics where a device is missing.
fn quietly<T>(ask: impl FnOnce() -> T) -> Result<T, String> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| {}));
    let answer = panic::catch_unwind(panic::AssertUnwindSafe(ask));
    panic::set_hook(hook);
    answer.map_err(|panic| panic_message(&*panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(quietly(|| 3), Ok(3));
        assert_eq!(quietly(|| panic!("no adapter {}", 7)), Err::<(), _>("no adapter 7".to_owned()));
    }

    #[test]
    fn auto_takes_the_first_that_is_compiled() {
        let first = Backend::ALL.into_iter().find(|backend| backend.is_compiled()).unwrap();
        assert_eq!(Backend::choose(None).unwrap(), first);
        assert_eq!(Backend::choose(Some("auto")).unwrap(), first);
    }

    #[test]
    fn unknown_and_missing_backends_are_told_apart() {
        let fault = Backend::choose(Some("tpu")).unwrap_err().to_string();
        assert!(fault.contains("no backend \"tpu\"; there are flex, ndarray, wgpu, cuda and auto"), "{fault}");
        for backend in Backend::ALL {
            match Backend::choose(Some(backend.name())) {
                Ok(found) => assert!(found == backend && backend.is_compiled()),
                Err(fault) => {
                    assert!(!backend.is_compiled());
                    assert!(fault.to_string().contains(&backend.cargo_options()), "{fault}");
                }
            }
        }
    }

    #[test]
    fn the_preferred_backend_computes() {
        Backend::preferred().device().unwrap();
    }
}
