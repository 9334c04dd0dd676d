//! Configuration, secrets, telemetry, batches and wiring: what turns the clients and stores into a running function.
