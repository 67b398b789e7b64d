//! Which endpoint is asked: one, until it fails; then the next.
//!
//! The client library balances over all endpoints and counts dead ones as ready, so that with two of three alive a
//! quarter of all calls fail. Here every call goes to the same endpoint. Whoever meets trouble there ends that
//! turn, once, however many calls fail together; the next turn belongs to the next endpoint, with a fresh
//! connection, also where there is only one endpoint.

use tokio::sync::{Mutex, watch};

use crate::{ErrorKind, StoreError, StoreSettings, failure::Failure, session::Session, tls};

pub(crate) struct Endpoints {
    settings: StoreSettings,
    turn: watch::Sender<usize>,
    /// The connection of the present turn, or of an earlier one.
    session: Mutex<Option<Session>>,
}

impl Endpoints {
    pub(crate) fn new(settings: StoreSettings) -> Result<Self, StoreError> {
        settings.validate()?;
        if let Some(tls) = &settings.tls {
            tls::configure(tls)?;
        }
        Ok(Self { settings, turn: watch::Sender::new(0), session: Mutex::new(None) })
    }

    pub(crate) fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    pub(crate) fn len(&self) -> usize {
        self.settings.endpoints.len()
    }

    pub(crate) fn turn(&self) -> usize {
        *self.turn.borrow()
    }

    /// Tells when a turn ends: a hint for whoever still has a stream open at that endpoint.
    pub(crate) fn turns(&self) -> watch::Receiver<usize> {
        self.turn.subscribe()
    }

    pub(crate) fn url(&self, turn: usize) -> &str {
        self.settings.endpoints.iter().cycle().nth(turn % self.len().max(1)).map_or("", String::as_str)
    }

    /// The connection of the present turn.
    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let mut kept = self.session.lock().await;
        let turn = self.turn();
        if let Some(session) = kept.as_ref()
            && session.turn == turn
        {
            return Ok(session.clone());
        }
        let session = Session::open(turn, self.url(turn), &self.settings).await?;
        *kept = Some(session.clone());
        Ok(session)
    }

    /// Ends a turn after trouble. Does nothing when somebody else already ended it.
    pub(crate) fn leave(&self, turn: usize, kind: ErrorKind) {
        let next = turn.wrapping_add(1);
        let ended = self.turn.send_if_modified(|present| {
            let ends = *present == turn;
            if ends {
                *present = next;
            }
            ends
        });
        if ended {
            tracing::debug!(
                endpoint = self.url(turn),
                next = self.url(next),
                reason = kind.as_str(),
                "Left an etcd endpoint."
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Endpoints {
        let endpoints = ["http://a:1", "http://b:1", "http://c:1"].map(str::to_owned).to_vec();
        Endpoints::new(StoreSettings { endpoints, ..StoreSettings::default() }).unwrap()
    }

    #[tokio::test]
    async fn calls_stick_to_one_endpoint_and_share_its_connection() {
        let endpoints = three();
        let turns = [endpoints.session().await.unwrap().turn, endpoints.session().await.unwrap().turn];
        assert_eq!(turns.map(|turn| endpoints.url(turn)), ["http://a:1", "http://a:1"]);
    }

    #[tokio::test]
    async fn many_failures_of_one_turn_move_on_by_one_endpoint() {
        let endpoints = three();
        let turn = endpoints.session().await.unwrap().turn;
        for _ in 0..5 {
            endpoints.leave(turn, ErrorKind::Deadline);
        }
        assert_eq!(endpoints.url(endpoints.session().await.unwrap().turn), "http://b:1");
    }

    #[tokio::test]
    async fn after_the_last_endpoint_comes_the_first_with_a_new_connection() {
        let endpoints = three();
        let first = endpoints.session().await.unwrap();
        for _ in 0..3 {
            endpoints.leave(endpoints.turn(), ErrorKind::Unreachable);
        }
        let again = endpoints.session().await.unwrap();
        assert_eq!(endpoints.url(first.turn), endpoints.url(again.turn));
        assert_ne!(first.turn, again.turn);
    }

    #[test]
    fn a_certificate_file_that_is_missing_is_an_error_at_once() {
        let settings = StoreSettings {
            endpoints: vec!["https://a:1".into()],
            tls: Some(crate::TlsSettings { ca: "/nonexistent/ca.pem".into(), ..Default::default() }),
            ..StoreSettings::default()
        };
        let error = Endpoints::new(settings).err().expect("must fail");
        assert!(error.to_string().contains("/nonexistent/ca.pem"), "{error}");
    }
}
