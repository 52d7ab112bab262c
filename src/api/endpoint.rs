//! The endpoints of the Runtime API and of the Extensions API: the only spelling of a path or of a
//! header's name (AWS, "Using the Lambda runtime API" and "Extensions API").

/// The headers that describe an event all begin so.
pub(crate) const EVENT_PREFIX: &[u8] = b"Lambda-Runtime-";

pub(crate) const REQUEST_ID: &str = "Lambda-Runtime-Aws-Request-Id";
pub(crate) const INVOCATION_ID: &str = "Lambda-Runtime-Invocation-Id";
pub(crate) const DEADLINE_MS: &str = "Lambda-Runtime-Deadline-Ms";
pub(crate) const FUNCTION_ARN: &str = "Lambda-Runtime-Invoked-Function-Arn";
pub(crate) const TRACE_ID: &str = "Lambda-Runtime-Trace-Id";
pub(crate) const CLIENT_CONTEXT: &str = "Lambda-Runtime-Client-Context";
pub(crate) const COGNITO_IDENTITY: &str = "Lambda-Runtime-Cognito-Identity";
pub(crate) const TENANT_ID: &str = "Lambda-Runtime-Aws-Tenant-Id";
pub(crate) const ERROR_TYPE: &str = "Lambda-Runtime-Function-Error-Type";
pub(crate) const ERROR_BODY: &str = "Lambda-Runtime-Function-Error-Body";
pub(crate) const RESPONSE_MODE: &str = "Lambda-Runtime-Function-Response-Mode";
pub(crate) const EXTENSION_NAME: &str = "Lambda-Extension-Name";
pub(crate) const EXTENSION_ID: &str = "Lambda-Extension-Identifier";
pub(crate) const CONTENT_TYPE: &str = "Content-Type";
pub(crate) const CONTENT_LENGTH: &str = "Content-Length";
pub(crate) const TRANSFER_ENCODING: &str = "Transfer-Encoding";
pub(crate) const TRAILER: &str = "Trailer";

const RUNTIME: &str = "/2018-06-01/runtime";
const EXTENSION: &str = "/2020-01-01/extension";

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// The next event.
    Next,
    /// The response to an event.
    Response,
    /// The failure of an event.
    Error,
    /// The failure of the init.
    InitError,
    /// The end of a snapshot's restore.
    RestoreNext,
    /// The failure of an after-restore hook.
    RestoreError,
    /// The registration of an internal extension.
    ExtensionRegister,
    /// The next event of that extension.
    ExtensionNext,
}

