//! A connection to one endpoint, with the client's parts that we use.

use etcd_client::{Channel, Client, ConnectOptions, KvClient, LeaseClient, WatchClient};
use tonic::transport::Endpoint;

use crate::{ErrorKind, StoreSettings, failure::Failure, tls};

/// The client library refuses answers above 4 MiB unless told otherwise. A listing of a large cluster may be
/// larger; refusing it would stop every reader for good.
const LARGEST_ANSWER: usize = 64 << 20;

/// Requests that may wait for the connection at once.
const WAITING_REQUESTS: usize = 64;

/// A lazy connection to one endpoint.
#[derive(Clone)]
pub(crate) struct Session {
    /// Which turn of [`crate::endpoints::Endpoints`] it belongs to.
    pub(crate) turn: usize,
    pub(crate) kv: KvClient,
    pub(crate) watch: WatchClient,
    pub(crate) lease: LeaseClient,
}

impl Session {
    /// Prepares the connection. With a user set, this asks the endpoint for a token; otherwise nothing is sent yet.
    pub(crate) async fn open(turn: usize, url: &str, settings: &StoreSettings) -> Result<Self, Failure> {
        let channel = Channel::Tonic(endpoint(url, settings)?.connect_lazy());
        // A member that is cut off from the others says so at once instead of answering from an old picture.
        let mut options = ConnectOptions::new().with_require_leader(true);
        if let Some((name, password)) = &settings.user {
            options = options.with_user(name, password).with_auto_token_refresh(true);
        }
        let client = Client::from_channel(channel, Some(options)).await?;
        Ok(Self {
            turn,
            kv: client.kv_client().max_decoding_message_size(LARGEST_ANSWER),
            watch: client.watch_client().max_decoding_message_size(LARGEST_ANSWER),
            lease: client.lease_client(),
        })
    }
}

fn endpoint(url: &str, settings: &StoreSettings) -> Result<Endpoint, Failure> {
    let refuse = |detail: String| Failure::new(ErrorKind::Settings, detail).unsent();
    let mut endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(|error| refuse(error.to_string()))?
        .connect_timeout(settings.connect_timeout)
        .http2_keep_alive_interval(settings.ping_interval)
        .keep_alive_timeout(settings.ping_timeout)
        // etcd takes pings without an open stream for an attack.
        .keep_alive_while_idle(false)
        .buffer_size(WAITING_REQUESTS);
    if let Some(tls) = &settings.tls {
        let config = tls::configure(tls).map_err(|error| refuse(error.to_string()))?;
        endpoint = endpoint.tls_config(config).map_err(|error| refuse(error.to_string()))?;
    }
    Ok(endpoint)
}
