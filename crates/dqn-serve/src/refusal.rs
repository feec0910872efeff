//! Answers that are errors, in OpenAI's shape.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::engine::EngineError;

/// A request that is answered with an error.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    /// What was found and what would be right.
    pub(crate) message: String,
    /// The field it is about.
    pub(crate) param: Option<String>,
    /// A word for programs.
    pub(crate) code: Option<&'static str>,
    /// Seconds after which asking again may help.
    pub(crate) retry_after: Option<u64>,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, code: Option<&'static str>, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), param: None, code, retry_after: None }
    }

    /// A field has a value that it may not have.
    pub(crate) fn field(name: &str, message: impl Into<String>) -> Self {
        Self { param: Some(name.to_owned()), ..Self::new(StatusCode::BAD_REQUEST, None, message) }
    }

    pub(crate) fn with_code(self, code: &'static str) -> Self {
        Self { code: Some(code), ..self }
    }

    pub(crate) fn shutting_down() -> Self {
        let message = "the server is shutting down";
        let refusal = Self::new(StatusCode::SERVICE_UNAVAILABLE, Some("shutting_down"), message);
        Self { retry_after: Some(10), ..refusal }
    }

    pub(crate) fn engine_stopped() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            Some("engine_failed"),
            "the model failed; the server's log says why",
        )
    }

    pub(crate) fn out_of_time(seconds: f64) -> Self {
        let message = format!("the request took longer than the {seconds} s that a request may take");
        Self::new(StatusCode::GATEWAY_TIMEOUT, Some("timeout"), message)
    }

    /// What the engine says about a request; its own failures are logged and not told.
    pub(crate) fn from_engine(error: &EngineError) -> Self {
        match error {
            EngineError::Refused { message } => Self::new(StatusCode::BAD_REQUEST, None, message.clone()),
            EngineError::Failed { message } => {
                tracing::error!(message, "the engine failed");
                Self::engine_stopped()
            }
        }
    }

    /// The body, as OpenAI has it.
    pub(crate) fn body(&self) -> Value {
        let kind = match self.status {
            StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request_error",
        };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = json_response(self.status, &self.body());
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if self.status == StatusCode::GATEWAY_TIMEOUT {
            // OpenAI's clients ask again after a server's error; the same request would take as long again.
            headers.insert("x-should-retry", HeaderValue::from_static("false"));
        }
        response
    }
}

/// A JSON value as an answer.
pub(crate) fn json_response(status: StatusCode, value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
