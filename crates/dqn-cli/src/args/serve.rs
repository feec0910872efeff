//! Arguments of `serve`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use dqn_train::run::checkpoint::Which;

use super::model::share;
use super::{BackendChoice, at_least_one, not_negative, temperature};

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Folder of a pretrained language model, or of a run that has learned values on a frozen one
    #[arg(value_name = "RUN|FOLDER")]
    pub(crate) folder: PathBuf,
    /// Of a run, which network: last, best, or one kept after so many updates [default: last]
    #[arg(long, value_name = "last|best|N", value_parser = super::checkpoint)]
    pub(crate) checkpoint: Option<Which>,
    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) bind: SocketAddr,
    /// The name that requests give as model [default: that of the folder]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// A file with the bearer token that requests must bring; without it the environment's DQN_TOKEN, or none
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Listen where other machines can reach it though no token is asked for
    #[arg(long)]
    pub(crate) allow_public: bool,
    /// A name that the Host header may have; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) allow_host: Vec<String>,
    /// An origin whose web pages may ask, such as `https://example.org`; may be repeated
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) cors: Vec<String>,
    /// A Jinja file that makes a text of a conversation [default: the folder's own, where it has one]
    #[arg(long, value_name = "FILE")]
    pub(crate) chat_template: Option<PathBuf>,
    /// What requests that say nothing have as beta, the weight of the values [default: 0]
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) beta: Option<f64>,
    /// What they have as temperature [default: 1]
    #[arg(long, value_name = "X", value_parser = not_negative)]
    pub(crate) temperature: Option<f64>,
    /// What they have as top_p [default: 1]
    #[arg(long, value_name = "X", value_parser = share)]
    pub(crate) top_p: Option<f64>,
    /// What they have as top_k [default: all tokens]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) top_k: Option<usize>,
    /// What they have as repetition_penalty [default: 1]
    #[arg(long, value_name = "X", value_parser = temperature)]
    pub(crate) repetition_penalty: Option<f64>,
    /// Most texts written at a time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = at_least_one)]
    pub(crate) slots: usize,
    /// Most texts that wait for their turn; more are refused with status 429
    #[arg(long, value_name = "N", default_value_t = 256)]
    pub(crate) queue: usize,
    /// Most tokens of a text after its prompt
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = at_least_one)]
    pub(crate) max_tokens: usize,
    /// Most tokens of a prompt [default: what the model can read]
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) max_prompt_tokens: Option<usize>,
    /// Most texts of one request, prompts times n
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = at_least_one)]
    pub(crate) texts_per_request: usize,
    /// Largest body of a request, in bytes
    #[arg(long, value_name = "BYTES", default_value_t = 1 << 20, value_parser = at_least_one)]
    pub(crate) max_body: usize,
    /// How long a request may take
    #[arg(long, value_name = "DURATION", default_value = "300s", value_parser = humantime::parse_duration)]
    pub(crate) request_time: Duration,
    /// How long running requests may go on after Ctrl-C
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) shutdown_time: Duration,
    /// Write prompts and answers to the log, at level debug
    #[arg(long)]
    pub(crate) log_texts: bool,
    #[command(flatten)]
    pub(crate) backend: BackendChoice,
}
