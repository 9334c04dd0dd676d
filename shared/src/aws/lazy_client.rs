//! A client of an AWS service that is created with its first call.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, LazyLock},
};

use aws_types::SdkConfig;

/// A client of an AWS service. It is created with the first call, because the SDK reads its list of AWS's partitions for each
/// client, which is a quarter of a start (`tests/benches/README.md`), and not every event calls every service. Clones share it.
pub struct LazyClient<Client>(Arc<LazyLock<Client, Create<Client>>>);

type Create<Client> = Box<dyn FnOnce() -> Client + Send>;

impl<Client> LazyClient<Client> {
    /// A client that `create` makes from a configuration of the SDK.
    pub fn new(config: &SdkConfig, create: fn(&SdkConfig) -> Client) -> Self
    where
        Client: 'static,
    {
        let config = config.clone();
        let create: Create<Client> = Box::new(move || create(&config));
        Self(Arc::new(LazyLock::new(create)))
    }
}

impl<Client> Deref for LazyClient<Client> {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl<Client> Clone for LazyClient<Client> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<Client> fmt::Debug for LazyClient<Client> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LazyClient")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn a_client_is_created_with_its_first_call_and_shared_by_its_clones() {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let config = SdkConfig::builder().build();
        let first = LazyClient::new(&config, |_| CREATED.fetch_add(1, Ordering::Relaxed));
        let second = first.clone();
        assert_eq!(CREATED.load(Ordering::Relaxed), 0);
        assert_eq!((*second, *first, *second), (0, 0, 0));
        assert_eq!(CREATED.load(Ordering::Relaxed), 1);
    }
}
