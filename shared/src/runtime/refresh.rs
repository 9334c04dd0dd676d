use std::{future::Future, sync::Arc, time::Duration};

use tokio::sync::Mutex;

use crate::Since;

/// A value that is built on first use and rebuilt when it is old: the clients of a warm function, which hold secrets that may
/// have been rotated since.
pub struct Refreshing<T> {
    /// With the time when it was built: many hours ago, where the process was frozen.
    current: Mutex<Option<(Arc<T>, Since)>>,
    lifetime: Duration,
}

/// A rotated secret is in use everywhere after this time, without a deployment.
const SECRET_LIFETIME: Duration = Duration::from_secs(15 * 60);

impl<T> Default for Refreshing<T> {
    fn default() -> Self {
        Self {
            current: Mutex::new(None),
            lifetime: SECRET_LIFETIME,
        }
    }
}

impl<T> Refreshing<T> {
    /// The current value, built when there is none or it is too old. When that fails, the old value stays in use; the error
    /// is returned only when there is none.
    ///
    /// # Errors
    /// The error of `build`.
    pub async fn get<E, F>(&self, build: impl FnOnce() -> F) -> Result<Arc<T>, E>
    where
        F: Future<Output = Result<T, E>>,
        E: std::fmt::Display,
    {
        // Held while building, so that concurrent callers build once.
        let mut current = self.current.lock().await;
        if let Some((value, built_at)) = current.as_ref()
            && built_at.elapsed() < self.lifetime
        {
            return Ok(value.clone());
        }
        match (build().await, current.as_ref()) {
            (Ok(value), _) => {
                let value = Arc::new(value);
                *current = Some((value.clone(), Since::now()));
                Ok(value)
            }
            (Err(error), Some((value, _))) => {
                tracing::warn!(%error, "clients cannot be rebuilt; using the current ones");
                Ok(value.clone())
            }
            (Err(error), None) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_old_value_is_rebuilt_and_stays_in_use_when_that_fails() {
        let refreshing = Refreshing::default();
        let build =
            async |value: Result<u8, String>| *refreshing.get(|| async { value }).await.unwrap();
        assert_eq!(build(Ok(1)).await, 1);
        assert_eq!(build(Ok(2)).await, 1);
        tokio::time::advance(SECRET_LIFETIME).await;
        assert_eq!(build(Err("no secret".to_owned())).await, 1);
        assert_eq!(build(Ok(3)).await, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_grew_old_while_the_process_was_frozen_is_rebuilt() {
        let refreshing = Refreshing::default();
        let build = async |value: u8| {
            *refreshing
                .get(|| async { Ok::<_, String>(value) })
                .await
                .unwrap()
        };
        assert_eq!(build(1).await, 1);
        if let Some((_, built_at)) = refreshing.current.lock().await.as_mut() {
            *built_at = built_at.frozen_for(SECRET_LIFETIME);
        }
        assert_eq!(build(2).await, 2);
    }
}
