//! What a function knows of its event: id, tenant, time left. Runs in several slots at once on
//! Managed Instances: what the closure captures is shared, hence the atomic counter.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use zerostrap::{Failure, json_string};

fn main() -> ExitCode {
    let served = AtomicU64::new(0);
    zerostrap::run(|context, event| {
        if event.is_empty() {
            return Err(Failure::new("Function.EmptyEvent", "send a JSON document"));
        }
        let count = served.fetch_add(1, Ordering::Relaxed);
        // Callers choose these texts. Rust's {:?} would not write them as JSON.
        let id = json_string(&context.request_id());
        let tenant = json_string(&context.tenant_id().unwrap_or_default());
        let left = context.remaining_time().unwrap_or_default().as_millis();
        let response = format!(r#"{{"id":{id},"tenant":{tenant},"left":{left},"before":{count}}}"#);
        Ok(response.into_bytes())
    })
}