impl Endpoint {
    pub(crate) fn method(self) -> &'static str {
        match self {
            Endpoint::Next | Endpoint::RestoreNext | Endpoint::ExtensionNext => "GET",
            Endpoint::Response
            | Endpoint::Error
            | Endpoint::InitError
            | Endpoint::RestoreError
            | Endpoint::ExtensionRegister => "POST",
        }
    }

    /// Returns what the path is made of: the API's prefix, what comes before a request id, and what
    /// comes after one.
    pub(crate) fn path(self) -> [&'static str; 3] {
        match self {
            Endpoint::Next => [RUNTIME, "/invocation/next", ""],
            Endpoint::Response => [RUNTIME, "/invocation/", "/response"],
            Endpoint::Error => [RUNTIME, "/invocation/", "/error"],
            Endpoint::InitError => [RUNTIME, "/init/error", ""],
            Endpoint::RestoreNext => [RUNTIME, "/restore/next", ""],
            Endpoint::RestoreError => [RUNTIME, "/restore/error", ""],
            Endpoint::ExtensionRegister => [EXTENSION, "/register", ""],
            Endpoint::ExtensionNext => [EXTENSION, "/event/next", ""],
        }
    }

    /// Returns the name of the endpoint in log lines.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Endpoint::Next => "GET /runtime/invocation/next",
            Endpoint::Response => "POST …/response",
            Endpoint::Error => "POST …/error",
            Endpoint::InitError => "POST /runtime/init/error",
            Endpoint::RestoreNext => "GET /runtime/restore/next",
            Endpoint::RestoreError => "POST /runtime/restore/error",
            Endpoint::ExtensionRegister => "POST /extension/register",
            Endpoint::ExtensionNext => "GET /extension/event/next",
        }
    }

    /// Returns what a status of this endpoint means (AWS, Runtime API; its emulator's source).
    pub(crate) fn explain_status(self, status: u16) -> &'static str {
        match (self, status) {
            (Endpoint::Response | Endpoint::Error, 400) => {
                "the request id is unknown: the event was answered before, or timed out"
            }
            (Endpoint::Response | Endpoint::Error, 403) => {
                "the event was answered before, or the Runtime API expects no answer now"
            }
            (Endpoint::Response | Endpoint::Error, 410) => {
                "the event timed out before its answer came"
            }
            (Endpoint::InitError, 403) => "the init was over, or had been reported as failed",
            (Endpoint::Next, 403) => "the Runtime API expects no request for an event now",
            (Endpoint::Next, 410) => "the sandbox is no longer used",
            (Endpoint::ExtensionRegister | Endpoint::ExtensionNext, 400 | 403) => {
                "the Extensions API refuses this extension"
            }
            (_, 400) => "the Runtime API calls the request malformed",
            (_, 403) => "the Runtime API does not allow this request now",
            (_, 404) => "no such endpoint: is this the Runtime API?",
            (_, 413) => "the answer is over the limit",
            (_, 431) => "the request's headers are over the limit",
            (_, 500..=599) => "the Runtime API cannot go on",
            _ => "which the Runtime API does not document",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Endpoint::{
        Error, ExtensionNext, ExtensionRegister, InitError, Next, Response, RestoreError,
        RestoreNext,
    };

    #[test]
    fn status_is_explained_by_what_it_means_to_its_endpoint() {
        let table = [
            (Response, 400, "the request id is unknown"),
            (Error, 400, "the request id is unknown"),
            (Response, 403, "the event was answered before"),
            (Error, 403, "the event was answered before"),
            (Response, 410, "the event timed out"),
            (Error, 410, "the event timed out"),
            (InitError, 403, "the init was over"),
            (Next, 403, "the Runtime API expects no request for an event"),
            (Next, 410, "the sandbox is no longer used"),
            (ExtensionRegister, 400, "the Extensions API refuses"),
            (ExtensionRegister, 403, "the Extensions API refuses"),
            (ExtensionNext, 400, "the Extensions API refuses"),
            (ExtensionNext, 403, "the Extensions API refuses"),
            (
                RestoreNext,
                400,
                "the Runtime API calls the request malformed",
            ),
            (RestoreError, 403, "the Runtime API does not allow"),
            (Next, 404, "no such endpoint"),
            (Response, 413, "the answer is over the limit"),
            (Response, 431, "the request's headers are over"),
            (Next, 500, "the Runtime API cannot go on"),
            (Next, 599, "the Runtime API cannot go on"),
            (Next, 600, "which the Runtime API does not document"),
            (Next, 499, "which the Runtime API does not document"),
            (RestoreNext, 410, "which the Runtime API does not document"),
        ];
        for (endpoint, status, words) in table {
            let said = endpoint.explain_status(status);
            assert!(said.starts_with(words), "{endpoint:?} {status}: {said}");
        }
    }

    #[test]
    fn endpoint_has_the_name_of_its_method_and_path() {
        for endpoint in [
            Next,
            Response,
            Error,
            InitError,
            RestoreNext,
            RestoreError,
            ExtensionRegister,
            ExtensionNext,
        ] {
            let name = endpoint.name();
            let [_, before, after] = endpoint.path();
            let end = if after.is_empty() { before } else { after };
            assert_eq!(name.split(' ').next(), Some(endpoint.method()));
            assert!(end.starts_with('/') && name.ends_with(end), "{name}");
        }
    }
}
