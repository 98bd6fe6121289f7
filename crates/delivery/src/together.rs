//! Questions that anybody may make the server ask the store: asked once at a time, for all who wait for the answer.
//!
//! Owns the turn-taking; knows nothing of what is asked. Invariant: whoever asks gets an answer to a question that was put after
//! they came, so nothing is older than a question of their own would have been.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Mutex;

/// One question that many ask.
#[derive(Debug)]
pub struct Together<T> {
    /// How often it was put.
    put: AtomicU64,
    /// The last answer, and which time that was.
    last: Mutex<Option<(u64, T)>>,
}

impl<T> Default for Together<T> {
    fn default() -> Self {
        Self {
            put: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }
}

impl<T: Clone> Together<T> {
    /// What `put` finds out, or what somebody else found out who put it after this call began. Who goes away while it is their
    /// turn leaves it to the next.
    pub async fn ask(&self, put: impl AsyncFnOnce() -> T) -> T {
        let before = self.put.load(Ordering::SeqCst);
        let mut last = self.last.lock().await;
        if let Some((number, answer)) = &*last
            && *number > before
        {
            return answer.clone();
        }
        let number = self.put.fetch_add(1, Ordering::SeqCst) + 1;
        let answer = put().await;
        *last = Some((number, answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::Semaphore;
    use tokio::task::JoinSet;

    use super::*;

    #[tokio::test]
    async fn many_who_ask_at_once_cost_two_questions() {
        let (together, asked) = (Arc::new(Together::default()), Arc::new(AtomicU64::new(0)));
        let gate = Arc::new(Semaphore::new(0));
        let mut asking = JoinSet::new();
        for _ in 0..1000 {
            let (together, asked, gate) = (together.clone(), asked.clone(), gate.clone());
            asking.spawn(async move {
                let put = async || {
                    let number = asked.fetch_add(1, Ordering::SeqCst) + 1;
                    gate.acquire().await.unwrap().forget();
                    number
                };
                together.ask(put).await
            });
        }
        // All have come once the first has its turn and the others had theirs to wait for it.
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        tokio::task::yield_now().await;
        gate.add_permits(1000);
        let answers = asking.join_all().await;
        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert_eq!(answers.iter().filter(|answer| **answer == 1).count(), 1);
    }

    #[tokio::test]
    async fn nobody_gets_an_answer_from_before_they_came() {
        let together = Together::default();
        assert_eq!(together.ask(async || 1).await, 1);
        assert_eq!(together.ask(async || 2).await, 2);
    }

    #[tokio::test]
    async fn who_goes_away_leaves_the_turn_to_the_next() {
        let together = Together::default();
        {
            let mut gone = std::pin::pin!(together.ask(async || std::future::pending().await));
            assert!(futures_util::poll!(&mut gone).is_pending());
        }
        assert_eq!(together.ask(async || 2).await, 2);
    }
}
