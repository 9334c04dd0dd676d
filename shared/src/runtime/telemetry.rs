//! Logs: one line per event (message *and* fields, the unit in the field's name), to standard output, where Lambda
//! collects them. What is never logged is redacted by its type; see `domain::Personal`.

/// Starts logging. The level comes from `AWS_LAMBDA_LOG_LEVEL` or `RUST_LOG`, the format from `AWS_LAMBDA_LOG_FORMAT`,
/// as Lambda's logging controls set them.
///
/// A panic is logged with its place and without its message, which may quote data (P11).
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic
            .location()
            .map(ToString::to_string)
            .unwrap_or_default();
        tracing::error!(place, "panic");
    }));
}
