//! What a function knows of its event: id, tenant, time left. Runs in several slots at once on
//! Managed Instances: what the closure captures is shared, hence the atomic counter.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use zerostrap::Failure;

fn main() -> ExitCode {
    let served = AtomicU64::new(0);
    zerostrap::run(|invocation, event| {
        if event.is_empty() {
            return Err(Failure::new("Function.EmptyEvent", "send a JSON document"));
        }
        let count = served.fetch_add(1, Ordering::Relaxed);
        let tenant = invocation
            .tenant_id()
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        let left = invocation.time_left().unwrap_or_default().as_millis();
        let id = invocation.request_id();
        let response =
            format!("{{\"id\":{id:?},\"tenant\":{tenant:?},\"left\":{left},\"before\":{count}}}");
        Ok(response.into_bytes())
    })
}
